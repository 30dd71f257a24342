"""Pull to first line of user code, and exit to `completed`, of tasks in containers, everything warm: in a container of
their own, and in one that idled (`--warm-containers`); beside them plain `docker run` of the same image with the same
program, in turns: the floor. The stock agent does not run in this image: it needs pip and apt-get or dnf in it.

A task writes the time as its first act, and again as its last. Pulled is a task when it is no longer in its queue. The
floor is counted from the start of the docker client to the same first act, and from the last act to the client's end.
"""
import argparse
import os
import statistics
import subprocess
import sys
import threading
import time

from dispatch import wait_for
from environments import Bench

IMAGE = "hostler-test/python"
PROGRAM = """import os, time
def stamp(name):
    path = os.path.join(%r, name + "-" + os.environ["CLEARML_TASK_ID"])
    open(path + ".new", "w").write(str(time.time_ns()))
    os.rename(path + ".new", path)
stamp("first")
print("hello")
stamp("last")
"""


def stamp(folder, name, number):
    """The time that a program wrote, once it is there."""
    path = os.path.join(folder, name + "-" + number)
    return wait_for(name, lambda: os.path.exists(path) and int(open(path).read()))


def floor(folder, engine, number):
    """`docker run`: milliseconds to the first act, and from the last one to the client's end."""
    begun = time.time_ns()
    subprocess.run(["docker", "--host", engine, "run", "--rm", "--network", "host", "-e", "CLEARML_TASK_ID=" + number,
                    "-v", folder + ":" + folder, IMAGE, "python3", "-c", PROGRAM % folder], check=True,
                   stdout=subprocess.DEVNULL)
    ended = time.time_ns()
    return (stamp(folder, "first", number) - begun) / 1e6, (ended - stamp(folder, "last", number)) / 1e6


def task_of(bench, queue_name, number):
    """A task: milliseconds from its pull to the first act, and from the last one to `completed`."""
    folder = bench.folder
    script = {"binary": "python3", "entry_point": "program.py", "working_dir": ".", "diff": PROGRAM % folder}
    task = bench.api.call("tasks.create", name="bench " + number, type="training", script=script)["id"]
    # The same for all, so that any of their containers could be any other's.
    arguments = "-v %s:%s" % (folder, folder)
    bench.api.call("tasks.edit", task=task, container={"image": IMAGE, "arguments": arguments})
    queue = bench.api.call("queues.get_all", name="^%s$" % queue_name)["queues"][0]["id"]
    pulled = []

    def watch():
        wait_for("pull", lambda: not any(
            entry["task"] == task for entry in bench.api.call("queues.get_by_id", queue=queue)["queue"]["entries"]))
        pulled.append(time.time_ns())

    bench.api.call("tasks.enqueue", task=task, queue=queue)
    watcher = threading.Thread(target=watch)
    watcher.start()

    def status():
        return bench.api.call("tasks.get_by_id", task=task)["task"]["status"]
    wait_for("end", lambda: status() in ("completed", "failed"))
    completed = time.time_ns()
    watcher.join()
    if status() != "completed":
        sys.exit("task %s is %s:\n%s" % (number, status(), bench.console(task)[-4000:]))
    return (stamp(folder, "first", task) - pulled[0]) / 1e6, (completed - stamp(folder, "last", task)) / 1e6


def warm(bench, number):
    """As above, once a container idles."""
    idle = os.path.join(bench.folder, "state-warm", "warm", "idle")
    if not number.endswith("-0"):
        wait_for("a container that idles", lambda: os.path.isdir(idle) and os.listdir(idle))
    return task_of(bench, "warm", number)


def daemon(bench, engine, queue, *arguments):
    """Our daemon for one queue."""
    bench.start([bench.hostler, "daemon", "--foreground", "--queue", queue, "--create-queue", "--cpu-only", "--workers", "1",
                 "--docker", IMAGE, "--state-dir", os.path.join(bench.folder, "state-" + queue),
                 "--cache-dir", os.path.join(bench.folder, "cache"), *arguments],
                CLEARML_CONFIG_FILE=bench.configuration, DOCKER_HOST=engine)
    wait_for("queue " + queue, lambda: bench.api.call("queues.get_all", name="^%s$" % queue)["queues"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostler", required=True, help="the program")
    parser.add_argument("--runs", type=int, default=10, help="how many of each are measured, after one that is not")
    options = parser.parse_args()
    engine = os.environ.get("HOSTLER_TEST_DOCKER")
    if not engine:
        sys.exit("there is no Docker Engine here: scripts/containers says why")
    bench = Bench(options.hostler)
    try:
        daemon(bench, engine, "ours")
        daemon(bench, engine, "warm", "--warm-containers", "1")
        sides = [("hostler", lambda number: task_of(bench, "ours", number)),
                 ("hostler, warm container", lambda number: warm(bench, number)),
                 ("docker run", lambda number: floor(bench.folder, engine, number.replace(" ", "-")))]
        measured = {name: [] for name, _ in sides}
        for run in range(options.runs + 1):
            for name, measure in sides if run % 2 else reversed(sides):
                result = measure("%s-%d" % (name, run))
                if run > 0:
                    measured[name].append(result)
        print("%-24s %22s %22s" % ("", "to first line, ms", "from exit to end, ms"))
        medians = {}
        for name, results in measured.items():
            columns = [sorted(result[column] for result in results) for column in (0, 1)]
            medians[name] = [statistics.median(column) for column in columns]
            cells = ["%.0f (%.0f-%.0f)" % (statistics.median(column), column[0], column[-1]) for column in columns]
            print("%-24s %22s %22s" % (name, *cells))
        print("above docker run: %.0f ms to the first line" % (medians["hostler"][0] - medians["docker run"][0]))
    finally:
        bench.close()


if __name__ == "__main__":
    main()

"""Pull to first line of user code, and exit to `completed`, of tasks in containers, everything warm: in a container of
their own, and in one that idled (`--warm-containers`); beside them plain `docker run` of the same image with the same
program, in turns: the floor. Then the stock agent on the same machine, the same server and the same program: with its
defaults, on the same image, and with its best settings: all that it needs is in the image already (itself among it), it
is told to install nothing, and makes no environment.

A task writes the time as its first act, and again as its last. Pulled is a task when it is no longer in its queue;
until then the queue is asked for often. What waits for a task afterwards looks at its files often, and asks the server
seldom: what is asked takes processor time from what is measured. `completed` is the server's own time. The floor is
counted from the start of the docker client to the same first act, and from the last act to the client's end.
"""
import argparse
import datetime
import os
import statistics
import subprocess
import sys
import time

from dispatch import LIMIT_SECONDS, wait_for
from environments import Bench

# Made by containers-image.sh: Debian with Python, pip, git and apt; and the same with all that the stock agent installs.
IMAGE = "hostler-bench/stock"
READY_IMAGE = "hostler-bench/stock-ready"
# Seconds between two looks at a file, and between two questions to the server.
LOOK, ASK = 0.002, 0.5
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
    """The time that a program wrote; None where it has not yet."""
    path = os.path.join(folder, name + "-" + number)
    return int(open(path).read()) if os.path.exists(path) else None


def floor(folder, engine, number):
    """`docker run`: milliseconds to the first act, and from the last one to the client's end."""
    begun = time.time_ns()
    subprocess.run(["docker", "--host", engine, "run", "--rm", "--network", "host", "-e", "CLEARML_TASK_ID=" + number,
                    "-v", folder + ":" + folder, IMAGE, "python3", "-c", PROGRAM % folder], check=True,
                   stdout=subprocess.DEVNULL)
    ended = time.time_ns()
    return (stamp(folder, "first", number) - begun) / 1e6, (ended - stamp(folder, "last", number)) / 1e6


def wait_for_last(bench, task, is_over):
    """Waits for the last act of a task, or for its end without one."""
    end, asked = time.monotonic() + LIMIT_SECONDS, time.monotonic()
    while stamp(bench.folder, "last", task) is None:
        now = time.monotonic()
        if now > end:
            raise SystemExit("a task has not ended within %d s:\n%s" % (LIMIT_SECONDS, bench.console(task)[-4000:]))
        if now > asked + ASK:
            asked = now
            if is_over():
                return
        time.sleep(LOOK)


def task_of(bench, queue_name, number, image=IMAGE):
    """A task: milliseconds from its pull to the first act, and from the last one to `completed`."""
    folder = bench.folder
    script = {"binary": "python3", "entry_point": "program.py", "working_dir": ".", "diff": PROGRAM % folder}
    task = bench.api.call("tasks.create", name="bench " + number, type="training", script=script)["id"]
    # The same for all, so that any of their containers could be any other's.
    arguments = "-v %s:%s" % (folder, folder)
    bench.api.call("tasks.edit", task=task, container={"image": image, "arguments": arguments})
    queue = bench.api.call("queues.get_all", name="^%s$" % queue_name)["queues"][0]["id"]
    bench.api.call("tasks.enqueue", task=task, queue=queue)
    wait_for("pull", lambda: not any(
        entry["task"] == task for entry in bench.api.call("queues.get_by_id", queue=queue)["queue"]["entries"]))
    pulled = time.time_ns()

    def ended():
        found = bench.api.call("tasks.get_by_id", task=task)["task"]
        return found if found["status"] in ("completed", "failed", "stopped") else None
    wait_for_last(bench, task, ended)
    end = time.monotonic() + LIMIT_SECONDS
    while not ended() and time.monotonic() < end:
        time.sleep(ASK)
    found = ended()
    if not found or found["status"] != "completed":
        sys.exit("task %s is %s:\n%s" % (number, found and found["status"], bench.console(task)[-4000:]))
    completed = datetime.datetime.fromisoformat(found["completed"].replace("Z", "+00:00")).timestamp() * 1e9
    return (stamp(folder, "first", task) - pulled) / 1e6, (completed - stamp(folder, "last", task)) / 1e6


def warm(bench, number):
    """As above, once a container idles."""
    idle = os.path.join(bench.folder, "state-warm", "warm", "idle")
    if not number.endswith("-0"):
        wait_for("a container that idles", lambda: os.path.isdir(idle) and os.listdir(idle))
    return task_of(bench, "warm", number)


def daemon(bench, engine, queue, *arguments):
    """Our daemon for one queue."""
    started = bench.start([bench.hostler, "daemon", "--foreground", "--queue", queue, "--create-queue", "--cpu-only",
                           "--workers", "1", "--docker", IMAGE, "--state-dir", os.path.join(bench.folder, "state-" + queue),
                           "--cache-dir", os.path.join(bench.folder, "cache"), *arguments],
                          CLEARML_CONFIG_FILE=bench.configuration, DOCKER_HOST=engine)
    wait_for("queue " + queue, lambda: bench.api.call("queues.get_all", name="^%s$" % queue)["queues"])
    return started


def stock(bench, engine, queue, image, settings, *arguments, **variables):
    """The stock agent for one queue. The server listens on this machine's loopback alone, so that its containers need
    this machine's network."""
    if not bench.api.call("queues.get_all", name="^%s$" % queue)["queues"]:
        bench.api.call("queues.create", name=queue)
    configuration = os.path.join(bench.folder, queue + ".conf")
    with open(configuration, "w") as file:
        file.write(open(bench.configuration).read())
        file.write('\nagent { %s, extra_docker_arguments: ["--network=host"] }\n' % settings)
    return bench.start([os.path.join(bench.bin, "clearml-agent"), "daemon", "--foreground", "--queue", queue, "--cpu-only",
                        "--docker", image, *arguments], CLEARML_CONFIG_FILE=configuration, DOCKER_HOST=engine,
                       CLEARML_WORKER_ID="bench:" + queue, **variables)


def in_turns(sides, runs):
    """Each of the sides once without being measured, and then `runs` times, in turns."""
    measured = {name: [] for name, _ in sides}
    for run in range(runs + 1):
        for name, measure in sides if run % 2 else reversed(sides):
            result = measure("%s-%d" % (name, run))
            if run > 0:
                measured[name].append(result)
    return measured


def main():
    """Measures in turns, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostler", required=True, help="the program")
    parser.add_argument("--runs", type=int, default=10, help="how many of each are measured, after one that is not")
    parser.add_argument("--stock-runs", type=int, default=3, help="as many of the stock agent's; 0 leaves it out")
    options = parser.parse_args()
    engine = os.environ.get("HOSTLER_TEST_DOCKER")
    if not engine:
        sys.exit("there is no Docker Engine here: scripts/containers says why")
    bench = Bench(options.hostler)
    try:
        ours = [daemon(bench, engine, "ours"), daemon(bench, engine, "warm", "--warm-containers", "1")]
        measured = in_turns([
            ("hostler", lambda number: task_of(bench, "ours", number)),
            ("hostler, warm container", lambda number: warm(bench, number)),
            ("docker run", lambda number: floor(bench.folder, engine, number.replace(" ", "-")))], options.runs)
        if options.stock_runs:
            # Nobody is measured beside another one who polls.
            for process in ours:
                bench.stop(process)
            defaults, best = "clearml-agent 3.0.3, its defaults", "clearml-agent 3.0.3, its best"
            stock(bench, engine, "stock-defaults", IMAGE, "")
            stock(bench, engine, "stock-best", READY_IMAGE, "docker_install_opencv_libs: false", "--standalone-mode",
                  CLEARML_AGENT_SKIP_PIP_VENV_INSTALL="python3")
            measured.update(in_turns([
                (defaults, lambda number: task_of(bench, "stock-defaults", number)),
                (best, lambda number: task_of(bench, "stock-best", number, READY_IMAGE))], options.stock_runs))
    except BaseException:
        bench.log.flush()
        print(open(bench.log.name).read()[-4000:], file=sys.stderr)
        raise
    finally:
        bench.close()
    print("load average %.1f, %d cores" % (os.getloadavg()[0], os.cpu_count()))
    print("%-36s %3s %24s %24s" % ("", "n", "to first line, ms", "from exit to end, ms"))
    medians = {}
    for name, results in measured.items():
        columns = [sorted(result[column] for result in results) for column in (0, 1)]
        medians[name] = [statistics.median(column) for column in columns]
        cells = ["%.0f (%.0f-%.0f)" % (statistics.median(column), column[0], column[-1]) for column in columns]
        print("%-36s %3d %24s %24s" % (name, len(results), *cells))
    print("above docker run: %.0f ms to the first line" % (medians["hostler"][0] - medians["docker run"][0]))
    for name in [name for name in medians if name.startswith("clearml-agent")]:
        print("%s: %.1f times as long to the first line, %.1f times from exit to end; beside a warm container %.1f times"
              % (name, medians[name][0] / medians["hostler"][0], medians[name][1] / medians["hostler"][1],
                 medians[name][0] / medians["hostler, warm container"][0]))


if __name__ == "__main__":
    main()

"""Pull to first line of user code: cold, warm, and with changed code; Hostler's daemon and the stock clearml-agent with
its environment cache switched on, both against the same `hostler server`, in the same run.

A task is a commit of a git repository, with numpy, pandas, scikit-learn and matplotlib, pinned. Its first line writes
the time; then it imports all four. Pulled is a task when it is no longer in its queue. Cold means: nothing of the
packages is on the machine. Beside it stands uv alone: `uv venv`, `uv pip install` into it, and the same first line, with
an empty cache too. The two are measured in turns, each as often first as second, and each after everything of the one
before is written: a disk that is still busy is nobody's advantage. Nothing is removed before the end: for a minute after
a file is removed, ext4 does not use its inode again, and looks at each such inode anew for every file that it makes.
"""
import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from dispatch import Api, show, wait_for

REQUIREMENTS = "numpy==2.2.6\npandas==2.3.3\nscikit-learn==1.7.2\nmatplotlib==3.10.7\n"
PROGRAM = """import time
now = time.time_ns()
import os
path = os.path.join(%r, "stamp-" + os.environ["CLEARML_TASK_ID"])
open(path + ".new", "w").write(str(now))
os.rename(path + ".new", path)
import numpy, pandas, sklearn, matplotlib
print("done", %d)
"""


class Bench:
    """One folder with a server, a repository, and two agents."""

    def __init__(self, hostler):
        self.hostler = os.path.abspath(hostler)
        self.folder = tempfile.mkdtemp(prefix="hostler-bench-")
        self.bin = os.path.dirname(sys.executable)
        # Of the programs of the stock agent's environment, ours may see uv.
        tools = os.path.join(self.folder, "bin")
        os.mkdir(tools)
        self.uv = os.path.join(tools, "uv")
        os.symlink(os.path.join(self.bin, "uv"), self.uv)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("CLEARML_", "TRAINS_", "HOSTLER_", "XDG_", "VIRTUAL_ENV", "UV_", "PIP_CACHE"))}
        self.environment.update(HOME=self.folder, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1",
                                PATH=tools + ":" + os.environ["PATH"])
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.started = []
        self.commits = 0
        self.repository = os.path.join(self.folder, "repository")
        self.git("init", "--quiet", "--initial-branch=main", self.repository, where=self.folder)
        data = os.path.join(self.folder, "data")
        server = self.start([self.hostler, "server", "--json", "--data-dir", data, "--queue", "ours", "stock",
                             "--api-port", "0", "--web-port", "0", "--files-port", "0"], output=subprocess.PIPE)
        ready = json.loads(server.stdout.readline())
        self.configuration = os.path.join(data, "clearml.conf")
        self.api = Api(ready["api_server"], self.configuration)

    def start(self, command, output=None, **variables):
        """Starts a program that ends with the run."""
        process = subprocess.Popen(command, env=dict(self.environment, **variables), stdin=subprocess.DEVNULL,
                                   stdout=output or self.log, stderr=self.log, universal_newlines=True,
                                   cwd=self.folder, start_new_session=True)
        self.started.append(process)
        return process

    def stop(self, process):
        """Ends a program and everything of its session."""
        self.started.remove(process)
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)

    def close(self):
        """Ends everything and removes the folder."""
        for process in list(reversed(self.started)):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def git(self, *arguments, where=None):
        """Runs git and gives its output."""
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        return subprocess.run(["git"] + identity + list(arguments), cwd=where or self.repository, env=self.environment,
                              check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()

    def commit(self):
        """A new commit: the program has changed, the requirements have not."""
        self.commits += 1
        with open(os.path.join(self.repository, "train.py"), "w") as file:
            file.write(PROGRAM % (self.folder, self.commits))
        self.git("add", "train.py")
        self.git("commit", "--quiet", "-m", "change %d" % self.commits)
        return self.git("rev-parse", "HEAD")

    def ours(self, cache):
        """Our daemon, with a cache folder."""
        return self.start([self.hostler, "daemon", "--foreground", "--queue", "ours", "--cpu-only", "--workers", "1",
                           "--state-dir", os.path.join(self.folder, "state"), "--cache-dir", cache],
                          CLEARML_CONFIG_FILE=self.configuration)

    def stock(self):
        """The stock agent, with its cache switched on."""
        configuration = os.path.join(self.folder, "stock.conf")
        with open(configuration, "w") as file:
            file.write(open(self.configuration).read())
            file.write('\nagent { venvs_cache: { path: "%s/venvs-cache", max_entries: 10, free_space_threshold_gb: 0 } }\n'
                       % self.folder)
        return self.start([os.path.join(self.bin, "clearml-agent"), "daemon", "--foreground", "--queue", "stock",
                           "--cpu-only"], CLEARML_CONFIG_FILE=configuration)

    def launch(self, queue, commit):
        """Runs one task; gives the seconds from its pull to its first line, and its console."""
        script = {"repository": "file://" + self.repository, "branch": "main", "version_num": commit,
                  "entry_point": "train.py", "working_dir": ".", "binary": "python3", "requirements": {"pip": REQUIREMENTS}}
        task = self.api.call("tasks.create", name=commit[:8], type="training", script=script)["id"]
        queue_id = self.api.call("queues.get_all", name="^%s$" % queue)["queues"][0]["id"]
        self.api.call("tasks.enqueue", task=task, queue=queue_id)
        pulled = []

        def watch():
            def is_gone():
                entries = self.api.call("queues.get_by_id", queue=queue_id)["queue"]["entries"]
                return not any(entry["task"] == task for entry in entries)
            wait_for("pull from " + queue, is_gone)
            pulled.append(time.time_ns())

        watcher = threading.Thread(target=watch)
        watcher.start()
        stamp = os.path.join(self.folder, "stamp-" + task)

        def status():
            found = self.api.call("tasks.get_by_id", task=task)["task"]["status"]
            if found in ("failed", "stopped"):
                raise SystemExit("task of queue %s ended as %s:\n%s" % (queue, found, self.console(task)[-4000:]))
            return found == "completed"

        # The server is asked seldom: who measures takes no processor from who is measured.
        looks = itertools.count(1)
        wait_for("first line in " + queue, lambda: os.path.exists(stamp) or (next(looks) % 100 == 0 and status()))
        watcher.join()
        wait_for("end of a task in " + queue, status)
        return (int(open(stamp).read()) - pulled[0]) / 1e9, self.console(task)

    def console(self, task):
        """What the task printed."""
        events = self.api.call("events.get_task_log", task=task, batch_size=10000)["events"]
        return "\n".join(event["msg"] for event in events)

    def uv_alone(self, number):
        """Seconds that uv needs from nothing to the first line."""
        folder = os.path.join(self.folder, "alone-%d" % number)
        os.mkdir(folder)
        requirements = os.path.join(folder, "requirements.txt")
        open(requirements, "w").write(REQUIREMENTS)
        environment = dict(self.environment, UV_CACHE_DIR=os.path.join(folder, "cache"), CLEARML_TASK_ID="alone-%d" % number)
        python = os.path.join(folder, "venv/bin/python")
        begin = time.time_ns()
        for command in ([self.uv, "venv", "--quiet", os.path.join(folder, "venv"), "--python", "python3"],
                        [self.uv, "pip", "install", "--quiet", "--python", python, "-r", requirements],
                        [python, os.path.join(self.repository, "train.py")]):
            subprocess.run(command, env=environment, check=True, stdout=self.log, stderr=self.log)
        stamp = int(open(os.path.join(self.folder, "stamp-alone-%d" % number)).read())
        return (stamp - begin) / 1e9


def settle():
    """Returns when what was written is on the disk, and a moment has passed in which nobody wrote."""
    os.sync()
    time.sleep(2)


def line_of(console, start):
    """The line of a console that holds a text."""
    return next((line.strip() for line in console.splitlines() if start in line), "")


def main():
    """Measures in turns, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostler", required=True, help="the program to measure")
    parser.add_argument("--cold-runs", type=int, default=6, help="cold runs of ours, and of uv alone")
    parser.add_argument("--runs", type=int, default=10, help="warm runs of ours, and as many with changed code")
    parser.add_argument("--stock-runs", type=int, default=3, help="runs of the stock agent; 0 leaves it out")
    arguments = parser.parse_args()
    bench = Bench(arguments.hostler)
    try:
        first = bench.commit()
        cold, alone = [], []
        for number in range(arguments.cold_runs):
            cache = os.path.join(bench.folder, "cache-%d" % number)
            for ours in (False, True) if number % 2 else (True, False):
                settle()
                if ours:
                    daemon = bench.ours(cache)
                    seconds, console = bench.launch("ours", first)
                    cold.append(seconds)
                else:
                    alone.append(bench.uv_alone(number))
            if number + 1 < arguments.cold_runs:
                bench.stop(daemon)
        print(line_of(console, "environment ready"), flush=True)
        if arguments.stock_runs:
            bench.stock()
            stock_cold = [bench.launch("stock", first)[0]]
        warm, changed, stock_warm, stock_changed = [], [], [], []
        every = max(1, arguments.runs // max(1, arguments.stock_runs))
        for number in range(arguments.runs):
            seconds, console = bench.launch("ours", first)
            warm.append(seconds)
            commit = bench.commit()
            changed.append(bench.launch("ours", commit)[0])
            if number % every == 0 and len(stock_warm) < arguments.stock_runs:
                stock_warm.append(bench.launch("stock", first)[0])
                stock_changed.append(bench.launch("stock", commit)[0])
        files = json.loads(subprocess.run([bench.hostler, "--json", "env", "list", "--cache-dir", cache], check=True,
                                          env=dict(bench.environment, CLEARML_CONFIG_FILE=bench.configuration),
                                          stdout=subprocess.PIPE).stdout)[0]
    except BaseException:
        bench.log.flush()
        print(open(bench.log.name).read()[-4000:], file=sys.stderr)
        raise
    finally:
        bench.close()
    print("pull to first line of user code; %d files, %.0f MB; load average %.1f, %d cores"
          % (files["files"], files["bytes"] / 1e6, os.getloadavg()[0], os.cpu_count()))
    print(line_of(console, "environment ready"))
    show("cold: uv alone", alone)
    show("cold: hostler", cold)
    show("warm: hostler", warm)
    show("code changed: hostler", changed)
    if arguments.stock_runs:
        show("cold: clearml-agent 3.0.3", stock_cold)
        show("warm: clearml-agent 3.0.3", stock_warm)
        show("code changed: clearml-agent 3.0.3", stock_changed)
        median = statistics.median
        print("ratio of the medians: warm %.1f, code changed %.1f" % (median(stock_warm) / median(warm),
                                                                     median(stock_changed) / median(changed)))
    print("cold, to uv alone: %.2f; of each pair: %s" % (
        statistics.median(cold) / statistics.median(alone),
        " ".join("%.2f" % (ours / theirs) for ours, theirs in zip(cold, alone))))


if __name__ == "__main__":
    main()

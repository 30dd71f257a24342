"""Enqueue to first line of user code, environment cached: Hostler's daemon and the stock clearml-agent, both against
the same `hostler server`, in the same run, in turns.

A task is a literal script with one pinned requirement; its first line writes the time. Both agents have built the
environment before the first run that counts; the stock agent has its environment cache switched on. It polls every
5 s, so each of its tasks is enqueued at a random moment of that interval.
"""
import argparse
import base64
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

REQUIREMENT = "six==1.17.0"
POLL_SECONDS = 5.0
LIMIT_SECONDS = 300.0


class Api:
    """The few calls that are needed, over plain HTTP."""

    def __init__(self, url, configuration_file):
        self.url = url
        text = open(configuration_file).read()
        key, secret = (re.search(name + r'"?\s*[:=]\s*"?([^"\s,}]+)', text).group(1) for name in ("access_key", "secret_key"))
        basic = base64.b64encode(("%s:%s" % (key, secret)).encode()).decode()
        self.authorization = "Basic " + basic
        self.authorization = "Bearer " + self.call("auth.login")["token"]

    def call(self, endpoint, **body):
        """Calls an endpoint and gives its data."""
        request = urllib.request.Request("%s/%s" % (self.url, endpoint), json.dumps(body).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", self.authorization)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["data"]


def wait_for(what, look):
    """Polls until `look` gives something."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise SystemExit("no %s within %d s" % (what, LIMIT_SECONDS))


def launch(api, folder, queue, number):
    """Enqueues one task; gives the seconds until its first line ran."""
    stamp = os.path.join(folder, "stamp-%s-%s" % (queue, number))
    program = "import time; open(%r, 'w').write('%%d\\n' %% time.time_ns())\nimport six\nprint('done')\n" % stamp
    script = {"diff": program, "entry_point": "program.py", "working_dir": ".", "binary": "python3",
              "requirements": {"pip": REQUIREMENT}}
    task = api.call("tasks.create", name="%s %s" % (queue, number), type="training", script=script)["id"]
    queue_id = api.call("queues.get_all", name="^%s$" % queue)["queues"][0]["id"]
    begin = time.time_ns()
    api.call("tasks.enqueue", task=task, queue=queue_id)
    text = wait_for("first line of a task in queue " + queue, lambda: os.path.exists(stamp) and open(stamp).read().strip())

    def status():
        found = api.call("tasks.get_by_id", task=task)["task"]["status"]
        if found in ("failed", "stopped"):
            raise SystemExit("task %s of queue %s ended as %s" % (task, queue, found))
        return found == "completed"

    wait_for("end of a task in queue " + queue, status)
    return (int(text) - begin) / 1e9


def interpreter_start(folder):
    """Seconds from starting the bare interpreter to its first line: what no agent can be faster than."""
    stamp = os.path.join(folder, "stamp-bare")
    begin = time.time_ns()
    subprocess.run([sys.executable, "-c", "import time; open(%r, 'w').write('%%d' %% time.time_ns())" % stamp], check=True)
    return (int(open(stamp).read()) - begin) / 1e9


def show(name, seconds):
    """One line of figures, in milliseconds."""
    values = sorted(value * 1000 for value in seconds)
    print("%-34s n=%-3d median %8.1f ms   min %8.1f   max %8.1f"
          % (name, len(values), statistics.median(values), values[0], values[-1]), flush=True)


def main():
    """Starts everything, measures in turns, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostler", required=True, help="the program to measure")
    parser.add_argument("--runs", type=int, default=20, help="runs of ours")
    parser.add_argument("--stock-runs", type=int, default=6, help="runs of the stock agent; 0 leaves it out")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    arguments = parser.parse_args()
    hostler = os.path.abspath(arguments.hostler)
    folder = tempfile.mkdtemp(prefix="hostler-bench-")
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("CLEARML_", "TRAINS_", "HOSTLER_", "XDG_", "VIRTUAL_ENV"))}
    environment.update(HOME=folder, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    log = open(os.path.join(folder, "log"), "w")
    started = []

    def start(command, **variables):
        process = subprocess.Popen(command, env=dict(environment, **variables), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE if "--json" in command else log, stderr=log,
                                   universal_newlines=True, cwd=folder, start_new_session=True)
        started.append(process)
        return process

    try:
        data = os.path.join(folder, "data")
        server = start([hostler, "server", "--json", "--data-dir", data, "--queue", "ours", "stock",
                        "--api-port", "0", "--web-port", "0", "--files-port", "0"])
        ready = json.loads(server.stdout.readline())
        configuration = os.path.join(data, "clearml.conf")
        api = Api(ready["api_server"], configuration)
        start([hostler, "daemon", "--foreground", "--queue", "ours", "--cpu-only", "--workers", "1",
               "--state-dir", os.path.join(folder, "state")], CLEARML_CONFIG_FILE=configuration)
        launch(api, folder, "ours", "warm-up")
        stock_configuration = os.path.join(folder, "stock.conf")
        with open(stock_configuration, "w") as file:
            file.write(open(configuration).read())
            file.write('\nagent { venvs_cache: { path: "%s/venvs-cache", max_entries: 10, free_space_threshold_gb: 0 } }\n' % folder)
        if arguments.stock_runs:
            stock = os.path.join(os.path.dirname(sys.executable), "clearml-agent")
            start([stock, "daemon", "--foreground", "--queue", "stock", "--cpu-only"], CLEARML_CONFIG_FILE=stock_configuration)
            for number in range(2):
                launch(api, folder, "stock", "warm-up %d" % number)

        ours, theirs, bare = [], [], []
        every = max(1, arguments.runs // max(1, arguments.stock_runs))
        for number in range(arguments.runs):
            bare.append(interpreter_start(folder))
            ours.append(launch(api, folder, "ours", number))
            if number % every == 0 and len(theirs) < arguments.stock_runs:
                time.sleep(random.uniform(0, POLL_SECONDS))
                theirs.append(launch(api, folder, "stock", number))
    except BaseException:
        log.flush()
        print(open(log.name).read()[-6000:], file=sys.stderr)
        raise
    finally:
        for process in reversed(started):
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=30)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)

    print("enqueue to first line of user code, environment cached; load average %.1f, %d cores"
          % (os.getloadavg()[0], os.cpu_count()))
    show("bare interpreter (the floor)", bare)
    show("hostler daemon", ours)
    if theirs:
        show("clearml-agent 3.0.3", theirs)
        print("ratio of the medians: %.1f" % (statistics.median(theirs) / statistics.median(ours)))
    print("hostler's own part: %.1f ms" % ((statistics.median(ours) - statistics.median(bare)) * 1000))
    if arguments.json:
        print(json.dumps({"bare": bare, "ours": ours, "stock": theirs}))


if __name__ == "__main__":
    main()

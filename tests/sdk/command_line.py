"""clearml-init, fed from a pipe, writes settings that work; clearml-task makes a task and puts it into a queue that an
agent serves."""
import os
import re
import subprocess
import sys

from clearml import Task

from support import check, equal, folder_with

PROGRAMS = os.path.dirname(sys.executable)


def tool(name, *arguments, given="", **environment):
    """Runs a program of the SDK's package and gives what it printed."""
    done = subprocess.run([os.path.join(PROGRAMS, name), *arguments], input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, timeout=200,
                          env=dict(os.environ, **environment))
    print(done.stdout)
    equal(done.returncode, 0, arguments)
    return done.stdout


with open(os.environ["CLEARML_CONFIG_FILE"]) as file:
    api = re.search(r"api \{.*?\n\}", file.read(), re.DOTALL).group(0)
written = os.path.join(os.environ["TMPDIR"], "written.conf")
tool("clearml-init", "--file", written, given=api + "\n\n\n", CLEARML_CONFIG_FILE=written)
check(os.path.getsize(written) > 0, "settings that clearml-init wrote")

printed = tool("clearml-task", "--project", "Hostler/Sdk tests", "--name", "from a command line", "--script",
               os.path.join(folder_with("trial.py"), "trial.py"), "--args", "rate=0.5", "width=2", "--packages",
               "clearml==2.1.12", "--queue", "default", "--tags", "kept", CLEARML_CONFIG_FILE=written)
task_id = re.search(r"id=([0-9a-f]{32})", printed).group(1)
task = Task.get_task(task_id=task_id)
task.wait_for_status(check_interval_sec=0.5)
equal(task.get_status(), "completed")
equal(task.get_tags(), ["kept"])
equal(task.get_parameters()["Args/width"], "2")
equal(len(task.get_reported_scalars()["loss"]["train"]["y"]), 3)
check(abs(task.get_reported_scalars()["loss"]["train"]["y"][-1] - 0.75**3) < 1e-6, task.get_reported_scalars())

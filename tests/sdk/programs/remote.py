"""A user's script that sends itself to a queue; what follows is meant for an agent."""
import argparse

from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=3)
task = Task.init(project_name="Hostler/Sdk tests", task_name="remote", reuse_last_task_id=False,
                 auto_connect_frameworks=False)
arguments = parser.parse_args()
settings = task.connect({"depth": 2, "flags": {"fast": False}, "steps": [1, 2]})
print("TASK %s\n" % task.id, end="", flush=True)
task.execute_remotely(queue_name="default")
values = (arguments.width, settings["depth"], settings["flags"]["fast"], settings["steps"])
print("REMOTE %r %r %r %r\n" % values, end="", flush=True)

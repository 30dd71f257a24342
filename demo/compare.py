"""Reads two tasks back with the SDK and shows what differs: compare.py TEMPLATE CLONE."""
import sys

from clearml import Task

tasks = [Task.get_task(task_id=task_id) for task_id in sys.argv[1:3]]
rows = [
    ("status", [task.get_status() for task in tasks]),
    ("Args/learning_rate", [task.get_parameter("Args/learning_rate") for task in tasks]),
    ("epochs reported", [str(len(task.get_reported_scalars()["loss"]["train"]["x"])) for task in tasks]),
    ("final loss", ["%.5f" % task.get_reported_single_value("final loss") for task in tasks]),
    ("weights", [", ".join("%.2f" % w for w in task.artifacts["weights"].get()["weights"]) for task in tasks]),
    ("ran on", [task.data.last_worker or "-" for task in tasks]),
]
print("%-20s %-28s %-28s" % ("", "template", "clone"))
for name, values in rows:
    print("%-20s %-28s %-28s" % (name, *values))
if rows[0][1] != ["completed", "completed"] or rows[1][1][0] == rows[1][1][1]:
    sys.exit("the clone did not run with its own learning rate")

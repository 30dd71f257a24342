"""A program that raises: its task is failed, with a reason, and its traceback is in the console."""
from clearml import Task

from support import check, run

task_id, _ = run("raises.py", code=1)
task = Task.get_task(task_id=task_id)
check(task.get_status() == "failed", task.get_status())
check("the data is missing" in task.data.status_reason, task.data.status_reason)
console = "".join(task.get_reported_console_output(number_of_reports=100))
check("RuntimeError: the data is missing" in console, console)

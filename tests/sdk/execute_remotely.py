"""execute_remotely: the task waits in the queue; the second run, as an agent starts it, gets the edited values."""
from clearml import Task

from support import check, equal, run

task_id, printed = run("remote.py")
check("REMOTE" not in printed, "the local process must end before", printed)
task = Task.get_task(task_id=task_id)
equal(task.get_status(), "queued")
equal(task.get_parameters()["Args/width"], "3")

task = Task.clone(source_task=task, name="remote, edited")
task.set_parameter("Args/width", 8)
task.set_parameter("General/depth", 5)
task.set_parameter("General/flags/fast", True)
task.set_parameter("General/steps", [4, 5, 6])
Task.enqueue(task, queue_name="default")
task.reload()
equal(task.get_status(), "queued")

# What an agent does around the program: takes the task from its queue, and decides its final status.
Task.dequeue(task)
task.mark_started(force=True)
_, printed = run("remote.py", CLEARML_TASK_ID=task.id, CLEARML_LOG_TASK_TO_BACKEND="0")
check("REMOTE 8 5 True [4, 5, 6]" in printed, printed)
equal(Task.get_task(task_id=task.id).get_status(), "in_progress")

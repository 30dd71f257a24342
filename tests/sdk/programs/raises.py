"""A user's script that ends with an exception."""
from clearml import Task

task = Task.init(project_name="Hostler/Sdk tests", task_name="raises", reuse_last_task_id=False,
                 auto_connect_frameworks=False)
print("TASK %s\n" % task.id, end="", flush=True)
raise RuntimeError("the data is missing")

"""wait_for_status while another process works, and its refusal of a status that was not hoped for."""
import subprocess
import sys

from clearml import Task

from support import check, equal, folder_with

working = subprocess.Popen([sys.executable, "train.py", "--epochs", "2"], cwd=folder_with("train.py"),
                           stdout=subprocess.PIPE, universal_newlines=True)
task_id = None
for line in working.stdout:
    print(line, end="")
    if line.startswith("TASK "):
        task_id = line.split()[1]
        break
check(task_id is not None, "the program ended early")
task = Task.get_task(task_id=task_id)
task.wait_for_status(status=["completed"], check_interval_sec=0.2)
equal(task.get_status(), "completed")
equal(len(task.get_reported_scalars()["loss"]["train"]["x"]), 2)
working.communicate(timeout=120)
equal(working.returncode, 0)

failed = Task.create(project_name="Hostler/Sdk tests", task_name="to fail")
failed.mark_started()
failed.mark_failed(status_reason="on purpose", force=True)
try:
    failed.wait_for_status(status=["completed"], check_interval_sec=0.2)
except RuntimeError as error:
    check("failed" in str(error), error)
else:
    check(False, "a failed task was waited for")

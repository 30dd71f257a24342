"""mark_started, mark_stopped, reset and delete, with what each leaves behind."""
from clearml import Task

from support import check, equal, run

task = Task.create(project_name="Hostler/Sdk tests", task_name="by hand")
equal(task.get_status(), "created")
task.mark_started()
equal(task.get_status(), "in_progress")
task.mark_stopped(status_message="enough")
task.reload()
equal(task.get_status(), "stopped")
equal(task.data.status_message, "enough")

task_id, _ = run("train.py", "--epochs", "2")
trained = Task.get_task(task_id=task_id)
uri = trained.artifacts["summary"].url
check(trained.get_reported_scalars(), "scalars before the reset")
trained.reset(force=True)
trained.reload()
equal(trained.get_status(), "created")
equal(trained.get_reported_scalars(), {})
equal(trained.get_reported_console_output(number_of_reports=100), [])
equal(trained.get_parameters()["Args/epochs"], "2", "a reset keeps the parameters")
equal(trained.artifacts, {})

again, _ = run("train.py", "--epochs", "1")
deleted = Task.get_task(task_id=again)
kept_file = deleted.artifacts["summary"]
check(kept_file.get_local_copy(force_download=True), "an artifact that can be downloaded")
check(deleted.delete(raise_on_error=True), "deletion")
equal(Task.get_tasks(task_filter={"id": [again]}), [])
try:
    Task.get_task(task_id=again)
except ValueError:
    pass
else:
    check(False, "a deleted task was found")
equal(kept_file.get_local_copy(raise_on_error=False, force_download=True), None, "the artifact went with its task")

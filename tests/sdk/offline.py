"""A session that was recorded without a server is imported into one."""
import glob
import os

from clearml import Task

from support import check, equal, run

cache = os.path.join(os.environ["TMPDIR"], "offline")
_, printed = run("train.py", "--epochs", "2", CLEARML_OFFLINE_MODE="1", CLEARML_CACHE_DIR=cache)
sessions = glob.glob(cache + "/**/*.zip", recursive=True)
equal(len(sessions), 1, sessions)
equal(Task.get_tasks(project_name="Hostler/Sdk tests"), [], "nothing reached the server")

task_id = Task.import_offline_session(sessions[0])
task = Task.get_task(task_id=task_id)
equal(task.name, "training")
equal(task.get_parameters()["Args/epochs"], "2")
equal(task.get_reported_scalars()["loss"]["train"]["x"], [0, 1])
equal(task.artifacts["summary"].get()["momentum"], 0.9)
console = "".join(task.get_reported_console_output(number_of_reports=100))
check("epoch 1 loss" in console, console)

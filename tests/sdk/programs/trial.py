"""A short training: its loss depends on two arguments; what a template of a pipeline or of a search is."""
import argparse
import json

from clearml import StorageManager, Task

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--width", type=int, default=4)
parser.add_argument("--start", default="")
task = Task.init(project_name="Hostler/Sdk tests", task_name="trial", reuse_last_task_id=False,
                 auto_connect_frameworks=False, auto_resource_monitoring=False)
arguments = parser.parse_args()

loss = 1.0
if arguments.start:
    with open(StorageManager.get_local_copy(arguments.start)) as file:
        loss = json.load(file)["loss"]
for epoch in range(3):
    loss *= 1 - arguments.rate / arguments.width
    task.get_logger().report_scalar("loss", "train", value=loss, iteration=epoch)
task.upload_artifact("summary", {"loss": loss}, wait_on_upload=True)
print("TASK %s\n" % task.id, end="", flush=True)
task.close()

"""A user's training script: arguments, a configuration, scalars, text, prints, an artifact."""
import argparse

from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--resume", action="store_true")

task = Task.init(project_name="Hostler/Sdk tests", task_name="training", reuse_last_task_id=False,
                 auto_connect_frameworks=False)
arguments = parser.parse_args()
settings = {"batch": 16, "optimizer": {"name": "sgd", "momentum": 0.9}, "classes": ["cat", "dog"]}
settings = task.connect(settings)
logger = task.get_logger()

loss = 1.0
for epoch in range(arguments.epochs):
    loss = loss * (1 - arguments.learning_rate)
    logger.report_scalar("loss", "train", value=loss, iteration=epoch)
    print("epoch %d loss %.6f batch %s\n" % (epoch, loss, settings["batch"]), end="", flush=True)
logger.report_text("a text that was reported")
logger.report_single_value("final loss", loss)
task.upload_artifact("summary", {"loss": loss, "momentum": settings["optimizer"]["momentum"]}, wait_on_upload=True)
print("TASK %s\n" % task.id, end="", flush=True)
task.close()

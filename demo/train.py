"""An example of a training script, as a ClearML user writes it: fits a curve through noisy points by gradient descent."""
import argparse
import math
import random

from clearml import Task

task = Task.init(project_name="Demo", task_name="curve fitting", reuse_last_task_id=False)

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=10)
arguments = parser.parse_args()
settings = task.connect({"points": 400, "degree": 3, "seed": 7})

random.seed(settings["seed"])
points = [(x, math.sin(2 * x) + random.gauss(0, 0.1)) for x in (random.uniform(-1, 1) for _ in range(settings["points"]))]
weights = [0.0] * (settings["degree"] + 1)


def predict(x):
    return sum(weight * x**power for power, weight in enumerate(weights))


print("learning rate %g, %d epochs, %d points" % (arguments.learning_rate, arguments.epochs, len(points)))
logger = task.get_logger()
for epoch in range(arguments.epochs):
    random.shuffle(points)
    for x, y in points:
        error = predict(x) - y
        for power in range(len(weights)):
            weights[power] -= arguments.learning_rate * error * x**power
    loss = sum((predict(x) - y) ** 2 for x, y in points) / len(points)
    logger.report_scalar("loss", "train", value=loss, iteration=epoch)
    print("epoch %2d  loss %.5f" % (epoch, loss), flush=True)
logger.report_single_value("final loss", loss)
task.upload_artifact("weights", {"weights": weights}, wait_on_upload=True)

"""Stands in for the Keras training that two of the examples clone: a few seconds instead of minutes, the same
parameters, the same metric."""
from clearml import Task

task = Task.init(project_name="examples", task_name="Keras HP optimization base", reuse_last_task_id=False)
parameters = task.connect({"batch_size": 128, "layer_1": 128, "layer_2": 128, "epochs": 3})
for epoch in range(3):
    accuracy = 1 - 1 / (2 + epoch + int(parameters["layer_1"]) / 128)
    task.get_logger().report_scalar("epoch_accuracy", "epoch_accuracy", value=accuracy, iteration=epoch)

"""A real training run in a repository (the argument), a clone with an edited hyperparameter, the daemon's run of it."""
import sys

from clearml import Task

from support import check, equal, run

template_id, _ = run("train.py", "--epochs", "2", folder=sys.argv[1])
template = Task.get_task(task_id=template_id)
equal(template.get_reported_scalars()["loss"]["train"]["y"], [0.9, 0.81])

clone = Task.clone(source_task=template_id, name="a larger rate")
clone.set_parameter("Args/learning_rate", 0.5)
clone.set_parameter("General/batch", 64)
Task.enqueue(clone, queue_name="default")
print("CLONE", clone.id, flush=True)
clone.wait_for_status(check_interval_sec=0.5)

clone = Task.get_task(task_id=clone.id)
equal(clone.get_status(), "completed")
equal(clone.get_reported_scalars()["loss"]["train"]["y"], [0.5, 0.25])
equal(clone.get_reported_single_value("final loss"), 0.25)
equal(clone.get_parameters()["Args/learning_rate"], "0.5")
equal(clone.artifacts["summary"].get()["loss"], 0.25)
console = "".join(clone.get_reported_console_output(number_of_reports=1000))
equal(console.count("epoch 1 loss 0.250000 batch 64"), 1, console)
check(clone.data.last_worker, "the worker that ran it")

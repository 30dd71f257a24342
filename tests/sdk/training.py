"""Task.init, argparse, connect(dict), report_scalar, report_text, print capture, artifact upload, close;
then everything is read back through another process's SDK. With both of the SDK's ways of reporting."""
from clearml import Task

from support import check, equal, run


def scenario(forked):
    """One training run and all that can be read of it."""
    task_id, _ = run("train.py", "--learning-rate", "0.5", "--resume", forked=forked)

    task = Task.get_task(task_id=task_id)
    equal(task.get_status(), "completed")
    equal(task.name, "training")
    equal(task.get_project_name(), "Hostler/Sdk tests")

    parameters = task.get_parameters()
    equal(parameters["Args/learning_rate"], "0.5")
    equal(parameters["Args/epochs"], "3")
    equal(parameters["Args/resume"], "True")
    equal(parameters["General/batch"], "16")
    equal(parameters["General/optimizer/name"], "sgd")
    equal(task.get_parameters(cast=True)["General/optimizer/momentum"], 0.9)

    scalars = task.get_reported_scalars()
    equal(scalars["loss"]["train"]["x"], [0, 1, 2])
    equal(scalars["loss"]["train"]["y"], [0.5, 0.25, 0.125])
    last = task.get_last_scalar_metrics()["loss"]["train"]
    equal((last["last"], last["min"], last["max"]), (0.125, 0.125, 0.5))
    equal(task.get_reported_single_value("final loss"), 0.125)
    equal(task.get_last_iteration(), 2)

    console = "".join(task.get_reported_console_output(number_of_reports=100))
    for line in ("epoch 0 loss 0.500000 batch 16", "epoch 2 loss 0.125000 batch 16", "a text that was reported"):
        equal(console.count(line), 1, line)
    check(console.index("epoch 0 loss") < console.index("epoch 1 loss") < console.index("epoch 2 loss"), console)

    equal(task.artifacts["summary"].get(), {"loss": 0.125, "momentum": 0.9})

    script = task.data.script
    equal(script.entry_point, "train.py")
    check("report_scalar" in script.diff, script.diff)
    check("clearml" in script.requirements["pip"], script.requirements)


scenario(forked=False)
scenario(forked=True)

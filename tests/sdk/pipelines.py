"""Pipelines from functions, decorators and tasks, with an agent that serves `default` and `services` with two workers
or more. Arguments: the kind and the mode, see `programs/pipeline_functions.py`."""
import sys

from clearml import PipelineController, Task
from clearml.backend_api.session.client import APIClient

from support import check, equal, run

kind, mode = sys.argv[1:]
client = APIClient()


def pipelines():
    """The controllers of this kind that there are."""
    return client.tasks.get_all(type=["controller"], search_hidden=True, name="^%s( #[0-9]+)?$" % kind,
                                only_fields=["id"])


before = {task.id for task in pipelines()}
arguments = [mode]
if kind == "tasks":
    template_id, _ = run("trial.py")
    arguments.append(template_id)
_, printed = run("pipeline_%s.py" % kind, *arguments)
made = [task for task in pipelines() if task.id not in before]
equal(len(made), 1, "one controller")
controller = Task.get_task(task_id=made[0].id)
if mode == "all":
    check("SUCCESSFUL" not in printed, "the local process ends where the queue takes over", printed)
controller.wait_for_status(check_interval_sec=0.5)
equal(controller.get_status(), "completed")
check({"pipeline", "hidden"} <= set(client.projects.get_by_id(controller.project).system_tags), "a hidden project")
check("pipeline" in controller.get_system_tags(), controller.get_system_tags())
equal(controller.get_project_name(), "Hostler/Sdk tests/.pipelines/" + kind)

console = "".join(controller.get_reported_console_output(number_of_reports=1000))
found = Task.get_tasks(task_filter={"parent": controller.id, "search_hidden": True})
steps = {step.name: step for step in found}
for step in found:
    equal(step.get_status(), "completed", step.name)
    if mode != "here":
        check(step.data.last_worker, "the worker that ran", step.name)
if kind == "tasks":
    equal(sorted(step.name for step in found), ["first", "second"])
    losses = {name: step.get_reported_scalars()["loss"]["train"]["y"] for name, step in steps.items()}
    after = (1 - 0.5 / 4) ** 3
    check(abs(losses["first"][-1] - after) < 1e-6, losses)
    check(abs(losses["second"][-1] - after * (1 - 0.25 / 4) ** 3) < 1e-6, losses)
elif kind == "functions":
    # The step that may be cached is, once a pipeline has run it.
    equal(set(steps), {"total", "twice"} if before else {"count", "total", "twice"})
    if not before:
        equal(steps["count"].artifacts["values"].get(), [0, 1, 2, 3])
    equal([steps[name].get_parameter("return/result", cast=True) for name in ("total", "twice")], [18, 12])
else:
    equal(sorted(step.name for step in found), ["total", "total"] if before else ["count_up", "total", "total"])
    results = [step.get_parameter("return/result", cast=True) for step in found if step.name == "total"]
    equal(sorted(results), [12, 18])
    check("RESULTS [18, 12]" in (console if mode == "all" else printed), console, printed)
if kind != "decorators" and mode != "all":
    check("SUCCESSFUL True" in printed, printed)

equal(PipelineController.get(pipeline_project="Hostler/Sdk tests", pipeline_name=kind).id, controller.id)
plots = {plot["metric"] for plot in controller.get_reported_plots()}
check("Pipeline" in plots, plots)
print("PIPELINE", kind, mode, controller.id)

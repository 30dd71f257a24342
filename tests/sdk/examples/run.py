"""Runs the SDK repository's own examples, unmodified, against a server with an agent on `default` and `1xGPU`.

Usage: run.py EXAMPLES [NAME..], where EXAMPLES is the folder `examples` of a checkout of the SDK's repository and NAME
a part of a path. Prints a table in Markdown; the exit code is 1 when one of them failed.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from clearml import Task
from clearml.backend_api.session.client import APIClient

HERE = os.path.dirname(os.path.abspath(__file__))
ENDED = ("completed", "failed", "stopped", "published", "closed")


class Example:
    """One example, and what must be on the server when it has ended.

    `tasks`: how many, with those that an agent ran; the other counts are sums over all of them.
    """

    def __init__(self, path, *arguments, before=None, tasks=1, parameters=0, scalars=0, plots=0, images=0, artifacts=0,
                 models=0, configurations=0, console=""):
        self.path, self.arguments, self.before, self.console = path, arguments, before, console
        self.least = {"tasks": tasks, "parameters": parameters, "scalars": scalars, "plots": plots, "images": images,
                      "artifacts": artifacts, "models": models, "configurations": configurations}


TEMPLATE = "template.py"
EXAMPLES = [
    Example("automation/toy_base_task.py", parameters=1, console="Example_Param is 1"),
    Example("automation/programmatic_orchestration.py", tasks=2, parameters=5, console="Example_Param is 3"),
    Example("automation/manual_random_param_search_example.py", before=TEMPLATE, tasks=4, parameters=18, scalars=3),
    Example("optimization/hyper-parameter-optimization/hyper_parameter_optimizer.py", tasks=11, scalars=10, plots=1),
    Example("advanced/multiple_tasks_single_process.py", tasks=3, console="Task #2 done"),
    Example("distributed/subprocess_example.py", parameters=9, console="DONE main"),
    Example("reporting/hyper_parameters.py", parameters=15, configurations=1, console="Running under Python"),
    Example("reporting/scalar_reporting.py", scalars=5),
    Example("reporting/using_artifacts_example.py", tasks=2, artifacts=1, console="Finished doing stuff"),
    Example("reporting/artifacts.py", artifacts=8),
    Example("reporting/artifacts_retrieval.py", tasks=0),
    Example("reporting/config_files.py", configurations=2, console="done"),
    Example("reporting/3d_plots_reporting.py", plots=2),
    Example("reporting/image_reporting.py", images=5),
    Example("reporting/text_reporting.py", images=1, console="hello, this is plain text"),
    Example("reporting/html_reporting.py", images=5),
    Example("reporting/plotly_reporting.py", plots=1),
    Example("reporting/scatter_hist_confusion_mat_reporting.py", plots=5),
    Example("frameworks/click/click_single_cmd.py", "--count", "2", "--name", "Ada", parameters=2,
            console="Hello Ada!"),
    Example("frameworks/click/click_multi_cmd.py", "hello", "--name", "Ada", parameters=2, console="Hello Ada!"),
    Example("frameworks/fire/fire_single_cmd.py", "--count", "2", parameters=2, console="Hello prefix_clearml_suffix!"),
    Example("frameworks/jsonargparse/jsonargparse_command.py", "person", "Ada", parameters=1, console="Ada won 100!"),
    Example("frameworks/jsonargparse/jsonargparse_nested_namespaces.py", "--arg1.opt1", "given", parameters=3),
    Example("frameworks/hydra/hydra_example.py", configurations=1, console="You can view your full hydra"),
    Example("frameworks/tensorflow/absl_flags.py", "--echo", "Ada", parameters=3, console="echo is Ada"),
    Example("frameworks/scikit-learn/sklearn_joblib_example.py", plots=1, models=1),
    Example("frameworks/scikit-learn/sklearn_matplotlib_example.py", plots=1),
    Example("pipeline/decorated_pipeline_step_functions.py", tasks=3, parameters=7),
    Example("pipeline/decorated_pipeline_step_decorators.py", tasks=2, parameters=5),
    Example("cicd/example_task.py", scalars=1),
]


def ids(client, **wanted):
    """The ids of all tasks that are found so."""
    found = client.tasks.get_all(search_hidden=True, only_fields=["id"], page=0, page_size=500, **wanted)
    return {task.id for task in found}


def run(folder, path, arguments):
    """Runs one program where it is, as its author does. Gives its exit code and what it printed."""
    program = os.path.join(folder, path)
    done = subprocess.run([sys.executable, os.path.basename(program), *arguments], cwd=os.path.dirname(program),
                          env=dict(os.environ, MPLBACKEND="agg"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, errors="replace", timeout=590)
    return done.returncode, done.stdout


def ended(client, wanted):
    """Waits for the end of these tasks: an agent may still run those that the example put into a queue."""
    limit = time.monotonic() + 300
    while True:
        open_tasks = [task for task in client.tasks.get_all(id=sorted(wanted), search_hidden=True)
                      if str(task.status) not in ENDED]
        if not open_tasks or time.monotonic() > limit:
            return not open_tasks
        time.sleep(1)


def count(client, tasks):
    """What the server has of these tasks."""
    tasks = [Task.get_task(task_id=task) for task in tasks]
    plots = [plot for task in tasks for plot in task.get_reported_plots(max_iterations=100)]
    samples = client.events.get_task_metrics(tasks=[task.id for task in tasks], event_type="training_debug_image")
    scalars = [series for task in tasks for graph in task.get_reported_scalars().values() for series in graph]
    return {
        "tasks": len(tasks),
        "parameters": sum(len(task.get_parameters() or {}) for task in tasks),
        "scalars": len(scalars) + sum(len(task.get_reported_single_values()) for task in tasks),
        "plots": len(plots),
        "images": sum(len(entry["variants"]) for task in samples.metrics for entry in samples_of(client, task)),
        "artifacts": sum(len(task.artifacts) for task in tasks),
        "models": sum(len(task.models["output"]) for task in tasks),
        "configurations": sum(len(task.get_configuration_objects() or {}) for task in tasks),
    }


def samples_of(client, task):
    """The debug images of one task: metrics with their variants."""
    wanted = [{"task": task["task"], "metric": metric} for metric in task["metrics"]]
    found = []
    for page in client.events.debug_images(metrics=wanted, iters=100).metrics if wanted else []:
        found += [{"variants": iteration["events"]} for iteration in page.to_dict()["iterations"]]
    return found


def judge(client, example, folder):
    """Runs one example. Gives what is wrong (nothing, if all is well), what was found, and what it printed."""
    if example.before:
        code, printed = run(folder, example.before, ())
        if code != 0:
            return "its template ended with code %d" % code, {}, printed
    before = ids(client)
    code, printed = run(folder, example.path, example.arguments)
    made = ids(client) - before
    if code != 0:
        return "exit code %d" % code, {}, printed
    if made and not ended(client, made):
        return "a task did not end", {}, printed
    tasks = [task for task in client.tasks.get_all(id=sorted(made), search_hidden=True)] if made else []
    other = ["%s is %s" % (task.name, task.status) for task in tasks if str(task.status) != "completed"]
    if other:
        return "; ".join(other), {}, printed
    found = count(client, sorted(made)) if made else {"tasks": 0}
    missing = ["%d %s instead of %d" % (found.get(what, 0), what, least)
               for what, least in example.least.items() if found.get(what, 0) < least]
    console = "".join("".join(Task.get_task(task_id=task).get_reported_console_output(number_of_reports=1000))
                      for task in made)
    if example.console not in console:
        missing.append("%r is not in the console" % example.console)
    return "; ".join(missing), found, printed


def main():
    """Runs all, or those that are named."""
    folder = os.path.join(tempfile.mkdtemp(prefix="examples-"), "examples")
    # A copy outside of any repository: the examples write files, and an agent need not reach the repository.
    shutil.copytree(sys.argv[1], folder)
    shutil.copy(os.path.join(HERE, TEMPLATE), folder)
    client = APIClient()
    failed = 0
    for example in EXAMPLES:
        if sys.argv[2:] and not any(name in example.path for name in sys.argv[2:]):
            continue
        start = time.monotonic()
        try:
            wrong, found, printed = judge(client, example, folder)
        except Exception as error:
            wrong, found, printed = "%s: %s" % (type(error).__name__, error), {}, ""
        seen = ", ".join("%d %s" % (number, what) for what, number in found.items() if number)
        print("| %s | %s | %s | %d s |" % (example.path, wrong or "passes", seen, time.monotonic() - start), flush=True)
        if wrong:
            failed += 1
            print("\n".join(printed.splitlines()[-25:]), file=sys.stderr, flush=True)
    print("examples: %d failed" % failed, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

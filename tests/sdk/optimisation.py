"""HyperParameterOptimizer with a random search of eight trials that an agent on `default` executes."""
from clearml import Task

from support import check, equal, run

template_id, _ = run("trial.py")
search_id, printed = run("optimisation.py", template_id)
search = Task.get_task(task_id=search_id)
equal(search.get_status(), "completed")
trials = Task.get_tasks(task_filter={"parent": search_id})
equal(len(trials), 8)
losses = {}
for trial in trials:
    equal(trial.get_status(), "completed", trial.id)
    check(trial.data.last_worker, "the worker that ran", trial.id)
    rate, width = (trial.get_parameters(cast=True)["Args/" + name] for name in ("rate", "width"))
    losses[trial.id] = trial.get_reported_scalars()["loss"]["train"]["y"][-1]
    check(abs(losses[trial.id] - (1 - rate / width) ** 3) < 1e-6, rate, width, losses[trial.id])
equal(len({tuple(sorted(trial.get_parameters().items())) for trial in trials}), 8, "eight different trials")

best = sorted(losses, key=losses.get)
top = [line.split()[1] for line in printed.splitlines() if line.startswith("TOP ")]
equal([losses[trial] for trial in top], [losses[trial] for trial in best[:3]], "the best three, in order")
metric = search.get_last_scalar_metrics()
check(metric, "the search reports its progress")
print("OPTIMISATION", search_id)

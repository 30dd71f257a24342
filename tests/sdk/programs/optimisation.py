"""A random search of eight trials over a template (the argument); the trials go to the queue `default`."""
import sys

from clearml import Task
from clearml.automation import DiscreteParameterRange, HyperParameterOptimizer, RandomSearch, UniformParameterRange

task = Task.init(project_name="Hostler/Sdk tests", task_name="search", task_type=Task.TaskTypes.optimizer,
                 reuse_last_task_id=False, auto_connect_frameworks=False)
optimizer = HyperParameterOptimizer(
    base_task_id=sys.argv[1],
    hyper_parameters=[
        UniformParameterRange("Args/rate", min_value=0.1, max_value=0.9, step_size=0.1),
        DiscreteParameterRange("Args/width", values=[1, 2, 4]),
    ],
    objective_metric_title="loss",
    objective_metric_series="train",
    objective_metric_sign="min",
    optimizer_class=RandomSearch,
    # As many as there are jobs in all: the SDK looks at the limit before it fills all free places, not before each.
    max_number_of_concurrent_tasks=8,
    execution_queue="default",
    pool_period_min=0.02,
    total_max_jobs=8,
)
optimizer.set_report_period(0.05)
optimizer.set_time_limit(in_minutes=20)
print("TASK %s\n" % task.id, end="", flush=True)
optimizer.start()
optimizer.wait()
for trial in optimizer.get_top_experiments_details(top_k=3):
    print("TOP %s %s\n" % (trial["task_id"], trial["metrics"]["loss/train"]["value"]), end="", flush=True)
optimizer.stop()
task.close()

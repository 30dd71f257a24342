"""A pipeline of tasks that are there: two clones of a template, the second with what the first one made.
Arguments: the mode, as in `pipeline_functions.py`, and the template's id."""
import argparse

from clearml import PipelineController

parser = argparse.ArgumentParser()
parser.add_argument("mode")
parser.add_argument("template")
arguments = parser.parse_args()
pipe = PipelineController(name="tasks", project="Hostler/Sdk tests", version="1.0.0", pool_frequency=0.02)
pipe.set_default_execution_queue("default")
pipe.add_parameter("rate", 0.5)
pipe.add_step(name="first", base_task_id=arguments.template, parameter_override={"Args/rate": "${pipeline.rate}"})
pipe.add_step(name="second", base_task_id=arguments.template, parents=["first"],
              parameter_override={"Args/rate": 0.25, "Args/start": "${first.artifacts.summary.url}"})
print("TASK %s\n" % pipe.id, end="", flush=True)
if arguments.mode == "all":
    pipe.start(queue="services")
else:
    pipe.start_locally(run_pipeline_steps_locally=arguments.mode == "here")
print("SUCCESSFUL %s\n" % pipe.is_successful(), end="", flush=True)

"""A pipeline of decorators, whose controller is a function with a loop. Arguments: as in `pipeline_functions.py`."""
import sys

from clearml import PipelineDecorator


@PipelineDecorator.component(return_values=["values"], cache=True, execution_queue="default")
def count_up(count):
    """The first step: a list."""
    return list(range(int(count)))


@PipelineDecorator.component(return_values=["result"], execution_queue="default")
def total(values, factor):
    """The second step, more than once: takes what the first one gave."""
    result = sum(values) * int(factor)
    print("TOTAL %d of %r\n" % (result, values), end="", flush=True)
    return result


@PipelineDecorator.pipeline(name="decorators", project="Hostler/Sdk tests", version="1.0.0", pool_frequency=0.02,
                            pipeline_execution_queue="services")
def controller(count=4):
    """The controller: its results are steps that run at the same time."""
    values = count_up(count)
    results = [total(values, factor) for factor in (3, 2)]
    print("RESULTS %r\n" % [int(result) for result in results], end="", flush=True)


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) > 1 else "all"
    if mode == "here":
        PipelineDecorator.run_locally()
    controller(count=4)

"""A pipeline of functions. Argument: `here` runs the steps as processes of this machine, `steps` sends them to a
queue, `all` sends the controller, too."""
import sys

from clearml import PipelineController


def count_up(count):
    """The first step: a list."""
    return list(range(int(count)))


def total(values, factor):
    """The second step: takes what the first one gave."""
    result = sum(values) * int(factor)
    print("TOTAL %d of %r\n" % (result, values), end="", flush=True)
    return result


if __name__ == "__main__":
    pipe = PipelineController(name="functions", project="Hostler/Sdk tests", version="1.0.0", pool_frequency=0.02)
    pipe.set_default_execution_queue("default")
    pipe.add_parameter("count", 4)
    pipe.add_function_step(name="count", function=count_up, function_kwargs={"count": "${pipeline.count}"},
                           function_return=["values"], cache_executed_step=True)
    pipe.add_function_step(name="total", function=total, function_return=["result"],
                           function_kwargs={"values": "${count.values}", "factor": 3})
    pipe.add_function_step(name="twice", function=total, function_return=["result"],
                           function_kwargs={"values": "${count.values}", "factor": 2}, parents=["count"])
    print("TASK %s\n" % pipe.id, end="", flush=True)
    mode = sys.argv[1] if len(sys.argv) > 1 else "all"
    if mode == "all":
        pipe.start(queue="services")
    else:
        pipe.start_locally(run_pipeline_steps_locally=mode == "here")
    print("SUCCESSFUL %s\n" % pipe.is_successful(), end="", flush=True)

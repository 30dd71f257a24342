"""Plots, debug images and media: reported by one process, read back and downloaded by another."""
import json

from clearml import StorageManager, Task
from clearml.backend_api.session.client import APIClient
from PIL import Image

from support import check, equal, run

task_id, _ = run("reports.py")
task = Task.get_task(task_id=task_id)
equal(task.get_status(), "completed")

plots = task.get_reported_plots(max_iterations=10)
found = {(plot["metric"], plot["variant"], plot["iter"]): json.loads(plot["plot_str"]) for plot in plots}
equal(len(found), len(plots), "one event for one plot")
expected = {("histogram", "counts", at) for at in range(3)} | {("scatter", "points", at) for at in range(3)}
expected |= {("confusion", "validation", 2), ("surface", "loss", 2), ("space", "points", 2), ("vector", "weights", 2)}
equal(set(found), expected)
equal(found["histogram", "counts", 1]["data"][0]["y"], [1, 2, 3])
equal(found["histogram", "counts", 1]["layout"]["xaxis"]["title"], "class")
equal(found["scatter", "points", 2]["data"][0]["y"], [2, 1, 4])
equal(found["confusion", "validation", 2]["data"][0]["z"], [[5, 0, 0], [0, 5, 0], [0, 0, 5]])
equal(found["space", "points", 2]["data"][0]["z"], [3, 6])

latest = {(plot["metric"], plot["iter"]) for plot in task.get_reported_plots()}
check(("histogram", 2) in latest and ("histogram", 1) not in latest, latest)

samples = task.get_debug_samples("samples", "png")
equal(sorted(sample["iter"] for sample in samples), [0, 1, 2, 3])
for sample in samples:
    image = Image.open(StorageManager.get_local_copy(sample["url"], force_download=True))
    equal((image.size, image.getpixel((4, 4))), ((8, 8), (60 * sample["iter"],) * 3))
equal([sample["iter"] for sample in task.get_debug_samples("samples", "png", n_last_iterations=2)], [3, 2])
array, = task.get_debug_samples("samples", "array")
equal(Image.open(StorageManager.get_local_copy(array["url"])).size, (8, 8))
spoken, = task.get_debug_samples("media", "text")
with open(StorageManager.get_local_copy(spoken["url"])) as file:
    equal(file.read(), "words that were spoken")

# What a results page asks for.
client = APIClient()
metrics = client.events.get_task_metrics(tasks=[task_id], event_type="training_debug_image").metrics[0]["metrics"]
equal(sorted(metrics), ["media", "samples"])
page = client.events.debug_images(metrics=[{"task": task_id, "metric": "samples"}], iters=2).metrics[0].to_dict()
equal([entry["iter"] for entry in page["iterations"]], [3, 2])
plots = client.events.get_task_plots(task=task_id, iters=1).plots
check({"histogram", "vector"} <= {plot["metric"] for plot in plots}, plots)

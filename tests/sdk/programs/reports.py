"""A user's script that reports everything that is not a scalar: plots of every kind, tables, images, media."""
import os

import numpy
from clearml import Task
from PIL import Image

task = Task.init(project_name="Hostler/Sdk tests", task_name="reports", reuse_last_task_id=False,
                 auto_connect_frameworks=False)
logger = task.get_logger()
for iteration in range(3):
    logger.report_histogram("histogram", "counts", values=[iteration, 2, 3], iteration=iteration,
                            xlabels=["one", "two", "three"], xaxis="class", yaxis="how many")
    logger.report_scatter2d("scatter", "points", [(0, iteration), (1, 1), (2, 4)], iteration=iteration, mode="markers")
matrix = numpy.eye(3, dtype=int) * 5
logger.report_confusion_matrix("confusion", "validation", matrix, iteration=2)
logger.report_surface("surface", "loss", matrix, iteration=2)
logger.report_scatter3d("space", "points", [(1, 2, 3), (4, 5, 6)], iteration=2)
logger.report_vector("vector", "weights", [1, 4, 9], iteration=2)

for iteration in range(4):
    pixels = numpy.full((8, 8, 3), 60 * iteration, dtype=numpy.uint8)
    Image.fromarray(pixels).save("sample.png")
    logger.report_image("samples", "png", iteration=iteration, local_path=os.path.abspath("sample.png"),
                        delete_after_upload=False)
    logger.flush(wait=True)
logger.report_image("samples", "array", iteration=3, image=pixels)
with open("spoken.txt", "w") as file:
    file.write("words that were spoken")
logger.report_media("media", "text", iteration=0, local_path=os.path.abspath("spoken.txt"))
print("TASK %s\n" % task.id, end="", flush=True)
task.close()

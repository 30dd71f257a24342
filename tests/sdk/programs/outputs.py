"""A user's script with results: artifacts of every kind, a model that is trained, a model that it starts from."""
import os
import sys

import numpy
from clearml import InputModel, OutputModel, Task
from PIL import Image

task = Task.init(project_name="Hostler/Sdk tests", task_name="outputs & more", reuse_last_task_id=False,
                 auto_connect_frameworks=False, output_uri=True)
os.makedirs("folder/inner")
for name, text in (("plain.txt", "plain\n"), ("folder/a.txt", "a"), ("folder/inner/b ü.txt", "b")):
    with open(name, "w") as file:
        file.write(text)
with open("weights.bin", "wb") as file:
    file.write(bytes(range(256)) * 4096)

task.upload_artifact("dictionary", {"rate": 0.5, "layers": [1, 2]}, metadata={"kind": "settings"})
task.upload_artifact("array", numpy.arange(12).reshape(3, 4))
task.upload_artifact("picture", Image.new("RGB", (4, 4), (1, 2, 3)))
task.upload_artifact("object", {"set": {1, 2}}, auto_pickle=True)
task.upload_artifact("text", "a text\nof two lines")
task.upload_artifact("a file/100%", "plain.txt", wait_on_upload=True)
task.upload_artifact("tree", "folder", wait_on_upload=True)
task.upload_artifact("replaced", {"version": 1}, wait_on_upload=True)
task.upload_artifact("replaced", {"version": 2}, wait_on_upload=True)

trained = OutputModel(task=task, name="trained", framework="PyTorch", label_enumeration={"cat": 1, "dog": 2},
                      config_dict={"depth": 3})
trained.update_weights(weights_filename=os.path.abspath("weights.bin"), auto_delete_file=False)
# The end of an upload writes all fields of the model as they were at its start.
trained.wait_for_uploads()
trained.set_metadata("accuracy", "0.75", v_type="float")
trained.set_all_metadata({"origin": {"type": "str", "value": "a test"}}, replace=False)
trained.report_single_value("size", 256.0)
trained.report_scalar("quality", "loss", value=0.25, iteration=1)
trained.tags = ["kept", "first"]

if len(sys.argv) > 1:
    task.connect(InputModel(model_id=sys.argv[1]), name="start")
print("MODEL %s\n" % trained.id, end="", flush=True)
print("TASK %s\n" % task.id, end="", flush=True)
task.close()

"""Artifacts and models go round: what one process uploads another downloads, compared byte for byte."""
import os

import numpy
from clearml import InputModel, Model, Task
from PIL import Image

from support import check, equal, run

task_id, printed = run("outputs.py")
model_id = next(line.split()[1] for line in printed.splitlines() if line.startswith("MODEL "))
task = Task.get_task(task_id=task_id)
equal(task.get_status(), "completed")
artifacts = task.artifacts
equal(set(artifacts), {"dictionary", "array", "picture", "object", "text", "a file/100%", "tree", "replaced"})
equal(artifacts["dictionary"].get(), {"rate": 0.5, "layers": [1, 2]})
equal(artifacts["dictionary"].metadata, {"kind": "settings"})
check(numpy.array_equal(artifacts["array"].get(), numpy.arange(12).reshape(3, 4)), "array")
equal(artifacts["picture"].get().getpixel((3, 3)), (1, 2, 3))
equal(artifacts["object"].get(), {"set": {1, 2}})
equal(artifacts["text"].get(), "a text\nof two lines")
with open(artifacts["a file/100%"].get_local_copy()) as file:
    equal(file.read(), "plain\n")
equal(artifacts["replaced"].get(), {"version": 2})
folder = artifacts["tree"].get_local_copy()
texts = {}
for parent, _, names in os.walk(folder):
    for name in names:
        with open(os.path.join(parent, name)) as file:
            texts[os.path.relpath(file.name, folder)] = file.read()
equal(texts, {"a.txt": "a", "inner/b ü.txt": "b"})

model = task.models["output"][0]
equal(model.id, model_id)
equal((model.name, model.framework), ("trained", "PyTorch"))
equal(model.labels, {"cat": 1, "dog": 2})
equal(model.config_dict, {"depth": 3})
equal(sorted(model.tags), ["first", "kept"])
equal(model.get_metadata("accuracy"), "0.75")
equal(model.get_metadata_casted("accuracy"), 0.75)
equal(model.get_metadata("origin"), "a test")
with open(model.get_local_copy(), "rb") as file:
    equal(file.read() == bytes(range(256)) * 4096, True, "weights")
equal(Model(model_id=model_id).get_local_copy(), model.get_local_copy(), "one file, however the model is found")

found = Model.query_models(project_name="Hostler/Sdk tests", model_name="trained", tags=["kept", "-gone"],
                           metadata={"origin": "a test"})
equal([model.id for model in found], [model_id])
equal(Model.query_models(project_name="Hostler/Sdk tests", metadata={"origin": "elsewhere"}), [])
equal(Model.query_models(tags=["-kept"]), [])

# A second run starts from the model of the first.
next_id, _ = run("outputs.py", model_id)
following = Task.get_task(task_id=next_id)
equal([model.id for model in following.models["input"]], [model_id])
equal(following.models["input"]["start"].name, "trained")
equal(following.models["output"][0].original_task, next_id)

InputModel(model_id=model_id).publish()
check(Model(model_id=model_id).published, "a model that was published")
second = following.models["output"][0]
second.archive()
equal([model.id for model in Model.query_models(only_published=True)], [model_id])
equal({model.id for model in Model.query_models(include_archived=True)}, {model_id, second.id})
check(Model.remove(second, delete_weights_file=True, force=True, raise_on_errors=True), "a model that is removed")
equal([model.id for model in Model.query_models(include_archived=True)], [model_id])

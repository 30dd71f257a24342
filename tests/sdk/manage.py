"""Task management: properties, tags, names, projects, configuration, archives, export and import, publishing, and a
deletion that takes artifacts, images and models with it."""
from clearml import StorageManager, Task
from clearml.backend_api.session.client import APIClient

from support import check, equal, run

PROJECT = "Hostler/Sdk tests"
client = APIClient()

task = Task.create(project_name=PROJECT, task_name="one", task_type="testing")
other = Task.create(project_name=PROJECT, task_name="two", task_type="data_processing")
task.set_user_properties(backbone="resnet", stable=True, build={"type": int, "description": "of today", "value": "7"})
equal(task.get_user_properties(value_only=True), {"backbone": "resnet", "stable": "True", "build": "7"})
check(task.delete_user_properties([("properties", "stable")]), "deletion of a property")
task.set_configuration_object("network", config_text="depth = 3\nwidth = 8")
task.set_configuration_object("pipeline", config_dict={"steps": [1, 2]})
task.set_comment("a comment\nof two lines")
task.set_parent(other.id)
task.set_base_docker("python:3.11", docker_arguments="--ipc=host")
task.set_packages(["six==1.17.0", "attrs"])
task.set_script(repository="https://example.com/team/code.git", branch="main", working_dir="src", entry_point="a.py")
task.add_tags(["red", "big"])
other.add_tags(["red", "small"])
task.rename("the first")

read = Task.get_task(task_id=task.id)
equal(set(read.get_user_properties(value_only=True)), {"backbone", "build"})
equal(read.get_configuration_object("network"), "depth = 3\nwidth = 8")
equal(read.get_configuration_object_as_dict("pipeline"), {"steps": [1, 2]})
equal((read.name, read.comment, read.parent, str(read.task_type)),
      ("the first", "a comment\nof two lines", other.id, "testing"))
equal(read.get_base_docker(), "python:3.11 --ipc=host")
equal(read.get_script()["repository"], "https://example.com/team/code.git")
check("six==1.17.0" in str(read.get_requirements()), read.get_requirements())


def ids(**wanted):
    """The tasks of this scenario's project that are found so."""
    return {found.id for found in Task.get_tasks(project_name=PROJECT, **wanted)}


equal(ids(tags=["red"]), {task.id, other.id})
equal(ids(tags=["red", "-big"]), {other.id})
equal(ids(tags=["__$and", "red", "big"]), {task.id})
equal(ids(tags=["__$or", "big", "small"]), {task.id, other.id})
equal(ids(tags=["__$and", "__$not", "red"]), set())
equal(ids(task_filter={"type": ["testing"]}), {task.id})
equal(ids(task_filter={"parent": other.id}), {task.id})
equal(ids(task_filter={"_any_": {"pattern": "two lines", "fields": ["comment", "name"]}}), {task.id})
equal(ids(task_name="^the f.rst$"), {task.id})
equal(set(Task.query_tasks(project_name=PROJECT, tags=["red"])), {task.id, other.id})
named = Task.query_tasks(project_name=PROJECT, additional_return_fields=["name", "hyperparams.properties.build.value"],
                         task_filter={"order_by": ["-name"]})
equal([entry["name"] for entry in named], ["two", "the first"])
equal([entry["hyperparams.properties.build.value"] for entry in named], [None, "7"])
task.remove_tags("big")
equal(ids(tags=["big"]), set())

task.move_to_project(new_project_name="Hostler/Elsewhere")
equal(ids(), {other.id})
equal(Task.get_task(task_id=task.id).get_project_name(), "Hostler/Elsewhere")
check(Task.get_project_id("Hostler/Elsewhere"), "a project that a move made")
check("Hostler/Elsewhere" in {project.name for project in Task.get_projects()}, "projects")
other.set_archived(True)
check(other.get_archived(), "archived")
equal(ids(task_filter={"system_tags": ["-archived"]}), set())
other.set_archived(False)

# A copy made of what was exported.
exported = task.export_task()
exported["name"] = "imported"
imported = Task.import_task(exported)
check(imported.id != task.id, imported.id)
equal(imported.get_configuration_object("network"), "depth = 3\nwidth = 8")
equal(imported.get_user_properties(value_only=True), read.get_user_properties(value_only=True))

# A deletion takes everything along, except what another task was given.
results_id, _ = run("reports.py")
results = Task.get_task(task_id=results_id)
images = [sample["url"] for sample in results.get_debug_samples("samples", "png")]
outputs_id, _ = run("outputs.py")
outputs = Task.get_task(task_id=outputs_id)
artifact, weights = outputs.artifacts["tree"].url, outputs.models["output"][0]
for url in (*images, artifact, weights.url):
    check(StorageManager.get_local_copy(url, force_download=True), url)
check(results.delete(raise_on_error=True), "deletion with images")
check(outputs.delete(delete_artifacts_and_models=True, raise_on_error=True), "deletion with models")
for url in (*images, artifact, weights.url):
    equal(StorageManager.get_local_copy(url, force_download=True), None, url)
equal([model.id for model in client.models.get_all(id=[weights.id])], [])

imported.mark_started()
imported.mark_completed()
imported.publish()
equal(Task.get_task(task_id=imported.id).get_status(), "published")
try:
    imported.delete(raise_on_error=True)
except Exception as error:
    check("published" in str(error).lower() or imported.id in str(error), error)
else:
    check(False, "a published task was deleted without force")
equal(Task.get_task(task_id=imported.id).get_status(), "published")

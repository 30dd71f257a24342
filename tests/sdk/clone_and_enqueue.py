"""clone, set_parameters, enqueue, get_task and get_tasks, dequeue, and deletion of a parameter."""
from clearml import Task
from clearml.backend_api.session.client import APIClient

from support import check, equal, run

template_id, _ = run("train.py")
clone = Task.clone(source_task=template_id, name="with a smaller rate")
equal(clone.get_status(), "created")
equal(clone.parent, template_id)
equal(clone.get_parameters()["Args/learning_rate"], "0.1")

clone.set_parameters({"Args/learning_rate": 0.01, "Args/epochs": 7, "General/batch": 32, "General/added": "new"})
parameters = Task.get_task(task_id=clone.id).get_parameters()
equal(
    [parameters[name] for name in ("Args/learning_rate", "Args/epochs", "General/batch", "General/added")],
    ["0.01", "7", "32", "new"],
)
check("General/optimizer/name" not in parameters, "set_parameters replaces", parameters)
clone.set_parameter("General/extra", 5)
equal(Task.get_task(task_id=clone.id).get_parameter("General/extra"), "5")
clone.delete_parameter("General/extra")
equal(Task.get_task(task_id=clone.id).get_parameter("General/extra"), None)

# The clone carries neither the results nor the status of its template.
equal(clone.get_reported_scalars(), {})
equal(clone.artifacts, {})

Task.enqueue(clone, queue_name="default")
clone.reload()
equal(clone.get_status(), "queued")
client = APIClient()
queue = client.queues.get_all(name="^default$")[0]
equal([entry.task for entry in queue.entries], [clone.id])

found = Task.get_tasks(project_name="Hostler/Sdk tests", task_name="with a smaller")
equal([task.id for task in found], [clone.id])
found = Task.get_tasks(task_filter={"status": ["completed"], "type": ["training"]})
equal([task.id for task in found], [template_id])
equal(sorted(task.id for task in Task.get_tasks(task_ids=[clone.id, template_id])), sorted([clone.id, template_id]))
equal(Task.get_task(project_name="Hostler/Sdk tests", task_name="with a smaller rate").id, clone.id)

Task.dequeue(clone)
clone.reload()
equal(clone.get_status(), "created")
equal(len(client.queues.get_by_id(queue.id).entries), 0)

clone.add_tags(["kept", "small"])
equal([task.id for task in Task.get_tasks(tags=["kept", "-gone"])], [clone.id])
equal([task.id for task in Task.get_tasks(tags=["__$all", "kept", "__$not", "small"])], [])

# What is asked for and is not there is said so, and nothing hangs.
try:
    Task.enqueue(clone, queue_name="no such queue")
except ValueError as error:
    check("no such queue" in str(error), error)
else:
    check(False, "an unknown queue was taken")
equal(Task.get_task(task_id=clone.id).get_status(), "created")

"""Every endpoint that APIClient offers, but for the services in CLOSED. Answers must fit the client's own schema, which
discards one with a field of a wrong type; the few that are called with `untyped` have a schema that no server fits."""
import json
import time
from types import SimpleNamespace

from clearml import Task
from clearml.backend_api.session.client import APIClient, APIError
from jsonschema import ValidationError

from support import check, equal, run

# Services of a commercial server. APIClient offers no `reports`, `storage`, `serving`, `users` and `server`: this SDK has no
# schema of theirs. Reports are walked past it below; storage and serving this server does not have, as
# docs/compatibility.md says.
CLOSED = {"datasets", "dataviews", "frames"}
# The same among the endpoints of open services.
CLOSED_ENDPOINTS = {"tasks.share"}

client = APIClient()
task_id, _ = run("reports.py")
outputs_id, printed = run("outputs.py")
model_id = next(line.split()[1] for line in printed.splitlines() if line.startswith("MODEL "))
project = Task.get_task(task_id=task_id).project
script = {"entry_point": "a.py", "diff": "print(1)"}
offered = {"%s.%s" % (service, action) for service, actions in vars(client).items()
           if service not in CLOSED and service != "session"
           for action in dir(actions) if not action.startswith("_") and callable(getattr(actions, action))}
unknown = {name for name in offered if client.session.send_request(*name.split("."), json={}).status_code == 404}
called = set()
now = time.time()


def call(name, /, *, code=400, subcode=None, **fields):
    """One call. Gives the typed answer; where `subcode` says so, the server must refuse with it."""
    service, action = name.split(".")
    called.add(name)
    try:
        answer = getattr(getattr(client, service), action)(**fields)
    except ValidationError as error:
        # The client adds the field `method` to every body, and its own schemas of a few endpoints forbid it; that of
        # auth.revoke_credentials requires a field that it does not have.
        own = ("'method' was unexpected", "'key_id' is a required property")
        check(any(mistake in str(error) for mistake in own), name, error)
        reply = client.session.send_request(service, action, json=fields)
        equal(reply.status_code, 200, reply.text)
        return json.loads(json.dumps(reply.json()["data"]), object_hook=lambda found: SimpleNamespace(**found))
    except APIError as error:
        equal(error.codes, (code, subcode), name + " " + str(error))
        return None
    equal(subcode, None, name)
    check(getattr(answer, "response", answer) is not None, name, "an answer that the client's schema refuses")
    return answer


def untyped(name, /, **fields):
    """One call past the client's schema, which is not what an open server asks for or answers."""
    called.add(name)
    reply = client.session.send_request(*name.split("."), json=fields)
    equal(reply.status_code, 200, reply.text)
    return reply.json()["data"]


def new_task(name, /, **fields):
    """A task of its own for one call."""
    fields = {"type": "training", "script": script, **fields}
    return call("tasks.create", name=name, project=project, **fields).id


def new_model(name):
    """A model of its own for one call."""
    return call("models.create", name=name, uri="http://127.0.0.1/none", project=project, ready=False).id


def auth():
    """Credentials, made and revoked."""
    pair = call("auth.create_credentials", label="of a test").credentials
    call("auth.edit_credentials", access_key=pair.access_key, label="renamed")
    keys = call("auth.get_credentials").credentials
    equal([key.label for key in keys if key.access_key == pair.access_key], ["renamed"])
    call("auth.revoke_credentials", access_key=pair.access_key)
    check(pair.access_key not in {key.access_key for key in call("auth.get_credentials").credentials}, "revoked")
    check(call("auth.login", expiration_sec=600).token, "a token")


def projects():
    """Projects, read, edited, moved, merged and deleted."""
    equal(call("projects.get_by_id", project=project).id, project)
    check(len(call("projects.get_all", name="Hostler")) >= 1, "projects")
    other = call("projects.create", name="Hostler/Sdk tests/api", description="of a test").id
    call("projects.update", project=other, description="edited")
    call("projects.get_hyper_parameters", project=project)
    call("projects.get_hyperparam_values", section="Args", name="epochs", projects=[project])
    call("projects.get_model_metadata_keys", project=project)
    call("projects.get_model_metadata_values", key="accuracy", projects=[project])
    for kind in ("model", "project", "task"):
        call("projects.get_%s_tags" % kind)
    call("projects.get_task_parents", projects=[project])
    call("projects.get_unique_metric_variants", project=project)
    call("projects.make_public", ids=[other])
    call("projects.make_private", ids=[other])
    into = call("projects.create", name="Hostler/Sdk tests/into").id
    call("projects.move", project=into, new_location="Hostler/Moved")
    call("projects.merge", project=other, destination_project=into)
    call("projects.validate_delete", project=into)
    call("projects.delete", project=into)


def queues():
    """A queue with tasks in it."""
    queue = call("queues.create", name="of a test", tags=["a"]).id
    waiting = [new_task("waits %d" % number) for number in range(3)]
    call("queues.update", queue=queue, name="of the api test")
    call("queues.add_or_update_metadata", queue=queue, metadata=[{"key": "a", "type": "str", "value": "b"}])
    call("queues.delete_metadata", queue=queue, keys=["a"])
    equal(call("queues.get_by_id", queue=queue).name, "of the api test")
    equal([found.id for found in call("queues.get_all", id=[queue])], [queue])
    check(call("queues.get_default").id, "a default queue")
    call("tasks.enqueue", task=waiting[0], queue=queue)
    equal(call("tasks.enqueue_many", ids=waiting[1:], queue=queue).meta.result_code, 200)
    call("queues.move_task_to_front", queue=queue, task=waiting[2])
    call("queues.move_task_to_back", queue=queue, task=waiting[0])
    call("queues.move_task_forward", queue=queue, task=waiting[0], count=1)
    call("queues.move_task_backward", queue=queue, task=waiting[0], count=1)
    equal([entry.task for entry in client.queues.get_by_id(queue=queue).entries], [waiting[2], waiting[1], waiting[0]])
    equal(call("queues.get_num_entries", queue=queue).num, 3)
    equal(call("queues.peek_task", queue=queue).task, waiting[2])
    call("queues.get_queue_metrics", from_date=now - 3600, to_date=time.time() + 1, interval=60, queue_ids=[queue])
    equal(call("queues.get_next_task", queue=queue).entry.task, waiting[2])
    call("tasks.dequeue", task=waiting[1])
    call("tasks.dequeue_many", ids=[waiting[0]])
    loose = new_task("loose")
    call("queues.add_task", queue=queue, task=loose)
    call("queues.remove_task", queue=queue, task=loose)
    call("queues.delete", queue=queue, force=True)


def workers():
    """A worker that reports."""
    call("workers.register", worker="api:1", timeout=60, queues=[], tags=["a"])
    call("workers.status_report", worker="api:1", timestamp=int(now * 1000), queues=[], machine_stats={
        "cpu_usage": [10.0, 20.0], "memory_used": 100, "memory_free": 50, "disk_free_home": 70, "network_tx": 1})
    check("api:1" in {worker.id for worker in call("workers.get_all", last_seen=3600)}, "workers")
    interval = {"from_date": now - 3600, "to_date": time.time() + 1, "interval": 60}
    call("workers.get_activity_report", **interval)
    call("workers.get_metric_keys", worker_ids=["api:1"])
    call("workers.get_stats", worker_ids=["api:1"], items=[{"key": "cpu_usage", "aggregation": "avg"}], **interval)
    call("workers.unregister", worker="api:1")


def models():
    """Models, read, edited and deleted."""
    equal(call("models.get_by_id", model=model_id).name, "trained")
    # Gone in the versions that this client speaks.
    call("models.get_by_task_id", task=outputs_id, code=301, subcode=1)
    check(len(call("models.get_all", project=[project])) >= 1, "models")
    call("models.get_frameworks", projects=[project])
    call("models.edit", model=model_id, comment="edited")
    call("models.update", model=model_id, comment="updated")
    call("models.add_or_update_metadata", model=model_id, metadata=[{"key": "a", "type": "str", "value": "b"}])
    call("models.delete_metadata", model=model_id, keys=["a"])
    call("models.make_public", ids=[model_id])
    call("models.make_private", ids=[model_id])
    models = [new_model("model %d" % number) for number in range(5)]
    call("models.move", ids=models, project_name="Hostler/Models")
    call("models.archive_many", ids=models[:2])
    call("models.unarchive_many", ids=models[:2])
    call("models.set_ready", model=models[0])
    call("models.publish_many", ids=models[1:2])
    call("models.delete", model=models[2])
    call("models.delete_many", ids=models[3:])
    running = new_task("makes a model")
    call("tasks.started", task=running)
    call("models.update_for_task", task=running, uri="http://127.0.0.1/weights", code=301, subcode=1)


def tasks():
    """Tasks through all their states."""
    equal(call("tasks.get_by_id", task=task_id).name, "reports")
    equal([task.id for task in call("tasks.get_all", id=[task_id])], [task_id])
    call("tasks.get_types", projects=[project])
    call("tasks.validate", name="valid", type="training", script=script)
    edited = new_task("edited", hyperparams={"Args": {"a": {"section": "Args", "name": "a", "value": "1"}}})
    call("tasks.edit", task=edited, comment="edited", runtime={"a": "b"})
    call("tasks.update", task=edited, name="edited twice")
    call("tasks.edit_hyper_params", task=edited, hyperparams=[{"section": "Args", "name": "b", "value": "2"}])
    parameters = call("tasks.get_hyper_params", tasks=[edited]).params[0]["hyperparams"]
    equal({entry["name"] for entry in parameters}, {"a", "b"})
    call("tasks.delete_hyper_params", task=edited, hyperparams=[{"section": "Args", "name": "b"}])
    call("tasks.edit_configuration", task=edited, configuration=[{"name": "net", "value": "a = 1", "type": "hocon"}])
    equal(untyped("tasks.get_configuration_names", tasks=[edited])["configurations"][0]["names"], ["net"])
    equal(call("tasks.get_configurations", tasks=[edited]).configurations[0]["configuration"][0]["value"], "a = 1")
    untyped("tasks.delete_configuration", task=edited, configuration=["net"])
    call("tasks.set_requirements", task=edited, requirements={"pip": "six"})
    artifact = {"key": "one", "type": "custom", "mode": "output", "uri": "http://127.0.0.1/one"}
    call("tasks.add_or_update_artifacts", task=edited, artifacts=[artifact])
    call("tasks.delete_artifacts", task=edited, artifacts=[{"key": "one"}])
    call("tasks.add_or_update_model", task=edited, name="in", model=model_id, type="input")
    call("tasks.delete_models", task=edited, models=[{"name": "in", "type": "input"}])
    copy = call("tasks.clone", task=edited, new_task_name="a copy")
    check(copy.id, "a clone")
    call("tasks.move", ids=[edited], project_name="Hostler/Elsewhere")
    call("tasks.archive", tasks=[edited])
    call("tasks.archive_many", ids=[edited])
    call("tasks.unarchive_many", ids=[edited])
    for end in ("completed", "failed", "stopped"):
        ended = new_task(end)
        call("tasks.started", task=ended)
        call("tasks.ping", task=ended)
        call("tasks." + end, task=ended)
    call("tasks.close", task=ended)
    stopping = new_task("stopping")
    call("tasks.started", task=stopping)
    call("tasks.stop", task=stopping)
    many = [new_task("many %d" % number) for number in range(2)]
    for each in many:
        client.tasks.started(task=each)
    call("tasks.stop_many", ids=many)
    call("tasks.reset_many", ids=many, force=True)
    call("tasks.reset", task=stopping, force=True)
    finished = [new_task("finished %d" % number) for number in range(2)]
    for each in finished:
        client.tasks.started(task=each)
        client.tasks.completed(task=each)
    call("tasks.publish", task=finished[0])
    call("tasks.publish_many", ids=finished[1:])
    call("tasks.delete", task=many[0])
    call("tasks.delete_many", ids=many[1:])
    call("tasks.get_by_id", task="0" * 32, subcode=101)


def events():
    """All that can be read of events, and their end."""
    running = new_task("reports")
    client.tasks.started(task=running)
    event = {"type": "training_stats_scalar", "task": running, "iter": 1, "metric": "m", "variant": "v", "value": 1.0}
    untyped("events.add", **event)
    untyped("events.get_debug_image_sample", task=task_id, metric="samples", variant="png")
    navigation = untyped("events.get_debug_image_sample", task=task_id, metric="samples", variant="png", iteration=2)
    untyped("events.next_debug_image_sample", task=task_id, scroll_id=navigation["scroll_id"])
    navigation = untyped("events.get_plot_sample", task=task_id, metric="histogram")
    untyped("events.next_plot_sample", task=task_id, scroll_id=navigation["scroll_id"])
    call("events.debug_images", metrics=[{"task": task_id, "metric": "samples"}], iters=1)
    call("events.plots", metrics=[{"task": task_id, "metric": "histogram"}], iters=1)
    call("events.get_task_plots", task=task_id, iters=1)
    call("events.get_multi_task_plots", tasks=[task_id], iters=1)
    call("events.get_task_metrics", tasks=[task_id], event_type="plot")
    call("events.get_task_log", task=task_id, batch_size=10)
    log = client.session.send_request("events", "download_task_log", json={"task": task_id})
    called.add("events.download_task_log")
    equal((log.status_code, bool(log.text)), (200, True), "a console")
    page = call("events.get_task_events", task=task_id, event_type="log", batch_size=2)
    check(page.events, "events")
    call("events.clear_scroll", scroll_id=page.scroll_id)
    call("events.get_task_single_value_metrics", tasks=[outputs_id])
    call("events.get_scalar_metrics_and_variants", task=running)
    call("events.get_task_latest_scalar_values", task=running)
    equal(untyped("events.get_vector_metrics_and_variants", task=running), {"metrics": {}})
    call("events.get_scalar_metric_data", task=running, metric="m")
    call("events.scalar_metrics_iter_histogram", task=running, samples=10)
    call("events.multi_task_scalar_metrics_iter_histogram", tasks=[running, task_id], samples=10)
    call("events.scalar_metrics_iter_raw", task=running, metric={"metric": "m", "variants": ["v"]})
    call("events.vector_metrics_iter_histogram", task=running, metric="m", variant="v")
    call("events.clear_task_log", task=task_id)
    call("events.delete_for_task", task=task_id)
    call("events.delete_for_model", model=model_id)


def reports():
    """A report, from its draft to its end; APIClient has no methods for it."""
    made = untyped("reports.create", name="of a test", project=project, report="# A report", tags=["weekly"])
    report = made["id"]
    check(client.projects.get_by_id(project=made["project_id"]).name.endswith("/.reports"), "the folder of reports")
    untyped("reports.update", task=report, report="# A report, edited", comment="edited")
    found = untyped("reports.get_all_ex", id=[report], only_fields=["report", "comment"])["tasks"]
    equal([(one["report"], one["comment"]) for one in found], [("# A report, edited", "edited")])
    check("weekly" in untyped("reports.get_tags")["tags"], "a tag of a report")
    data = untyped("reports.get_task_data", id=[task_id], only_fields=["name"])
    equal([task["name"] for task in data["tasks"]], ["reports"])
    equal(untyped("reports.archive", task=report), {"archived": 1})
    equal(untyped("reports.unarchive", task=report), {"unarchived": 1})
    untyped("reports.move", task=report, project_name="Hostler/Reports")
    untyped("reports.publish", task=report)
    draft = untyped("reports.create", name="a draft", project=project)
    untyped("reports.delete", task=draft["id"])


def organization():
    """Tags of everything, and a pipeline that is started."""
    untyped("organization.get_tags", include_system=True)
    edited = new_task("a pipeline", type="controller", system_tags=["pipeline"],
                      hyperparams={"Args": {"a": {"section": "Args", "name": "a", "value": "1"}}})
    queue = client.queues.create(name="for pipelines").id
    started = untyped("pipelines.start_pipeline", task=edited, queue=queue, args=[{"name": "a", "value": "3"}])
    equal(client.tasks.get_by_id(task=started["pipeline"]).hyperparams["Args"]["a"].value, "3")


equal(unknown, CLOSED_ENDPOINTS, "endpoints that the server does not have")
for section in (auth, projects, queues, workers, models, tasks, reports, events, organization):
    section()
# Sent with bodies that are lines of JSON or batches, by every other scenario, or internal to a server.
left = offered - called - CLOSED_ENDPOINTS - {"events.add_batch", "tasks.update_batch", "auth.edit_user"}
equal(left, set(), "endpoints that were not called")
print("CALLED", len(called))

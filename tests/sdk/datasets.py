"""Datasets: `clearml-data` from create to get, and a version with a parent made with the SDK; contents compared."""
import os
import re
import subprocess
import sys
import tempfile

from clearml import Dataset

from support import check, equal

PROJECT = "Hostler/Sdk tests"


def data(*arguments):
    """Runs clearml-data and gives what it printed."""
    program = os.path.join(os.path.dirname(sys.executable), "clearml-data")
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, timeout=200)
    print(done.stdout)
    equal(done.returncode, 0, arguments)
    return done.stdout


def write(folder, files):
    """Files with these contents in a folder."""
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    return folder


def read(folder):
    """All files below a folder, with their contents."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


# The command line.
first = {"a.txt": b"first", "inner/b.bin": bytes(range(256)) * 1000, "inner/with space.txt": "ü".encode()}
folder = write(tempfile.mkdtemp(), first)
printed = data("create", "--project", PROJECT, "--name", "by hand", "--version", "1.0", "--tags", "kept")
dataset_id = re.search(r"id=([0-9a-f]{32})", printed).group(1)
data("add", "--id", dataset_id, "--files", folder)
data("upload", "--id", dataset_id)
data("close", "--id", dataset_id)
target = os.path.join(tempfile.mkdtemp(), "copy")
data("get", "--id", dataset_id, "--copy", target)
equal(read(target), first)
listed = data("list", "--id", dataset_id)
check(all(name in listed for name in first), listed)
check(dataset_id in data("search", "--project", PROJECT, "--name", "by hand"), "search")
data("verify", "--id", dataset_id, "--folder", target)
data("publish", "--id", dataset_id)

# A child: one file changed, one removed, one new.
child = Dataset.create(dataset_name="by hand", dataset_project=PROJECT, dataset_version="1.1",
                       parent_datasets=[dataset_id])
changed = {"a.txt": b"second", "c.txt": b"new"}
child.add_files(write(tempfile.mkdtemp(), changed))
child.remove_files("inner/b.bin")
child.upload(show_progress=False)
child.set_metadata({"origin": "a test"}, metadata_name="about")
check(child.finalize(), "a version that is final")
expected = {"a.txt": b"second", "c.txt": b"new", "inner/with space.txt": "ü".encode()}

found = Dataset.get(dataset_project=PROJECT, dataset_name="by hand")
equal(found.id, child.id, "the latest version")
equal(found.version, "1.1")
equal(read(found.get_local_copy()), expected)
equal(sorted(found.list_files()), sorted(expected))
equal(found.list_removed_files(), ["inner/b.bin"])
equal(found.list_modified_files(), ["a.txt"])
equal(found.list_added_files(), ["c.txt"])
equal(found.get_metadata("about"), {"origin": "a test"})
equal(found.get_dependency_graph(), {child.id: [dataset_id], dataset_id: []})
equal(Dataset.get(dataset_project=PROJECT, dataset_name="by hand", dataset_version="1.0").id, dataset_id)
copy = os.path.join(tempfile.mkdtemp(), "mutable")
found.get_mutable_local_copy(copy)
equal(read(copy), expected)
versions = Dataset.list_datasets(dataset_project=PROJECT, partial_name="by hand", only_completed=True)
equal({version["id"] for version in versions}, {dataset_id, child.id})
equal(Dataset.list_datasets(dataset_project=PROJECT, tags=["kept"])[0]["id"], dataset_id)

# A version without its history, a folder kept in step, and the end of it all.
squashed = Dataset.squash("squashed", dataset_ids=[child.id])
equal(read(Dataset.get(dataset_id=squashed.id).get_local_copy()), expected)
printed = data("sync", "--project", PROJECT, "--name", "in step", "--folder", copy)
synced = Dataset.get(dataset_project=PROJECT, dataset_name="in step")
equal(read(synced.get_local_copy()), expected)
check(synced.is_final(), "sync ends with a final version")
data("delete", "--id", synced.id, "--force")
equal(Dataset.list_datasets(dataset_project=PROJECT, partial_name="in step"), [])

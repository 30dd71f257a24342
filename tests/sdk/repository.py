"""A program in a git repository with uncommitted changes: repository, branch, commit and diff are recorded."""
from clearml import Task

from support import check, equal, folder_with, git, run

folder = folder_with("train.py")
git(folder, "init", "--quiet")
git(folder, "add", ".")
git(folder, "commit", "--quiet", "-m", "first")
git(folder, "remote", "add", "origin", "https://example.com/team/training.git")
with open(folder + "/train.py", "a") as program:
    program.write("# an uncommitted line\n")

task_id, _ = run("train.py", "--epochs", "1", folder=folder)
script = Task.get_task(task_id=task_id).data.script
equal(script.repository, "https://example.com/team/training.git")
equal(script.branch, "main")
equal(script.version_num, git(folder, "rev-parse", "HEAD"))
equal(script.entry_point, "train.py")
check("+# an uncommitted line" in script.diff, script.diff)

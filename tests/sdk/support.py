"""What the scenarios share: programs run as a user runs them, and checks that say what they saw."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def check(condition, *seen):
    """Fails the scenario with everything that was seen; an `assert` that -O does not remove."""
    if not condition:
        raise AssertionError(" ".join(repr(value) for value in seen))


def equal(found, expected, about=""):
    """Fails the scenario unless the two are equal."""
    check(found == expected, about, "found", found, "expected", expected)


def folder_with(program):
    """A new folder, outside of any git repository, that holds a copy of the program."""
    folder = tempfile.mkdtemp(prefix="program-")
    shutil.copy(os.path.join(HERE, "programs", program), folder)
    return folder


def run(program, *arguments, code=0, folder=None, **environment):
    """Runs a program to its end and returns its task's id and what it printed."""
    folder = folder or folder_with(program)
    done = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=folder,
        env=dict(os.environ, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=240,
    )
    print(done.stdout)
    equal(done.returncode, code, "exit code of " + program)
    ids = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("TASK ")]
    return (ids[0] if ids else None), done.stdout


def git(folder, *arguments):
    """Runs git in a folder, with an identity of its own."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE,
                          universal_newlines=True)
    return done.stdout.strip()

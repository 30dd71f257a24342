"""What the scenarios share: programs run as a user runs them, and checks that say what they saw."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def check(condition, *seen):
    """Fails the scenario with everything that was seen; an `assert` that -O does not remove."""
    if not condition:
        raise AssertionError(" ".join(repr(value)[:4000] for value in seen))


def equal(found, expected, about=""):
    """Fails the scenario unless the two are equal."""
    check(found == expected, about, "found", found, "expected", expected)


def folder_with(program):
    """A new folder, outside of any git repository, that holds a copy of the program."""
    folder = tempfile.mkdtemp(prefix="program-")
    shutil.copy(os.path.join(HERE, "programs", program), folder)
    return folder


def settings():
    """The path of settings in which the SDK reports from a process that it forks: its own default on Linux.

    The file that the server writes says threads, because that default has a deadlock, with any server: one thread of
    the SDK starts `git` while another forks, the fork inherits the write end of the pipe on which the first waits for
    `git` to have been started, and `close` waits 300 s for that thread.
    """
    with open(os.environ["CLEARML_CONFIG_FILE"]) as file:
        text = file.read() + "\nsdk { development { report_use_subprocess: true } }\n"
    path = os.path.join(tempfile.mkdtemp(prefix="settings-"), "clearml.conf")
    with open(path, "w") as file:
        file.write(text)
    return path


def run(program, *arguments, code=0, folder=None, forked=False, **environment):
    """Runs a program to its end and returns its task's id and what it printed. `forked`: see `settings`.

    A program prints a line and its end as one text: the SDK's threads print as well, in between where they can.
    """
    folder = folder or folder_with(program)
    if forked:
        environment["CLEARML_CONFIG_FILE"] = settings()
    for attempt in range(5):
        working = subprocess.Popen(
            [sys.executable, program, *arguments],
            cwd=folder,
            env=dict(os.environ, PYTHONFAULTHANDLER="1", **environment),
            stdout=subprocess.PIPE,
            # Apart: a warning would come into the middle of a line otherwise.
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )
        try:
            printed = "".join(working.communicate(timeout=120 if forked else 200))
        except subprocess.TimeoutExpired:
            # Ends with the stacks of all threads.
            working.send_signal(signal.SIGABRT)
            kill_session(working)
            printed = "".join(working.communicate())
            deadlock = "_wait_for_repo_detection" in printed and "_execute_child" in printed
            check(forked and deadlock, "hangs", printed)
            print("the SDK's own deadlock, attempt", attempt)
            continue
        print(printed)
        equal(working.returncode, code, "exit code of " + program)
        ids = [line.split()[1] for line in printed.splitlines() if line.startswith("TASK ")]
        return (ids[0] if ids else None), printed
    raise AssertionError("five deadlocks in a row")


def kill_session(leader):
    """Waits for the leader of a session and kills what is left of it."""
    leader.wait(timeout=30)
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def git(folder, *arguments):
    """Runs git in a folder, with an identity of its own."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE,
                          universal_newlines=True)
    return done.stdout.strip()

"""Task.init with the fork of the SDK's reporting process put where it can fall by chance: between the moment in which
another thread of the SDK makes the pipe on which it will wait for `git` to have been started, and the start of `git`.
Prints whether that thread now waits for a pipe that the forked process holds open."""
import os
import subprocess
import sys
import threading

inside = threading.Event()
forked = threading.Event()
pipes = []
forks = []
real_pipe, real_fork = os.pipe, os.fork


def pipe():
    """os.pipe; for the first Popen of another thread it lets the fork go first."""
    ends = real_pipe()
    caller = sys._getframe(1).f_code.co_name
    if caller == "_execute_child" and threading.current_thread() is not threading.main_thread() and not inside.is_set():
        pipes.append(os.readlink("/proc/self/fd/%d" % ends[1]))
        inside.set()
        forked.wait(timeout=30)
    return ends


def fork():
    """os.fork; of the main thread it waits until the other thread has its pipe."""
    if threading.current_thread() is threading.main_thread():
        inside.wait(timeout=30)
    pid = real_fork()
    if pid:
        forks.append(pid)
        forked.set()
    return pid


os.pipe, os.fork = pipe, fork

from clearml import Task  # noqa: E402

if len(sys.argv) > 1:
    # Nothing will fork: the thread need not wait for it.
    forked.set()
task = Task.init(project_name="Hostler/Sdk tests", task_name="fork", reuse_last_task_id=False,
                 auto_connect_frameworks=False)
print("FORKS %s\n" % len(forks), end="", flush=True)
detection = task._detect_repo_async_thread
detection.join(timeout=0 if forks else 60)
stack = []
frame = sys._current_frames().get(detection.ident)
while frame:
    stack.append(frame.f_code.co_name)
    frame = frame.f_back
held = set()
for pid in forks:
    for descriptor in os.listdir("/proc/%d/fd" % pid):
        held.add(os.readlink("/proc/%d/fd/%s" % (pid, descriptor)))
print("WAITS %s\n" % (detection.is_alive() and "_execute_child" in stack,), end="", flush=True)
print("HELD %s\n" % (bool(pipes) and pipes[0] in held,), end="", flush=True)
for pid in forks:
    os.kill(pid, 9)
os._exit(0)

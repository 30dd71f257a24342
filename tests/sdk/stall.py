"""Why programs stand still for 300 s with the SDK's own settings, with any server and with none, and that they do not
with the settings that our server writes. See docs/clients.md."""
import os
import re

from support import check, run, settings

# No server, no connection: the SDK records the session into a folder. Its default on Linux is to fork.
printed = run("fork_in_popen.py", CLEARML_OFFLINE_MODE="1", CLEARML_CONFIG_FILE=settings())[1]
check("FORKS 1" in printed, printed)
check("WAITS True" in printed, "the thread that started git waits", printed)
check("HELD True" in printed, "the forked process holds its pipe open", printed)

with open(os.environ["CLEARML_CONFIG_FILE"]) as file:
    check(re.search(r"report_use_subprocess: false", file.read()), "what our server writes")
printed = run("fork_in_popen.py", "threads", CLEARML_OFFLINE_MODE="1")[1]
check("FORKS 0" in printed, printed)
check("WAITS False" in printed, printed)

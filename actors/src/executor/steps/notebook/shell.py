def __notebook_filled__(command, names):
    import re

    def value(found):
        name, rest, form = found.group(1, 2, 3)
        try:
            return format(eval(name + rest, dict(names)), form or '') if name in names else found.group()
        except Exception:
            return found.group()

    def variable(found):
        is_quoted = command[: found.start()].count("'") % 2
        if is_quoted or found.group(2) not in names:
            return found.group()
        return '$' + found.group(2) if found.group(1) else str(names[found.group(2)])

    command = re.sub(r'\$(\$?)([^\W\d]\w*)', variable, command)
    return re.sub(r'(?<![{$])\{([^\W\d]\w*)((?:\.\w+|\[[^][{}]*\])*)(?::([^{}]*))?\}(?!\})', value, command)


def __notebook_shell__(command, names):
    import subprocess

    subprocess.run(__notebook_filled__(command, names), shell=True)


def __notebook_lines__(command, names):
    import subprocess

    done = subprocess.run(__notebook_filled__(command, names), shell=True, stdout=subprocess.PIPE)
    return done.stdout.decode(errors='replace').splitlines()


def __notebook_pip__(arguments, names):
    import shlex
    import subprocess
    import sys

    # A `pip.py` of the task, which PYTHONPATH and the folder would find first, is not what is meant.
    program = '''import os, sys
own = ['', os.getcwd()] + os.environ.get('PYTHONPATH', '').split(os.pathsep)
sys.path.sort(key=lambda folder: folder in own)
import runpy
runpy.run_module('pip', run_name='__main__', alter_sys=True)'''
    command = '%s -c %s ' % (shlex.quote(sys.executable), shlex.quote(program))
    subprocess.run(command + __notebook_filled__(arguments, names), shell=True)



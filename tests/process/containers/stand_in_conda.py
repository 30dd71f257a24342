#!/usr/bin/python3
"""Stands in for conda in an image: no package registry has one for these tests.

Understands what Hostler tells conda and micromamba, keeps packages in a cache and links them from there as conda does,
and makes environments that are laid out as conda's are, of the image's own interpreter. There is every package in every
version, but for `nothing`; all are in the first channel. As conda and micromamba do, it writes down how it was called; as
micromamba does, with their secrets the addresses of packages; `noisy` has it print them.
"""

import errno
import glob
import json
import os
import shutil
import sys
import zipfile

VERSION = "%d.%d" % sys.version_info[:2]
STANDARD = os.path.dirname(os.__file__)


def main(words):
    if words[:1] == ["env"]:
        words = words[1:]
    prefix, specifications, channels = None, [], []
    words = iter(words[1:])
    for word in words:
        if word == "--prefix":
            prefix = next(words)
        elif word == "--channel":
            channels.append(next(words))
        elif word == "--file":
            name = next(words)
            if name.endswith(".txt"):
                specifications += [line for line in open(name).read().splitlines() if line and line[0] != "#"]
            else:
                channels, specifications = described(name)
        elif not word.startswith("--"):
            specifications.append(word)
    channels = [url for channel in channels for url in multichannels().get(channel, [channel])]
    if os.path.isdir(prefix) and os.listdir(prefix):
        fail("CondaValueError: prefix already exists: %s" % prefix)
    wanted = dict((specification.split("=", 1) + ["1.0"])[:2] for specification in specifications)
    if "nothing" in wanted:
        fail(
            "PackagesNotFoundError: The following packages are not available from current channels:\n\n"
            "  - nothing=%s\n\nCurrent channels:\n\n%s" % (wanted["nothing"], "".join("  - %s\n" % it for it in channels))
        )
    for folder in ("bin", "conda-meta", "lib/python%s/site-packages" % VERSION):
        os.makedirs(os.path.join(prefix, folder))
    with open(os.path.join(prefix, "conda-meta/history"), "w") as history:
        history.write("# cmd: %s\n" % " ".join(sys.argv))
    for name, version in wanted.items():
        package(prefix, name, version, (channels + ["defaults"])[0])


def multichannels():
    """Names of the user's own for channels, from `custom_multichannels` of a `.condarc`."""
    found, name = {}, None
    for folder in (os.environ.get("CONDARC"), os.path.join(os.environ.get("XDG_CONFIG_HOME", "/"), "conda/.condarc")):
        for line in open(folder).read().splitlines() if folder and os.path.isfile(folder) else []:
            if line.startswith("  - "):
                found[name].append(json.loads(line[4:]))
            elif line.startswith("  "):
                name = line.strip(" :")
                found[name] = []
    return found


def described(path):
    """The channels and packages of an environment that a file describes, one text a line."""
    lists = {}
    for line in open(path).read().splitlines():
        if line.endswith(":"):
            lists[line[:-1]] = found = []
        elif line.startswith("- "):
            text = line[2:].strip()
            found.append(json.loads(text) if text.startswith('"') else text)
    channels = [channel for channel in lists.get("channels", []) if channel != "nodefaults"]
    return channels, lists.get("dependencies", [])


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def package(prefix, name, version, channel):
    url = "%s/linux-64/%s-%s-0.conda" % (channel, name, version)
    if name == "noisy":
        print("warning  libmamba Download of %s was slow" % url, flush=True)
    if name == "slow":
        folder = os.environ["STAND_IN_FOLDER"]
        with open(os.path.join(folder, "building"), "a") as note:
            note.write("%s\n" % prefix)
        import fcntl

        fcntl.flock(open(os.path.join(folder, "gate")), fcntl.LOCK_SH)
    if name == "python":
        version = "%d.%d.%d" % sys.version_info[:3]
        python(prefix)
    elif name == "pip":
        wheel = glob.glob("/usr/share/python-wheels/pip-*.whl")[0]
        zipfile.ZipFile(wheel).extractall(os.path.join(prefix, "lib/python%s/site-packages" % VERSION))
    else:
        link(cached(name, version), prefix, name)
    with open(os.path.join(prefix, "conda-meta", "%s-%s-0.json" % (name, version)), "w") as about:
        about_it = {"name": name, "version": version, "cuda": os.environ.get("CONDA_OVERRIDE_CUDA"), "url": url}
        json.dump(about_it, about)


def cached(name, version):
    """The package's only file, in the cache of all environments."""
    folder = os.path.join(os.environ["CONDA_PKGS_DIRS"], "%s-%s-0" % (name, version))
    module = os.path.join(folder, name + ".py")
    if not os.path.exists(module):
        print("downloading %s" % name, flush=True)
        os.makedirs(folder, exist_ok=True)
        with open(module, "w") as file:
            file.write("VERSION = %r\n" % version)
    return module


def link(module, prefix, name):
    target = os.path.join(prefix, "lib/python%s/site-packages" % VERSION, name + ".py")
    try:
        os.link(module, target)
        print("linked %s" % name, flush=True)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy(module, target)


def python(prefix):
    """The image's interpreter, which finds its library from where it is; and a program that knows where it is."""
    library = os.path.join(prefix, "lib/python" + VERSION)
    for name in os.listdir(STANDARD):
        if name not in ("site-packages", "dist-packages", "__pycache__", "sysconfig.py", "sitecustomize.py", "EXTERNALLY-MANAGED"):
            os.symlink(os.path.join(STANDARD, name), os.path.join(library, name))
    # Debian has folders of its own for packages; an environment of conda has those of everybody.
    text = open(os.path.join(STANDARD, "sysconfig.py")).read()
    with open(os.path.join(library, "sysconfig.py"), "w") as file:
        file.write(text.replace("prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'"))
    os.mkdir(os.path.join(prefix, "lib/python3"))
    os.symlink("../python%s/site-packages" % VERSION, os.path.join(prefix, "lib/python3/dist-packages"))
    program = os.path.join(prefix, "bin/python" + VERSION)
    shutil.copy(os.path.realpath(sys.executable), program)
    for name in ("python3", "python"):
        os.symlink(os.path.basename(program), os.path.join(prefix, "bin", name))
    with open(os.path.join(prefix, "lib/prefix.bin"), "wb") as file:
        file.write(b"\0" + prefix.encode() + b"\0")


main(sys.argv[1:])

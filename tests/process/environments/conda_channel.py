"""Makes a channel of conda, as a folder: `python` is the interpreter that runs this, and the packages named by the other
arguments (`name==version`) come from the package index.

usage: conda_channel.py FOLDER PACKAGE..
"""

import bz2
import hashlib
import io
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

VERSION = "%d.%d" % sys.version_info[:2]
# conda replaces it by where the environment is.
PLACEHOLDER = "/placeholder" * 20
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "turtledemo", "site-packages", "dist-packages"}


class Package:
    """Files, links and what is said of them."""

    def __init__(self, subdir, name, version, depends):
        self.index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": depends, "subdir": subdir}
        self.paths, self.link = [], None
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w")

    def file(self, path, data, mode=0o644, **about):
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(data), mode
        self.tar.addfile(entry, io.BytesIO(data))
        if not path.startswith("info/"):
            digest = hashlib.sha256(data).hexdigest()
            self.paths.append({"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(data), **about})

    def symlink(self, path, target):
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(entry)
        digest = hashlib.sha256(b"").hexdigest()
        self.paths.append({"_path": path, "path_type": "softlink", "sha256": digest, "size_in_bytes": 0})

    def write(self, channel):
        self.file("info/index.json", json.dumps(self.index).encode())
        self.file("info/files", "\n".join(path["_path"] for path in self.paths).encode())
        self.file("info/paths.json", json.dumps({"paths": self.paths, "paths_version": 1}).encode())
        if self.link:
            self.file("info/link.json", json.dumps(self.link).encode())
        self.tar.close()
        data = bz2.compress(self.bytes.getvalue(), 1)
        name = "%(name)s-%(version)s-%(build)s.tar.bz2" % self.index
        folder = os.path.join(channel, self.index["subdir"])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        sums = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return name, {**self.index, **sums}


def python():
    package = Package("linux-64", "python", "%d.%d.%d" % sys.version_info[:3], [])
    library, standard = "lib/python" + VERSION, sysconfig.get_path("stdlib")
    for folder, folders, files in os.walk(standard):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        for name in files:
            path = os.path.join(folder, name)
            data = open(path, "rb").read()
            if name == "sysconfig.py":
                # Debian has folders of its own for packages; an environment of conda has those of everybody.
                data = data.replace(b"prefix_scheme = 'posix_local'", b"prefix_scheme = 'posix_prefix'")
            if name != "EXTERNALLY-MANAGED":
                package.file(os.path.join(library, os.path.relpath(path, standard)), data)
    package.symlink("lib/python3/dist-packages", "../python%s/site-packages" % VERSION)
    program = "python" + VERSION
    package.file("bin/" + program, open(os.path.realpath(sys.executable), "rb").read(), 0o755)
    for name in ("python", "python3"):
        package.symlink("bin/" + name, program)
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        name = sysconfig.get_config_var("INSTSONAME")
        found = os.path.join(sysconfig.get_config_var("LIBDIR"), name)
        package.file("lib/" + name, open(found, "rb").read(), 0o755)
    where = ("#!/bin/sh\necho %s\n" % PLACEHOLDER).encode()
    package.file("bin/where-it-is", where, 0o755, prefix_placeholder=PLACEHOLDER, file_mode="text")
    return package


def of_wheel(path):
    name, version = os.path.basename(path).split("-")[:2]
    package = Package("noarch", name, version, ["python"])
    package.index["noarch"] = "python"
    programs = []
    with zipfile.ZipFile(path) as wheel:
        for member in wheel.namelist():
            if not member.endswith("/"):
                package.file("site-packages/" + member, wheel.read(member))
            if member.endswith(".dist-info/entry_points.txt"):
                programs = entry_points(wheel.read(member).decode())
    package.link = {"noarch": {"type": "python", "entry_points": programs}, "package_metadata_version": 1}
    # As conda's own packages say it.
    package.file("site-packages/%s-%s.dist-info/INSTALLER" % (name, version), b"conda\n")
    return package


def entry_points(text):
    section, found = None, []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif "=" in line and section == "[console_scripts]":
            found.append(line)
    return found


def main(channel, *wanted):
    wheels = os.path.join(channel, "wheels")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", wheels]
    subprocess.run(download + list(wanted), check=True)
    packages = [python()] + [of_wheel(os.path.join(wheels, name)) for name in sorted(os.listdir(wheels))]
    lists = {"linux-64": {}, "noarch": {}}
    for package in packages:
        name, about = package.write(channel)
        lists[about["subdir"]][name] = about
    for subdir, found in lists.items():
        os.makedirs(os.path.join(channel, subdir), exist_ok=True)
        with open(os.path.join(channel, subdir, "repodata.json"), "w") as file:
            json.dump({"info": {"subdir": subdir}, "packages": found, "packages.conda": {}, "repodata_version": 1}, file)


main(*sys.argv[1:])

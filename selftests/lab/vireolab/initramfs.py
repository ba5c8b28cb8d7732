# SPDX-License-Identifier: GPL-2.0-only
"""Compose the initramfs of a lab: BusyBox, our init, the script, added files.

The archive is written here, entry by entry (the kernel's "newc" cpio format), so that no
root rights, no staging directory and no external cpio are needed.
"""

import lzma
import os
import shlex
import shutil
import stat
import subprocess

LAB_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What scripts have in common
STEPS = os.path.join(os.path.dirname(LAB_DIR), "scripts", "steps")
# Where Debian's loader looks without being told.
LIBRARY_DIR = "/lib/x86_64-linux-gnu"


class LabError(Exception):
    """Something is wrong with the lab itself, not with what runs in it."""


class Cpio:
    """A newc archive in memory."""

    def __init__(self):
        self.parts = []
        self.names = set()
        self.inode = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0]
        header = b"070701" + b"".join(b"%08X" % f for f in fields)
        self.parts.append(_pad4(header + encoded))
        self.parts.append(_pad4(data))

    def directory(self, name):
        name = name.strip("/")
        if not name or name in self.names:
            return
        self.directory(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.strip("/")
        if name in self.names:
            return
        self.directory(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        name = name.strip("/")
        if name in self.names:
            return
        self.directory(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._entry(name.strip("/"), stat.S_IFCHR | 0o600, rdev=(major, minor))

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self.parts)


def _pad4(data):
    return data + b"\0" * (-len(data) % 4)


def _read(path):
    """The file as the lab sees it: modules come uncompressed."""
    with open(path, "rb") as f:
        data = f.read()
    return lzma.decompress(data) if path.endswith(".ko.xz") else data


def _libraries(path):
    """The shared libraries and the loader that an ELF program needs, as (path here, path there)."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True)
    if listing.returncode:
        return  # static, or not a program
    for line in listing.stdout.splitlines():
        words = line.split()
        if "not found" in line:
            raise LabError(f"{path}: library {words[0]} not found")
        if "=>" in words:
            found = words[words.index("=>") + 1]
            yield found, f"{LIBRARY_DIR}/{words[0]}"
        elif words and words[0].startswith("/"):
            yield words[0], words[0]


def _add_file(cpio, source, destination):
    data = _read(source)
    executable = os.stat(source).st_mode & 0o111
    cpio.file(destination.removesuffix(".xz") if source.endswith(".ko.xz") else destination,
              data, 0o755 if executable else 0o644)
    # A library that a program opens by itself is added by name, and has others that it needs.
    if (executable or ".so" in source) and data[:4] == b"\x7fELF":
        for here, there in _libraries(source):
            cpio.file(there, _read(here), 0o755)


def _add(cpio, source, destination):
    """Add a file or a whole directory."""
    if not os.path.exists(source):
        raise LabError(f"{source}: no such file to add")
    if destination.endswith("/"):
        destination += os.path.basename(source.rstrip("/"))
    if not os.path.isdir(source):
        _add_file(cpio, source, destination)
        return
    cpio.directory(destination)
    for top, directories, files in os.walk(source):
        there = os.path.join(destination, os.path.relpath(top, source))
        there = os.path.normpath(there)
        for name in directories:
            cpio.directory(os.path.join(there, name))
        for name in files:
            _add_file(cpio, os.path.join(top, name), os.path.join(there, name))


def _add_modules(cpio, host, wanted):
    """Add kernel modules of the host with what they depend on, ready for modprobe."""
    tree = f"/lib/modules/{host.release}"
    depends = {}

    def resolve(name):
        name = name.replace("-", "_")
        if name in depends:
            return
        path = host.module(name)
        answer = subprocess.run(["modinfo", "-F", "depends", path], capture_output=True, text=True, check=True)
        depends[name] = [d.replace("-", "_") for d in answer.stdout.strip().split(",") if d]
        cpio.file(f"{tree}/{name}.ko", _read(path))
        for dependency in depends[name]:
            resolve(dependency)

    def closure(name):
        """Dependencies, each before what it needs in turn: the order of modules.dep."""
        order = []
        for dependency in depends[name]:
            order += [d for d in [dependency, *closure(dependency)] if d not in order]
        return order

    for name in wanted:
        resolve(name)
    lines = [f"{name}.ko: {' '.join(d + '.ko' for d in closure(name))}\n" for name in depends]
    cpio.file(f"{tree}/modules.dep", "".join(lines).encode())


def _base(init):
    """What every initramfs here has: BusyBox with all its names, and an init."""
    cpio = Cpio()
    for name in ("dev", "proc", "sys", "tmp", "out", "root", "run", "lab/bin", "etc", "usr"):
        cpio.directory(name)
    # Before devtmpfs is there, init needs a console.
    cpio.device("dev/console", 5, 1)
    cpio.link("usr/bin", "/bin")
    cpio.link("sbin", "/bin")
    cpio.link("usr/lib", "/lib")
    cpio.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    cpio.file("etc/group", b"root:x:0:\n")

    busybox = shutil.which("busybox")
    if not busybox:
        raise LabError("busybox is missing; run selftests/lab/deps")
    cpio.file("bin/busybox", _read(busybox), 0o755)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        cpio.link(f"bin/{applet}", "busybox")
    cpio.file("init", _read(os.path.join(LAB_DIR, init)), 0o755)
    return cpio


def _add_script(cpio, script):
    cpio.file("lab/script", script if script.startswith(b"#!") else b"#!/bin/sh\n" + script, 0o755)


def compose(host, script, timeout, arguments=(), added=(), modules=(), interactive=False, spare_cpu0=False):
    """The initramfs of a lab's host as bytes. `script` is the text of what init runs."""
    cpio = _base("init")
    conf = [f"LAB_TIMEOUT={timeout}", f"LAB_INTERACTIVE={'1' if interactive else ''}",
            f"LAB_SPARE_CPU0={'1' if spare_cpu0 else ''}", f"set -- {shlex.join(arguments)}"]
    cpio.file("lab/conf", "\n".join(conf).encode() + b"\n")
    _add_script(cpio, script)
    cpio.file("lab/steps", _read(STEPS))
    for source, destination in added:
        _add(cpio, source, destination)
    if modules:
        _add_modules(cpio, host, modules)
    return cpio.bytes()


def compose_guest(script, added=()):
    """An initramfs for a Linux guest: runs the script, or a shell if it is None."""
    cpio = _base("guest-init")
    if script is not None:
        _add_script(cpio, script)
    for source, destination in added:
        _add(cpio, source, destination)
    return cpio.bytes()


def command_script(words):
    """The script that runs one command."""
    return ("exec " + " ".join(shlex.quote(w) for w in words) + "\n").encode()

# SPDX-License-Identifier: GPL-2.0-only
"""Run one machine: start the emulator, stream its console, bound its time, fetch its result."""

import ctypes
import gzip
import io
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import termios
import time
import tty
import zlib

from . import processors, reports
from .initramfs import LabError

TIMED_OUT = 124


class Machine:
    """What an emulator needs to know; see processors.py."""

    def __init__(self, emulator, host, initramfs, cpus, spare_cpu0, memory, extra_args, disks, kept_disks, lan=None):
        self.emulator = emulator
        self.kernel = host.kernel
        self.initramfs = initramfs
        self.cpus = cpus
        self.spare_cpu0 = spare_cpu0
        self.memory = memory
        self.disks = [(disk, False) for disk in disks] + [(disk, True) for disk in kept_disks]
        self.lan = lan
        self.args = f"{emulator.kernel_args(self.cpus)} {extra_args}".strip()
        self.bochs_console = ""


class Result:
    """What came back: the exit status of the script, the kernel's log, the files of /out."""

    def __init__(self, path):
        try:
            with open(path, "rb") as f:
                data = gzip.decompress(f.read())
            self.tar = tarfile.open(fileobj=io.BytesIO(data))
            self.status = int(self._text("status"))
        except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, ValueError) as error:
            raise LabError(f"no status came back ({error})") from error
        self.dmesg = self._text("dmesg")
        try:
            self.leaks = self._text("kmemleak")
        except KeyError:
            self.leaks = ""

    def _text(self, name):
        return self.tar.extractfile(f"./.lab/{name}").read().decode(errors="replace")

    def extract(self, directory):
        """Write the files that the script left in /out, and the kernel's log.

        File by file: the lab may be broken or hostile, and nothing of it, be it a link, a device or a
        path with dots, may reach beyond this directory.
        """
        os.makedirs(directory, exist_ok=True)
        for member in self.tar.getmembers():
            name = os.path.normpath(member.name)
            if not member.isreg() or name.startswith((".lab/", "../", "/")):
                continue
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                shutil.copyfileobj(self.tar.extractfile(member), f)
        with open(os.path.join(directory, "dmesg"), "w") as f:
            f.write(self.dmesg)


PR_SET_PDEATHSIG = 1


def _start(command, directory, **stdio):
    """Start an emulator in its own session, to be killed as a whole, and by the kernel should we die
    first; TERM is for Bochs' display."""
    libc = ctypes.CDLL(None)
    return subprocess.Popen(command, cwd=directory, start_new_session=True,
                            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
                            env={**os.environ, "TERM": "vt100"}, **stdio)


def _kill(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Console:
    """The console of a running machine, as a file descriptor to read."""

    def __init__(self, machine, directory):
        emulator = machine.emulator
        if isinstance(emulator, processors.Bochs):
            # Bochs opens what we give it; reading and writing end are ours, so that it
            # never waits for us and we see no end of file before it has opened.
            fifo = os.path.join(directory, "console")
            os.mkfifo(fifo)
            self.fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
            machine.bochs_console = f"mode=file, dev={fifo}"
            with open(os.path.join(directory, "screen"), "wb") as screen:
                self.process = _start(emulator.command(directory, machine), directory, stdin=subprocess.DEVNULL,
                                      stdout=screen, stderr=subprocess.STDOUT)
        else:
            self.fd, writer = os.pipe()
            self.process = _start(emulator.command(directory, machine), directory, stdin=subprocess.DEVNULL,
                                  stdout=writer, stderr=subprocess.STDOUT)
            os.close(writer)
            os.set_blocking(self.fd, False)

    def read(self, seconds):
        """What there is within that time; None when the machine is gone and nothing is left."""
        ended = self.process.poll() is not None
        ready, _, _ = select.select([self.fd], [], [], 0 if ended else seconds)
        try:
            data = os.read(self.fd, 65536) if ready else b""
        except BlockingIOError:
            data = b""
        if not data and ended:
            return None
        if not data and ready:
            time.sleep(0.01)  # QEMU has closed its end and is about to exit
        return data


class _Bound:
    """When to give a machine up: after so many seconds; one in Bochs, which always computes, after so many
    of the processor's, however busy that is with other things."""

    def __init__(self, machine, process, seconds):
        self.seconds = seconds
        self.computing = isinstance(machine.emulator, processors.Bochs)
        self.stat = f"/proc/{process.pid}/stat"
        self.began = time.monotonic()

    def passed(self):
        """What has passed, or None."""
        elapsed = time.monotonic() - self.began
        if elapsed <= self.seconds:
            return None
        if not self.computing:
            return f"{self.seconds} s"
        try:
            with open(self.stat) as f:
                ticks = sum(map(int, f.read().rpartition(")")[2].split()[11:13]))
        except (OSError, ValueError):
            return None
        if ticks / os.sysconf("SC_CLK_TCK") > self.seconds:
            return f"{self.seconds} s of computing"
        # One that waits for what never comes computes nothing.
        return f"{10 * self.seconds} s" if elapsed > 10 * self.seconds else None


def run(machine, seconds, log=None, out=None):
    """Run until power-off. Returns (Result, console output); the console is streamed meanwhile.

    When that fails, what the emulator has to say about it is left in the directory `out`.
    """
    output = bytearray()
    with tempfile.TemporaryDirectory(prefix="vireo-lab-") as directory:
        console = _Console(machine, directory)
        bound = _Bound(machine, console.process, seconds)
        try:
            while (data := console.read(0.2)) is not None:
                output += data
                if data:
                    sys.stdout.buffer.write(data.replace(b"\r", b""))
                    sys.stdout.buffer.flush()
                    if log:
                        log.write(data.replace(b"\r", b""))
                        log.flush()
                if passed := bound.passed():
                    raise TimeoutError(passed)
        finally:
            _kill(console.process)
        text = output.decode(errors="replace")
        try:
            return Result(os.path.join(directory, "result")), text
        except LabError as error:
            if out:
                _save(directory, out, ("bochs.log", "screen", "result"))
            found = reports.find_in_console(text)
            if found:
                raise LabError("host kernel: " + found[0]) from error
            if isinstance(machine.emulator, processors.Bochs):
                raise LabError(f"{error}; Bochs: {_bochs_reason(directory)}") from error
            raise LabError(f"{error}; QEMU ended with {console.process.returncode}") from error


def _save(directory, out, names):
    os.makedirs(out, exist_ok=True)
    for name in names:
        if os.path.exists(os.path.join(directory, name)):
            shutil.copy(os.path.join(directory, name), out)


def _bochs_reason(directory):
    """The last panic in Bochs' log."""
    try:
        with open(os.path.join(directory, "bochs.log"), errors="replace") as f:
            panics = [line.strip() for line in f if ">>PANIC<<" in line]
    except OSError:
        panics = []
    return panics[-1] if panics else "no reason given"


def shell(machine):
    """Connect this terminal to the machine's console until it powers off."""
    with tempfile.TemporaryDirectory(prefix="vireo-lab-") as directory:
        if not isinstance(machine.emulator, processors.Bochs):
            command = machine.emulator.command(directory, machine)
            stdio = command.index("stdio,id=console,signal=off")
            command[stdio] = "stdio,id=console,mux=on,signal=off"
            print("lab: Ctrl-A x ends the machine\r")
            subprocess.run(command, cwd=directory)
            return
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        machine.bochs_console = f"mode=term, dev={os.ttyname(theirs)}"
        with open(os.path.join(directory, "screen"), "wb") as screen:
            process = _start(machine.emulator.command(directory, machine), directory, stdin=subprocess.DEVNULL,
                             stdout=screen, stderr=subprocess.STDOUT)
        print("lab: Ctrl-A x ends the machine\r")
        before = termios.tcgetattr(0) if os.isatty(0) else None
        try:
            if before:
                tty.setraw(0)
            _relay(process, ours)
        finally:
            if before:
                termios.tcsetattr(0, termios.TCSADRAIN, before)
            _kill(process)


def _relay(process, console):
    """Copy between this terminal and the console. Ctrl-A x ends, Ctrl-A a sends a Ctrl-A, as with QEMU."""
    inputs = [0, console]
    escape = False
    while process.poll() is None:
        ready, _, _ = select.select(inputs, [], [], 0.2)
        if console in ready:
            os.write(1, os.read(console, 65536))
        if 0 not in ready:
            continue
        typed = os.read(0, 1024)
        if not typed:
            inputs.remove(0)
        for byte in typed:
            if escape:
                escape = False
                if byte == ord("x"):
                    return
                if byte == ord("a"):
                    os.write(console, b"\x01")
            elif byte == 0x01:
                escape = True
            else:
                os.write(console, bytes([byte]))

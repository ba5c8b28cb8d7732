# SPDX-License-Identifier: GPL-2.0-only
"""The kernels that a lab can boot as its host."""

import os
import subprocess

from .initramfs import LAB_DIR, LabError

# Which script makes the kernel, and what it is told.
HOSTS = {
    "small": ["build", "small"],
    "debug": ["build", "debug"],
    "6.12": ["stock", "6.12"],
    "6.1": ["stock", "6.1"],
}


class Host:
    """A kernel in the cache; made on first use."""

    def __init__(self, name):
        script, argument = HOSTS[name]
        made = subprocess.run([os.path.join(LAB_DIR, "kernel", script), argument],
                              stdout=subprocess.PIPE, text=True)
        if made.returncode:
            raise LabError(f"no host kernel {name}")
        self.name = name
        self.path = made.stdout.strip()
        self.kernel = os.path.join(self.path, "bzImage")
        self.kdir = os.path.join(self.path, "build")
        with open(os.path.join(self.path, "release")) as f:
            self.release = f.read().strip()

    def module(self, name):
        """The file of a kernel module; the name may be spelt with dashes or underscores."""
        for spelling in (name, name.replace("_", "-")):
            path = os.path.join(self.path, "modules", spelling + ".ko")
            if os.path.exists(path):
                return path
        raise LabError(f"host {self.name} has no module {name}")

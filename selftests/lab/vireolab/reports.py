# SPDX-License-Identifier: GPL-2.0-only
"""Find what the host kernel complained about."""

import re

# One line that starts a report. Checkers each have their own words.
_REPORT = re.compile("|".join((
    r"\bBUG\b", r"WARNING:", r"KASAN:", r"UBSAN:", r"INFO: possible", r"INFO: trying to register non-static key",
    r"INFO: .*detected stall", r"INFO: task .* blocked for", r"general protection fault", r"\bOops\b",
    r"unable to handle", r"Kernel panic", r"unreferenced object", r"ODEBUG:", r"refcount_t:",
    r"DEBUG_LOCKS_WARN_ON", r"list_(add|del) corruption", r"suspicious RCU usage", r"scheduling while atomic",
    r"double fault", r"stack segment", r"unchecked MSR access",
)))

# What is no report of the kernel about itself, or is what an emulator provokes on any kernel.
_EXPECTED = (
    # A program's own fault, not the kernel's.
    "traps: ",
    # Bochs' CPUID counts cores in leaf 4 that leaf 1 does not.
    "topology_common.c:57 parse_legacy",
)

_TIMESTAMP = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\]")


def find(text):
    """The lines of the kernel's log that start a report."""
    return [line for line in text.splitlines()
            if _REPORT.search(line) and not any(word in line for word in _EXPECTED)]


def find_in_console(text):
    """The same in a console's output, where programs' lines (and guests' kernels) are mixed in."""
    return find("\n".join(line for line in text.splitlines() if _TIMESTAMP.match(line)))

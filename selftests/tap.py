# SPDX-License-Identifier: GPL-2.0-only
"""Read TAP and KTAP, as programs and as KUnit print it, out of a console's output.

Rules that go beyond counting lines: a plan of N with fewer than N results means that the missing
ones failed; a result with subtests below it stands for them and is not counted again, unless it
failed though they passed; a skip without a reason is a failure.
"""

import re
from dataclasses import dataclass, field

_KERNEL_PREFIX = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
_VERSION = re.compile(r"^K?TAP version \d+$")
_PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\b\s*(.*))?$", re.IGNORECASE)
# A number or a dash makes it a result, not a word of prose.
_RESULT = re.compile(r"^(not )?ok (?:\d+\b\s*(?:- )?|- )\s*(.*)$")
_SKIP = re.compile(r"(?:^|\s)#\s*SKIP\b[:\s]*(.*)$", re.IGNORECASE)
_SUBTEST = re.compile(r"^# Subtest: (.+)$")
_BAIL = re.compile(r"^Bail out!\s*(.*)$")


@dataclass
class Result:
    """One counted result; `skip` is the reason if it was skipped."""
    name: str
    passed: bool
    skip: str = ""


@dataclass
class _Group:
    """The results between one plan and the next, at one depth."""
    indent: int
    plan: int | None = None
    seen: int = 0
    name: str = ""
    results: list = field(default_factory=list)

    def close(self):
        """All results, with those that the plan promised and that never came."""
        if self.plan is not None and self.seen < self.plan:
            missing = self.plan - self.seen
            self.results += [Result(f"missing result, {self.seen} of {self.plan} came", False)] * missing
        elif self.plan is None and not self.seen and not self.results:
            self.results.append(Result("announced tests, but none came", False))
        return self.results


class _Parser:
    def __init__(self):
        self.stack = []
        self.done = []

    def _close_deeper(self, indent):
        """Close the groups that lie deeper than this; their results, prefixed."""
        results = []
        name = ""
        while self.stack and self.stack[-1].indent > indent:
            group = self.stack.pop()
            name = group.name or name
            results = group.close() + results
        return results, name

    def _keep(self, results):
        """Results whose parent never came (a crash, or KUnit's modules without one)."""
        if self.stack:
            self.stack[-1].results += results
        else:
            self.done += results

    def _group(self, indent, fresh=False):
        """The open group at this depth, or a new one."""
        self._keep(self._close_deeper(indent)[0])
        if self.stack and self.stack[-1].indent == indent:
            if not fresh:
                return self.stack[-1]
            closed = self.stack.pop().close()
            self._keep(closed)
        self.stack.append(_Group(indent))
        return self.stack[-1]

    def line(self, text):
        text = _KERNEL_PREFIX.sub("", text.rstrip())
        line = text.lstrip(" ")
        indent = len(text) - len(line)
        if _VERSION.match(line):
            self._group(indent, fresh=True)
        elif match := _PLAN.match(line):
            self._plan(indent, int(match[1]), match[2])
        elif match := _RESULT.match(line):
            self._result(indent, not match[1], match[2])
        elif match := _SUBTEST.match(line):
            self._group(indent).name = match[1]
        elif match := _BAIL.match(line):
            self._keep([Result(f"bailed out: {match[1]}", False)])

    def _plan(self, indent, count, skip):
        group = self._group(indent)
        if group.plan is not None:
            # A plan stands before or after its results; a second one begins anew.
            group = self._group(indent, fresh=True)
        group.plan = count
        if count == 0:
            group.results.append(_skipped("all of it", skip or ""))

    def _result(self, indent, passed, description):
        children, _ = self._close_deeper(indent)
        group = self._group(indent)
        group.seen += 1
        skip = _SKIP.search(description)
        name = _SKIP.sub("", description).strip()
        if children:
            group.results += [Result(f"{name}: {c.name}", c.passed, c.skip) for c in children]
            if passed or any(not c.passed for c in children):
                return
        if skip:
            group.results.append(_skipped(name, skip[1]))
        else:
            group.results.append(Result(name, passed))

    def end(self):
        results, _ = self._close_deeper(-1)
        return self.done + results


def _skipped(name, reason):
    reason = reason.strip()
    return Result(name, True, reason) if reason else Result(f"{name} (skipped without a reason)", False)


def parse(lines, status):
    """The results of a test that printed these lines and ended with this exit status."""
    parser = _Parser()
    for line in lines:
        parser.line(line.replace("\r", ""))
    results = parser.end()
    if not results:
        return [Result("" if status == 0 else f"exit status {status}", status == 0)]
    if status and all(r.passed for r in results):
        results.append(Result(f"exit status {status}", False))
    return results

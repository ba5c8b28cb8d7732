#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The tests of tap.py; prints TAP."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tap  # noqa: E402

CASES = {
    "no results: the status counts": ("hello\n", 0, (1, 0, 0)),
    "no results: a bad status fails": ("hello\n", 3, (0, 1, 0)),
    "plain": ("1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
    "not ok": ("1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
    "plan at the end": ("ok 1 - a\nok 2 - b\n1..2\n", 0, (2, 0, 0)),
    "missing results": ("1..4\nok 1 - a\n", 0, (1, 3, 0)),
    "a bad status in spite of good results": ("1..1\nok 1 - a\n", 9, (1, 1, 0)),
    "without numbers": ("ok - a\nnot ok - b\n1..2\n", 1, (1, 1, 0)),
    "skip with a reason": ("1..1\nok 1 - a # SKIP no such processor\n", 0, (0, 0, 1)),
    "skip without a reason": ("1..1\nok 1 - a # SKIP\n", 0, (0, 1, 0)),
    "skip of everything": ("TAP version 13\n1..0 # SKIP no device\n", 0, (0, 0, 1)),
    "two programs one after the other": ("TAP version 13\n1..1\nok 1 a\nnoise\nTAP version 13\n1..2\nok 1 a\n", 0, (2, 1, 0)),
    "two plans without a version": ("1..1\nok 1 - a\n1..1\nok 1 - b\n", 0, (2, 0, 0)),
    "carriage returns": ("1..1\r\nok 1 - a\r\n", 0, (1, 0, 0)),
    "bail out": ("1..1\nBail out! broken\n", 1, (0, 2, 0)),
    "header and nothing": ("TAP version 13\n", 0, (0, 1, 0)),
    "words that look alike": ("1..1\nok 1 - a\nok then\nokay 2\n", 0, (1, 0, 0)),
    "KUnit in the kernel's log": (
        "[    1.000001]     KTAP version 1\n"
        "[    1.000002]     # Subtest: regions\n"
        "[    1.000003]     1..2\n"
        "[    1.000004]     ok 1 set\n"
        "[    1.000005]     ok 2 delete\n"
        "[    1.000006] # regions: pass:2 fail:0 skip:0 total:2\n"
        "[    1.000007] ok 1 regions\n", 0, (2, 0, 0)),
    "KUnit with parameters": (
        "[    1.0]     KTAP version 1\n"
        "[    1.0]     # Subtest: exits\n"
        "[    1.0]     1..1\n"
        "[    1.0]         KTAP version 1\n"
        "[    1.0]         # Subtest: decode\n"
        "[    1.0]         ok 1 cpuid\n"
        "[    1.0]         not ok 2 hlt\n"
        "[    1.0]     # decode: pass:1 fail:1 skip:0 total:2\n"
        "[    1.0]     not ok 1 decode\n"
        "[    1.0] not ok 1 exits\n", 0, (1, 1, 0)),
    "a parent that fails with good children": ("    1..1\n    ok 1 a\nnot ok 1 suite\n", 0, (1, 1, 0)),
    "a crash inside a suite": ("    1..3\n    ok 1 a\n[ 3.0] BUG: x\n", 125, (1, 2, 0)),
}


def count(results):
    failed = sum(not r.passed for r in results)
    skipped = sum(bool(r.passed and r.skip) for r in results)
    return len(results) - failed - skipped, failed, skipped


print(f"1..{len(CASES)}")
bad = 0
for number, (name, (text, status, wanted)) in enumerate(CASES.items(), 1):
    got = count(tap.parse(text.splitlines(), status))
    bad += got != wanted
    print(f"{'ok' if got == wanted else 'not ok'} {number} - {name}" + ("" if got == wanted else f" # {got} != {wanted}"))
sys.exit(bool(bad))

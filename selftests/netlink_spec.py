#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Is Documentation/netlink/specs/vireo.yaml right, and does it say what the uapi headers say?

netlink_spec.py KERNEL-SOURCE [REPO]: prints TAP.
"""
import pathlib
import re
import subprocess
import sys

import jsonschema
import yaml

# Enumerators of the headers that are no values of their own, or are not for the spec.
NO_VALUE = re.compile(r"^__|_(UNSPEC|MAX|NR)$")


def c_name(*parts):
    return "_".join(parts).upper().replace("-", "_")


def spec_values(spec):
    """All names that the spec gives a value: {C name: value}."""
    values = {}
    for definition in spec["definitions"]:
        if definition["type"] == "const":
            values[c_name(spec["name"], definition["name"])] = definition["value"]
            continue
        value = definition.get("value-start", 0)
        for entry in definition["entries"]:
            if isinstance(entry, str):
                entry = {"name": entry}
            value = entry.get("value", value)
            values[c_name(spec["name"], definition["name"], entry["name"])] = value
            value += 1
    lists = [(s["name-prefix"], s["attributes"]) for s in spec["attribute-sets"]]
    lists.append((spec["operations"]["name-prefix"], spec["operations"]["list"]))
    for prefix, entries in lists:
        value = 1
        for entry in entries:
            value = entry.get("value", value)
            values[c_name(prefix + entry["name"])] = value
            value += 1
    return values


def check_schema(spec, source):
    schema = yaml.safe_load((source / "Documentation/netlink/genetlink.yaml").read_text())
    for error in jsonschema.Draft7Validator(schema).iter_errors(spec):
        yield f"{'/'.join(map(str, error.absolute_path))}: {error.message}"


def check_loads(spec_path, source):
    """The kernel's own reader of such files knows more than the schema does."""
    sys.path.insert(0, str(source / "tools/net/ynl"))
    from lib import SpecFamily
    try:
        SpecFamily(str(spec_path), str(source / "Documentation/netlink/genetlink.yaml"))
    except Exception as error:
        yield f"tools/net/ynl: {error}"


def check_names(spec):
    """What is referred to is there."""
    known = {definition["name"] for definition in spec["definitions"]}
    sets = {s["name"]: {a["name"] for a in s["attributes"]} for s in spec["attribute-sets"]}
    groups = {group["name"] for group in spec["mcast-groups"]["list"]}
    for attributes in spec["attribute-sets"]:
        for attribute in attributes["attributes"]:
            if attribute.get("enum", "vendor") not in known:
                yield f"{attribute['name']}: no enum {attribute['enum']}"
            if attribute["type"] == "nest" and attribute.get("nested-attributes") not in sets:
                yield f"{attribute['name']}: no set {attribute.get('nested-attributes')}"
    for op in spec["operations"]["list"]:
        if "mcgrp" in op and op["mcgrp"] not in groups:
            yield f"{op['name']}: no group {op['mcgrp']}"
        messages = [op.get("event", {})]
        messages += [op.get(mode, {}).get(way, {}) for mode in ("do", "dump") for way in ("request", "reply")]
        for message in messages:
            for name in message.get("attributes", []):
                if name not in sets[op["attribute-set"]]:
                    yield f"{op['name']}: no attribute {name}"


def check_values(values, repo):
    """The compiler says what the headers mean."""
    text = '#include "uapi/linux/vireo.h"\n#include "uapi/linux/vireo_netlink.h"\n'
    for name, value in values.items():
        text += f'_Static_assert({name} == {value}, "{name} is not {value}");\n'
    out = subprocess.run(["cc", "-fsyntax-only", "-x", "c", "-I", str(repo), "-"], input=text, capture_output=True, text=True)
    for line in out.stderr.splitlines():
        if "error:" in line:
            yield line


def check_complete(values, repo):
    text = re.sub(r"/\*.*?\*/", "", (repo / "uapi/linux/vireo_netlink.h").read_text(), flags=re.S)
    reasons = re.search(r"enum vireo_exit_reason \{(.*?)\n\};", (repo / "uapi/linux/vireo.h").read_text(), re.S)[1]
    names = [name for body in re.findall(r"\benum \w+ \{(.*?)\}", text, re.S) for name in re.findall(r"^\s*(\w+)", body, re.M)]
    names += re.findall(r"^\t(\w+)", reasons, re.M)
    if len(names) < 100:
        yield f"only {len(names)} names were found in the headers"
    for name in names:
        if name not in values and not NO_VALUE.search(name):
            yield f"{name} is not in the spec"


def check_strings(spec, repo):
    """Names that are texts in the header."""
    text = (repo / "uapi/linux/vireo_netlink.h").read_text()
    strings = dict(re.findall(r'#define (VIREO_NL_\w+)\s+"(.*)"', text))
    groups = {value for name, value in strings.items() if name.startswith("VIREO_NL_GROUP_")}
    if strings.get("VIREO_NL_FAMILY") != spec["name"]:
        yield f"the family is {strings.get('VIREO_NL_FAMILY')} in the header"
    if groups != {group["name"] for group in spec["mcast-groups"]["list"]}:
        yield f"the groups are {sorted(groups)} in the header"


def main():
    source = pathlib.Path(sys.argv[1])
    repo = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    path = repo / "Documentation/netlink/specs/vireo.yaml"
    spec = yaml.safe_load(path.read_text())
    values = spec_values(spec)
    checks = [
        ("it keeps to the kernel's schema", check_schema(spec, source)),
        ("the kernel's tools can read it", check_loads(path, source)),
        ("what it refers to is there", check_names(spec)),
        ("its values are those of the headers", check_values(values, repo)),
        ("nothing of the headers is missing", check_complete(values, repo)),
        ("its names are those of the header", check_strings(spec, repo)),
    ]
    failed = 0
    print("TAP version 13")
    for i, (what, problems) in enumerate(checks, 1):
        problems = list(problems)
        for line in problems:
            print(f"# {line}")
        print(f"{'not ' if problems else ''}ok {i} - {what}")
        failed += bool(problems)
    print(f"1..{len(checks)}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())

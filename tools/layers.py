#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that dependencies point down: each folder of src/ includes only from itself and the folders below it.

The order is that of ARCHITECTURE.md. Prints one line a violation as file:line: message; exit status 1 if there is any.
"""
import pathlib
import re
import sys

# Folders side by side in one row do not see each other.
LAYERS = [
    ["base"],
    ["aws"],
    ["flow"],
    ["inventory"],
    ["policy"],
    ["record"],
    ["capture"],
    ["meter"],
    ["journal"],
    ["scan"],
    ["deliver", "query"],
    ["cli"],
    ["daemon"],
]
# The one header that kernel and user space share.
SHARED = {"bpf/shared.h": {"capture", "daemon"}}
# Linux-only headers, so that the offline tool builds anywhere.
LINUX_ONLY = re.compile(r"(linux|libmnl|bpf|libnetlink|seccomp|cap-ng)[/.]|^sys/(epoll|signalfd|timerfd|prctl)\.h")
LINUX_ROOMS = {"capture", "inventory", "daemon"}
LINUX_FILES = {"base/loop.c"}  # epoll: only the daemon links it
# A face is <room>/<room>.h; base has no face, every header of it is public. Rooms with a second face:
FACES = {
    "flow/decode_fast.h",  # in line in the packet loop
    "inventory/network.h",  # AWS's nouns; inventory.h is what a record needs
    "capture/pcap_input.h",  # the bytes of a file, decompressed
    "record/columns.h",  # records by column
    "record/parquet.h",  # batches as a Parquet file
    "record/parquet_format.h",  # numbers of the file format, for the reader
    "scan/text.h",  # lines as batches of columns
    "scan/reader.h",  # sources as batches of columns
    "scan/metered.h",  # captures through the meter
    "scan/filter.h",
    "scan/words.h",  # filters as people write them
    "record/enrich.h",  # fields that need the inventory
    "policy/replay.h",  # recorded flows against rules
    "policy/suggest.h",  # rules from recorded flows
    "policy/trace.h",  # explains the way of a connection; policy.h decides about packets
    "query/ask.h",  # ready questions; query.h is SQL
    "query/derive.h",
    "query/group.h",
    "cli/config.h",  # the configuration file, read for `flowlog run` too
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def level(room):
    for i, row in enumerate(LAYERS):
        if room in row:
            return i
    return None


def check(root):
    src = root / "src"
    for path in sorted(src.rglob("*.[ch]")):
        name = path.relative_to(src)
        room = name.parts[0]
        if level(room) is None:
            yield f"src/{name}:1: folder {room}/ has no place in the order of tools/layers.py"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            where, target = f"src/{name}:{number}", found[2]
            if found[1] == "<":
                if LINUX_ONLY.search(target) and room not in LINUX_ROOMS and str(name) not in LINUX_FILES:
                    yield f"{where}: <{target}> is Linux only and belongs in {', '.join(sorted(LINUX_ROOMS))}"
                continue
            if target in SHARED:
                if room not in SHARED[target]:
                    yield f"{where}: {target} is for {', '.join(sorted(SHARED[target]))}"
                continue
            other = target.split("/")[0]
            if "/" not in target or level(other) is None:
                continue  # a generated header
            if other == room:
                continue
            if level(other) >= level(room):
                yield f"{where}: {room}/ may not see {other}/ (order: {' < '.join('|'.join(r) for r in LAYERS)})"
            elif other != "base" and not target.endswith(".def") and target != f"{other}/{other}.h" and target not in FACES:
                yield f"{where}: {target} is {other}/'s own business; its face is {other}/{other}.h"


if __name__ == "__main__":
    problems = list(check(pathlib.Path(__file__).resolve().parents[1]))
    print("\n".join(problems) or "layers: dependencies point down")
    sys.exit(bool(problems))

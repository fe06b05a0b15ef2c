#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test of a build directory and ends with the one line that counts them.
set -u
build=${1:-build-test}
meson test -C "$build" --print-errorlogs || true
/usr/bin/python3 - "$build/meson-logs/testlog.junit.xml" <<'P'
import sys, xml.etree.ElementTree as tree
passed = failed = skipped = 0
for case in tree.parse(sys.argv[1]).iter("testcase"):
    if case.find("failure") is not None or case.find("error") is not None:
        failed += 1
    elif case.find("skipped") is not None:
        skipped += 1
    else:
        passed += 1
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed or not passed else 0)
P

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test of a build directory and ends with the one line that counts them. Further arguments go to pytest.
set -u
build=${1:-build-test}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
meson test -C "$build" --print-errorlogs || true
# -p no:cacheprovider: the tree may be read-only
FLOWLOG=$(cd "$build" && pwd)/src/daemon/flowlog /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider \
	--junitxml="$build/meson-logs/system.junit.xml" "$root/tests/system" "$@" || true
/usr/bin/python3 - "$build/meson-logs/testlog.junit.xml" "$build/meson-logs/system.junit.xml" <<'Q'
import sys, xml.etree.ElementTree as tree
passed = failed = skipped = 0
for path in sys.argv[1:]:
    cases = list(tree.parse(path).iter("testcase"))
    failed += not cases  # a runner that ran nothing has failed
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed or not passed else 0)
Q

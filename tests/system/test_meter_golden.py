# SPDX-License-Identifier: Apache-2.0
"""Golden cases: tests/golden/CASE/{in.pcap,args,want.log,note}. Flows of a window are in the order in which they came."""
import re

import pytest

from conftest import ROOT

GOLDEN = ROOT / "tests/golden"
CASES = sorted(p.name for p in GOLDEN.iterdir() if p.is_dir())


def lines(text):
    # The interface's id comes from the machine's.
    return re.sub(r"eni-[0-9a-f]{17}", "eni-X", text).splitlines()


@pytest.mark.parametrize("case", CASES)
def test_golden(flowlog, case):
    folder = GOLDEN / case
    args = (folder / "args").read_text().splitlines()
    assert (folder / "note").read_text().strip()
    assert lines(flowlog("meter", *args, folder / "in.pcap").stdout) == lines((folder / "want.log").read_text())

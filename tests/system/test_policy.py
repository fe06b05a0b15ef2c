# SPDX-License-Identifier: Apache-2.0
"""The policy engine against the oracle over inventories from files: the small world of test_why.py, and a thousand interfaces made by moto."""
import os
import re
import subprocess
import sys

from aws_inventory import World
from conftest import PROGRAM, ROOT, sh
from test_inventory import GOLDEN, MAKE, moto  # noqa: F401 (a fixture)

COMPARE = PROGRAM.parents[2] / "tests/policy/compare"


def test_engine_and_oracle_agree_on_the_small_world(tmp_path):
    said = sh(COMPARE, World().write(tmp_path / "aws"), 50000).stdout
    assert said.startswith("8 interfaces, 50000 packets")
    for decider in ("security-group", "connection", "network-acl", "closed-connection"):
        assert decider in said


def test_why_and_the_verdicts_agree(tmp_path):
    """compare asks fl_trace and holds each filter of the answer against the engine: there, and back."""
    inventories = [World().write(tmp_path / "aws"), GOLDEN] + sorted((ROOT / "tests/scenarios").glob("*/inventory"))
    assert len(inventories) > 15
    for path in inventories:
        questions, filters = re.search(r"^(\d+) questions, \d+ allowed, (\d+) filters$", sh(COMPARE, path, 40000).stdout, re.M).groups()
        assert questions == "20000" and int(filters) > 2000, path


def test_engine_and_oracle_agree_on_a_thousand_interfaces(moto, tmp_path):  # noqa: F811
    out = tmp_path / "aws"
    out.mkdir()
    subprocess.run([sys.executable, "-c", MAKE, out, "1000"], check=True, env={**os.environ, "PYTHONPATH": str(moto)}, timeout=300)
    said = sh(COMPARE, out, 100000).stdout
    assert said.startswith("1000 interfaces, 100000 packets") and "connection" in said and "security-group" in said

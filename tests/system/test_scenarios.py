# SPDX-License-Identifier: Apache-2.0
"""AWS's documented outcomes (../shared/spec/semantics.md): tests/scenarios/CASE is a capture, the inventory it was made in, and the
records that AWS's documentation shows for it."""
import json

import pytest

from conftest import ROOT

SCENARIOS = ROOT / "tests/scenarios"
CASES = sorted(p.name for p in SCENARIOS.iterdir() if p.is_dir())


def meter(flowlog, case, *more, **kwargs):
    folder = SCENARIOS / case
    return flowlog("meter", "--inventory", folder / "inventory", *(folder / "args").read_text().splitlines(), *more, folder / "in.pcap", **kwargs)


@pytest.mark.parametrize("case", CASES)
def test_scenario(flowlog, case):
    folder = SCENARIOS / case
    assert (folder / "note").read_text().strip()
    found, want = meter(flowlog, case).stdout.splitlines(), (folder / "want.log").read_text().splitlines()
    assert (found[:1], sorted(found[1:])) == (want[:1], sorted(want[1:]))


@pytest.mark.parametrize("case, switch, before, after", [
    ("traffic-paths", "--generic-path", {"198.51.100.7 - egress 8 - -", "52.94.0.9 AMAZON egress 8 - -", "52.95.128.179 S3 egress 7 - -"},
     {"198.51.100.7 - egress 2 - -", "52.94.0.9 AMAZON egress 2 - -", "52.95.128.179 S3 egress 2 - -"}),
    ("secondary-address", "--keep-secondary", {"eni-00000000000000001 172.31.16.139 203.0.113.12 172.31.16.140 203.0.113.12 egress ACCEPT"},
     {"eni-00000000000000001 172.31.16.140 203.0.113.12 172.31.16.140 203.0.113.12 egress ACCEPT"}),
    ("transit-gateway-flow-log", "--lost-apart", {"6 3 120 0 3", "6 2 80 2 0"}, {"6 0 0 0 3", "6 0 0 2 0"})])
def test_what_is_not_documented_can_be_switched(flowlog, case, switch, before, after):
    """Only the lines that the switch is about change."""
    more = ["--format", "${protocol} ${packets} ${bytes} ${packets-lost-no-route} ${packets-lost-blackhole}"] if case.startswith("transit") else []
    was, found = (set(meter(flowlog, case, *more, *s).stdout.splitlines()) for s in ([], [switch]))
    assert (was - found, found - was) == (before, after)


@pytest.mark.parametrize("case", CASES)
def test_what_decided_stands_beside_each_record(flowlog, case):
    """verdicts.log has the records of want.log and four columns more, in every form."""
    found = meter(flowlog, case, "--verdicts").stdout.splitlines()
    assert found[0].endswith(" verdict-source verdict-cause policy-action policy-cause")
    assert [found[0], *sorted(found[1:])] == (SCENARIOS / case / "verdicts.log").read_text().splitlines()
    plain = (SCENARIOS / case / "want.log").read_text().splitlines()
    assert sorted(line.rsplit(" ", 4)[0] for line in found[1:]) == sorted(plain[1:])
    want = sorted(line.split()[-4:] for line in found[1:])
    csv = meter(flowlog, case, "--verdicts", "-o", "csv").stdout.splitlines()
    assert sorted(line.split(",")[-4:] for line in csv[1:]) == want
    rows = [json.loads(line) for line in meter(flowlog, case, "--verdicts", "-o", "json").stdout.splitlines()]
    names = found[0].split()[-4:]
    assert sorted([row[name] or "-" for name in names] for row in rows) == want


def test_without_an_inventory_nothing_was_observed(flowlog):
    folder = SCENARIOS / "ping-accepted"
    rows = [json.loads(line) for line in flowlog("meter", "--verdicts", "-o", "json", folder / "in.pcap").stdout.splitlines()]
    assert rows and all(row["verdict-source"] == "none" and row["verdict-cause"] is row["policy-action"] is row["policy-cause"] is None for row in rows)


def ledger(flowlog, tmp_path, case, *more):
    meter(flowlog, case, "--ledger", tmp_path / "ledger.json", *more)
    return json.loads((tmp_path / "ledger.json").read_text())


def test_rules_not_in_force_are_an_opinion(flowlog, tmp_path):
    found = ledger(flowlog, tmp_path, "not-enforced")["policy"]
    assert not found["enforced"] and found["denied"] == {"security-group": {"packets": 1, "bytes": 40}}


def test_an_answered_reject_is_a_contradiction(flowlog, tmp_path):
    """Both sides of a session of which the rules deny the first packet: they were not in force."""
    for case in CASES:  # an answer that is denied is not a question that is answered: the next ping is none
        assert case == "contradiction" or ledger(flowlog, tmp_path, case)["policy"]["contradictions"] == 0, case
    found = ledger(flowlog, tmp_path, "contradiction")["policy"]
    assert found["enforced"] and found["contradictions"] == 1


def test_the_ledger_balances(flowlog, tmp_path):
    for case in CASES:
        found = ledger(flowlog, tmp_path, case)
        assert found["seen"] == found["recorded"] and found["policy"]["judged"] == found["seen"], case


def test_inventory_and_interface_go_together(flowlog):
    folder = SCENARIOS / "ping-accepted"
    done = flowlog("meter", "--inventory", folder / "inventory", folder / "in.pcap", check=False)
    assert done.returncode == 2 and "--interface" in done.stderr
    done = flowlog("meter", "--inventory", folder / "inventory", "--interface", "eni-0badbadbadbadbad0", folder / "in.pcap", check=False)
    assert done.returncode == 2 and "eni-0badbadbadbadbad0" in done.stderr
    done = meter(flowlog, "ping-accepted", "--tag", "instance-tag", check=False)
    assert done.returncode == 2 and "FIELD=KEY" in done.stderr

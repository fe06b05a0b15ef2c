# SPDX-License-Identifier: Apache-2.0
"""Rules that bindings.json declares enforced: what they deny is REJECT, and who answers it all the same contradicts them."""
import collections
import json
import time

import pytest

from aws_inventory import ANY, group, interface, open_acl, permission, subnet, vpc
from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)

FORMAT = "${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${action} ${flow-direction} ${log-status}"
ENI, HOST, PEER = "eni-0enforced01", "10.77.0.1", "10.77.0.2"

SERVER = """
import socket, threading
def serve(s):
    while s.recv(1000):
        pass
s = socket.create_server(("", 80))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

CONNECT = """
import socket, sys, time
port, source, n, pause = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
try:
    s = socket.create_connection(("10.77.0.1", port), 2, ("", source))
except OSError:
    sys.exit(0)
for _ in range(n):
    s.send(b"x")
    time.sleep(pause)
"""


def write_rules(where, allowed, enforced=True):
    """allowed: ports that come in. Nothing goes out of itself."""
    where.mkdir(exist_ok=True)
    answers = {
        "Vpcs": [vpc("vpc-0e", "10.77.0.0/16")],
        "Subnets": [subnet("subnet-0e", "vpc-0e", "10.77.0.0/24", "us-east-1a")],
        "NetworkAcls": [open_acl("acl-0e", "vpc-0e", ["subnet-0e"])],
        "SecurityGroups": [group("sg-0e", "e", "vpc-0e", [permission("tcp", (port, port), ANY) for port in allowed], [])],
        "NetworkInterfaces": [interface(ENI, "worker", "vpc-0e", "subnet-0e", HOST, ["sg-0e"])],
        "Bindings": [{"NetworkInterfaceId": ENI, "Interface": "v0", "End": "guest", "Enforced": enforced}],
    }
    for top, rows in answers.items():
        # in its place at once: a meter may be looking
        new = where / ("." + top)
        new.write_text(json.dumps({top: rows}))
        new.rename(where / (f"{top}.json" if top != "Bindings" else "bindings.json"))
    return where


def connect(ns, port, source, n=3, pause=0.05):
    ns("/usr/bin/python3", "-c", CONNECT, str(port), str(source), str(n), str(pause))


@pytest.fixture
def server(pair):  # noqa: F811
    p = pair.a.popen("/usr/bin/python3", "-c", SERVER)
    time.sleep(0.5)
    yield p
    p.kill()


def rows(d):
    got = collections.Counter()
    for r in d.records():
        assert r["log-status"] != "SKIPDATA"
        if r["log-status"] == "OK" and r["interface-id"] == ENI and r["protocol"] == "6":
            got[r["action"], r["flow-direction"], int(r["srcport"]), int(r["dstport"])] += int(r["packets"])
    return got


def causes(flowlog, d):
    """The journal's records of TCP with what decided."""
    text = flowlog("tail", "--store", d.store, "-n", "100000", "--verdicts", "-o", "json").stdout
    records = [json.loads(line) for line in text.splitlines()]
    return [r for r in records if r["log-status"] == "OK" and r["interface-id"] == ENI and r["protocol"] == 6]


def audit(flowlog, d):
    done = flowlog("audit", "--store", d.store, "--windows", "-o", "json", check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def here(d):
    return next(i for i in d.status("meter")["interfaces"] if i["device"] == "v0")


@pytest.mark.parametrize("enforced", [True, False])
def test_a_port_that_the_rules_deny(daemon, pair, flowlog, server, tmp_path, enforced):  # noqa: F811
    d = daemon(pair.a, *FAST, "--inventory", write_rules(tmp_path / "aws", [80], enforced), "--exclusions", "none", "--format", FORMAT)
    assert here(d)["enforced"] is enforced
    for i in range(4):
        connect(pair.b, 81, 8100 + i)  # nobody listens: a reset is no answer
    connect(pair.b, 80, 8000)
    # The window has to close, and the status to be written after it.
    d.wait_for(lambda: sum(here(d)["ledger"][way]["recorded"]["packets"] for way in ("ingress", "egress")) >= 8 + 8)
    time.sleep(2.2)
    status = flowlog("status", "--store", d.store).stdout
    assert d.stop() == 0
    code, found = audit(flowlog, d)
    assert code == 0, found
    windows = [w for w in found if w["kind"] == "window" and w["eni"] == ENI]
    assert all(("policy" in w["verdict_source"]) is enforced for w in windows)
    got = rows(d)
    rejected = {row: n for row, n in got.items() if row[0] == "REJECT"}
    # The group lets nothing out that does not answer, so the resets are denied too.
    want = {("REJECT", way, 8100 + i if way == "ingress" else 81, 81 if way == "ingress" else 8100 + i): 1 for i in range(4) for way in ("ingress", "egress")}
    assert rejected == (want if enforced else {})
    assert sum(w["denied"]["packets"] for w in windows) == (8 if enforced else 0)
    assert got["ACCEPT", "ingress", 8000, 80] >= 5 and got["ACCEPT", "egress", 80, 8000] >= 3
    assert not any(w["contradicted"]["packets"] for w in windows)
    decided = causes(flowlog, d)
    assert sum(r["packets"] for r in decided) == sum(got.values())
    for r in decided:
        closed = 81 in (r["srcport"], r["dstport"])
        inbound = r["flow-direction"] == "ingress"
        rule = "tcp_80_from_0.0.0.0/0"
        if closed:
            assert (r["policy-action"], r["policy-cause"]) == ("REJECT", f"sg-0e/{'in' if inbound else 'out'}bound/none"), r
        else:
            assert r["policy-action"] == "ACCEPT", r
            assert r["policy-cause"] in (f"sg-0e/inbound/{rule}", f"sg-0e/inbound/{rule}/connection"), r
        # In force, what the rules say is what decided.
        assert r["verdict-cause"] == (r["policy-cause"] if enforced else None), r
        assert r["verdict-source"] == ("policy" if enforced and closed else "kernel+policy" if enforced else "kernel"), r
    assert ("in force on 1 interface: 8 packets denied" in status) is enforced
    assert ("rules  " in status) is enforced


def test_connections_outlive_the_meter_and_answers_are_named(daemon, pair, flowlog, server, tmp_path):  # noqa: F811
    where = write_rules(tmp_path / "aws", [80])
    d = daemon(pair.a, *FAST, "--inventory", where, "--exclusions", "none", "--format", FORMAT)
    old = pair.b.popen("/usr/bin/python3", "-c", CONNECT, "80", "8000", "70", "0.2")
    time.sleep(2.2)
    write_rules(where, [])
    time.sleep(4.5)
    d.kill_all()
    d.start()
    time.sleep(2.2)
    assert d.stop() == 0
    code, found = audit(flowlog, d)
    assert code == 0, found
    d.start()
    time.sleep(1)
    connect(pair.b, 80, 8001, pause=0.01)
    assert old.wait(60) == 0
    time.sleep(2.2)
    status = flowlog("status", "--store", d.store).stdout
    assert "answer what they deny" in status
    assert d.stop() == 0
    got = rows(d)
    assert not [row for row in got if row[0] == "REJECT" and 8000 in row], got
    assert got["ACCEPT", "ingress", 8000, 80] >= 60  # of 70 and more; what comes between two runs is in no record
    assert got["REJECT", "ingress", 8001, 80] >= 3
    code, found = audit(flowlog, d)
    assert code == 1
    assert any("worker" in f["text"] and "Enforced" in f["text"] for f in found if f["kind"] == "finding"), found
    assert all(f["kind"] != "finding" or "answer what the rules" in f["text"] for f in found), found

# SPDX-License-Identifier: Apache-2.0
"""Rules that bindings.json declares enforced: what they deny is REJECT, and who answers it all the same contradicts them."""
import collections
import json
import subprocess

import pytest

from aws_inventory import ANY, group, interface, open_acl, permission, route, subnet, table, vpc
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


def write_rules(where, allowed, enforced=True, blocked=False):
    """allowed: ports that come in. Nothing goes out of itself. blocked: the peer is on the internet, and Block Public Access keeps it out."""
    where.mkdir(exist_ok=True)
    network = "10.77.0.0/31" if blocked else "10.77.0.0/24"
    answers = {
        "Vpcs": [vpc("vpc-0e", network)],
        "Subnets": [subnet("subnet-0e", "vpc-0e", network, "us-east-1a")],
        "RouteTables": [table("rtb-0e", "vpc-0e", ["subnet-0e"], route(network, GatewayId="local"), route(ANY, GatewayId="igw-0e"))],
        "InternetGateways": [{"InternetGatewayId": "igw-0e", "OwnerId": "111122223333", "Tags": [], "Attachments": [{"VpcId": "vpc-0e", "State": "available"}]}],
        "NetworkAcls": [open_acl("acl-0e", "vpc-0e", ["subnet-0e"])],
        "SecurityGroups": [group("sg-0e", "e", "vpc-0e", [permission("tcp", (port, port), ANY) for port in allowed], [])],
        "NetworkInterfaces": [interface(ENI, "worker", "vpc-0e", "subnet-0e", HOST, ["sg-0e"])],
        "Bindings": [{"NetworkInterfaceId": ENI, "Interface": "v0", "End": "guest", "Enforced": enforced}],
    }
    if blocked:
        answers["Vpcs"][0]["BlockPublicAccessStates"] = {"InternetGatewayBlockMode": "block-ingress"}
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
    p = pair.a.popen("/usr/bin/python3", "-c", SERVER, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
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
    d.settle()
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
    begun = pair.counters()[0]
    old = pair.b.popen("/usr/bin/python3", "-c", CONNECT, "80", "8000", "70", "0.2")
    d.wait_for(lambda: here(d)["ledger"]["ingress"]["recorded"]["packets"] >= 3)
    write_rules(where, [])
    d.settle(4)
    d.kill_all()
    d.start()
    d.settle()
    before = pair.counters()[0]
    assert d.stop() == 0
    code, found = audit(flowlog, d)
    assert code == 0, found
    d.start()
    d.wait_for(lambda: here(d)["metered"])
    between = pair.counters()[0] - before
    connect(pair.b, 80, 8001, pause=0.01)
    assert old.wait(60) == 0
    d.settle()
    status = flowlog("status", "--store", d.store).stdout
    assert "answer what they deny" in status
    assert d.stop() == 0
    got = rows(d)
    assert not [row for row in got if row[0] == "REJECT" and 8000 in row], got
    came = pair.counters()[0] - begun
    assert came - between <= sum(n for row, n in got.items() if row[1] == "ingress") <= came  # what comes between two runs is in no record
    assert got["ACCEPT", "ingress", 8000, 80] > 40
    assert got["REJECT", "ingress", 8001, 80] >= 3
    code, found = audit(flowlog, d)
    assert code == 1
    assert any("worker" in f["text"] and "Enforced" in f["text"] for f in found if f["kind"] == "finding"), found
    assert all(f["kind"] != "finding" or "answer what the rules" in f["text"] for f in found), found


def test_block_public_access_is_named_in_the_record(daemon, pair, flowlog, tmp_path):  # noqa: F811
    """reject-reason live: from the rules through the journal into the delivered object, where such a record has no bytes."""
    fields = "${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${action} ${flow-direction} ${reject-reason} ${log-status}"
    args = [*FAST, "--inventory", write_rules(tmp_path / "aws", [80], blocked=True), "--exclusions", "none"]
    d = daemon(pair.a, *args, "--format", fields)
    assert here(d)["enforced"]
    for i in range(3):
        connect(pair.b, 80, 8200 + i)
    d.wait_for(lambda: here(d)["ledger"]["ingress"]["recorded"]["packets"] >= 3)
    d.settle()
    kept = [r for r in causes(flowlog, d) if r["action"] == "REJECT"]
    assert kept and all(r["verdict-cause"] == "block-public-access" and r["verdict-source"] == "policy" and r["reject-reason"] == "BPA" for r in kept)
    assert all(r["bytes"] is None for r in kept)
    assert d.stop() == 0
    code, found = audit(flowlog, d)  # journal and objects agree, without the bytes too
    assert code == 0, found
    inbound = [r for r in d.records() if r["log-status"] == "OK" and r["flow-direction"] == "ingress" and r["protocol"] == "6"]
    assert {r["srcport"] for r in inbound} == {"8200", "8201", "8202"}
    assert all((r["action"], r["reject-reason"], r["bytes"]) == ("REJECT", "BPA", "-") for r in inbound), inbound


def test_a_recorded_flow_is_explained_by_what_was_kept(daemon, pair, flowlog, server, tmp_path):  # noqa: F811
    where = write_rules(tmp_path / "aws", [80])
    d = daemon(pair.a, *FAST, "--inventory", where, "--exclusions", "none")
    connect(pair.b, 81, 8300)
    connect(pair.b, 80, 8301)
    d.wait_for(lambda: here(d)["ledger"]["ingress"]["recorded"]["packets"] >= 4)
    d.settle()
    assert d.stop() == 0
    lines = flowlog("tail", "--store", d.store, "-n", "1000").stdout.splitlines()
    line = next(r for r in lines if f" {PEER} {HOST} 8300 81 6 " in r)
    # Today the rules let it pass; what decided then is still there.
    write_rules(where, [80, 81])
    why = ["why", "--inventory", where, "--store", d.store]
    answer = json.loads(flowlog(*why, "-o", "json", "--record", line, check=False).stdout)
    assert answer["rules"] == "ACCEPT" and answer["recorded"] == "REJECT"
    assert answer["decided"] == {"verdict_source": "policy", "verdict_cause": "sg-0e/inbound/none", "policy_action": "REJECT", "policy_cause": "sg-0e/inbound/none"}
    assert "decided by policy: sg-0e/inbound/none" in flowlog(*why, "--record", line, check=False).stdout
    assert json.loads(flowlog(*why[:3], "--store", tmp_path, "-o", "json", "--record", line, check=False).stdout)["decided"] is None
    for port, cause in ((81, "sg-0e/inbound/none"), (80, "sg-0e/inbound/tcp_80_from_0.0.0.0/0")):
        answer = json.loads(flowlog(*why, "-o", "json", PEER, f"{HOST}:{port}", check=False).stdout)
        assert answer["records"]["last_decided"]["verdict_cause"].startswith(cause), answer

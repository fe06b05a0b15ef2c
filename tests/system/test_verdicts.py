# SPDX-License-Identifier: Apache-2.0
"""What the host's packet filter drops is REJECT: exact counts, the tuple as it came in, and a ledger that balances.

The host is namespace a with v0 metered; b is somebody on its network, c a container behind the host. a sees no far end of
v0, so it takes v0 for the host's end of a cable: what tc calls ingress is egress of the ENI.
"""
import collections
import json
import random
import subprocess
import time

import pytest

from conftest import listening, sh
from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)

FORMAT = "${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${tcp-flags} ${flow-direction} ${log-status}"
HOST, PEER, INSIDE, CONTAINER = "10.77.0.1", "10.77.0.2", "10.78.0.1", "10.78.0.2"

SEND = """
import socket, sys, time
kind, host, port, n, size, source, pause, answers = sys.argv[1:9]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
if kind == "udp":
    s = socket.socket(family, socket.SOCK_DGRAM)
    if int(source):
        s.bind(("", int(source)))
    for _ in range(int(n)):
        try:
            s.sendto(bytes(int(size)), (host, int(port)))
        except OSError:
            pass
        time.sleep(float(pause))
    s.settimeout(20)
    for _ in range(int(answers)):  # to one who has gone an answer would be ICMP
        s.recv(2000)
else:
    for _ in range(int(n)):
        s = socket.socket(family)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        s.setblocking(False)
        try:
            s.connect((host, int(port)))
        except OSError:
            pass
        time.sleep(0.05)
        s.close()
"""


def send(ns, kind, host, port, n, size=100, source=0, pause=0.001, answers=0):
    ns("/usr/bin/python3", "-c", SEND, kind, host, str(port), str(n), str(size), str(source), str(pause), str(answers))


def nft(ns, text):
    ns("nft", "-f", "-", input="table inet t {\n" + text + "\n}\n")


def chain(hook, *rules, kind="filter", priority=0):
    return f"chain {kind}{hook} {{ type {kind} hook {hook} priority {priority};\n" + "\n".join(rules) + "\n}\n"


def iptables(ns, *rules):
    for rule in rules:
        ns("iptables", *rule.split())


class Router:
    """The pair's a forwards for c."""

    def __init__(self, pair, netns, bridge=False):
        self.a, self.b, self.c = pair.a, pair.b, netns()
        sh("ip", "-n", self.a.name, "link", "add", "c0", "type", "veth", "peer", "name", "eth0", "netns", self.c.name)
        inner = "c0"
        if bridge:
            inner = "br0"
            self.a("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
            self.a("ip", "link", "set", "c0", "master", "br0")
        for ns, dev in ((self.a, "c0"), (self.c, "eth0"), *([(self.a, "br0")] if bridge else [])):
            ns("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
            ns("ethtool", "-K", dev, "tso", "off", "gso", "off", "gro", "off", check=False)
        for ns, dev, own in ((self.a, inner, INSIDE), (self.c, "eth0", CONTAINER)):
            ns("ip", "addr", "add", f"{own}/24", "dev", dev)
        self.a("ip", "link", "set", "c0", "up")
        self.a("ip", "link", "set", inner, "up")
        self.c("ip", "link", "set", "eth0", "up")
        macs = [json.loads(ns("ip", "-j", "link", "show", dev).stdout)[0]["address"] for ns, dev in ((self.a, inner), (self.c, "eth0"))]
        self.a("ip", "neigh", "replace", CONTAINER, "lladdr", macs[1], "dev", inner, "nud", "permanent")
        self.c("ip", "neigh", "replace", INSIDE, "lladdr", macs[0], "dev", "eth0", "nud", "permanent")
        self.a("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.c("ip", "route", "add", "default", "via", INSIDE)
        self.b("ip", "route", "add", "10.78.0.0/24", "via", HOST)


@pytest.fixture
def router(pair, netns):
    return Router(pair, netns)


Row = collections.namedtuple("Row", "action direction src dst sport dport proto")


class Rows(collections.Counter):
    """Packets by Row; bytes beside them. unmatched, before: of the ledger."""

    def pick(self, **want):
        return {row: n for row, n in self.items() if all(getattr(row, k) == v for k, v in want.items())}

    def sum(self, **want):
        return sum(self.pick(**want).values())


def metered(d, device):
    return next(i for i in d.status("meter")["interfaces"] if i["device"] == device)


def finish(d, flowlog, device="v0", windows=2):
    """Ends the run and gives its records of the device, when all of them add up."""
    d.settle(windows)
    eni = metered(d, device)["eni"]
    assert d.stop() == 0
    audit = flowlog("audit", "--store", d.store, "--windows", "-o", "json", check=False)
    assert audit.returncode == 0, audit.stdout
    windows = [json.loads(line) for line in audit.stdout.splitlines()]
    windows = [w for w in windows if w["kind"] == "window" and w["eni"] == eni]
    assert {w["verdict_source"] for w in windows} == {"kernel"}
    rows = Rows()
    rows.bytes, rows.flags = collections.Counter(), collections.defaultdict(set)
    rows.ledger = {v: sum(w[v]["packets"] for w in windows) for v in ("rejected", "before-interface", "unmatched")}
    rows.seen = sum(w["seen"]["packets"] for w in windows)
    for r in d.records():
        assert r["log-status"] != "SKIPDATA"
        if r["log-status"] == "OK" and r["interface-id"] == eni:
            row = Row(r["action"], r["flow-direction"], r["srcaddr"], r["dstaddr"], int(r["srcport"]), int(r["dstport"]), int(r["protocol"]))
            rows[row] += int(r["packets"])
            rows.bytes[row] += int(r["bytes"])
            rows.flags[row].add(int(r["tcp-flags"]))
    # Every REJECT is in the ledger, and nothing else is.
    assert rows.sum(action="REJECT") == rows.ledger["rejected"] + rows.ledger["before-interface"]
    assert rows.ledger["unmatched"] == 0
    # And what dropped it is beside every one, and beside nothing else.
    for r in causes(flowlog, d):
        if r["log-status"] == "OK":
            assert r["verdict-source"] == "kernel"
            assert r["verdict-cause"] == ("NETFILTER_DROP" if r["action"] == "REJECT" else None), r
            assert r["policy-action"] is None and r["policy-cause"] is None
    return rows


def causes(flowlog, d):
    """The journal's records with what decided."""
    text = flowlog("tail", "--store", d.store, "-n", "1000000", "--verdicts", "-o", "json").stdout
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def run(daemon, flowlog):
    """A daemon in a whose kernel side tells drops."""
    def make(ns, *args):
        d = daemon(ns, *FAST, "--format", FORMAT, *args)
        verdicts = d.status("meter")["verdicts"]
        if verdicts["source"] != "kernel":
            pytest.skip(f"verdicts are not observed here: {verdicts['reason']}")
        d.wait_for(lambda: all(i["metered"] or i["skip"] for i in d.status("meter")["interfaces"]))
        return d
    return make


FILTERS = {
    "nft": lambda ns: nft(ns, chain("input", "tcp dport 81 drop")),
    "iptables": lambda ns: iptables(ns, "-A INPUT -p tcp --dport 81 -j DROP"),
    "iptables-legacy": lambda ns: ns("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "81", "-j", "DROP"),
    "ingress": lambda ns: ns("nft", "-f", "-", input="table netdev t { chain c { type filter hook ingress device v0 priority 0;\ntcp dport 81 drop\n}\n}\n"),
}


@pytest.mark.parametrize("how", FILTERS)
def test_a_dropped_port_and_a_closed_one(run, pair, flowlog, how):
    FILTERS[how](pair.a)
    d = run(pair.a)
    send(pair.b, "tcp", HOST, 81, 7)
    send(pair.b, "tcp", HOST, 82, 5)
    d.wait_for(lambda: d.status("meter")["verdicts"]["other_drops"].get("NO_SOCKET") == 5)
    rows = finish(d, flowlog)
    dropped = rows.pick(action="REJECT")
    assert len(dropped) == 7 and set(dropped.values()) == {1}
    for row in dropped:
        assert row[1:4] == ("egress", PEER, HOST) and row.dport == 81 and rows.bytes[row] == 60 and rows.flags[row] == {2}
    assert rows.sum(action="ACCEPT", src=PEER, dport=82) == 5 and rows.sum(action="ACCEPT", src=HOST, sport=82) == 5
    assert sum(rows.values()) == rows.seen == 17


def test_rejected_with_a_reset(run, pair, flowlog):
    nft(pair.a, chain("input", "tcp dport 81 reject with tcp reset"))
    d = run(pair.a)
    send(pair.b, "tcp", HOST, 81, 4)
    rows = finish(d, flowlog)
    assert rows.sum(action="REJECT", src=PEER, dport=81) == 4 and len(rows.pick(action="REJECT")) == 4
    assert rows.sum(action="ACCEPT", src=HOST, sport=81, direction="ingress") == 4 and sum(rows.values()) == 8


@pytest.mark.parametrize("how", ["nft", "iptables"])
def test_dropped_after_dnat_under_the_tuple_it_came_in_with(run, router, flowlog, how):
    if how == "nft":
        nft(router.a, chain("prerouting", f"meta nfproto ipv4 tcp dport 8080 dnat ip to {CONTAINER}:80", kind="nat", priority=-100) +
            chain("forward", "tcp dport 80 drop"))
    else:
        iptables(router.a, f"-t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination {CONTAINER}:80",
                 "-A FORWARD -p tcp --dport 80 -j DROP")
    d = run(router.a)
    send(router.b, "tcp", HOST, 8080, 3)
    rows = finish(d, flowlog)
    assert len(rows) == 3 and rows.sum(action="REJECT", src=PEER, dst=HOST, dport=8080, proto=6) == 3


@pytest.mark.parametrize("how", ["nft", "iptables"])
def test_dropped_on_the_way_out(run, pair, flowlog, how):
    if how == "nft":
        nft(pair.a, chain("output", "udp dport 5000 drop"))
    else:
        iptables(pair.a, "-A OUTPUT -p udp --dport 5000 -j DROP")
    d = run(pair.a)
    send(pair.a, "udp", PEER, 5000, 11)
    rows = finish(d, flowlog)
    assert list(rows.values()) == [11] and rows.seen == 0
    row = next(iter(rows))
    assert row[:4] == ("REJECT", "ingress", HOST, PEER) and row.dport == 5000 and rows.bytes[row] == 11 * 128
    assert rows.ledger["before-interface"] == 11


def test_dropped_in_postrouting(run, router, flowlog):
    """A forwarded packet is rejected where it came in, one of the host's own where it would have left."""
    nft(router.a, chain("postrouting", "udp dport 6000 drop"))
    d = run(router.a)
    send(router.c, "udp", PEER, 6000, 4)
    send(router.a, "udp", PEER, 6000, 2)

    def rejected(verdict, device):
        ledger = metered(d, device)["ledger"]
        return sum(ledger[way]["verdicts"][verdict]["packets"] for way in ledger)

    # Windows have to close, and the status to be written after them.
    d.wait_for(lambda: rejected("rejected", "c0") == 4 and rejected("before-interface", "v0") == 2)
    rows = finish(d, flowlog, windows=0)
    assert rows.ledger["before-interface"] == 2 and sum(rows.values()) == 2


@pytest.mark.parametrize("family", ["4", "6"])
def test_a_datagram_in_fragments_counts_as_its_packets(run, pair, flowlog, family):
    if family == "6":
        for ns, dev, n, other in ((pair.a, "v0", 1, 2), (pair.b, "v1", 2, 1)):
            ns("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=0")
            ns("ip", "addr", "add", f"fd77::{n}/64", "dev", dev, "nodad")
            ns("ip", "neigh", "replace", f"fd77::{other}", "lladdr", f"02:00:00:00:00:0{other}", "dev", dev, "nud", "permanent")
    # The first datagram passes, so that the drops' own count is what makes the rows.
    nft(pair.a, chain("prerouting", "udp dport 4000 ct state new counter", priority=-10) +
        chain("input", "udp dport 4000 limit rate 1/hour burst 1 packets accept", "udp dport 4000 drop"))
    d = run(pair.a)
    send(pair.b, "udp", HOST if family == "4" else "fd77::1", 4000, 4, size=4000, source=7000)
    rows = finish(d, flowlog)
    one = 4008 + 3 * (20 if family == "4" else 48)
    mine = {row: n for row, n in rows.items() if row.proto == 17}
    assert {(row.action, row.sport, row.dport): (n, rows.bytes[row]) for row, n in mine.items()} == {
        ("ACCEPT", 7000, 4000): (3, one), ("REJECT", 7000, 4000): (9, 3 * one)}


def test_a_long_datagram_on_the_way_out(run, pair, flowlog):
    nft(pair.a, chain("output", "udp dport 4000 drop"))
    d = run(pair.a)
    send(pair.a, "udp", PEER, 4000, 2, size=4000)
    rows = finish(d, flowlog)
    assert list(rows.values()) == [6] and list(rows.bytes.values()) == [2 * (4008 + 60)]


def test_a_masqueraded_container(run, router, flowlog):
    """What comes back for it is rejected under the addresses it had on the wire; what it may not send, on its own cable."""
    router.a("ip", "neigh", "replace", PEER, "lladdr", "02:00:00:00:00:02", "dev", "v0", "nud", "permanent")
    nft(router.a, chain("postrouting", f"ip saddr {CONTAINER} oifname v0 masquerade", kind="nat", priority=100) +
        chain("forward", "iifname v0 udp sport 7001 drop", "iifname c0 udp dport 7002 drop"))
    echo = """
import socket, threading
def serve(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    while True:
        data, peer = s.recvfrom(2000)
        s.sendto(data, peer)
for port in (7000, 7001):
    threading.Thread(target=serve, args=(port,), daemon=port == 7001).start()
"""
    server = router.b.popen("/usr/bin/python3", "-c", echo)
    listening(router.b, 7000, 7001)
    d = run(router.a)
    try:
        send(router.c, "udp", PEER, 7000, 6, source=5001, answers=6)
        send(router.c, "udp", PEER, 7001, 5, source=5001)
        send(router.c, "udp", PEER, 7002, 4, source=5001)
        d.settle()
    finally:
        server.kill()
    eni = metered(d, "c0")["eni"]
    rows = finish(d, flowlog, windows=0)
    assert rows.sum(action="REJECT") == rows.sum(action="REJECT", src=PEER, dst=HOST, sport=7001, direction="egress") == 5
    assert rows.sum(action="ACCEPT", src=PEER, dst=HOST, sport=7000) == rows.sum(action="ACCEPT", src=HOST, dst=PEER, dport=7000) == 6
    inside = collections.Counter()
    for r in d.records():
        if r["interface-id"] == eni and r["log-status"] == "OK":
            inside[r["action"], r["srcaddr"], r["dstaddr"], int(r["srcport"]), int(r["dstport"])] += int(r["packets"])
    assert inside == {("ACCEPT", CONTAINER, PEER, 5001, 7000): 6, ("ACCEPT", PEER, CONTAINER, 7000, 5001): 6,
                      ("ACCEPT", CONTAINER, PEER, 5001, 7001): 5, ("REJECT", CONTAINER, PEER, 5001, 7002): 4}


def test_a_full_connection_table(run, pair, flowlog, tmp_path):
    nft(pair.a, chain("input", "ct state new accept"))
    most = int(pair.a("sysctl", "-n", "net.netfilter.nf_conntrack_max").stdout)
    if most > 300000:
        pytest.skip("nf_conntrack_max is for all namespaces, and filling this much takes too long")
    load = tmp_path / "load"
    with load.open("w") as f:
        for i in range(most + 10):
            f.write(f"-A -s 192.0.2.{1 + i // 60000} -d 198.51.100.1 -p udp --sport {1 + i % 60000} --dport 53 -t 600 -u ASSURED,SEEN_REPLY\n")
    d = run(pair.a)
    pair.a("conntrack", "-R", load, check=False)
    assert int(pair.a("sysctl", "-n", "net.netfilter.nf_conntrack_count").stdout) >= most
    send(pair.b, "udp", HOST, 9000, 8)
    rows = finish(d, flowlog)
    pair.a("conntrack", "-F", check=False)
    assert rows.sum(action="REJECT", src=PEER, dst=HOST, dport=9000) == 8 and sum(rows.values()) == 8


def test_routing_drops_are_no_verdicts(run, pair, flowlog):
    pair.a("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.v0.rp_filter=1")
    pair.b("ip", "addr", "add", "192.0.2.9/32", "dev", "lo")
    d = run(pair.a)
    pair.b("/usr/bin/python3", "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('192.0.2.9', 0))\n"
           f"for _ in range(6): s.sendto(b'x', ('{HOST}', 9))")
    d.wait_for(lambda: d.status("meter")["verdicts"]["other_drops"].get("IP_RPFILTER") == 6)
    assert "IP_RPFILTER 6" in flowlog("status", "--store", d.store).stdout
    rows = finish(d, flowlog)
    assert rows.sum(action="ACCEPT", src="192.0.2.9") == 6 and not rows.pick(action="REJECT")


def test_behind_a_bridge(run, pair, netns, flowlog):
    """The filter sees the bridge; the record is the port's."""
    router = Router(pair, netns, bridge=True)
    nft(router.a, chain("forward", "udp dport 7002 drop"))
    d = run(router.a)
    d.wait_for(lambda: metered(d, "c0")["metered"])
    send(router.c, "udp", PEER, 7002, 9, source=5001)
    rows = finish(d, flowlog, device="c0")
    assert rows.pick(proto=17) == {Row("REJECT", "egress", CONTAINER, PEER, 5001, 7002, 17): 9}


def test_behind_the_end_that_is_not_metered(run, router, flowlog):
    """The container's own end is metered; the host drops behind the other."""
    nft(router.a, chain("forward", "udp dport 7002 drop"))
    nft(router.c, chain("output", "udp dport 7003 drop") + chain("input", "udp dport 7004 drop"))
    d = run(router.a, "--netns", router.c.name)
    send(router.c, "udp", PEER, 7002, 9, source=5001)
    send(router.c, "udp", PEER, 7003, 2, source=5001)
    send(router.b, "udp", CONTAINER, 7004, 3, source=5001)
    rows = finish(d, flowlog, device="eth0")
    assert rows.pick(proto=17) == {
        Row("REJECT", "egress", CONTAINER, PEER, 5001, 7002, 17): 9, Row("REJECT", "egress", CONTAINER, PEER, 5001, 7003, 17): 2,
        Row("REJECT", "ingress", PEER, CONTAINER, 5001, 7004, 17): 3}


@pytest.mark.parametrize("table", ["", "conntrack"])
def test_over_the_border_of_windows(run, pair, flowlog, table):
    """Datagrams without a pause over several windows: each is rejected, and none is left over."""
    nft(pair.a, chain("input", *(["ct state invalid counter"] if table else []), "udp dport 4000 drop"))
    d = run(pair.a)
    send(pair.b, "udp", HOST, 4000, 12000, source=7000, pause=0.0002)
    rows = finish(d, flowlog)
    assert rows == {Row("REJECT", "egress", PEER, HOST, 7000, 4000, 17): 12000}


def test_merged_segments_count_as_their_packets(run, pair, flowlog):
    """A rule comes into a transfer whose buffers are many packets each."""
    for ns, dev in ((pair.a, "v0"), (pair.b, "v1")):
        ns("ethtool", "-K", dev, "tso", "on", "gso", "on", "gro", "on")
    server = pair.a.popen("/usr/bin/python3", "-c", "import socket\ns = socket.create_server(('', 5001))\nc = s.accept()[0]\n"
                          "while c.recv(1 << 20): pass", stdout=subprocess.DEVNULL)
    d = run(pair.a)
    listening(pair.a, 5001)
    client = pair.b.popen("/usr/bin/python3", "-c", f"import socket\ns = socket.create_connection(('{HOST}', 5001))\n"
                          "while True: s.send(bytes(1 << 20))", stderr=subprocess.DEVNULL)
    try:
        d.wait_for(lambda: pair.counters()[0] > 3000)
        nft(pair.a, chain("input", "tcp dport 5001 drop"))
        d.wait_for(lambda: metered(d, "v0")["ledger"]["egress"]["verdicts"]["rejected"]["packets"] >= 3)
    finally:
        client.kill()
        server.kill()
    ledger = metered(d, "v0")["ledger"]["egress"]
    rows = finish(d, flowlog)
    rejected = rows.pick(action="REJECT", dport=5001)
    assert len(rejected) == 1 and rows.sum(action="ACCEPT", dport=5001) > 1000
    row = next(iter(rejected))
    # Retransmissions and what was under way: buffers of many segments, whose bytes have headers each.
    assert rejected[row] >= 3 and rows.bytes[row] > 1448 * rejected[row] * 0.5
    assert ledger["seen"]["packets"] > ledger["skbs"]


def test_a_death_costs_no_verdict(run, pair, flowlog):
    """kill -9 again and again while packets are dropped: each drop is told once."""
    nft(pair.a, chain("input", "udp dport 4000 drop") + chain("output", "udp dport 5000 drop"))
    d = run(pair.a)
    senders = [pair.b.popen("/usr/bin/python3", "-c", SEND, "udp", HOST, "4000", "3000", "100", "7000", "0.002", "0"),
               pair.a.popen("/usr/bin/python3", "-c", SEND, "udp", PEER, "5000", "3000", "100", "7000", "0.002", "0")]
    chance = random.Random(4)
    for _ in range(4):
        time.sleep(chance.uniform(0.3, 1.3))
        d.kill_all()
        time.sleep(chance.uniform(0, 0.8))
        d.start()
    assert [s.wait(60) for s in senders] == [0, 0]
    d.settle()
    assert d.stop() == 0
    audit = flowlog("audit", "--store", d.store, check=False)
    assert audit.returncode == 0, audit.stdout
    got = collections.Counter()
    for r in d.records():
        if r["log-status"] == "OK":
            got[r["action"], int(r["dstport"])] += int(r["packets"])
    assert got == {("REJECT", 4000): 3000, ("REJECT", 5000): 3000}


def test_the_fallback_says_that_nobody_looks(daemon, pair, flowlog):
    nft(pair.a, chain("input", "udp dport 4000 drop"))
    d = daemon(pair.a, *FAST, "--format", FORMAT, "--backend", "afpacket")
    send(pair.b, "udp", HOST, 4000, 3)
    d.wait_for(lambda: metered(d, "v0")["ledger"]["egress"]["recorded"]["packets"] == 3)
    assert "verdicts are not observed" in d.text() and "AF_PACKET" in d.text()
    said = flowlog("status", "--store", d.store).stdout
    assert "not observed: AF_PACKET" in said and d.status("meter")["verdicts"]["source"] == "none"
    assert d.stop() == 0
    assert {r["action"] for r in d.records() if r["log-status"] == "OK"} == {"ACCEPT"}
    windows = [json.loads(line) for line in flowlog("audit", "--store", d.store, "--windows", "-o", "json").stdout.splitlines()]
    assert {w["verdict_source"] for w in windows if w["kind"] == "window"} == {"none"}
    assert "verdicts are not observed" in flowlog("audit", "--store", d.store).stdout


def test_readers_show_verdicts(run, pair, flowlog):
    nft(pair.a, chain("input", "udp dport 4000 limit rate 1/hour burst 1 packets accept", "udp dport 4000 drop"))
    # The status is written once a second, at one place of a one-second window: at its start nothing is refused yet.
    d = run(pair.a, "--window", "3s", "--interval", "3s")
    assert "what this host's packet filter drops is REJECT" in d.text()
    send(pair.b, "udp", HOST, 4000, 5, source=7000)
    d.wait_for(lambda: metered(d, "v0")["ledger"]["egress"]["verdicts"]["rejected"]["packets"] == 4)
    assert "4 packets rejected" in flowlog("status", "--store", d.store).stdout
    tail = [json.loads(line) for line in flowlog("tail", "--store", d.store, "-n", "100", "--action", "REJECT", "-o", "json").stdout.splitlines()]
    assert sum(r["packets"] for r in tail) == 4  # in one window or two
    # The open window.
    flow = pair.b.popen("/usr/bin/python3", "-c", SEND, "udp", HOST, "4000", "40", "100", "7000", "0.1", "0")
    d.wait_for(lambda: any(f["action"] == "REJECT" for f in d.status("meter")["top"]))
    assert flow.wait(60) == 0
    d.settle(1)
    assert d.stop() == 0
    windows = [json.loads(line) for line in flowlog("audit", "--store", d.store, "--windows", "-o", "json").stdout.splitlines()]
    assert {w["verdict_source"] for w in windows if w["kind"] == "window"} == {"kernel"}
    assert sum(w["rejected"]["packets"] for w in windows if w["kind"] == "window") == 44

# SPDX-License-Identifier: Apache-2.0
"""pkt-srcaddr and pkt-dstaddr behind masquerade and forwarded ports: whose packet it was, beside the address it had on the wire."""
import collections
import json
import subprocess

import pytest

from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)
from test_verdicts import CONTAINER, HOST, PEER, Router, chain, iptables, metered, nft, router, send  # noqa: F401

FORMAT = ("${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${pkt-srcaddr} ${pkt-dstaddr} "
          "${action} ${log-status}")
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
"""


def echo(ns, port):
    server = ns.popen("/usr/bin/python3", "-c", ECHO, str(port), stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    return server


def rows(records, eni):
    seen = collections.Counter()
    for r in records:
        if r["log-status"] == "OK" and r["interface-id"] == eni:
            seen[r["srcaddr"], r["dstaddr"], int(r["srcport"]), int(r["dstport"]), r["pkt-srcaddr"], r["pkt-dstaddr"]] += int(r["packets"])
    return seen


def translate(ns, how):
    """c hides behind the host, and the host's port 8080 leads to c."""
    if how == "nft":
        nft(ns, chain("postrouting", f"ip saddr {CONTAINER} oifname v0 masquerade", kind="nat", priority=100) +
            chain("prerouting", f"meta nfproto ipv4 iifname v0 udp dport 8080 dnat ip to {CONTAINER}:80", kind="nat", priority=-100))
    else:
        iptables(ns, f"-t nat -A POSTROUTING -s {CONTAINER} -o v0 -j MASQUERADE",
                 f"-t nat -A PREROUTING -i v0 -p udp --dport 8080 -j DNAT --to-destination {CONTAINER}:80")


OUT = {(HOST, PEER, 5001, 7000, CONTAINER, PEER): 6, (PEER, HOST, 7000, 5001, PEER, CONTAINER): 6}
IN = {(PEER, HOST, 5002, 8080, PEER, CONTAINER): 4, (HOST, PEER, 8080, 5002, CONTAINER, PEER): 4}
OWN = {(HOST, PEER, 5003, 7000, HOST, PEER): 3, (PEER, HOST, 7000, 5003, PEER, HOST): 3}


@pytest.mark.parametrize("how,backend", [("nft", "ebpf"), ("iptables", "ebpf"), ("nft", "afpacket")])
def test_masquerade_and_forwarded_ports(daemon, router, how, backend):
    translate(router.a, how)
    servers = [echo(router.b, 7000), echo(router.c, 80)]
    d = daemon(router.a, *FAST, "--format", FORMAT, "--backend", backend)
    try:
        send(router.c, "udp", PEER, 7000, 6, source=5001, answers=6)
        send(router.b, "udp", HOST, 8080, 4, source=5002, answers=4)
        send(router.a, "udp", PEER, 7000, 3, source=5003, answers=3)
        d.settle()
    finally:
        for s in servers:
            s.kill()
    outside, inside = metered(d, "v0")["eni"], metered(d, "c0")["eni"]
    assert d.stop() == 0
    assert rows(d.records(), outside) == {**OUT, **IN, **OWN}
    # On the container's own cable the packets are as they are.
    assert all(row[0] == row[4] and row[1] == row[5] for row in rows(d.records(), inside))
    assert sum(rows(d.records(), inside).values()) == 20


def test_connections_from_before_and_across_a_death(daemon, flowlog, router):
    """Those that were there are asked for; a meter that died asks again."""
    translate(router.a, "nft")
    server = echo(router.b, 7000)
    try:
        send(router.c, "udp", PEER, 7000, 2, source=5001, answers=2)
        d = daemon(router.a, *FAST, "--format", FORMAT)
        send(router.c, "udp", PEER, 7000, 6, source=5001, answers=6)
        d.settle()
        d.kill_all()
        d.start()
        send(router.c, "udp", PEER, 7000, 5, source=5001, answers=5)
        eni = metered(d, "v0")["eni"]
        d.wait_for(lambda: sum(metered(d, "v0")["ledger"][way]["recorded"]["packets"] for way in ("ingress", "egress")) >= 10)
        tail = [json.loads(line) for line in flowlog("tail", "--store", d.store, "-n", "100", "-o", "json").stdout.splitlines()]
        assert {(r["pkt-srcaddr"], r["pkt-dstaddr"]) for r in tail if r["srcport"] in (5001, 7000)} == {(CONTAINER, PEER), (PEER, CONTAINER)}
    finally:
        server.kill()
    assert d.stop() == 0
    assert rows(d.records(), eni) == {key: 11 for key in OUT}


def test_a_longer_interval(daemon, router):
    """Windows that are merged keep what stands behind."""
    translate(router.a, "nft")
    server = echo(router.b, 7000)
    d = daemon(router.a, *FAST[:2], "--interval", "60s", *FAST[4:], "--format", FORMAT)
    try:
        for _ in range(2):
            send(router.c, "udp", PEER, 7000, 3, source=5001, answers=3)
            d.settle()
    finally:
        server.kill()
    eni = metered(d, "v0")["eni"]
    assert d.stop() == 0
    assert rows(d.records(), eni) == OUT

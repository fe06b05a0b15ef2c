# SPDX-License-Identifier: Apache-2.0
"""The eBPF backend on real interfaces, driven by tests/capture/live_probe.c: counted exactly, lost only when it says so."""
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import time
import uuid

import pytest

from conftest import PROGRAM, listening, sh

PROBE = pathlib.Path(os.environ.get("LIVE_PROBE", PROGRAM.parents[2] / "tests/capture/live_probe"))
BPFFS = pathlib.Path("/sys/fs/bpf")
UNAVAILABLE = 77


class Probe:
    """A running live_probe; done() ends it and gives what it printed."""

    def __init__(self, backend, interfaces, *args, drop=True):
        drop = ["--drop"] if drop else []
        self.process = subprocess.Popen([PROBE, backend, interfaces, *drop, *map(str, args)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if line != "ready\n":
            rest = self.process.communicate()[1]
            if self.process.returncode == UNAVAILABLE:
                pytest.skip(line + rest)
            raise AssertionError(line + rest)

    def done(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=180)
        assert self.process.returncode == 0, err
        return json.loads(out)

    def wait_killed(self):
        self.process.communicate(timeout=180)
        assert self.process.returncode == -signal.SIGKILL

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["ebpf", "ebpf-clsact"])
def backend(request, root):
    if not PROBE.exists():
        pytest.skip(f"{PROBE} is not built: needs -Dcapture=true")
    return request.param


@pytest.fixture
def pins():
    name = "fltest" + uuid.uuid4().hex[:8]
    yield name
    sh(PROBE, "detach", name)
    assert not (BPFFS / name).exists()


class Cable:
    """Two namespaces and a veth pair without segmentation offload; everything is metered at va, in a."""

    def __init__(self, netns, gso=False, ipv6=False):
        self.a, self.b = netns(), netns()
        sh("ip", "link", "add", "va", "netns", self.a.name, "type", "veth", "peer", "name", "vb", "netns", self.b.name)
        for ns, dev, n in ((self.a, "va", 1), (self.b, "vb", 2)):
            if not gso:
                ns("ethtool", "-K", dev, "tso", "off", "gso", "off", "gro", "off")
            # without IPv6 nobody reports multicast groups in the middle of a count
            ns("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6={0 if ipv6 else 1}")
            ns("ip", "link", "set", dev, "addrgenmode", "none")
            ns("ip", "addr", "add", f"10.99.0.{n}/16", "dev", dev)
            if ipv6:
                ns("ip", "addr", "add", f"fd99::{n}/64", "dev", dev, "nodad")
            ns("ip", "link", "set", dev, "up")
        while ipv6:
            before = self.statistics()
            time.sleep(1.5)  # RFC 3810 section 9.11: unsolicited reports are a second apart
            ipv6 = self.statistics() != before

    def statistics(self):
        text = self.a("ip", "-j", "-s", "link", "show", "va").stdout
        s = json.loads(text)[0]["stats64"]
        return {"ingress": (s["rx"]["packets"], s["rx"]["bytes"]), "egress": (s["tx"]["packets"], s["tx"]["bytes"])}


@pytest.fixture
def cable(netns):
    return Cable(netns)


def total(result, direction, key, interface=None):
    return sum(c[key] for c in result["counts"]
               if c["direction"] == direction and interface in (None, c["interface"]))


def flows(result, **want):
    return [f for f in result["flows"] if all(f[k] == v for k, v in want.items())]


def summed(rows):
    return sum(f["packets"] for f in rows), sum(f["bytes"] for f in rows)


def balanced(result):
    """Per direction and window: seen = recorded + lost."""
    keys = {(c["interface"], c["direction"], c["window"]) for c in result["counts"]}
    keys |= {(f["interface"], f["direction"], f["window"]) for f in result["flows"]}
    for interface, direction, window in keys:
        here = {"interface": interface, "direction": direction, "window": window}
        rows = [c for c in result["counts"] if all(c[k] == v for k, v in here.items())]
        packets, count = summed(flows(result, **here))
        assert sum(c["packets"] for c in rows) == packets + sum(c["lost_packets"] for c in rows), here
        assert sum(c["bytes"] for c in rows) == count + sum(c["lost_bytes"] for c in rows), here


def against_interface(result, before, after):
    """The system's own counters: frames, and layer-2 bytes with 14 bytes a frame."""
    for direction in ("ingress", "egress"):
        packets = total(result, direction, "packets") + total(result, direction, "truncated_packets")
        count = total(result, direction, "bytes") + total(result, direction, "truncated_bytes") + 14 * packets
        assert packets + total(result, direction, "not_ip_packets") == after[direction][0] - before[direction][0]
        assert count + total(result, direction, "not_ip_bytes") == after[direction][1] - before[direction][1]


SEND = """
import socket, sys
n, ports, size = map(int, sys.argv[1:4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[4] if len(sys.argv) > 4 else "10.99.0.1", int(sys.argv[5]) if len(sys.argv) > 5 else 7000))
for i in range(n):
    try:
        s.sendto(bytes(size), ("10.99.%d.2" % (i % ports // 50000), 10000 + i % ports % 50000))
    except ConnectionRefusedError:
        pass
"""


def send(cable, n, ports=1, size=32):
    """n datagrams from a to b, one flow a destination port; nobody answers (b drops them)."""
    cable.a("/usr/bin/python3", "-c", SEND, str(n), str(ports), str(size))


def quiet(cable):
    """No ICMP errors and no ARP in the middle of a count."""
    mac = json.loads(cable.b("ip", "-j", "link", "show", "vb").stdout)[0]["address"]
    cable.a("ip", "neigh", "replace", "10.99.0.2", "lladdr", mac, "dev", "va", "nud", "permanent")
    for i in range(1, 8):
        cable.a("ip", "neigh", "replace", f"10.99.{i}.2", "lladdr", mac, "dev", "va", "nud", "permanent")
    cable.b("nft", "add table inet t; add chain inet t c { type filter hook prerouting priority -300; }; "
            "add rule inet t c ip protocol udp drop")


def test_exact_counts(netns, backend):
    cable = Cable(netns, ipv6=True)
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name)
    cable.a("ping", "-qc", "7", "-i", "0.05", "-s", "100", "10.99.0.2")
    cable.a("ping", "-qc", "5", "-i", "0.05", "-s", "3000", "fd99::2")
    quiet(cable)
    send(cable, 11, size=4000)
    result = probe.done()
    against_interface(result, before, cable.statistics())
    balanced(result)
    for direction, src, dst in (("egress", 1, 2), ("ingress", 2, 1)):
        echo = flows(result, direction=direction, src=f"10.99.0.{src}", dst=f"10.99.0.{dst}", proto=1)
        assert summed(echo) == (7, 7 * 128)
        # 3008 bytes of ICMPv6 in two full fragments of 1448 and one of 112, each with 48 bytes of headers
        echo = flows(result, direction=direction, src=f"fd99::{src}", dst=f"fd99::{dst}", proto=58)
        sizes = {f["packets"] for f in echo}
        assert sum(f["bytes"] for f in echo) >= 5 * (3008 + 3 * 48), sizes
    # 4008 bytes of UDP in three fragments: all of them have the first one's ports
    datagrams = flows(result, direction="egress", proto=17)
    assert {(f["sport"], f["dport"]) for f in datagrams} == {(7000, 10000)}
    assert summed(datagrams) == (33, 11 * (4008 + 3 * 20))


def test_all_cpus_at_once(cable, backend):
    """Both ways, several senders, more flows than the cache holds, a border every 600 ms, and a reader without privilege."""
    quiet(cable)
    for ns, dev, peer in ((cable.b, "vb", "va"), (cable.a, "va", "vb")):
        other = cable.a if ns is cable.b else cable.b
        mac = json.loads(other("ip", "-j", "link", "show", peer).stdout)[0]["address"]
        for i in range(8):
            ns("ip", "neigh", "replace", f"10.99.{i}.{2 if ns is cable.a else 1}", "lladdr", mac, "dev", dev, "nud", "permanent")
    cable.a("nft", "add table inet t; add chain inet t c { type filter hook prerouting priority -300; }; "
            "add rule inet t c ip protocol udp drop")
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name, "--window-ms", 600, "--cache-bits", 10)
    back = SEND.replace('"10.99.%d.2"', '"10.99.%d.1"')
    senders = [cable.a.popen("/usr/bin/python3", "-c", SEND, "60000", "20000", "32", "10.99.0.1", str(7000 + i)) for i in range(2)]
    senders += [cable.b.popen("/usr/bin/python3", "-c", back, "60000", "20000", "32", "10.99.0.2", str(7000 + i)) for i in range(2)]
    assert [s.wait(240) for s in senders] == [0] * 4
    after = cable.statistics()
    result = probe.done()
    against_interface(result, before, after)
    balanced(result)
    assert result["ring_collision"] > 10000
    for direction in ("ingress", "egress"):
        udp = flows(result, direction=direction, proto=17)
        assert total(result, direction, "lost_packets") == 0
        assert len({(f["sport"], f["dport"]) for f in udp}) == 40000
        assert summed(udp) == (120000, 120000 * 60)


def test_tcp_flags_and_many_windows(cable, backend):
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name, "--window-ms", 600)
    server = cable.b.popen("iperf3", "-s", "-1", stdout=subprocess.DEVNULL)
    listening(cable.b, 5201)
    cable.a("iperf3", "-c", "10.99.0.2", "-t", "2", "-b", "200M")
    server.wait(60)
    result = probe.done()
    against_interface(result, before, cable.statistics())
    balanced(result)
    data = flows(result, direction="egress", proto=6, dport=5201)
    assert len({f["window"] for f in data}) >= 3
    # SYN without SYN+ACK on our side, SYN+ACK on theirs
    assert any(f["tcp"] & 2 for f in data) and not any(f["tcp"] & 0x40 for f in data)
    assert any(f["tcp"] & 0x40 for f in flows(result, direction="ingress", proto=6, sport=5201))


def test_inner_packets_of_a_tunnel(cable, backend):
    """VXLAN, GRE and IP in IP by hand; without the option the outer flow is what counts."""
    inner = udp4(bytes(60))
    outer = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(inner), 1, 0, 64, 4, 0, socket.inet_aton("10.97.1.1"),
                        socket.inet_aton("10.97.1.2"))
    vxlan = struct.pack("!HHHH", 1000, 4789, 8 + 8 + 14 + len(inner), 0) + b"\x08\0\0\0\0\0\7\0" + bytes(12) + b"\x08\0" + inner
    frames = [b"\xff" * 6 + b"\2\0\0\0\0\7\x08\0" + outer + inner,
              b"\xff" * 6 + b"\2\0\0\0\0\7\x08\0" + outer[:2] + struct.pack("!H", 20 + len(vxlan)) + outer[4:9] + b"\x11" +
              outer[10:] + vxlan,
              b"\xff" * 6 + b"\2\0\0\0\0\7\x08\0" + outer[:2] + struct.pack("!H", 24 + len(inner)) + outer[4:9] + b"\x2f" +
              outer[10:] + b"\0\0\x08\0" + inner]
    outside = Probe(backend, "va", "--netns", cable.a.name)
    inside = Probe(backend, "vb", "--netns", cable.b.name, "--inner")
    cable.a("/usr/bin/python3", "-c", FRAME, *[f.hex() for f in frames])
    outside, inside = outside.done(), inside.done()
    balanced(inside)
    assert {(f["proto"], f["packets"], f["bytes"]) for f in flows(outside, direction="egress", src="10.97.1.1")} == \
        {(4, 1, 20 + 88), (17, 1, 20 + 8 + 8 + 14 + 88), (47, 1, 24 + 88)}
    assert summed(flows(inside, direction="ingress", src="10.97.0.9", proto=17, sport=4000, dport=5000)) == (3, 3 * 88)
    assert not flows(inside, src="10.97.1.1")


@pytest.mark.parametrize("tunnel", [False, True], ids=["plain", "vxlan"])
def test_segmentation_against_a_device_that_sees_segments(netns, backend, tunnel):
    """a sends buffers of many segments; the middle's second leg cuts them and counts packets."""
    a, m, b = netns(), netns(), netns()
    sh("ip", "link", "add", "va", "netns", a.name, "type", "veth", "peer", "name", "vm", "netns", m.name)
    sh("ip", "link", "add", "vn", "netns", m.name, "type", "veth", "peer", "name", "vb", "netns", b.name)
    for ns, dev, address in ((a, "va", "10.98.1.1"), (m, "vm", "10.98.1.2"), (m, "vn", "10.98.2.1"), (b, "vb", "10.98.2.2")):
        ns("ip", "link", "set", dev, "addrgenmode", "none")
        ns("ip", "addr", "add", address + "/24", "dev", dev)
        ns("ip", "link", "set", dev, "up")
    m("ethtool", "-K", "vn", "tso", "off", "gso", "off", "gro", "off")
    b("ethtool", "-K", "vb", "tso", "off", "gso", "off", "gro", "off")
    m("sysctl", "-qw", "net.ipv4.ip_forward=1")
    a("ip", "route", "add", "10.98.2.0/24", "via", "10.98.1.2")
    b("ip", "route", "add", "10.98.1.0/24", "via", "10.98.2.1")
    server_address = "10.98.2.2"
    want = {"dst": "10.98.2.2", "proto": 6, "dport": 5201}
    if tunnel:
        server_address = "10.96.0.2"
        want = {"dst": "10.98.2.2", "proto": 17, "dport": 4789}
        for ns, n, remote in ((a, 1, "10.98.2.2"), (b, 2, "10.98.1.1")):
            if ns("ip", "link", "add", "vx", "type", "vxlan", "id", 7, "dstport", 4789, "remote", remote,
                  "local", "10.98.1.1" if ns is a else "10.98.2.2", check=False).returncode:
                pytest.skip("CONFIG_VXLAN")
            ns("ip", "link", "set", "vx", "addrgenmode", "none")
            ns("ip", "addr", "add", f"10.96.0.{n}/24", "dev", "vx")
            ns("ip", "link", "set", "vx", "up", "mtu", 1400)
    a("ping", "-qc", "1", server_address)
    probe = Probe(backend, "va", "--netns", a.name)
    cut = Probe(backend, "vb", "--netns", b.name)
    server = b.popen("iperf3", "-s", "-1", stdout=subprocess.DEVNULL)
    listening(b, 5201)
    a("iperf3", "-c", server_address, "-n", "200M")
    server.wait(60)
    whole, segments = probe.done(), cut.done()
    balanced(whole)
    balanced(segments)
    assert total(whole, "egress", "skbs") * 2 < total(whole, "egress", "packets")
    assert summed(flows(whole, direction="egress", **want)) == summed(flows(segments, direction="ingress", **want))
    assert summed(flows(segments, direction="ingress", **want))[0] > 100000


def test_overflow_is_counted_to_the_packet(cable, backend):
    quiet(cable)
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name, "--ring", 4096, "--cache-bits", 4, "--ring-delay-ms", 4000)
    send(cable, 60000, ports=3000)
    after = cable.statistics()
    result = probe.done()
    against_interface(result, before, after)
    balanced(result)
    lost = total(result, "egress", "lost_packets")
    recorded, _ = summed(flows(result, direction="egress"))
    assert lost > 0 and recorded > 0
    assert lost + recorded == total(result, "egress", "packets") == 60000


def test_kill_loses_nothing_and_counts_nothing_twice(cable, backend, pins, tmp_path):
    """Killed inside the sink, where the batch is durable but not acknowledged, and in between; metered all the while."""
    quiet(cable)
    before = cable.statistics()
    args = ["--netns", cable.a.name, "--pin", pins, "--state", tmp_path / "state", "--cache-bits", 6, "--window-ms", 700]
    sent = 0
    reused = 0
    for life in range(6):
        probe = Probe(backend, "va", *args, "--crash-after", life % 3 + 1)
        send(cable, 3000, ports=500)
        probe.wait_killed()
        send(cable, 2000, ports=500)  # nobody reads
        sent += 5000
    for delay in (0.1, 0.35, 0.8):
        probe = Probe(backend, "va", *args)
        send(cable, 3000, ports=500)
        time.sleep(delay)
        probe.kill()
        sent += 3000
    after = cable.statistics()
    result = Probe(backend, "va", *args).done()
    reused += result["reused"]
    against_interface(result, before, after)
    balanced(result)
    assert total(result, "egress", "lost_packets") == 0
    assert summed(flows(result, direction="egress", proto=17))[0] == sent
    assert result["ring_collision"] > 0 and reused
    assert not (BPFFS / pins).exists()


def test_random_kills_under_load(cable, backend, pins, tmp_path):
    """Lives of up to 0.3 s under a steady load, ended from outside or in the middle of a batch."""
    quiet(cable)
    before = cable.statistics()
    args = ["--netns", cable.a.name, "--pin", pins, "--state", tmp_path / "state", "--cache-bits", 8, "--window-ms", 600]
    Probe(backend, "va", *args).kill()
    slow = SEND.replace("for i", "import time\nfor i").replace("    try:", "    i % 50 or time.sleep(0.004)\n    try:")
    sender = cable.a.popen("/usr/bin/python3", "-c", slow, "50000", "3000", "32")
    chance = random.Random(7)
    lives = 0
    while sender.poll() is None:
        crash = ["--crash-after", chance.randint(1, 12)] if lives % 2 else []
        probe = Probe(backend, "va", *args, *crash)
        time.sleep(chance.random() * 0.3)
        probe.kill()
        lives += 1
    after = cable.statistics()
    result = Probe(backend, "va", *args).done()
    against_interface(result, before, after)
    balanced(result)
    assert lives > 5 and total(result, "egress", "lost_packets") == 0
    assert summed(flows(result, direction="egress", proto=17))[0] == 50000


def filters(ns, dev):
    return sum((json.loads(ns("tc", "-j", "filter", "show", "dev", dev, way).stdout or "[]") for way in ("ingress", "egress")), [])


def test_others_are_left_alone(cable, backend, pins):
    cable.a("tc", "qdisc", "add", "dev", "va", "clsact")
    # what matches nothing, at the places ours wants to have: of our kind with our handle, and of another kind
    for handle in ("1", "0xf10c"):
        cable.a("tc", "filter", "add", "dev", "va", "ingress", "prio", "1", "handle", handle, "bpf", "bytecode", "1,6 0 0 0,")
    cable.a("tc", "filter", "add", "dev", "va", "egress", "prio", "1", "protocol", "all", "u32",
            "match", "u32", "0x12345678", "0xffffffff", "at", "12", "flowid", "1:1")
    theirs = filters(cable.a, "va")
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name, "--pin", pins)
    cable.a("ping", "-qc", "3", "-i", "0.05", "10.99.0.2")
    if backend == "ebpf-clsact":
        assert len(filters(cable.a, "va")) > len(theirs)
    against_interface(probe.done(), before, cable.statistics())
    assert [{k: v for k, v in f.items() if k != "options"} for f in filters(cable.a, "va")] == \
        [{k: v for k, v in f.items() if k != "options"} for f in theirs]


def test_others_verdicts_hide_nothing(cable, backend):
    """A program that ends the walk with TC_ACT_OK is behind ours, in both directions."""
    cable.a("tc", "qdisc", "add", "dev", "va", "clsact")
    for way in ("ingress", "egress"):
        cable.a("tc", "filter", "add", "dev", "va", way, "prio", "10", "bpf", "da", "bytecode", "1,6 0 0 0,")
    before = cable.statistics()
    probe = Probe(backend, "va", "--netns", cable.a.name)
    cable.a("ping", "-qc", "3", "-i", "0.05", "10.99.0.2")
    result = probe.done()
    against_interface(result, before, cable.statistics())
    assert summed(flows(result, direction="egress", proto=1)) == (3, 3 * 84)


def program_ids(directory):
    """Of the attached copies, by their pins: links of TCX, programs of clsact."""
    return [json.loads(sh("bpftool", "-j", "link", "show", "pinned", pin).stdout)["prog_id"] if pin.name.startswith("t") else
            json.loads(sh("bpftool", "-j", "prog", "show", "pinned", pin).stdout)["id"] for pin in directory.glob("[tc]_*")]


def loaded(number):
    return sh("bpftool", "prog", "show", "id", number, check=False).returncode == 0


def test_detach_repairs_what_nobody_repaired(cable, backend, pins):
    probe = Probe(backend, "va", "--netns", cable.a.name, "--pin", pins, drop=False)
    probe.kill()
    assert len(list((BPFFS / pins).glob("*"))) == 11 + 1 + 2
    ids = program_ids(BPFFS / pins)
    assert len(set(ids)) == 2 and all(loaded(i) for i in ids)
    assert sh(PROBE, "detach", pins).stdout == "2\n"
    assert not (BPFFS / pins).exists()
    deadline = time.time() + 30
    while any(loaded(i) for i in ids) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(loaded(i) for i in ids)
    assert filters(cable.a, "va") == []


def test_another_window_length_is_refused(cable, backend, pins):
    Probe(backend, "va", "--netns", cable.a.name, "--pin", pins, "--window-ms", 1000, drop=False).kill()
    done = sh(PROBE, backend, "va", "--netns", cable.a.name, "--pin", pins, "--window-ms", 2000, check=False)
    assert done.returncode == 1 and "flowlog detach" in done.stderr


def test_a_vanished_interface_keeps_its_counts(cable, backend, pins):
    probe = Probe(backend, "va", "--netns", cable.a.name, "--pin", pins)
    cable.a("ping", "-qc", "3", "-i", "0.05", "10.99.0.2")
    cable.a("ip", "link", "del", "va")
    result = probe.done()
    assert summed(flows(result, direction="egress", proto=1)) == (3, 3 * 84)


IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 1, 2, 0x1000, 0x4000

TUN = """
import fcntl, os, struct, sys
flags, dev = int(sys.argv[1]), sys.argv[2]
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", dev.encode(), flags))
os.system("ip addr add 10.97.0.1/24 dev %s; ip link set %s up" % (dev, dev))
print("up", flush=True)
for line in sys.stdin:
    os.write(fd, bytes.fromhex(line.strip()))
    print("sent", flush=True)
"""


class Tun:
    """A tun or tap device in a namespace; write() is a frame that arrives on it."""

    def __init__(self, ns, flags, dev):
        self.process = ns.popen("/usr/bin/python3", "-c", TUN, str(flags), dev, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "up\n"

    def write(self, data):
        self.process.stdin.write(data.hex() + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "sent\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def udp4(payload, total=None):
    length = total if total is not None else 28 + len(payload)
    return (struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 1, 0, 64, 17, 0, socket.inet_aton("10.97.0.9"),
                        socket.inet_aton("10.97.0.1")) + struct.pack("!HHHH", 4000, 5000, 8 + len(payload), 0) + payload)


def test_device_without_ethernet(netns, backend):
    ns = netns()
    tun = Tun(ns, IFF_TUN | IFF_NO_PI, "tun9")
    probe = Probe(backend, "tun9", "--netns", ns.name)
    for _ in range(5):
        tun.write(udp4(bytes(100)))
    ns("ping", "-c", "1", "-W", "0.2", "10.97.0.9", check=False)
    result = probe.done()
    assert summed(flows(result, direction="egress", dst="10.97.0.9", proto=1)) == (1, 84)
    tun.close()
    assert summed(flows(result, direction="ingress", src="10.97.0.9", proto=17, sport=4000, dport=5000)) == (5, 5 * 128)
    balanced(result)


def test_segments_of_a_tap_have_a_size_and_no_number(netns, backend):
    """virtio: gso_size is set, gso_segs is not: ceil(payload / size) packets."""
    ns = netns()
    tap = Tun(ns, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, "tap9")
    probe = Probe(backend, "tap9", "--netns", ns.name)
    mac = bytes.fromhex(json.loads(ns("ip", "-j", "link", "show", "tap9").stdout)[0]["address"].replace(":", ""))
    tcp = struct.pack("!HHIIBBHHH", 4000, 5000, 1, 0, 0x50, 0x10, 1000, 0, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + 5000, 1, 0, 64, 6, 0, socket.inet_aton("10.97.0.9"),
                     socket.inet_aton("10.97.0.1"))
    # VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4
    header = struct.pack("<BBHHHH", 1, 1, 54, 1400, 34, 16)
    tap.write(header + mac + b"\2\0\0\0\0\7" + b"\x08\0" + ip + tcp + bytes(5000))
    result = probe.done()
    tap.close()
    assert summed(flows(result, direction="ingress", proto=6, sport=4000)) == (4, 5000 + 4 * 40)
    balanced(result)


def test_a_dead_meter_loses_only_what_is_counted(cable, backend, pins, tmp_path):
    """Nobody reads for many windows, and the ring is too small for them: even the counters find no place in it."""
    quiet(cable)
    before = cable.statistics()
    args = ["--netns", cable.a.name, "--pin", pins, "--state", tmp_path / "state", "--cache-bits", 3, "--ring", 4096,
            "--window-ms", 600]
    probe = Probe(backend, "va", *args)
    send(cable, 100, ports=10)
    probe.kill()
    for _ in range(6):
        send(cable, 400, ports=100)
        cable.a("ping", "-qc", "1", "10.99.0.2")
        time.sleep(0.65)
    after = cable.statistics()
    result = Probe(backend, "va", *args).done()
    against_interface(result, before, after)
    balanced(result)
    assert result["reused"]
    lost = total(result, "egress", "lost_packets")
    assert 0 < lost < 2500 and summed(flows(result, direction="egress"))[0] + lost == 2500 + 6


def test_a_dead_meter_with_room_loses_nothing(cable, backend, pins, tmp_path):
    """Nobody reads for many windows: what is in the way of a new one goes to the ring, flows and counters."""
    quiet(cable)
    before = cable.statistics()
    args = ["--netns", cable.a.name, "--pin", pins, "--state", tmp_path / "state", "--window-ms", 600]
    Probe(backend, "va", *args).kill()
    for _ in range(5):
        send(cable, 400, ports=100)
        time.sleep(0.65)
    after = cable.statistics()
    result = Probe(backend, "va", *args).done()
    against_interface(result, before, after)
    balanced(result)
    assert result["ring_stale"] > 0 and total(result, "egress", "lost_packets") == 0
    assert summed(flows(result, direction="egress"))[0] == 2000
    assert len({f["window"] for f in result["flows"]}) >= 4


FRAME = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("va", 0))
for line in sys.argv[1:]:
    s.send(bytes.fromhex(line))
"""


def test_vlan_tags_in_the_frame_and_beside_it(cable, backend):
    """On the way out the tag is in the frame; on the way in the kernel has moved the outer one into the socket buffer."""
    packet = b"\x08\0" + udp4(bytes(60))
    macs = b"\xff" * 6 + b"\2\0\0\0\0\7"
    tagged, twice = b"\x81\0\0\5" + packet, b"\x88\xa8\0\6\x81\0\0\5" + packet
    outside = Probe(backend, "va", "--netns", cable.a.name)
    inside = Probe(backend, "vb", "--netns", cable.b.name)
    cable.a("/usr/bin/python3", "-c", FRAME, *[(macs + f).hex() for f in (packet, tagged, twice, twice)])
    want = {"src": "10.97.0.9", "dst": "10.97.0.1", "proto": 17, "sport": 4000, "dport": 5000}
    for probe, direction in ((outside, "egress"), (inside, "ingress")):
        result = probe.done()
        assert summed(flows(result, direction=direction, **want)) == (4, 4 * 88)
        assert total(result, direction, "not_ip_packets") == 0


def test_refusal_gives_its_reason(backend):
    done = sh("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", PROBE, backend, "lo", check=False)
    assert done.returncode == UNAVAILABLE and "the kernel refuses the BPF program (Operation not permitted)" in done.stderr
    done = sh(PROBE, backend, "lo", "--pin", "a/b", check=False)
    assert done.returncode == 1 and '"a/b"' in done.stderr

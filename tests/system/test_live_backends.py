# SPDX-License-Identifier: Apache-2.0
"""The three sources agree: eBPF, packet sockets and capture files see the same flows, packets and bytes in the same traffic, and
with offload off all of them equal the interface's own counters to the packet."""
import contextlib
import os
import pathlib
import subprocess
import time
import uuid

import pytest

import live
from conftest import Netns, sh

TRAFFIC = pathlib.Path(__file__).with_name("traffic.py")
PYTHON = "/usr/bin/python3"
OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")
A4, B4, A6, B6 = "10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"
LOCAL = (B4, B6)
CONNECTIONS = int(os.environ.get("FLOWLOG_CONNECTIONS", "3000"))


def offload(ns, device, on):
    for name in OFFLOADS:
        ns("ethtool", "-K", device, name, "on" if on else "off", check=False)


def mac(ns, device):
    return ns("cat", f"/sys/class/net/{device}/address").stdout.strip()


def know_each_other(a, dev_a, b, dev_b, pairs):
    """Addresses are resolved by hand, so that no probe crosses the cable between two readings."""
    for ns, dev, other, other_dev, column in ((a, dev_a, b, dev_b, 1), (b, dev_b, a, dev_a, 0)):
        for pair in pairs:
            ns("ip", "neigh", "replace", pair[column], "lladdr", mac(other, other_dev), "dev", dev, "nud", "permanent")


class Cable:
    """Two namespaces and a veth pair; `b` is metered, `a` is the peer that begins the conversations."""

    def __init__(self, mtu=1500):
        tag = uuid.uuid4().hex[:6]
        self.a, self.b = Netns(f"fla{tag}"), Netns(f"flb{tag}")
        sh("ip", "link", "add", "a0", "netns", self.a.name, "mtu", mtu, "type", "veth", "peer", "name", "b0", "mtu", mtu, "netns", self.b.name)
        for ns, dev, v4, v6 in ((self.a, "a0", A4, A6), (self.b, "b0", B4, B6)):
            ns("ip", "addr", "add", f"{v4}/24", "dev", dev)
            ns("ip", "-6", "addr", "add", f"{v6}/64", "dev", dev, "nodad")
            ns("ip", "link", "set", dev, "addrgenmode", "none", "up")
            offload(ns, dev, False)
        know_each_other(self.a, "a0", self.b, "b0", ((A4, B4), (A6, B6)))
        self.counters = live.Counters(self.b, "b0")
        live.quiet(self.counters)

    def close(self):
        self.a.delete()
        self.b.delete()


@pytest.fixture(scope="module")
def cables(root):
    """cables(mtu): one a size, for the whole module."""
    made = {}

    def get(mtu=1500):
        if mtu not in made:
            made[mtu] = Cable(mtu)
        return made[mtu]

    yield get
    for cable in made.values():
        cable.close()


@pytest.fixture(scope="module")
def backends(root):
    names = live.built_backends()
    if not names:
        pytest.skip("backend not built: no live_probe (-Dcapture=true)")
    return names


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_the_backend_is_there(backends, backend):
    if backend not in backends:
        pytest.skip(f"backend not built: {backend}")
    assert live.PROBE.exists()


# ---- traffic ----

@contextlib.contextmanager
def helper(ns, *args):
    """A server inside a namespace that says when it is ready and ends with its standard input."""
    p = ns.popen(PYTHON, TRAFFIC, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    try:
        yield p
    finally:
        p.stdin.close()
        p.wait(timeout=60)


def iperf(cable, *args, host=B4):
    server = cable.b.popen("iperf3", "-s", "-1", "--forceflush", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if "listening" in line:
                break
        cable.a("iperf3", "-c", host, "-i", "0", *args, timeout=240)
        server.communicate(timeout=60)
    finally:
        server.kill()
        server.wait()


def tcp(cable, host):
    iperf(cable, "-n", "30M", host=host)


def udp(cable, host):
    iperf(cable, "-u", "-b", "80M", "-n", "8M", "-l", "1200", host=host)


def icmp(cable):
    for host in (B4, B6):
        for size in (0, 56, 1400):
            cable.a("ping", "-q", "-c", 10, "-i", "0.01", "-s", size, host)


def fragments(cable):
    for host, family in ((B4, "4"), (B6, "6")):
        with helper(cable.b, "sink", 4000, family):
            cable.a(PYTHON, TRAFFIC, "datagrams", host, 4000, 200, 4000)


def scan(cable):
    cable.a("nmap", "-sS", "-Pn", "-n", "--max-retries", "0", "-T5", "-p", "1-2000", B4, timeout=240)


def connections(cable):
    ports = 1 + CONNECTIONS // 10000
    with helper(cable.b, "serve", 8080, ports):
        cable.a(PYTHON, TRAFFIC, "connections", B4, 8080, CONNECTIONS, ports, timeout=240 + CONNECTIONS // 100)


def odd_frames(cable, tmp_path):
    """One of everything that is not TCP, UDP or ICMP, and headers that are rarely seen. Nothing answers: the peer has no such
    addresses. Returns the number of IP packets among them."""
    from scapy.all import (AH, ARP, ESP, GRE, IP, IPOption_RR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                           SCTP, SCTPChunkInit, TCP, UDP, Dot1AD, Dot1Q, Ether, PadN, PPPoE, Raw, load_contrib)
    load_contrib("mpls")
    from scapy.contrib.mpls import MPLS
    e = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:99")
    v4, v6 = IP(src="10.99.0.1", dst="10.99.0.2"), IPv6(src="fd99::1", dst="fd99::2")
    load = Raw(b"z" * 80)
    ip_frames = [
        e / v4 / SCTP(sport=5000, dport=5001) / SCTPChunkInit(),
        e / v6 / SCTP(sport=5000, dport=5001) / SCTPChunkInit(),
        e / v4 / GRE() / IP(src="1.1.1.1", dst="2.2.2.2") / UDP(sport=1, dport=2) / load,
        e / v4 / ESP(spi=7, seq=1, data=b"q" * 64),
        e / v4 / AH(spi=7, seq=1, icv=b"q" * 12) / UDP(sport=1, dport=2) / load,
        e / IP(src="10.99.0.1", dst="10.99.0.2", proto=253) / load,
        e / IP(src="10.99.0.1", dst="10.99.0.2", proto=136) / Raw(b"\x10\x00\x10\x01" + bytes(60)),
        e / IP(src="10.99.0.1", dst="10.99.0.2", proto=33) / Raw(b"\x10\x00\x10\x02" + bytes(60)),
        e / IP(src="10.99.0.1", dst="10.99.0.2", options=[IPOption_RR()]) / TCP(sport=77, dport=78, flags="SA") / load,
        e / v4 / IP(src="1.1.1.1", dst="2.2.2.2") / TCP(sport=1, dport=2) / load,
        e / v6 / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")]) / UDP(sport=9, dport=10) / load,
        e / v6 / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0")]) / TCP(sport=9, dport=10, flags="F") / load,
        e / v6 / IPv6ExtHdrRouting(addresses=["fd99::3"]) / UDP(sport=9, dport=11) / load,
        e / Dot1Q(vlan=5) / v4 / UDP(sport=50, dport=51) / load,
        e / Dot1Q(vlan=5) / v6 / UDP(sport=50, dport=51) / load,
        e / Dot1AD(vlan=6) / Dot1Q(vlan=5) / v4 / UDP(sport=52, dport=53) / load,
        e / Dot1Q(vlan=6) / Dot1Q(vlan=5) / v4 / UDP(sport=54, dport=55) / load,
        e / MPLS(label=3, s=0, ttl=9) / MPLS(label=4, s=1, ttl=9) / v4 / UDP(sport=56, dport=57) / load,
        Ether(src=e.src, dst=e.dst, type=0x8864) / PPPoE(sessionid=3) /
        Raw(b"\x00\x21" + bytes(v4 / UDP(sport=58, dport=59) / load)),
    ]
    others = [e / ARP(psrc="10.99.0.1", pdst="10.99.0.77"), Ether(src=e.src, dst=e.dst, type=0x88cc) / load,
              Ether(src=e.src, dst=e.dst, type=0x9999) / load]
    path = tmp_path / "odd.hex"
    path.write_text("".join(bytes(f).hex() + "\n" for f in ip_frames + others))
    for ns, device in ((cable.a, "a0"), (cable.b, "b0")):
        ns(PYTHON, TRAFFIC, "frames", device, path)
    return len(ip_frames), len(others)


CASES = {
    "tcp-ipv4": lambda c, t: tcp(c, B4),
    "tcp-ipv6": lambda c, t: tcp(c, B6),
    "udp-ipv4": lambda c, t: udp(c, B4),
    "udp-ipv6": lambda c, t: udp(c, B6),
    "tcp-jumbo": lambda c, t: tcp(c, B4),
    "udp-jumbo": lambda c, t: iperf(c, "-u", "-b", "200M", "-n", "20M", "-l", "8900", host=B6),
    "icmp": lambda c, t: icmp(c),
    "fragments": lambda c, t: fragments(c),
    "scan": lambda c, t: scan(c),
    "connections": lambda c, t: connections(c),
    "odd-protocols": lambda c, t: odd_frames(c, t),
}
# Bytes of link layer in front of the IP header that are not 14; by case, summed over its IP frames in one direction:
# VLAN 4 x 2, QinQ 8 x 2, MPLS 8, PPPoE 8.
MORE_LINK_BYTES = {"odd-protocols": 4 * 2 + 8 * 2 + 8 + 8}
LEAST_PACKETS = {"odd-protocols": 19, "icmp": 60, "udp-jumbo": 2000}


def sources_of(cable, backends, flowlog, tmp_path):
    return [cable.counters, live.CaptureFile(flowlog, cable.b, "b0", tmp_path / "frames.pcap", LOCAL),
            *(live.Probe(name, cable.b, "b0") for name in backends)]


def without_direction(seen):
    """Frames between addresses that are neither end's have no direction in a capture file."""
    plain = live.Seen()
    for flow, count in seen.flows.items():
        plain.add_flow(flow._replace(direction="-"), *count)
    return plain


@pytest.mark.parametrize("case", CASES)
def test_the_sources_agree(cables, backends, flowlog, tmp_path, case):
    cable = cables(9000 if "jumbo" in case else 1500)
    seen = live.measure(sources_of(cable, backends, flowlog, tmp_path), lambda: CASES[case](cable, tmp_path))
    counters, frames = seen["counters"], seen["file"]
    for name in backends:
        live.check_balance(seen[name], name)
        assert seen[name].ip["ingress"].packets >= LEAST_PACKETS.get(case, 100), "there was too little traffic"
        # A capture file in hand, the third source: the same flows.
        if case == "odd-protocols":
            assert not live.differences(without_direction(seen[name]), without_direction(frames), name, "file")
        else:
            assert not live.differences(seen[name], frames, name, "file")
        # Offload is off, so every buffer is a packet, and the interface counted the same frames.
        for d, frame in counters.items():
            ip, other = seen[name].ip[d], seen[name].not_ip[d]
            assert ip.packets + other.packets == frame.packets, (name, d)
            assert seen[name].skbs[d] == ip.packets, (name, d)
            assert ip.bytes + 14 * ip.packets + MORE_LINK_BYTES.get(case, 0) + other.bytes == frame.bytes, (name, d)
    for name in backends[1:]:
        assert not live.differences(seen[name], seen[backends[0]], name, backends[0])


def test_frames_of_a_metered_vlan_are_seen_but_not_recorded(cables, backends, tmp_path):
    """802.1Q 5 and 802.1ad 6 are interfaces of their own. Where frames leave, the tag is in them; where they arrive, the kernel
    has moved the outermost beside them."""
    from scapy.all import IP, UDP, Dot1AD, Dot1Q, Ether, IPv6, Raw
    cable = cables()
    e = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:99")
    v4, v6, load = IP(src="10.99.0.1", dst="10.99.0.2"), IPv6(src="fd99::1", dst="fd99::2"), Raw(b"z" * 72)

    def numbered(port, packet):  # 100 bytes of IPv4, 120 of IPv6
        return packet / UDP(sport=port, dport=9) / load

    own = [numbered(1, e / v4), numbered(2, e / Dot1Q(vlan=6) / v4), numbered(3, e / Dot1Q(vlan=6) / Dot1Q(vlan=5) / v4),
           numbered(4, e / Dot1AD(vlan=5) / v6), numbered(5, e / Dot1Q(vlan=0, prio=5) / v4), numbered(6, e / Dot1Q(vlan=69) / v4)]
    others = [numbered(11, e / Dot1Q(vlan=5) / v4), numbered(12, e / Dot1Q(vlan=5, prio=7, id=1) / v6),
              numbered(13, e / Dot1AD(vlan=6) / Dot1Q(vlan=7) / v4)]
    cut = e / Dot1Q(vlan=5, type=0x0800) / Raw(b"\x43" + bytes(71))  # a header of 12 bytes: nothing lost here, whatever it is there
    not_ip = e / Dot1Q(vlan=5, type=0x0806) / Raw(bytes(46))
    path = tmp_path / "vlan.hex"
    path.write_text("".join(bytes(f).hex() + "\n" for f in [*own, *others, cut, not_ip]))
    options = ["--vlan", 5, "--svlan", 6, "--vlan", 4095]
    for ns, device, direction in ((cable.a, "a0", "egress"), (cable.b, "b0", "ingress")):
        seen = live.measure([live.Probe(name, ns, device, options=options) for name in backends],
                            lambda: cable.a(PYTHON, TRAFFIC, "frames", "a0", path))
        for name in backends:
            live.check_balance(seen[name], name)
            flows = {f.sport: c for f, c in seen[name].flows.items() if f.direction == direction and f.dport == 9}
            assert flows == {port: live.Count(1, 120 if port == 4 else 100) for port in range(1, 7)}, (name, direction)
            assert seen[name].vlan[direction] == live.Count(4, 100 + 120 + 100 + 72), (name, direction)
            assert seen[name].skbs[direction] == 10 and seen[name].not_ip[direction].packets == 1, (name, direction)


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_the_daemon_delivers_what_the_sources_saw(cables, backends, flowlog, tmp_path, backend):
    """The whole path, from the cable to compressed files, held against a capture of the same traffic."""
    need(backends, backend)
    if "run" not in flowlog("help", check=False).stdout:
        pytest.skip("backend not built: no run without -Dcapture=true")
    cable = cables()

    def traffic():
        tcp(cable, B4)
        icmp(cable)
        connections(cable)

    for directory in (tmp_path, *list(tmp_path.parents)[:2]):
        directory.chmod(directory.stat().st_mode | 0o55)  # the daemon's roles are another user; this may be /tmp itself
    store = tmp_path / "store"
    seen = live.measure([live.CaptureFile(flowlog, cable.b, "b0", tmp_path / "frames.pcap", LOCAL),
                         live.Daemon(flowlog, backend, cable.b, "b0", store)], traffic)
    assert len(seen["file"].flows) > 2 * CONNECTIONS
    assert not live.differences(seen[f"run-{backend}"], seen["file"], "run", "file")


def test_frames_from_a_tap(netns, backends, flowlog, tmp_path):
    """Frames written to a tap, plain and with a virtio-net header that asks for segmentation: gso_size without gso_segs."""
    from scapy.all import IP, TCP, Ether, Raw
    ns = netns()
    path = tmp_path / "tap.hex"
    payload = 7 * 1000 + 1
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:99") / IP(src="10.99.0.1", dst="10.99.0.2") / \
        TCP(sport=5, dport=6, flags="PA") / Raw(bytes(payload))
    path.write_text(bytes(frame).hex() + "\n")
    with helper(ns, "tap", "tap0", path) as tap:
        ns("sysctl", "-qw", "net.ipv6.conf.tap0.disable_ipv6=1")
        ns("ip", "link", "set", "tap0", "mtu", 9000, "up")

        def traffic():
            for command in ("plain", "gso 1000", "gso 1000"):
                tap.stdin.write(command + "\n")
                tap.stdin.flush()
                assert tap.stdout.readline() == "done\n"

        seen = live.measure([live.Probe(name, ns, "tap0") for name in backends], traffic)
    flow = live.Flow("ingress", "10.99.0.1", "10.99.0.2", 5, 6, 6)
    for name in backends:
        # One packet as it is, and twice eight of at most 1,000 bytes, each with its own 40 bytes of headers.
        assert seen[name].flows == {flow: live.Count(1 + 2 * 8, (payload + 40) + 2 * (payload + 8 * 40))}, name
        assert seen[name].skbs["ingress"] == 3, name
        live.check_balance(seen[name], name)


def test_copies_of_own_multicast_are_no_traffic(cables, backends):
    """What the stack gives back to the sender's own members passes tc ingress, but no interface counted it as received."""
    cable = cables()
    for name in backends:
        seen = live.measure([live.Probe(name, cable.b, "b0")],
                            lambda: cable.b(PYTHON, TRAFFIC, "multicast", B4, "239.7.7.7", 20))[name]
        group = {f: c for f, c in seen.flows.items() if f.dport == 4001}
        assert group == {live.Flow("egress", B4, "239.7.7.7", 4001, 4001, 17): live.Count(20, 20 * 128)}, name
        assert seen.not_ip["ingress"] == live.NOTHING, name


# ---- with offload on: a middle device sees the segments ----

class Chain:
    """a0 -- m0 [router] m1 -- b0. Offload is on at a0 and off behind it: the router cuts, b0 sees what a0 meant."""

    def __init__(self):
        tag = uuid.uuid4().hex[:6]
        self.a, self.m, self.b = (Netns(f"fl{x}{tag}") for x in "amb")
        for x, x_dev, y, y_dev in ((self.a, "a0", self.m, "m0"), (self.m, "m1", self.b, "b0")):
            sh("ip", "link", "add", x_dev, "netns", x.name, "type", "veth", "peer", "name", y_dev, "netns", y.name)
        for ns, dev, v4, v6 in ((self.a, "a0", "10.78.1.1", "fd78:1::1"), (self.m, "m0", "10.78.1.2", "fd78:1::2"),
                                (self.m, "m1", "10.78.2.1", "fd78:2::1"), (self.b, "b0", "10.78.2.2", "fd78:2::2")):
            ns("ip", "addr", "add", f"{v4}/24", "dev", dev)
            ns("ip", "-6", "addr", "add", f"{v6}/64", "dev", dev, "nodad")
            ns("ip", "link", "set", dev, "addrgenmode", "none", "up")
            offload(ns, dev, dev == "a0")
        self.m("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.a("ip", "route", "add", "default", "via", "10.78.1.2")
        self.a("ip", "-6", "route", "add", "default", "via", "fd78:1::2")
        self.b("ip", "route", "add", "default", "via", "10.78.2.1")
        self.b("ip", "-6", "route", "add", "default", "via", "fd78:2::1")
        know_each_other(self.a, "a0", self.m, "m0", (("10.78.1.1", "10.78.1.2"), ("fd78:1::1", "fd78:1::2")))
        know_each_other(self.m, "m1", self.b, "b0", (("10.78.2.1", "10.78.2.2"), ("fd78:2::1", "fd78:2::2")))
        live.quiet(live.Counters(self.b, "b0"))

    def close(self):
        for ns in (self.a, self.m, self.b):
            ns.delete()


@pytest.fixture(scope="module")
def chain(root):
    made = Chain()
    yield made
    made.close()


def udp_segments(chain, host):
    with helper(chain.b, "sink", 4000, "6" if ":" in host else "4"):
        chain.a(PYTHON, TRAFFIC, "datagrams", host, 4000, 300, 10500, 1000)


@pytest.mark.parametrize("host", ["10.78.2.2", "fd78:2::2"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_offload_is_counted_in_wire_packets(chain, backends, kind, host):
    def traffic():
        if kind == "tcp":
            iperf(chain, "-n", "50M", host=host)
        else:
            udp_segments(chain, host)

    sent, wire = live.Counters(chain.a, "a0"), live.Counters(chain.b, "b0")
    sent.name = "sent"
    seen = live.measure([wire, sent, *(live.Probe(name, chain.a, "a0") for name in backends)], traffic)
    segments = seen["counters"]["ingress"]
    assert seen["sent"]["egress"].packets * 4 < segments.packets, "offload was not at work: the test shows nothing"
    for name in backends:
        got = seen[name].ip["egress"]
        live.check_balance(seen[name], name)
        assert got.packets == segments.packets, name
        assert got.bytes == segments.bytes - 14 * segments.packets, name
        assert seen[name].ip["ingress"].packets == seen["counters"]["egress"].packets, name
        assert seen[name].skbs["egress"] < got.packets / 4, name


def test_received_offload_is_counted_in_wire_packets(chain, backends):
    """GRO merges segments before they are metered: still as many packets as crossed the cable."""
    chain.b("ethtool", "-K", "b0", "gro", "on")
    try:
        wire = live.Counters(chain.m, "m1")
        seen = live.measure([wire, *(live.Probe(name, chain.b, "b0") for name in backends)],
                            lambda: iperf(chain, "-n", "50M", host="10.78.2.2"))
    finally:
        chain.b("ethtool", "-K", "b0", "gro", "off")
    segments = seen["counters"]["egress"]
    for name in backends:
        live.check_balance(seen[name], name)
        got = seen[name].ip["ingress"]
        assert got.packets == segments.packets, name
        # A veth that receives by NAPI (for GRO) counts bytes behind the link-layer header, others before it.
        assert got.bytes in (segments.bytes, segments.bytes - 14 * segments.packets), name
        assert seen[name].skbs["ingress"] < got.packets, f"{name}: nothing was merged, the test shows nothing"


# ---- the packet socket's own ----

def need(backends, name):
    if name not in backends:
        pytest.skip(f"backend not built: {name}")


def test_a_full_ring_is_counted_to_the_packet(cables, backends):
    """A ring of the smallest size and a stopped reader: what did not fit is lost, and lost + recorded = seen by the interface."""
    need(backends, "afpacket")
    cable = cables()
    probe = live.Probe("afpacket", cable.b, "b0", options=("--afpacket-bytes", 1))

    def traffic():
        probe.process.send_signal(19)  # SIGSTOP
        with helper(cable.b, "sink", 4000, "4"):
            cable.a(PYTHON, TRAFFIC, "datagrams", B4, 4000, 5000, 100)
        probe.process.send_signal(18)

    seen = live.measure([cable.counters, probe], traffic)
    got, frames = seen["afpacket"], seen["counters"]["ingress"]
    assert got.lost["ingress"].packets > 100
    assert got.ip["ingress"].packets + got.not_ip["ingress"].packets == frames.packets
    assert got.total("ingress").packets + got.lost["ingress"].packets == got.ip["ingress"].packets
    assert got.lost["egress"].packets == 0


def test_an_interface_that_vanishes_keeps_what_it_saw(netns, backends):
    need(backends, "afpacket")
    a, b = netns(), netns()
    sh("ip", "link", "add", "a0", "netns", a.name, "type", "veth", "peer", "name", "b0", "netns", b.name)
    for ns, dev, v4 in ((a, "a0", A4), (b, "b0", B4)):
        ns("ip", "addr", "add", f"{v4}/24", "dev", dev)
        ns("ip", "link", "set", dev, "up")
    probe = live.Probe("afpacket", b, "b0")
    probe.start()
    a("ping", "-q", "-c", 20, "-i", "0.01", B4)
    b("ip", "link", "del", "b0")
    before = cpu_of(probe.process.pid)
    time.sleep(1.5)
    spent = cpu_of(probe.process.pid) - before
    seen = probe.stop()
    assert seen.flows[live.Flow("ingress", A4, B4, 0, 0, 1)].packets == 20
    assert seen.flows[live.Flow("egress", B4, A4, 0, 0, 1)].packets == 20
    assert spent < 0.5, "the probe spins on a dead socket"


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_it_works_in_a_user_namespace(backends):
    """No privilege but that of an own user namespace: unshare -Urn."""
    need(backends, "afpacket")
    script = """set -e
ip link add a0 type veth peer name b0
ip link set a0 up; ip link set b0 up
ip link set lo up
"$0" afpacket b0 --seconds 5 2>"$1" &
while ! grep -q ready "$1"; do sleep 0.05; done
ip addr add 10.9.9.1/24 dev a0
ping -q -c 3 -i 0.1 -W 1 -I a0 10.9.9.2 >/dev/null 2>&1 || true
wait"""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*user, "unshare", "-Urn", "true"], capture_output=True).returncode:
        pytest.skip("the kernel refuses user namespaces")
    with contextlib.ExitStack() as stack:
        import json
        import os
        import tempfile
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        os.chmod(directory, 0o777)
        done = subprocess.run([*user, "unshare", "-Urn", "sh", "-c", script, live.PROBE, f"{directory}/err"],
                              capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    seen = live.Probe.parse(json.loads(done.stdout))
    # Nobody answers, so the pings end as address resolution: frames that are not IP.
    assert seen.not_ip["ingress"].packets > 0

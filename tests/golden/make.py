# SPDX-License-Identifier: Apache-2.0
"""Writes the captures of the golden cases. A case is a folder: in.pcap, args (one a line), want.log, note (why it exists).
want.log is written by hand or checked by hand: --update in tests/system/test_meter_golden.py does not exist for that reason."""
import pathlib

from scapy.all import DHCP, BOOTP, DNS, DNSQR, Dot1Q, Ether, GRE, ICMP, IP, IPv6, SCTP, TCP, UDP, VXLAN, ICMPv6ND_NS, fragment, wrpcap

HERE = pathlib.Path(__file__).parent
T0 = 1735689600  # 2025-01-01 00:00:00 UTC, the start of a window
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
CLIENT, SERVER = "10.20.1.15", "198.51.100.7"


def tcp(forward, flags, size=0, sport=51512, dport=443):
    ip = IP(src=CLIENT, dst=SERVER) if forward else IP(src=SERVER, dst=CLIENT)
    ports = dict(sport=sport, dport=dport) if forward else dict(sport=dport, dport=sport)
    return E / ip / TCP(flags=flags, **ports) / (b"x" * size)


def write(case, note, args, packets):
    folder = HERE / case
    folder.mkdir(exist_ok=True)
    (folder / "note").write_text(note + "\n")
    (folder / "args").write_text("".join(a + "\n" for a in args))
    out = []
    for when, packet in packets:
        packet.time = T0 + when
        out.append(packet)
    wrpcap(str(folder / "in.pcap"), out)


SESSION = [(1.0, tcp(True, "S")), (1.01, tcp(False, "SA")), (1.02, tcp(True, "A")), (1.1, tcp(True, "PA", 100)), (1.2, tcp(False, "PA", 1000)),
           (59.9, tcp(True, "FA")), (59.95, tcp(False, "FA")), (60.1, tcp(True, "A")), (200.0, tcp(True, "R"))]


def main():
    write("session", "A connection over three windows: flags and times are those of each window, not of the connection.",
          ["--format", "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${tcp-flags} ${action}"], SESSION)
    write("direction", "--local decides the direction; without an address on either side it stays unknown; format v5-all writes - for the unknown.",
          ["--format", "v5-all", "--local", "10.20.0.0/16"],
          SESSION[:2] + [(2, E / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=5, dport=6))])
    write("interval", "--interval 600 sums what 60 s windows tell apart.", ["--interval", "600"], SESSION)
    write("transit-gateway", "The 36 fields; its flags know PSH and ACK.", ["--format", "tgw-default"], SESSION[:7])
    write("json", "Numbers are numbers, what is not known is null.", ["-o", "json", "--format", "${srcaddr} ${bytes} ${traffic-path} ${flow-direction} ${type}"],
          [(0, E / IPv6(src="2001:db8::1", dst="2001:db8:0:1::") / UDP(sport=1, dport=2) / b"x")])
    write("csv", "The header names the columns.", ["-o", "csv", "--format", "${dstaddr} ${dstport} ${packets}"], SESSION[:1])
    write("exclude-aws", "What AWS does not log is left out, and only that: base + 2 is the DNS server, base + 3 is a host.",
          ["--exclusions", "aws", "--local", "10.20.1.0/24", "--format", "${srcaddr} ${dstaddr} ${dstport} ${protocol} ${packets}"],
          [(0, E / IP(src=CLIENT, dst="10.20.1.2") / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="a.example"))),
           (0, E / IP(src=CLIENT, dst="10.20.1.3") / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="a.example"))),
           (0, E / IP(src=CLIENT, dst="10.20.1.1") / ICMP()),
           (0, E / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=["end"])),
           (0, E / IP(src=CLIENT, dst="169.254.169.254") / TCP(sport=4001, dport=80)),
           (0, E / IP(src=CLIENT, dst="169.254.169.123") / UDP(sport=123, dport=123)),
           (0, E / IPv6(src="fe80::1", dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="fe80::2"))])
    datagram = IP(src=CLIENT, dst=SERVER, id=77) / UDP(sport=3000, dport=4000) / (b"x" * 3000)
    pieces = [E / f for f in fragment(datagram, fragsize=1480)]
    stray = E / IP(src=CLIENT, dst=SERVER, id=78, frag=185, proto=17) / (b"x" * 100)
    write("fragments", "Later fragments go to the first one's ports; one whose first was not seen has ports 0. Bytes are the sum of the IP packets.",
          ["--format", "${srcport} ${dstport} ${packets} ${bytes}"], [(0, p) for p in pieces] + [(1, stray)])
    write("no-ports", "ICMP has ports 0 whatever its type and code; SCTP has ports; a VLAN tag is not counted.",
          ["--format", "${protocol} ${srcport} ${dstport} ${packets} ${bytes}"],
          [(0, E / IP(src=CLIENT, dst=SERVER) / ICMP(type=8)), (0, E / IP(src=CLIENT, dst=SERVER) / ICMP(type=3, code=1)),
           (0, E / Dot1Q(vlan=5) / IP(src=CLIENT, dst=SERVER) / SCTP(sport=7, dport=9))])
    inner = IP(src="172.16.0.1", dst="172.16.0.2") / UDP(sport=11, dport=12) / b"hello"
    tunnels = [(0, E / IP(src=CLIENT, dst=SERVER) / GRE() / inner),
               (0, E / IP(src=CLIENT, dst=SERVER) / UDP(sport=5, dport=4789) / VXLAN(vni=1) / E / inner)]
    fields = ["--format", "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes}"]
    write("tunnel-outer", "Tunnels are logged as the outer flow, as AWS does.", fields, tunnels)
    write("tunnel-inner", "--inner logs what is inside.", fields + ["--inner"], tunnels)
    write("out-of-order", "A packet up to two seconds late finds its window open; windows without traffic write nothing.",
          ["--format", "${srcport} ${packets} ${start} ${end}"],
          [(10, tcp(True, "A", sport=1)), (60.5, tcp(True, "A", sport=1)), (59.5, tcp(True, "A", sport=1)), (600, tcp(True, "A", sport=1))])


if __name__ == "__main__":
    main()

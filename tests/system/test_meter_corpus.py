# SPDX-License-Identifier: Apache-2.0
"""Every capture of the corpus: the program stays whole, its ledger says what tshark says, its records say what the ledger says."""
import collections
import concurrent.futures
import csv
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import tshark_counts

SANITIZER = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "MemorySanitizer")
SAMPLE = 40  # captures that tshark counts again in every run

# Captures whose ledger may differ from tshark's count, and the one reason each.
EXCEPTIONS = {
    "pcap/arkime/arkime_synthetic.pcap": "one packet behind Cisco metadata (0x8909) and one behind a network service header (0x894f): neither is decoded",
    "pcap/dnscap/dns.pcap.lz4": "lz4 is not read; gzip and zstd are",
    "pcap/libpcap/filter__arcnet-rfc1051-arp-icmp-http.pcap": "ARCNET (link type 129) is not decoded",
    "pcap/tcpdump/arcnet-rfc1201-arp-icmp-http.pcap": "ARCNET (link type 129) is not decoded",
    "pcap/tcpdump/bgp-aigp.pcap": "Juniper's own link header (link type 178) is not decoded",
    "pcap/suricata-verify/decode-dce__input.pcap": "packets behind Cisco FabricPath (0x8903): not decoded",
    "pcap/suricata-verify/decode-etag-02__input.pcap": "a packet behind an 802.1BR tag (0x893f): not decoded",
    "pcap/suricata-verify/decode-nsh-type2__input.pcap": "a packet behind a network service header (0x894f): not decoded",
    "pcap/tcpdump/nsh.pcap": "a packet behind a network service header (0x894f): not decoded",
    "pcap/zeek/pbb.pcap": "packets behind a provider backbone bridge header (0x88e7): not decoded",
    "pcap/zeek/vntag.pcap": "packets behind a VN-Tag (0x8926): not decoded",
    "pcap/zeek/snap-tcp.pcap": "IP in 802.3 frames with LLC and SNAP instead of an Ethernet type: not decoded, as the kernel's parser does not",
    "pcap/tcpdump/icmp-rfc8335-missing-bytes.pcap": "MACsec without encryption: its payload is not looked into",
    "pcap/tcpdump/macsec-integonly.pcap": "MACsec without encryption: its payload is not looked into",
    "malformed/tcpdump/macsec-short-shorter.pcap": "MACsec without encryption: its payload is not looked into",
    "pcap/tcpdump/bigtcp-ipv6-vxlan-ipv6.pcap": "payload length 0 is segmentation offload (BIG TCP): we count the frame's length, tshark the bare header",
    "pcap/tcpdump/ipv6_frag6_negative_len.pcap": "payload length 0 with a payload: we count the frame's length, tshark the bare header",
    "pcap/tcpdump/ipv6_missing_jumbo_payload_option.pcap": "a jumbogram without its option: we count the frame's length, tshark the bare header",
    "malformed/tcpdump/ipv6_jumbogram_invalid_length.pcap": "the jumbo option claims a byte more than the frame has: we count the frame",
    "malformed/tcpdump/quic_32_bit_pointer_overflow.pcap": "the jumbo option claims 192 MiB in a frame of 58 kB: we count the frame",
    "malformed/tcpdump/LINKTYPE_IPV4_invalid.pcap": "an IPv6 packet under the link type for IPv4: we go by the packet's version",
    "malformed/tcpdump/bad-ipv4-version-pgm-heapoverflow.pcap": "a header length below 20: seen and lost (truncated) for us, tshark shows no length",
    "malformed/tcpdump/gre-heapoverflow-1.pcap": "an IP version that does not exist: seen and lost (truncated) for us, tshark shows no length",
    "malformed/ndpi/fuzz-2006-09-29-28586.pcap": "two packets of IP versions that do not exist: seen and lost (truncated) for us, tshark shows no length",
    "malformed/zeek/quic__383379789-decrypt-crash.pcap": "two packets of IP versions that do not exist: seen and lost (truncated) for us, tshark shows no length",
    "malformed/ndpi-fuzz/b4e9c892e36289e4.pcap": "tshark looks ahead to the damaged record and gives nothing; we give the two packets before it",
    "malformed/ndpi-fuzz/bf4f1c69a97d061f.pcap": "tshark looks ahead to the damaged record and gives nothing; we give the two packets before it",
}


class Run:
    def __init__(self, flowlog, path, folder, *args):
        ledger = folder / f"{abs(hash((path, args)))}.json"
        self.path = path
        self.done = flowlog("meter", "--ledger", ledger, "-o", "csv", *args, path, check=False, timeout=60)
        self.ledger = json.loads(ledger.read_text()) if ledger.exists() else None
        self.rows = list(csv.DictReader(self.done.stdout.splitlines()))

    def sums(self):
        flows = [r for r in self.rows if r["log-status"] == "OK"]
        return sum(int(r["packets"]) for r in flows), sum(int(r["bytes"]) for r in flows)


@pytest.fixture(scope="module")
def runs(flowlog, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledgers")
    paths = list(tshark_counts.captures(corpus))
    assert len(paths) > 1000
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda p: Run(flowlog, p, folder), paths))


def name(corpus, path):
    return str(path.relative_to(corpus))


def test_every_capture_ends_orderly(runs, corpus):
    bad = []
    for run in runs:
        err = run.done.stderr
        if run.done.returncode not in (0, 1) or any(s in err for s in SANITIZER):
            bad.append((name(corpus, run.path), run.done.returncode, err[:500]))
        # A failure says what is wrong and, inside a capture, where.
        elif run.done.returncode == 1 and not ("offset" in err or "not a capture file" in err or "compressed data" in err or "empty" in err):
            bad.append((name(corpus, run.path), "no reason", err[:500]))
    assert not bad


def test_the_ledger_balances_and_is_what_the_records_say(runs, corpus):
    bad = []
    for run in runs:
        if run.ledger is None:
            bad.append((name(corpus, run.path), "no ledger"))
            continue
        l = run.ledger
        for what in ("packets", "bytes"):
            if l["seen"][what] != l["recorded"][what] + l["excluded"][what] + l["lost"][what]:
                bad.append((name(corpus, run.path), what, l))
        if run.sums() != (l["recorded"]["packets"], l["recorded"]["bytes"]):
            bad.append((name(corpus, run.path), run.sums(), l["recorded"]))
    assert not bad


def test_packets_and_bytes_equal_tshark(runs, corpus):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    known = tshark_counts.table()
    digests = {run.path: tshark_counts.sha256(run.path) for run in runs}
    # The table is believed only as far as tshark says the same of a sample today.
    order = sorted(runs, key=lambda r: digests[r.path])
    again = {r.path for r in order[:SAMPLE]} | {r.path for r in runs if digests[r.path] not in known}
    fresh = tshark_counts.count_all(sorted(again))
    stale = {name(corpus, p): (fresh[p], known[digests[p]]) for p in fresh if digests[p] in known and fresh[p] != known[digests[p]]}
    assert not stale, "tshark_counts.tsv no longer says what tshark says: write it anew"
    differ = {}
    for run in runs:
        want = fresh.get(run.path) or known[digests[run.path]]
        seen = run.ledger["seen"] if run.ledger else {"packets": 0, "bytes": 0}
        if (seen["packets"], seen["bytes"]) != want:
            differ[name(corpus, run.path)] = ((seen["packets"], seen["bytes"]), want)
    assert not {n: v for n, v in differ.items() if n not in EXCEPTIONS}
    assert not set(EXCEPTIONS) - set(differ), "exceptions that are none any more"


def test_link_types_that_are_not_decoded_are_named(runs):
    warned = [r for r in runs if "is not decoded" in r.done.stderr]
    assert warned
    for run in warned:
        assert "link type " in run.done.stderr and run.ledger["not_ip"]["packets"] > 0


@pytest.mark.parametrize("args", [("--inner",), ("--interval", "1", "--local", "10.0.0.0/8", "--exclusions", "aws"), ("--memory", "8K")])
def test_other_options_balance_too(flowlog, corpus, tmp_path, args):
    paths = list(tshark_counts.captures(corpus))[::6]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for run in pool.map(lambda p: Run(flowlog, p, tmp_path, *args), paths):
            assert run.done.returncode in (0, 1) and not any(s in run.done.stderr for s in SANITIZER), run.path
            l = run.ledger
            assert l["seen"]["packets"] == l["recorded"]["packets"] + l["excluded"]["packets"] + l["lost"]["packets"], run.path
            assert run.sums() == (l["recorded"]["packets"], l["recorded"]["bytes"]), run.path


# ---- Zeek's connection logs ----

ZEEK_EXCEPTIONS = {
    "pbb.pcap.core.pbb.conn.log": "packets behind a provider backbone bridge header: not decoded",
    "vntag.pcap.core.vntag.conn.log": "packets behind a VN-Tag: not decoded",
    "smtp.pcap.scripts.base.frameworks.netcontrol.packetfilter.scripted.conn.log": "the script drops the hosts' packets after the first",
    "tunnels__vxlan-encapsulated-igmp-v2.pcap.core.tunnels.vxlan-unknown-internal-packet.conn.log":
        "Zeek counts no packets of these outer flows, which it hands on to its tunnel analyser",
    "tunnels__gre-sample.pcap.core.skip_analyzer.scripted.conn.log":
        "the script makes Zeek forget the tunnel, so inner connections look like outer ones",
}
ZEEK_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmp"}


def zeek_logs(corpus):
    for line in (corpus / "MANIFEST.tsv").read_text().splitlines():
        columns = line.split("\t")
        if len(columns) < 10 or "/zeek/" not in columns[0] or not columns[0].endswith("conn.log"):
            continue
        fields, rows = None, []
        for text in (corpus / columns[0]).read_text(errors="replace").splitlines():
            if text.startswith("#fields"):
                fields = text.split("\t")[1:]
            elif fields and text and not text.startswith("#"):
                rows.append(dict(zip(fields, text.split("\t"))))
        # Some baselines were cut to a few columns, one has them renamed.
        if rows and "orig_ip_bytes" in rows[0] and "id.orig_h" in rows[0]:
            path = corpus / columns[0]
            yield path.name, path.parent.parent / columns[9], rows


def zeek_flows(rows, inner):
    """(packets, bytes) per directed 5-tuple. Records have no ICMP types, so theirs are summed."""
    flows = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        if (row.get("tunnel_parents", "-") not in ("-", "(empty)", "")) != inner:
            continue
        ports = ("0", "0") if row["proto"] == "icmp" else (row["id.orig_p"], row["id.resp_p"])
        for key, side in (((row["id.orig_h"], ports[0], row["id.resp_h"], ports[1], row["proto"]), "orig"),
                          ((row["id.resp_h"], ports[1], row["id.orig_h"], ports[0], row["proto"]), "resp")):
            if row[side + "_pkts"] != "-":
                flows[key][0] += int(row[side + "_pkts"])
                flows[key][1] += int(row[side + "_ip_bytes"])
    return flows


def our_flows(run):
    flows = collections.defaultdict(lambda: [0, 0])
    for r in run.rows:
        key = (r["srcaddr"], r["srcport"], r["dstaddr"], r["dstport"], ZEEK_PROTOCOLS.get(r["protocol"], "unknown_transport"))
        flows[key][0] += int(r["packets"])
        flows[key][1] += int(r["bytes"])
    return flows


def zeek_differences(flowlog, corpus, folder, inner):
    compared, differ = 0, {}
    for log, capture, rows in zeek_logs(corpus):
        theirs = zeek_flows(rows, inner)
        if not theirs:
            continue
        ours = our_flows(Run(flowlog, capture, folder, *(["--inner"] if inner else [])))
        for key, counts in theirs.items():
            compared += 1
            if ours.get(key, [0, 0]) != counts:
                differ.setdefault(log, []).append((key, counts, ours.get(key)))
    return compared, differ


def test_zeek_counts_per_tuple(flowlog, corpus, tmp_path):
    compared, differ = zeek_differences(flowlog, corpus, tmp_path, False)
    assert compared > 150
    assert not {log: d for log, d in differ.items() if log not in ZEEK_EXCEPTIONS}
    assert set(ZEEK_EXCEPTIONS) == set(differ)


ZEEK_INNER_EXCEPTIONS = {
    "erspanII.pcap.core.erspanII.conn.log": "ERSPAN is not opened; GRE with IP or Ethernet, IPIP, 6in4, VXLAN and Geneve are",
    "tunnels__ayiya-large-identity.pcap.core.tunnels.ayiya-large-identity.conn.log": "AYIYA is not opened",
    "tunnels__gre-over-udp-4754.pcap.core.tunnels.gre-over-udp.conn.log": "GRE in UDP (RFC 8086) is not opened",
    "tunnels__gtp__gtp6_gtp_0x32.pcap.core.tunnels.gtp.opt_header.scripted.conn.log": "GTP is not opened",
    "tunnels__gtp__gtp8_teredo.pcap.core.tunnels.gtp.inner_teredo.conn.log": "GTP is not opened",
}


def test_zeek_inner(flowlog, corpus, tmp_path):
    """Zeek's connections inside tunnels against --inner, for the tunnels that it opens."""
    compared, differ = zeek_differences(flowlog, corpus, tmp_path, True)
    assert compared > 20
    assert not {log: d for log, d in differ.items() if log not in ZEEK_INNER_EXCEPTIONS}
    assert set(ZEEK_INNER_EXCEPTIONS) == set(differ)

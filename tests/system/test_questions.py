# SPDX-License-Identifier: Apache-2.0
"""Ready questions: answers computed by hand, answers computed in Python over random archives, the same over every kind of source, and what
is said when there is nothing to say."""
import collections
import csv
import datetime
import gzip
import hashlib
import io
import ipaddress
import json
import os
import pty
import random
import subprocess
import termios

import pytest

from conftest import PROGRAM, catches, sh

MAKE_STORE = PROGRAM.parents[2] / "tests/cli/make_store"
T0 = 1795132800  # 2026-11-20T00:00:00Z
HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags"
FIELDS = HEADER.replace("-", "_").split()

# An SSH session seen at both ends, HTTPS that nobody answered, telnet that was rejected, a web port that was closed, DNS, and silence.
HAND = f"""{HEADER}
3 1 eni-1 10.0.0.1 10.0.0.2 40000 22 6 5 500 {T0} {T0 + 50} ACCEPT OK 3
3 1 eni-1 10.0.0.2 10.0.0.1 22 40000 6 4 4000 {T0} {T0 + 50} ACCEPT OK 19
3 1 eni-2 10.0.0.1 10.0.0.2 40000 22 6 5 500 {T0} {T0 + 50} ACCEPT OK 3
3 1 eni-2 10.0.0.2 10.0.0.1 22 40000 6 4 4000 {T0} {T0 + 50} ACCEPT OK 19
3 1 eni-1 10.0.0.1 8.8.8.8 40001 443 6 10 90000 {T0 + 60} {T0 + 100} ACCEPT OK 2
3 1 eni-1 10.0.0.3 10.0.0.1 50000 23 6 1 40 {T0 + 7200} {T0 + 7210} REJECT OK 2
3 1 eni-1 10.0.0.1 10.0.0.9 40005 8080 6 1 40 {T0 + 7200} {T0 + 7210} ACCEPT OK 2
3 1 eni-1 10.0.0.9 10.0.0.1 8080 40005 6 1 40 {T0 + 7200} {T0 + 7210} ACCEPT OK 4
3 1 eni-1 10.0.0.1 10.0.0.53 33333 53 17 2 120 {T0 + 7230} {T0 + 7231} ACCEPT OK 0
3 1 eni-1 10.0.0.53 10.0.0.1 53 33333 17 2 300 {T0 + 7230} {T0 + 7231} ACCEPT OK 0
3 1 eni-3 - - - - - - - {T0 + 7200} {T0 + 7260} - NODATA -
3 1 eni-1 - - - - - - - {T0 + 7200} {T0 + 7260} - SKIPDATA -
"""


def rows(flowlog, *args, **kw):
    return [json.loads(line) for line in flowlog(*args, "-o", "json", **kw).stdout.splitlines()]


def table(flowlog, *args, **kw):
    """The values of a csv answer."""
    return [tuple(r) for r in list(csv.reader(io.StringIO(flowlog(*args, "-o", "csv", **kw).stdout)))[1:]]


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    path = tmp_path_factory.mktemp("hand") / "hand.log"
    path.write_text(HAND)
    return path


# ---- by hand ----

def test_a_sum_beyond_all_numbers_is_not_nothing(flowlog, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(HEADER + f"\n3 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 5 {2**63 - 1} {T0} {T0 + 1} ACCEPT OK 3" * 3 + "\n")
    assert rows(flowlog, "top", path)[0] == {"srcaddr": "10.0.0.1", "bytes": 2**64 - 2, "packets": 15, "flows": 3}


def test_top(flowlog, hand):
    assert rows(flowlog, "top", hand)[:2] == [{"srcaddr": "10.0.0.1", "bytes": 91160, "packets": 23, "flows": 5},
                                              {"srcaddr": "10.0.0.2", "bytes": 8000, "packets": 8, "flows": 2}]
    assert table(flowlog, "top", "--of", "destinations", "-n", 2, hand) == [("8.8.8.8", "90000", "10", "1"), ("10.0.0.1", "8380", "12", "5")]
    assert table(flowlog, "top", "--of", "pairs", "--by", "packets", "-n", 2, hand) == [
        ("10.0.0.1", "8.8.8.8", "90000", "10", "1"), ("10.0.0.1", "10.0.0.2", "1000", "10", "2")]
    assert table(flowlog, "top", "--of", "ports", "--by", "flows", "-n", 2, hand) == [("6", "22", "1000", "10", "2"), ("6", "40000", "8000", "8", "2")]
    assert table(flowlog, "top", "--of", "services", hand) == [
        ("6", "443", "90000", "10", "1", "1"), ("6", "22", "9000", "18", "4", "1"), ("17", "53", "420", "4", "2", "1"),
        ("6", "8080", "80", "2", "2", "1"), ("6", "23", "40", "1", "1", "1")]
    assert table(flowlog, "top", "--of", "interfaces", hand) == [("eni-1", "95040", "26", "8"), ("eni-2", "4500", "9", "2")]
    lines = flowlog("top", hand).stdout.splitlines()
    assert lines[0].split() == ["SRCADDR", "BYTES", "PACKETS", "FLOWS"] and lines[1].split() == ["10.0.0.1", "91", "kB", "23", "5"]


def test_rejects_refusals_and_silence_are_told_apart(flowlog, hand):
    head = ["srcaddr", "dstaddr", "protocol", "dstport"]
    assert table(flowlog, "rejects", hand) == [("10.0.0.3", "10.0.0.1", "6", "23", "1", "1", str(T0 + 7200), str(T0 + 7210))]
    refused, = rows(flowlog, "rejects", "-k", "refused", hand)
    assert [refused[k] for k in head] == ["10.0.0.1", "10.0.0.9", 6, 8080] and refused["attempts"] == 1
    silent, = rows(flowlog, "rejects", "-k", "unanswered", hand)
    assert [silent[k] for k in head] == ["10.0.0.1", "8.8.8.8", 6, 443] and silent["packets"] == 10
    assert "23 telnet" in flowlog("rejects", hand).stdout


def test_ports(flowlog, hand):
    assert table(flowlog, "ports", "-n", 1, hand) == [("6", "22", "2", "1", "1", "1000", "0")]
    assert table(flowlog, "ports", "--of", "sources", "-n", 2, hand) == [("10.0.0.1", "4", "5", "0"), ("10.0.0.2", "1", "2", "0")]
    assert table(flowlog, "ports", "--of", "sweeps", "-n", 1, hand) == [("10.0.0.1", "4", "4", "5", "0")]
    listeners = rows(flowlog, "ports", "--of", "listeners", hand)
    assert {(r["server"], r["protocol"], r["server_port"], r["clients"]) for r in listeners} == {
        ("10.0.0.2", 6, 22, 1), ("8.8.8.8", 6, 443, 1), ("10.0.0.9", 6, 8080, 1), ("10.0.0.53", 17, 53, 1)}


def test_series(flowlog, hand):
    got = rows(flowlog, "series", hand)
    assert len(got) == 121 and got[0] == {"time": T0, "flows": 4, "bytes": 9000, "packets": 18, "rejected": 0}
    assert got[1]["bytes"] == 90000 and got[2] == {"time": T0 + 120, "flows": 0, "bytes": 0, "packets": 0, "rejected": 0}
    assert got[120] == {"time": T0 + 7200, "flows": 5, "bytes": 540, "packets": 7, "rejected": 1}
    hours = rows(flowlog, "series", "--every", "1h", hand)
    assert [(r["time"] - T0, r["flows"], r["bytes"]) for r in hours] == [(0, 5, 99000), (3600, 0, 0), (7200, 5, 540)]
    drawn = flowlog("series", "--every", "1h", hand).stdout.splitlines()
    assert drawn[0].split() == ["TIME", "FLOWS", "REJECTED", "BYTES"] and drawn[1].endswith("█" * 40) and drawn[3].rstrip().endswith(" ▎")
    assert "█" not in drawn[2] and "2026-11-20T02:00:00Z" in drawn[3]


def test_talks(flowlog, hand):
    # The session was recorded at two interfaces: it is counted once.
    pair, = rows(flowlog, "talks", "10.0.0.1", "10.0.0.2", hand)
    assert pair == {"address": "10.0.0.1", "peer": "10.0.0.2", "bytes": 4500, "flows": 2, "bytes_out": 500, "bytes_in": 4000, "accepted": 2,
                    "rejected": 0, "first": T0, "last": T0 + 50}
    other, = rows(flowlog, "talks", "10.0.0.2", "10.0.0.1", hand)
    assert (other["bytes_out"], other["bytes_in"]) == (4000, 500)
    assert [r["peer"] for r in rows(flowlog, "talks", "10.0.0.1", hand)] == ["8.8.8.8", "10.0.0.2", "10.0.0.53", "10.0.0.9", "10.0.0.3"]
    assert [r["peer"] for r in rows(flowlog, "talks", "10.0.0.1", "--new", "5m", hand)] == ["10.0.0.53", "10.0.0.9", "10.0.0.3"]
    assert [r["rejected"] for r in rows(flowlog, "talks", "10.0.0.3", "10.0.0.0/24", hand)] == [1]
    done = flowlog("talks", "10.0.0.9", "8.8.8.8", hand)
    assert done.stdout == ("nothing found; searched: the first record .. the last record\n"
                           "held: 2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z\n")
    assert flowlog("talks", check=False).returncode == 2


def test_conversations(flowlog, hand):
    got = {(r["client"], r["server"], r["server_port"]): r for r in rows(flowlog, "conversations", hand)}
    ssh = got["10.0.0.1", "10.0.0.2", 22]
    assert ssh == {"client": "10.0.0.1", "client_port": 40000, "server": "10.0.0.2", "server_port": 22, "protocol": 6, "state": "answered",
                   "packets_out": 5, "bytes_out": 500, "packets_in": 4, "bytes_in": 4000, "first": T0, "last": T0 + 50, "roles": "certain"}
    assert {k: v["state"] for k, v in got.items()} == {
        ("10.0.0.1", "10.0.0.2", 22): "answered", ("10.0.0.1", "8.8.8.8", 443): "unanswered", ("10.0.0.3", "10.0.0.1", 23): "rejected",
        ("10.0.0.1", "10.0.0.9", 8080): "refused", ("10.0.0.1", "10.0.0.53", 53): "answered"}
    assert got["10.0.0.1", "10.0.0.53", 53]["roles"] == "likely"  # ports alone


def test_roles_follow_flags_where_ports_mislead(flowlog, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(f"{HEADER}\n3 1 eni-1 10.0.0.1 10.0.0.2 443 50000 6 5 500 {T0} {T0 + 9} ACCEPT OK 2\n"
                    f"3 1 eni-1 10.0.0.2 10.0.0.1 50000 443 6 5 500 {T0} {T0 + 9} ACCEPT OK 18\n"
                    f"3 1 eni-1 10.0.0.5 10.0.0.6 7000 7000 17 5 500 {T0} {T0 + 9} ACCEPT OK 0\n"
                    f"3 1 eni-1 10.0.0.6 10.0.0.5 7000 7000 17 5 500 {T0} {T0 + 9} ACCEPT OK 0\n")
    got = {r["protocol"]: r for r in rows(flowlog, "conversations", path)}
    # a SYN and a SYN-ACK outweigh a port below 1024 (detection.md section 3: 6 - 2 - 1)
    assert (got[6]["client"], got[6]["server_port"], got[6]["roles"]) == ("10.0.0.1", 50000, "likely")
    assert got[17]["roles"] == "unknown"


def test_external(flowlog, hand):
    assert table(flowlog, "external", hand) == [("8.8.8.8", "90000", "10", "1", "1", str(T0 + 60), str(T0 + 100), "0")]


def test_summary(flowlog, hand):
    text = flowlog("summary", hand).stdout
    assert "2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z" in text and "10 records, 35 packets, 100 kB (99540 bytes)" in text
    assert "1 NODATA" in text and "1 SKIPDATA" in text and "9 ACCEPT, 1 REJECT" in text
    assert "1 of 2 interfaces with flows" in text and "eni-2" in text
    assert "2026-11-20T00:02:00Z .. 2026-11-20T02:00:00Z (118 min)" in text
    got, = rows(flowlog, "summary", hand)
    assert got["interfaces"] == 3 and got["interfaces_without_traffic"] == 1 and got["interfaces_without_reject"] == 1
    assert got["gaps"] == [{"from": T0 + 120, "to": T0 + 7200}] and got["flows"] == 10 and got["malformed_lines"] == 0


# ---- filters ----

@pytest.mark.parametrize("args,flows", [
    ([], 10), (["--src", "10.0.0.1"], 5), (["--src", "10.0.0.1", "--src", "10.0.0.3"], 6), (["--dst", "10.0.0.0/24"], 9), (["--port", "ssh"], 4),
    (["--port", "22", "--port", "53"], 6), (["--protocol", "udp"], 2), (["--action", "REJECT"], 1), (["--eni", "eni-2"], 2),
    (["--since", "1m"], 5), (["--since", "2026-11-20T01:00:00Z"], 5), (["--until", str(T0 + 60)], 4), (["--until", "2026-11-20"], 0),
    (["--since", "2d", "--until", "1h"], 5), (["-w", "host 10.0.0.1 and (port 22 or 443) and not reject"], 5), (["-w", "dst public"], 1),
    (["-w", "tcp_flags = 2", "-w", "not accept"], 1), (["-w", "bytes > 1k"], 3), (["--src", "10.0.0.1", "--port", "443", "--protocol", "6"], 1)])
def test_filters(flowlog, hand, args, flows):
    assert sum(r["flows"] for r in rows(flowlog, "series", "--every", "1d", *args, hand)) == flows


@pytest.mark.parametrize("words,statuses", [
    ("port 22", {"ok": 4}), ("not port 22", {"ok": 6}), ("not port 443", {"ok": 9}), ("not tcp", {"ok": 2}), ("not icmp", {"ok": 10}), ("not accept", {"ok": 1}),
    ("action != ACCEPT", {"ok": 1}), ("not (port 22 or status nodata)", {"ok": 6}), ("not host 10.0.0.1", {"ok": 0}),
    ("not status nodata", {"ok": 10, "skipdata": 1}), ("srcport is null", {"nodata": 1, "skipdata": 1}),
    ("srcport is null or not port 443", {"ok": 9, "nodata": 1, "skipdata": 1}), ("not srcport is null", {"ok": 10}),
    ("not (egress or ingress)", {}), ("not vpc vpc-1", {}), ("vpc_id is null and tcp", {"ok": 8})])
def test_what_a_record_does_not_say_is_neither(flowlog, hand, words, statuses):
    """NODATA has no port: it is neither "port 22" nor "not port 22". The same of a field that no record has. As SQL has it."""
    got, = rows(flowlog, "summary", "-w", words, hand)
    assert {k: got.get(k, 0) for k in ("ok", "nodata", "skipdata")} == {"ok": 0, "nodata": 0, "skipdata": 0} | statuses


@pytest.mark.parametrize("args,said", [
    (["-w", "port 22 and prt 3"], "character 13"), (["--port", "nosuch"], "--port"), (["--src", "web-1"], "the inventory has"),
    (["--since", "yesterday"], "--since"), (["--protocol", "300"], "0 to 255"), (["--eni", "nosuch"], "--eni"), (["--of", "nosuch"], "--of")])
def test_wrong_filters_are_pointed_at(flowlog, hand, args, said):
    done = flowlog("top", *args, hand, check=False)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout


@pytest.mark.parametrize("option,value,remedy", [
    ("--src", "10.0.0.300", "an address or a network, as 10.0.0.1 or 10.0.0.0/8"), ("--dst", "10.0.0.0/33", "an address or a network, as 10.0.0.1 or 10.0.0.0/8"),
    ("--dst", "::g", "an address or a network"), ("--port", "70000", "a port from 0 to 65535 or a service"), ("--port", "", "a port from 0 to 65535"),
    ("--protocol", "tpc", "a protocol's name, or its number from 0 to 255"), ("--eni", "web", "an id, or a name that the inventory has"),
    ("--vpc", "(", "an id"), ("--subnet", "x" * 300, "longer than 255 bytes"), ("--instance", "i", "an id"), ("--action", "DROP", "ACCEPT"),
    ("--since", "yesterday", "2026-11-20T00:00:00Z"), ("--until", "soon", "2026-11-20T00:00:00Z")])
def test_a_wrong_option_is_told_by_its_value(flowlog, hand, option, value, remedy):
    """Not by the words that it is made into."""
    for question in ("top", "rejects", "summary"):
        done = flowlog(question, option, value, hand, check=False)
        assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1
        assert option in done.stderr and value[:40] in done.stderr and remedy in done.stderr and "filter" not in done.stderr and "character" not in done.stderr
    if option in ("--src", "--dst"):
        done = flowlog("tail", option, value, check=False)
        assert done.returncode and value in done.stderr and remedy in done.stderr


@pytest.mark.parametrize("text", ["bogus", "${srcadr} ${bytes}", ""])
def test_a_format_that_is_none_is_refused(flowlog, hand, tmp_path, text):
    """Also where every file has a header line of its own, and before anything is read or written."""
    for args in (["top", hand], ["top", "--since", "1h", hand], ["summary", hand], ["query", "SELECT 1", hand], ["convert", hand, tmp_path / "out"],
                 ["top", tmp_path / "none"]):
        done = flowlog(args[0], "-f", text, *args[1:], check=False)
        assert done.returncode == 2 and "--format" in done.stderr and (text or "empty") in done.stderr.replace("field srcadr;", text)
        assert not done.stdout and len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()
    assert flowlog("top", "-f", "v5-all", hand).stdout == flowlog("top", hand).stdout


def test_names_of_an_inventory(flowlog, hand, tmp_path):
    (tmp_path / "enis.json").write_text(json.dumps({"NetworkInterfaces": [
        {"NetworkInterfaceId": "eni-2", "TagSet": [{"Key": "Name", "Value": "db"}], "PrivateIpAddress": "10.0.0.2", "MacAddress": "02:00:00:00:00:02",
         "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.2", "Primary": True, "Association": {"PublicIp": "192.0.2.7"}}]}]}))
    names = ("--inventory", tmp_path)
    assert [r["interface_id"] for r in rows(flowlog, "top", "--of", "interfaces", "--eni", "db", *names, hand)] == ["eni-2"]
    assert [r["srcaddr"] for r in rows(flowlog, "top", "--src", "db", *names, hand)] == ["10.0.0.2"]
    assert [r["peer"] for r in rows(flowlog, "talks", "db", *names, hand)] == ["10.0.0.1"]
    done = flowlog("top", "--src", "web", *names, hand, check=False)
    assert done.returncode == 2 and "--src" in done.stderr


# ---- what is said beside the answer ----

def test_nothing_found_says_where_was_looked(flowlog, hand):
    done = flowlog("rejects", "--since", "2026-12-01", "--until", "2026-12-02", hand)
    assert done.stdout == ("nothing found; searched: 2026-12-01T00:00:00Z .. 2026-12-01T23:59:59Z\n"
                           "held: 2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z\n")
    done = flowlog("rejects", "-o", "csv", "--src", "192.0.2.1", hand)
    assert done.stdout == "srcaddr,dstaddr,protocol,dstport,flows,packets,first,last\n" and "held: 2026-11-20" in done.stderr


def test_the_span_held_is_told_without_reading(flowlog, hand, tmp_path):
    """By footers exactly, by names of AWS's layout as exactly as they are: what is behind them cannot even be read here."""
    late = ["top", "--since", "2030-01-01"]
    names = tmp_path / "names/AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/20"
    names.mkdir(parents=True)
    for slot in ("0005", "2310"):
        (names / f"123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_20261120T{slot}Z_00000000.log.gz").write_bytes(b"\x1f\x8b\x08\0rubbish")
    done = flowlog(*late, tmp_path / "names")
    assert done.stdout.splitlines()[1] == "held: 2026-11-20T00:05:00Z .. 2026-11-20T23:15:00Z, by the times in the names of 2 files" and not done.stderr
    (names / "other.log.gz").write_bytes(b"\x1f\x8b\x08\0rubbish")  # of that day, as its directory says
    assert flowlog(*late, tmp_path / "names").stdout.splitlines()[1] == (
        "held: 2026-11-20T00:00:00Z .. 2026-11-20T23:59:59Z, by the times in the names of 3 files")
    whole = flowlog("convert", "--single", "-o", "parquet", hand, "-", text=False).stdout
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:])
    assert flowlog("top", broken, check=False).returncode == 1
    done = flowlog(*late, broken)
    assert done.stdout.splitlines()[1] == "held: 2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z" and not done.stderr
    # What tells nothing is read, and only that.
    (tmp_path / "later.log").write_text(HEADER + "\n" + HAND.splitlines()[1].replace(str(T0 + 50), str(T0 + 90000)) + "\n")
    done = flowlog(*late, broken, tmp_path / "later.log")
    assert done.stdout.splitlines()[1] == "held: 2026-11-20T00:00:00Z .. 2026-11-21T01:00:00Z" and not done.stderr
    # Statistics of times that cannot be are no answer: the records are.
    odd = tmp_path / "odd.log"
    odd.write_text(HAND + HAND.splitlines()[1].replace(str(T0 + 50), str(2**62)) + "\n")
    parquet = tmp_path / "odd.parquet"
    parquet.write_bytes(flowlog("convert", "--single", "-o", "parquet", odd, "-", text=False).stdout)
    done = flowlog("top", "--src", "192.0.2.1", parquet)
    assert done.stdout.splitlines()[1] == "held: 2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z"
    assert sum(r["flows"] for r in rows(flowlog, "series", "--since", "1m", hand)) == sum(
        r["flows"] for r in rows(flowlog, "series", "--since", "1m", parquet)) - 1  # the odd one is later


def test_the_span_held_of_a_store_is_that_of_its_frames(flowlog, tmp_path):
    path = tmp_path / "store"
    sh(MAKE_STORE, path, "deliver", "window", 1, "window", 2, "window", 3, "open", 4)  # nothing was there to be delivered
    header, *lines = flowlog("tail", "--store", path, "-n", 1000).stdout.splitlines()
    start, end = (header.split().index(name) for name in ("start", "end"))
    first, last = min(int(line.split()[start]) for line in lines), max(int(line.split()[end]) for line in lines)
    def iso(t):
        return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    for operands in (["--store", path], [path]):
        assert flowlog("rejects", "--src", "192.0.2.1", *operands).stdout.splitlines()[1] == f"held: {iso(first)} .. {iso(last)}"
    late, = [line for line in flowlog("rejects", "--open", "--src", "192.0.2.1", "--store", path).stdout.splitlines() if line.startswith("held")]
    assert late > f"held: {iso(first)} .. {iso(last)}"  # with the open window
    sh(MAKE_STORE, tmp_path / "delivered", "window", 1, "window", 2, "deliver", "window", 3)
    held = flowlog("rejects", "--src", "192.0.2.1", "--store", tmp_path / "delivered").stdout.splitlines()[1]
    assert held.startswith("held: ") and "by the times in the names of" in held


def test_faults_are_told_and_do_not_end_the_answer(flowlog, hand, tmp_path):
    (tmp_path / "bad.log").write_text(HAND + "3 1 eni-1 10.0.0.1\n" + HAND.splitlines()[1].replace("10.0.0.1", "10.0.0.x") + "\n")
    done = flowlog("top", "-o", "csv", tmp_path / "bad.log")
    assert done.stdout == flowlog("top", "-o", "csv", hand).stdout
    assert "bad.log:14" in done.stderr and "1 line is no record of its file's format and was left out" in done.stderr and "1 value is none of the field" in done.stderr
    (tmp_path / "many.log").write_text(HAND + "x\n" * 1000)
    err = flowlog("top", tmp_path / "many.log").stderr.splitlines()
    assert len(err) < 30 and any("1000 lines are no records" in line for line in err)
    whole = gzip.compress(HAND.encode() * 50)
    (tmp_path / "cut.log.gz").write_bytes(whole[:len(whole) // 2])
    done = flowlog("top", "-o", "csv", tmp_path / "cut.log.gz", check=False)
    assert done.returncode == 1 and "could not be read to the end" in done.stderr and done.stdout.startswith("srcaddr,")


def test_what_records_cannot_tell(flowlog, tmp_path):
    path = tmp_path / "v2.log"
    path.write_text("\n".join(" ".join(line.split()[:14]) for line in HAND.splitlines()) + "\n")
    assert "no tcp-flags" in flowlog("rejects", "-k", "refused", path).stderr
    assert "no tcp-flags" in flowlog("conversations", path).stderr
    assert not flowlog("top", path).stderr
    bare = tmp_path / "bare.log"
    bare.write_text(f"interface-id srcaddr dstaddr bytes start end\neni-1 10.0.0.1 10.0.0.2 5 {T0} {T0 + 1}\n")
    assert "no action" in flowlog("series", bare).stderr
    text = flowlog("summary", bare).stdout
    assert "no action" in text and "no log-status" in text


def test_what_no_source_has_is_named(flowlog, hand, tmp_path):
    """That nothing was found by a field which the records lack says nothing."""
    for args, fields in ((["top", "--vpc", "vpc-1"], "vpc-id"), (["rejects", "-w", "egress and instance i-1"], "flow-direction, instance-id")):
        done = flowlog(*args, hand)
        assert done.stdout.startswith("nothing found") and f"looks at ({fields}):" in done.stderr
    assert "looks at" not in flowlog("top", "--src", "192.0.2.1", hand).stderr
    path = tmp_path / "nat.log"
    path.write_text("interface-id srcaddr dstaddr\neni-1 10.0.0.1 10.0.0.2\neni-1 10.0.0.2 10.0.0.1\n")
    assert "looks at (action):" in flowlog("rejects", path).stderr
    done = flowlog("top", path)
    assert "have no bytes" in done.stderr and "have no packets" in done.stderr
    row, = rows(flowlog, "talks", "10.0.0.1", path)
    assert row["flows"] == 2 and row["first"] is None and row["last"] is None
    assert "records without times" in flowlog("top", "--src", "192.0.2.1", path).stdout and "have no start" in flowlog("series", path).stderr
    text = flowlog("summary", path).stdout
    assert "no start and end" in text and "2 records, packets not known, bytes not known" in text and "1, of which 0" in text and "gaps" not in text
    got, = rows(flowlog, "summary", path)
    assert got["flows"] == 2 and "bytes" not in got and "first" not in got


def test_records_that_cannot_be_judged_are_counted(flowlog, hand, tmp_path):
    """Of mixed logs, those that lack a field of the filter: in every form the same, and only what the rest of the filter lets pass."""
    v5 = HEADER + " vpc-id flow-direction pkt-srcaddr\n"
    new = f"5 1 eni-9 10.0.0.1 10.0.0.2 40000 22 6 5 500 {T0} {T0 + 50} ACCEPT OK 3 vpc-1 egress 10.0.0.7\n"
    (tmp_path / "v5.log").write_text(v5 + new + new.replace("vpc-1", "-"))
    packed, parquet = tmp_path / "v3.log.gz", tmp_path / "v3.parquet"
    packed.write_bytes(gzip.compress(HAND.encode()))
    parquet.write_bytes(flowlog("convert", "--single", "-o", "parquet", hand, "-", text=False).stdout)
    joined = tmp_path / "joined.log"  # what cat makes of both
    joined.write_text(v5 + new + HAND)
    said = "record{} of {} ha{} no {}: whether they match cannot be told, and they are left out"
    for args, n, fields in ((["--vpc", "vpc-1"], 12, "vpc-id"), (["--vpc", "vpc-1", "--port", "22"], 4, "vpc-id"),
                            (["--vpc", "vpc-1", "--since", str(T0 + 7200), "--until", str(T0 + 9000)], 7, "vpc-id"),
                            (["-w", "not ingress"], 12, "flow-direction"), (["-w", "vpc vpc-1 and egress and reject"], 1, "vpc-id, flow-direction"),
                            (["-w", "pkt-srcaddr = 10.0.0.1"], 12, "pkt-srcaddr"), (["-w", "pkt-srcaddr = 10.0.0.1 and port 22"], 4, "pkt-srcaddr"),
                            (["-w", "vpc vpc-1 or port 22"], 8, "vpc-id"), (["--vpc", "vpc-1", "--src", "192.0.2.1"], 0, ""),
                            (["--src", "10.0.0.1"], 0, ""), (["-w", "not host 10.0.0.9"], 0, ""), (["-w", "vpc_id is null"], 0, ""),
                            (["-w", "vpc_id is null or port 22"], 0, "")):
        for source, files in (([hand], 1), ([packed], 1), ([parquet], 1), ([joined], 1), ([hand, packed, parquet, joined, tmp_path / "v5.log"], 4)):
            done = flowlog("summary", "-o", "json", *args, *source)
            plural = "s" if n * files > 1 else ""
            of = f"{files} source{'s' if files > 1 else ''}"
            assert (f"{n * files} " + said.format(plural, of, "ve" if plural else "s", fields) in done.stderr) if n else not done.stderr, (args, source, done.stderr)
    got, = rows(flowlog, "summary", "--vpc", "vpc-1", hand, tmp_path / "v5.log")
    assert got["flows"] == 1
    # What a question groups by is a field that it needs.
    (tmp_path / "bare.log").write_text(f"interface-id dstaddr bytes packets start end\neni-1 10.0.0.2 5 1 {T0} {T0 + 1}\neni-1 - 5 1 {T0} {T0 + 1}\n")
    for args, n, fields in ((["top"], "2 records", "have no srcaddr"), (["top", "--of", "pairs"], "1 record", "has no srcaddr"),
                            (["top", "--of", "ports"], "2 records", "have no dstport"), (["rejects"], "2 records", "have no action"),
                            (["talks", "10.0.0.2"], "1 record", "has no srcaddr"), (["ports", "--of", "listeners"], "2 records", "have no srcport, dstport, action")):
        done = flowlog(*args, hand, tmp_path / "bare.log")
        assert f"{n} of 1 source {fields}: whether" in done.stderr and done.stdout == flowlog(*args, hand).stdout, (args, done.stderr)
    for args in (["series"], ["top", "--of", "interfaces"], ["top", "--of", "destinations"], ["summary"]):
        assert "whether they match" not in flowlog(*args, hand, tmp_path / "bare.log").stderr
    # a big file is one source, whichever threads read it
    big = tmp_path / "big.log"
    big.write_text(HAND.splitlines()[0] + "\n" + HAND.splitlines()[1] + "\n" + (HAND.splitlines()[2] + "\n") * 250000)
    assert "250001 " + said.format("s", "1 source", "ve", "vpc-id") in flowlog("top", "--threads", 4, "--vpc", "vpc-1", big, tmp_path / "v5.log").stderr


def test_a_file_with_several_faults_is_one_source(flowlog, tmp_path):
    """Row groups are read by themselves, and each of them is damaged."""
    lines = "".join(f"2 1 eni-1 10.{i % 251}.{i * 7919 % 256}.{i * 104729 % 253} 10.0.0.2 {i * 31 % 60000} 22 6 5 {i * 7 % 100003} {T0} {T0} ACCEPT OK 3\n" for i in range(600000))
    data = bytearray(flowlog("convert", "--single", "-o", "parquet", "-", "-", text=False, input=f"{HEADER}\n{lines}".encode()).stdout)
    for at in range(3000, len(data) * 9 // 10, 4001):
        data[at:at + 40] = b"\xff" * 40
    (tmp_path / "a.parquet").write_bytes(data)
    done = flowlog("top", "--of", "pairs", "--threads", 4, tmp_path / "a.parquet", check=False)
    assert done.returncode == 1 and done.stderr.count("a.parquet: ") > 1
    assert "1 source could not be read to the end" in done.stderr


def test_rows_that_are_left_out_are_said(flowlog, tmp_path):
    path = tmp_path / "a.log"
    path.write_text("srcaddr bytes packets\n" + "".join(f"10.0.0.{i} {i} 1\n" for i in range(1, 31)))
    for form in ("table", "csv", "json"):
        done = flowlog("top", "-o", form, path)
        assert "10 of 30 rows" in done.stderr and "--all" in done.stderr
        assert not flowlog("top", "-o", form, "--all", path).stderr and not flowlog("top", "-o", form, "-n", 5, path).stderr


@pytest.mark.parametrize("args,said", [
    (["top", "--provenance"], "-o json"), (["summary", "--provenance"], "-o json"), (["series", "--every", "90s"], "whole minutes"),
    (["series", "--every", "10s"], "whole minutes"), (["top", "--since", "1m", "--until", "1h"], "is not before"),
    (["talks", "10.0.0.1", "nosuch.log"], "no such file"), (["talks", "web"], "neither an address")])
def test_what_cannot_be_asked_is_refused(flowlog, hand, args, said):
    done = flowlog(*args, hand, check=False)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout


def test_what_cannot_be_read_is_a_failure_and_no_usage(flowlog, hand, tmp_path):
    (tmp_path / "a.csv").write_text("host,bytes,x\na,5,1\n")
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    for name, said in (("a.csv", "commas or tabs"), ("a.bin", "binary data"), ("none", "No such file")):
        for args in (["top"], ["top", "--since", "1h"]):
            done = flowlog(*args, tmp_path / name, check=False)
            assert done.returncode == 1 and said in done.stderr
    if os.geteuid():
        pytest.skip("root only: a directory that another user may not list")
    tree = tmp_path / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed").chmod(0o700)
    (tree / "a.log").write_text(HAND)
    as_other = ["setpriv", "--reuid", "65534", "--clear-groups", PROGRAM]
    for p in (tmp_path, *tmp_path.parents):
        if p.stat().st_uid == os.geteuid() and str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o055)
    for args in (["top", tree], ["summary", tree], ["convert", "--single", "-o", "csv", tree, "-"]):
        done = subprocess.run([*as_other, *args], capture_output=True, text=True, env=os.environ | {"LSAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 1 and "10.0.0.1" in done.stdout + flowlog("top", hand).stdout, done
        assert f"flowlog {args[0]}: {tree}/closed/: Permission denied" in done.stderr, done


def test_what_can_be_read_once_is_not_asked_twice(flowlog, hand):
    for args in (["top", "--since", "1h"], ["rejects", "--until", "1m"], ["talks", "10.0.0.1", "--new", "1h"]):
        for name in ("-", "/dev/stdin"):
            done = flowlog(*args, hand, name, check=False, input=HAND)
            assert done.returncode == 2 and f"{name} can be read only once" in done.stderr and not done.stdout
    done = flowlog("top", "--src", "192.0.2.1", hand, "/dev/stdin", input=HAND)
    assert done.stdout.startswith("nothing found") and "held" not in done.stdout
    assert len(rows(flowlog, "top", "--since", str(T0), "-", input=HAND)) == 5


def test_a_record_of_the_far_future_is_not_the_newest(flowlog, hand, tmp_path):
    past = 1439387264
    line = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 22 6 5 500 {0} {0} ACCEPT OK\n"
    (tmp_path / "a.log").write_text(line.format(past) + line.format(past - 7200) + line.format(past * 1000))
    assert sum(r["flows"] for r in rows(flowlog, "top", "--since", "1h", tmp_path / "a.log")) == 2  # that of the future is later, too


def test_times_that_cannot_be_are_told_and_left_out(flowlog, hand, tmp_path):
    """One record near 2^63, of 1970, or in milliseconds: counted as flows, but neither in span, gaps and series nor in first and last."""
    line = "3 1 eni-1 10.0.0.1 10.0.0.2 40000 22 6 5 500 {} {} ACCEPT OK 3\n"
    odd = [(2**63 - 1, 2**63 - 1), (0, 0), (T0, 2**62), (1, T0 + 9), (T0 * 1000, T0 * 1000 + 5), (4102444801, 4102444801)]
    whole, = rows(flowlog, "summary", hand)
    assert whole["impossible_times"] == 0
    for i, (start, end) in enumerate(odd):
        n = sum(not 315532800 <= t <= 4102444800 for t in (start, end))
        path = tmp_path / f"{i}.log"
        path.write_text(HAND + line.format(start, end))
        done = flowlog("summary", "-o", "json", path)
        got = json.loads(done.stdout)
        assert [got[k] for k in ("first", "last", "gaps", "gap_count")] == [whole[k] for k in ("first", "last", "gaps", "gap_count")]
        assert got["flows"] == whole["flows"] + 1 and got["impossible_times"] == n
        example = f"end {end} in {path}" if n == 1 and end > 4102444800 else f"start {start} in {path}" if n == 1 else f"in {path}"
        assert f"{n} time{'s' if n > 1 else ''} of records cannot be, as" in done.stderr and example in done.stderr
        assert f"{n} that cannot be, as" in flowlog("summary", path).stdout
        series = rows(flowlog, "series", "--every", "1h", path)
        known = 315532800 <= start <= 4102444800
        assert [r["flows"] for r in series] == [5 + known, 0, 5] and ("cannot be" in flowlog("series", path).stderr) == (not known)
        row = rows(flowlog, "talks", "10.0.0.1", "10.0.0.2", path)[0]
        assert (row["first"], row["last"], row["flows"]) == (T0, T0 + 50, 3)
        assert "held: 2026-11-20T00:00:00Z .. 2026-11-20T02:01:00Z" in flowlog("top", "--src", "192.0.2.1", path).stdout
    alone = tmp_path / "alone.log"
    alone.write_text(HEADER + "\n" + line.format(0, 2**63 - 1))
    assert "no start and end" in flowlog("summary", alone).stdout and rows(flowlog, "series", alone) == []
    assert "cannot be" in flowlog("series", alone).stderr
    # What is shown and counted is one thing, what is stored another.
    assert f" 0 {2**63 - 1} " in flowlog("convert", "--single", "-o", "text", alone, "-").stdout
    old = tmp_path / "old.log"  # a capture of 1998, say
    old.write_text(HEADER + "\n" + line.format(900000000, 900000050))
    assert rows(flowlog, "summary", old)[0]["first"] == 900000000


def test_provenance(flowlog, hand):
    out = flowlog("top", "-o", "json", "--provenance", "--src", "10.0.0.1", hand).stdout.splitlines()
    made = json.loads(out[0])["provenance"]
    assert made["tool"].startswith("flowlog ")
    assert made["command"][1:] == ["top", "-o", "json", "--provenance", "--src", "10.0.0.1", str(hand)]
    assert made["inputs"] == [{"path": str(hand), "sha256": hashlib.sha256(HAND.encode()).hexdigest()}]
    assert json.loads(out[1])["srcaddr"] == "10.0.0.1"
    text = flowlog("top", "-o", "csv", "--provenance", hand.parent).stdout.splitlines()
    assert text[0].startswith('# {"provenance"') and text[1] == "srcaddr,bytes,packets,flows"
    done = flowlog("top", "-o", "csv", "--provenance", "-", check=False, stdin=subprocess.DEVNULL)
    assert done.returncode in (1, 2) and "cannot be read twice" in done.stderr


def test_provenance_names_what_could_not_be_read(flowlog, hand, tmp_path):
    """The answer stands without it, and so does the line before it."""
    def ask(*args, **kw):
        done = flowlog(*args, check=False, **kw)
        made, *answer = [json.loads(line) for line in done.stdout.splitlines()]
        return done, made["provenance"]["inputs"], answer

    (tmp_path / "a.log").write_text(HAND)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.log").symlink_to(tmp_path / "nowhere")
    digest = hashlib.sha256(HAND.encode()).hexdigest()
    for question in ("top", "summary"):
        done, inputs, answer = ask(question, "-o", "json", "--provenance", tmp_path)
        assert done.returncode == 1 and "1 input could not be read" in done.stderr
        assert inputs == [{"path": str(tmp_path / "a.log"), "sha256": digest}, {"path": str(tmp_path / "pipe"), "unread": "neither a file nor a directory"}]
        assert answer == rows(flowlog, question, "-o", "json", hand)
    # What fails has no line either.
    done = flowlog("top", "-o", "csv", "--provenance", tmp_path / "none", check=False)
    assert done.returncode == 1 and not done.stdout and "No such file" in done.stderr
    if os.geteuid():
        pytest.skip("root only: a file that another user may not read")
    (tmp_path / "b.log").write_text(HAND)
    (tmp_path / "b.log").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o700)
    as_other = ["setpriv", "--reuid", "65534", "--clear-groups", PROGRAM]
    for p in (tmp_path, *tmp_path.parents):
        if p.stat().st_uid == os.geteuid() and str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o055)
    done = subprocess.run([*as_other, "top", "-o", "json", "--provenance", tmp_path], capture_output=True, text=True,
                          env=os.environ | {"LSAN_OPTIONS": "detect_leaks=0"})
    made, *answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and answer == rows(flowlog, "top", hand)
    assert made["provenance"]["inputs"][1:3] == [{"path": str(tmp_path / name), "unread": "Permission denied"} for name in ("b.log", "closed")]
    assert "b.log: Permission denied" in done.stderr and "3 inputs could not be read" in done.stderr


def test_parquet_holds_the_same(flowlog, hand, tmp_path):
    out = flowlog("conversations", "-o", "parquet", hand, text=False).stdout
    assert out[:4] == out[-4:] == b"PAR1"
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")
    (tmp_path / "a.parquet").write_bytes(out)
    assert rows(flowlog, "query", f"SELECT * FROM read_parquet('{tmp_path}/a.parquet')", hand) == rows(flowlog, "conversations", hand)
    assert flowlog("top", "-o", "parquet", "--provenance", hand, check=False).returncode == 2


def on_terminal(*args):
    """What a command writes on a terminal: standard output alone."""
    main, side = pty.openpty()
    attributes = termios.tcgetattr(side)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(side, termios.TCSANOW, attributes)
    done = subprocess.Popen([PROGRAM, *map(str, args)], stdout=side, stderr=subprocess.DEVNULL)
    os.close(side)
    out = b""
    while True:
        try:
            block = os.read(main, 65536)
        except OSError:
            break
        if not block:
            break
        out += block
    os.close(main)
    assert done.wait() == 0
    return out


def test_names_from_files_do_not_drive_the_terminal(flowlog, tmp_path):
    """What is written to files and pipes stays as it is; a terminal gets no control characters. What is said of faults is for people."""
    path = tmp_path / "a\x1b[2Jb.log"
    path.write_text("interface-id srcaddr packets bytes\neni\x1b[31m\x9b31m-\u202e\xe9 10.0.0.1 1 5\neni-1 10.0.0.\x1b 1 1\n")
    for args in (("top", "--of", "interfaces"), ("summary",)):
        done = flowlog(*args, path)
        assert "\x1b" not in done.stdout + done.stderr and "is none of the field" in flowlog("top", path).stderr
    name = "eni\x1b[31m\x9b31m-\u202e\xe9".encode()
    shown = "eni?[31m?31m-?\xe9".encode()
    commands = [(("top", "-o", "csv", "--of", "interfaces", path), name), (("convert", "--single", "-o", "csv", path, "-"), name),
                (("convert", "--single", "-o", "text", path, "-"), name.replace(b"\x1b", b"%1B"))]
    if "FL_DUCKDB" in os.environ or (PROGRAM.parent / "libduckdb.so").exists():
        commands += [(("query", "-o", form, "SELECT interface_id, bytes FROM flows ORDER BY bytes DESC", path), name) for form in ("csv", "text")]
    for args, value in commands:
        piped = flowlog(*args, text=False).stdout
        assert value in piped
        assert on_terminal(*args) == piped.replace(value, shown if b"\x1b" in value else shown.replace(b"?", b"%1B", 1)), args
    assert b"\x1b" not in on_terminal("top", "-o", "json", "--of", "interfaces", path)


# ---- random archives, answered in Python ----

def random_record(rng):
    """A dict by field; None is null."""
    start = T0 + rng.randrange(7200)
    r = dict.fromkeys(FIELDS) | {"version": 3, "account_id": "1", "interface_id": f"eni-{rng.randrange(5)}", "start": start,
                                 "end": start + rng.randrange(60), "log_status": "OK"}
    if rng.random() < .05:
        return r | {"log_status": rng.choice(["NODATA", "SKIPDATA"])}
    v6 = rng.random() < .1
    a, b = (f"2001:db8::{rng.randrange(1, 30):x}" if v6 else rng.choice(["10.0.0.", "192.168.7.", "8.8.8."]) + str(rng.randrange(1, 60)) for _ in "ab")
    return r | {"srcaddr": a, "dstaddr": b, "srcport": rng.choice([22, 443, 40000, 50001, 7, 8080]), "dstport": rng.randrange(1, 60000),
                "protocol": rng.choice([6, 6, 17, 1]), "packets": rng.randrange(1, 100), "bytes": rng.randrange(40, 10 ** 9),
                "action": rng.choice(["ACCEPT", "ACCEPT", "REJECT"]), "tcp_flags": rng.choice([0, 1, 2, 3, 4, 18, 19])}


def text_of(records, fields=FIELDS, header=True):
    lines = [" ".join(f.replace("_", "-") for f in fields)] if header else []
    lines += [" ".join("-" if r[f] is None else str(r[f]) for f in fields) for r in records]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def records():
    rng = random.Random(20261120)
    return [random_record(rng) for _ in range(30000)]


@pytest.fixture(scope="module")
def sources(records, tmp_path_factory):
    """The same records as every kind of source: name -> (operands, standard input)."""
    root = tmp_path_factory.mktemp("sources")
    (root / "one.log").write_text(text_of(records))
    (root / "one.log.gz").write_bytes(gzip.compress(text_of(records).encode()))
    many, mixed = root / "many", root / "mixed"
    shuffled = FIELDS[:]
    random.Random(7).shuffle(shuffled)
    for i in range(7):
        part = records[i::7]
        day = many / f"AWSLogs/1/vpcflowlogs/eu-west-1/2026/11/20"
        day.mkdir(parents=True, exist_ok=True)
        (day / f"part{i}.log.gz").write_bytes(gzip.compress(text_of(part[:900]).encode()) + gzip.compress(text_of(part[900:], header=False).encode()))
        mixed.mkdir(exist_ok=True)
        fields = shuffled if i % 2 else FIELDS
        if i % 3:
            (mixed / f"part{i}.log").write_text(text_of(part, fields))
        else:
            (mixed / f"part{i}.log.gz").write_bytes(gzip.compress(text_of(part, fields).encode()))
    return {"text": ([root / "one.log"], None), "gzip": ([root / "one.log.gz"], None), "directory": ([many], None), "mixed": ([mixed], None),
            "stdin": (["-"], root / "one.log"), "several": ([mixed / f"part{i}.log" if i % 3 else mixed / f"part{i}.log.gz" for i in range(7)], None)}


def ask(flowlog, source, *args):
    operands, stdin = source
    if not stdin:
        return table(flowlog, *args, "--all", *operands) if args[0] != "series" else table(flowlog, *args, *operands)
    with open(stdin, "rb") as f:
        return table(flowlog, *args, *([] if args[0] == "series" else ["--all"]), *operands, stdin=f)


def grouped(records, keys, measures, keep=lambda r: True, order=0):
    """Rows as csv has them: measures are functions of a list of records; ordered by one of them, then by the keys."""
    groups = collections.defaultdict(list)
    for r in records:
        if keep(r):
            groups[tuple(r[k] for k in keys)].append(r)
    out = [(k, [m(v) for m in measures]) for k, v in groups.items()]
    out.sort(key=lambda row: (-row[1][order], [sort_key(v) for v in row[0]]))
    return [tuple("" if v is None else str(v) for v in [*k, *m]) for k, m in out]


def sort_key(v):
    if isinstance(v, str) and (":" in v or v.count(".") == 3):
        a = ipaddress.ip_address(v)
        return a.packed if a.version == 6 else b"\0" * 10 + b"\xff\xff" + a.packed
    return v


def total(field):
    return lambda rs: sum(r[field] or 0 for r in rs)


def distinct(field):
    return lambda rs: len({r[field] for r in rs} - {None})


def rejected(rs):
    return sum(r["action"] == "REJECT" for r in rs)


def has(*fields):
    return lambda r: all(r[f] is not None for f in fields)


VOLUME = [total("bytes"), total("packets"), len]
QUESTIONS = {
    "talkers": (["top"], ["srcaddr"], VOLUME, has("srcaddr"), 0),
    "destinations by packets": (["top", "--of", "destinations", "--by", "packets"], ["dstaddr"], VOLUME, has("dstaddr"), 1),
    "pairs by flows": (["top", "--of", "pairs", "--by", "flows"], ["srcaddr", "dstaddr"], VOLUME, has("srcaddr"), 2),
    "ports": (["top", "--of", "ports"], ["protocol", "dstport"], VOLUME, has("dstport"), 0),
    "interfaces": (["top", "--of", "interfaces"], ["interface_id"], VOLUME, has("packets"), 0),
    "rejects": (["rejects"], ["srcaddr", "dstaddr", "protocol", "dstport"],
                [len, total("packets"), lambda rs: min(r["start"] for r in rs), lambda rs: max(r["end"] for r in rs)], lambda r: r["action"] == "REJECT", 0),
    "users of ports": (["ports"], ["protocol", "dstport"], [len, distinct("srcaddr"), distinct("dstaddr"), total("bytes"), rejected], has("dstport"), 0),
    "scanners": (["ports", "--of", "sources"], ["srcaddr"], [distinct("dstport"), len, rejected], has("srcaddr"), 0),
    "sweeps": (["ports", "--of", "sweeps"], ["srcaddr"], [distinct("dstaddr"), distinct("dstport"), len, rejected], has("srcaddr"), 0),
    "filtered": (["top", "-w", "src net 10.0.0.0/8 and tcp and not port 443 and bytes > 1m"], ["srcaddr"], VOLUME,
                 lambda r: r["srcaddr"] and r["srcaddr"].startswith("10.") and r["protocol"] == 6 and 443 not in (r["srcport"], r["dstport"])
                 and r["bytes"] > 1000000, 0),
    "an hour": (["top", "--since", str(T0 + 1800), "--until", str(T0 + 3600)], ["srcaddr"], VOLUME,
                lambda r: r["srcaddr"] and r["end"] >= T0 + 1800 and r["start"] < T0 + 3600, 0),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_source_gives_the_answer_of_python(flowlog, records, sources, question):
    args, keys, measures, keep, order = QUESTIONS[question]
    want = grouped(records, keys, measures, keep, order)
    assert len(want) >= 5
    for name, source in sources.items():
        assert ask(flowlog, source, *args) == want, name
    one = sources["mixed"]
    for threads in (1, 3):
        assert ask(flowlog, one, *args, "--threads", threads) == want
    assert ask(flowlog, one, *args, "--memory", "1MiB") == want  # through temporary files


def test_series_of_python(flowlog, records, sources):
    minutes = collections.defaultdict(list)
    for r in records:
        if r["log_status"] == "OK":
            minutes[r["start"] // 60 * 60].append(r)
    want = [tuple(map(str, (t, len(minutes[t]), total("bytes")(minutes[t]), total("packets")(minutes[t]), rejected(minutes[t]))))
            for t in range(T0, T0 + 7200, 60)]
    for name, source in sources.items():
        assert ask(flowlog, source, "series", "--every", "1m") == want, name


def test_talks_of_python(flowlog, records, sources):
    """By interface, then the largest of them."""
    by = collections.defaultdict(list)
    for r in records:
        if r["srcaddr"] == "10.0.0.7" or r["dstaddr"] == "10.0.0.7":
            peer = r["dstaddr"] if r["srcaddr"] == "10.0.0.7" else r["srcaddr"]
            by[peer, r["interface_id"]].append(r)
    want = collections.defaultdict(lambda: [0, 0, 0, 0])
    for (peer, _), rs in by.items():
        got = [total("bytes")(rs), len(rs), sum(r["bytes"] for r in rs if r["srcaddr"] == "10.0.0.7"),
               sum(r["bytes"] for r in rs if r["srcaddr"] != "10.0.0.7")]
        want[peer] = [max(x, y) for x, y in zip(want[peer], got)]
    for source in sources.values():
        got = {row[1]: [int(v) for v in row[2:6]] for row in ask(flowlog, source, "talks", "10.0.0.7")}
        assert got == want


def test_conversations_are_joined_as_in_python(flowlog, records, sources):
    ends = collections.defaultdict(set)
    for r in records:
        if r["srcaddr"]:
            a, b = sorted([(r["srcaddr"], r["srcport"]), (r["dstaddr"], r["dstport"])])
            ends[a, b, r["protocol"]].add(r["interface_id"])
    first = ask(flowlog, sources["text"], "conversations")
    got = {(*sorted([(c[0], int(c[1])), (c[2], int(c[3]))]), int(c[4])) for c in first}
    assert got == set(ends) and len(first) == len(got)
    for source in sources.values():
        assert ask(flowlog, source, "conversations") == first
    assert ask(flowlog, sources["mixed"], "conversations", "--memory", "1MiB", "--threads", 3) == first


def test_sql_gives_the_same(flowlog, sources):
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")
    operands, _ = sources["mixed"]
    sql = ("SELECT srcaddr, count(DISTINCT dstport)::BIGINT AS ports, count(*) AS flows, count(*) FILTER (action = 'REJECT') AS rejected "
           "FROM flows WHERE srcaddr IS NOT NULL GROUP BY 1")
    rows_of_sql = list(csv.reader(io.StringIO(flowlog("query", "-o", "csv", sql, *operands).stdout)))[1:]
    assert sorted(map(tuple, rows_of_sql)) == sorted(ask(flowlog, sources["mixed"], "ports", "--of", "sources"))


@pytest.mark.parametrize("words,where", [
    ("not port 443", "NOT (srcport = 443 OR dstport = 443)"), ("not (tcp or src 10.0.0.7)", "NOT (protocol = 6 OR srcaddr = '10.0.0.7')"),
    ("not (reject and bytes > 1m)", "NOT (action = 'REJECT' AND bytes > 1000000)"), ("dstport != 22", "dstport <> 22"),
    ("not (status nodata or not dst net 10.0.0.0/8)", "NOT (log_status = 'NODATA' OR NOT cidr_match(dstaddr, '10.0.0.0/8'))"),
    ("tcp_flags is null or not tcp_flags = 2", "tcp_flags IS NULL OR NOT tcp_flags = 2")])
def test_not_is_that_of_sql(flowlog, sources, words, where):
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")
    operands, _ = sources["mixed"]
    s, = rows(flowlog, "summary", "-w", words, *operands)
    assert rows(flowlog, "query", f"SELECT count(*) AS n FROM flows WHERE {where}", *operands) == [{"n": s["ok"] + s["nodata"] + s["skipdata"]}]
    assert 0 < s["ok"] < 29000


# ---- the store ----

def test_the_store_is_read_when_no_source_is_named(flowlog, tmp_path):
    path = tmp_path / "store"
    sh(MAKE_STORE, path, "window", 1, "window", 2, "deliver", "window", 3, "open", 4)
    header, *lines = flowlog("tail", "--store", path, "-n", 1000).stdout.splitlines()
    names = header.split()
    flows = [dict(zip(names, line.split())) for line in lines]
    want = collections.Counter()
    for f in flows:
        want[f["srcaddr"]] += int(f["bytes"])
    assert {r["srcaddr"]: r["bytes"] for r in rows(flowlog, "top", "--of", "talkers", "--all", "--store", path)} == want
    assert rows(flowlog, "top", "--all", path) == rows(flowlog, "top", "--of", "talkers", "--all", "--store", path)
    assert sum(r["flows"] for r in rows(flowlog, "series", "--store", path)) == len(flows) == 30
    assert sum(r["flows"] for r in rows(flowlog, "series", "--open", "--store", path)) == 40
    assert "verdicts were not observed" in flowlog("rejects", "--store", path).stderr
    # --since is counted back from the newest record: nobody runs here
    assert sum(r["flows"] for r in rows(flowlog, "series", "--since", "1m", "--store", path)) in (10, 20)
    # alone, top is still the open window's
    assert "flowlog run" in flowlog("top", "--store", tmp_path / "none").stdout


def test_live_is_of_the_open_window_alone(flowlog, hand):
    done = flowlog("top", "--live", hand, check=False)
    assert done.returncode == 2 and "--live" in done.stderr


def test_ctrl_c_ends_a_question(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    p = subprocess.Popen([PROGRAM, "top", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdin.write(HAND)
    p.stdin.flush()
    catches(p)
    p.send_signal(2)
    p.stdin.close()
    out, err = p.stdout.read(), p.stderr.read()
    assert p.wait(timeout=60) != 0 and not out

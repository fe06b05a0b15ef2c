# SPDX-License-Identifier: Apache-2.0
"""The commands that read a store, over stores written by the journal's and delivery's own code (tests/cli/make_store.c)."""
import fcntl
import gzip
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import PROGRAM, ROOT, catches, patience, sh

MAKE_STORE = PROGRAM.parents[2] / "tests/cli/make_store"
START = 1763999940
ENIS = ["eni-00000000000000000", "eni-00000000000000001"]
HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
V5 = "version interface-id srcaddr bytes flow-direction traffic-path"
READERS = ["tail", "top", "audit", "interfaces", "status"]


@pytest.fixture
def store(tmp_path):
    """store(step, ...) -> path: make_store's steps, more of them at every call."""
    path = tmp_path / "store"

    def make(*steps):
        sh(MAKE_STORE, path, *steps)
        return path

    return make


@pytest.fixture(scope="session")
def duckdb(flowlog, tmp_path_factory):
    """query with the library; without it only the message about its absence can be tested."""
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")

    def query(sql, *args, **kw):
        done = flowlog("query", "-o", "json", *args[:0], sql, *args, **kw)
        return [json.loads(line) for line in done.stdout.splitlines()] if not done.returncode else done

    return query


def ledger(packets, excluded=0, lost=0, gap=0):
    def count(n):
        return {"packets": n, "bytes": 100 * n}
    return {"skbs": packets, "seen": count(packets), "recorded": count(packets - excluded - lost - gap),
            "excluded": {**count(excluded), "rules": {"dhcp": count(excluded)}},
            "lost": {**count(lost), "causes": {"ring-full": count(lost)}}, "not_ip": {"packets": 3, "bytes": 126}}


def meter_status(**members):
    now = int(time.time())
    flows = [{"src": f"10.0.0.{i}", "dst": "192.0.2.1", "sport": 50000 + i, "dport": 443, "protocol": 6, "dir": "egress", "eni": ENIS[0],
              "name": "web0", "packets": i, "bytes": 1000 * i, "opener": i != 2} for i in range(20, 0, -1)]
    return {"role": "meter", "pid": 1, "version": "0.1.0", "time": now, "started": now - 100, "backend": "ebpf", "reason": "",
            "window": {"number": 7, "start": now - now % 60, "length": 60, "provisional": True},
            "interfaces": [
                {"eni": ENIS[0], "name": "web0", "kind": "container", "device": "veth0", "netns": "", "slot": 1, "metered": True, "skip": "",
                 "ledger": {"ingress": ledger(10, 2, 1), "egress": ledger(20)}, "open": {"packets": 1, "bytes": 60},
                 "system": {"since": now - 100, "ingress": {"packets": 15, "bytes": 1500, "dropped": 1},
                            "egress": {"packets": 23, "bytes": 2300, "dropped": 0}}},
                {"eni": "", "name": "lo", "kind": "host", "device": "lo", "netns": "", "metered": False, "skip": "the loopback interface"}],
            "last_window": {"number": 6, "start": now - now % 60 - 60, "length": 60, "closed_at": now - 3, "flows": 12, "ledger": ledger(30, 2, 1)},
            "top": flows, "totals": ledger(30, 2, 1), "flows_active": 12, "memory_bytes": 123456,
            "journal": {"frames": 4, "flows": 5, "bytes": 6, "dropped_windows": 0, "dropped_flows": 0}, **members}


def write_status(path, role="meter", text=None, **members):
    (path / "status").mkdir(parents=True, exist_ok=True)
    if text is None:
        text = json.dumps(meter_status(**members) if role == "meter" else members)
    (path / f"status/{role}.json").write_text(text)
    return path


# ---- query ----

def test_query_reads_delivered_files_the_journal_and_the_open_window_once(duckdb, store):
    path = store("window", 1, "window", 2, "deliver", "window", 3, "open", 4)
    sql = "SELECT start, sum(packets) AS packets, count(*) AS n FROM flows GROUP BY 1 ORDER BY 1"
    want = [{"start": START + 60 * w, "packets": 2 * sum(w + i for i in range(5)), "n": 10} for w in (1, 2, 3)]
    assert duckdb(sql, "--store", path) == want
    assert duckdb("SELECT count(*) AS n FROM flows WHERE provisional", "--store", path, "--open") == [{"n": 10}]
    assert duckdb("SELECT count(*) AS n FROM flows", "--store", path, "--open") == [{"n": 40}]
    # the same store named twice, and an object of it beside it
    some = next(path.rglob("*.log.gz"))
    assert duckdb(sql, path, f"{path}/.", some) == want
    # delivery moves rows from the journal to files; the answer stays
    store("deliver")
    assert duckdb(sql, "--store", path) == want


def test_query_keeps_types_and_nulls(duckdb, store):
    path = store("window", 1, "deliver", "window", 2)
    kinds = duckdb("SELECT column_name, column_type FROM (DESCRIBE flows)", "--store", path)
    assert {k["column_name"]: k["column_type"] for k in kinds}["bytes"] == "BIGINT"
    assert [k["column_name"] for k in kinds] == HEADER.replace("-", "_").split() + DECIDED


DECIDED = ["verdict_source", "verdict_cause", "policy_action", "policy_cause"]


def test_what_decided_stands_beside_each_row(duckdb, flowlog, store):
    path = store("deliver", "decided", 1, "window", 2)
    sql = f"SELECT {', '.join(DECIDED)}, count(*) AS n, min(action) AS action FROM flows GROUP BY ALL ORDER BY ALL NULLS LAST"
    want = [("kernel", "NETFILTER_DROP", "ACCEPT", "acl-1/outbound/100", 2, "REJECT"), ("kernel+policy", "sg-1/outbound/sgr-1", "ACCEPT", "sg-1/outbound/sgr-1", 6, "ACCEPT"),
            ("kernel+policy", None, None, None, 2, "ACCEPT"), ("none", None, None, None, 10, "ACCEPT")]

    def ask(*args):
        return [tuple(row.values()) for row in duckdb(sql, "--store", path, *args)]

    assert ask() == ask("--verdicts") == want
    text = flowlog("tail", "--store", path, "-n", 100, "--verdicts", "--action", "REJECT").stdout.splitlines()
    assert text[0] == f"{HEADER} {' '.join(DECIDED).replace('_', '-')}"
    assert [line.split()[-4:] for line in text[1:]] == [["kernel", "NETFILTER_DROP", "ACCEPT", "acl-1/outbound/100"]] * 2 + [["none", "-", "-", "-"]] * 2
    rows = [json.loads(line) for line in flowlog("tail", "--store", path, "-n", 100, "--verdicts", "-o", "json").stdout.splitlines()]
    assert sorted((r["verdict-source"], r["verdict-cause"] or "") for r in rows)[:2] == [("kernel", "NETFILTER_DROP")] * 2
    # Objects have no room for it; the journal has it as long as it holds the window.
    store("deliver")
    assert ask() == [(None, None, None, None, 20, "ACCEPT")] and ask("--verdicts") == want
    assert flowlog("tail", "--store", path, "-n", 100, "--verdicts", "--action", "REJECT").stdout.splitlines() == text


def test_query_joins_formats_by_name_and_finds_files_in_directories(duckdb, tmp_path):
    (tmp_path / "a.log").write_text(f"{HEADER}\n2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 3 400 5 6 ACCEPT OK\n2 1 eni-1 - - - - - - - 5 6 - NODATA\n")
    (tmp_path / "deep").mkdir()
    with gzip.open(tmp_path / "deep/b.log.gz", "wt") as f:
        f.write(f"{V5} its-own-name\n5 eni-2 2001:db8::1 77 egress - x\n")
    (tmp_path / "deep/notes.txt").write_text("not a log\n")
    rows = duckdb("SELECT interface_id, srcaddr, bytes, flow_direction, traffic_path, its_own_name FROM flows ORDER BY ALL NULLS LAST", tmp_path,
                  tmp_path / "deep")
    assert rows == [
        {"interface_id": "eni-1", "srcaddr": "10.0.0.1", "bytes": 400, "flow_direction": None, "traffic_path": None, "its_own_name": None},
        {"interface_id": "eni-1", "srcaddr": None, "bytes": None, "flow_direction": None, "traffic_path": None, "its_own_name": None},
        {"interface_id": "eni-2", "srcaddr": "2001:db8::1", "bytes": 77, "flow_direction": "egress", "traffic_path": None, "its_own_name": "x"}]


VALUES = [
    ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
    ("(-170141183460469231731687303715884105727)::HUGEINT", "-170141183460469231731687303715884105727"),
    ("-0.05::DECIMAL(4,2)", "-0.05"), ("1.5::DECIMAL(38,10)", "1.5000000000"), ("7::DECIMAL(3,0)", "7"),
    ("18446744073709551615::UBIGINT", "18446744073709551615"), ("0.1::FLOAT", "0.1"), ("0.1::DOUBLE", "0.1"), ("1::DOUBLE", "1.0"),
    ("TIMESTAMP '1969-12-31 23:59:59.5'", '"1969-12-31 23:59:59.5"'), ("to_timestamp(0)::TIMESTAMP_S", '"1970-01-01 00:00:00"'),
    ("DATE '2024-02-29'", '"2024-02-29"'), ("TIME '01:02:03.25'", '"01:02:03.25"'), ("INTERVAL '14 months 3 days'", '"1 year 2 months 3 days"'),
    ("[1,NULL,3]", "[1,null,3]"), ("[[1],[2,3]]", "[[1],[2,3]]"), ("[1,2]::INT[2]", "[1,2]"), ("{'a':1,'b':'x\"y'}", '{"a":1,"b":"x\\"y"}'),
    ("MAP{'k':2}", '[{"key":"k","value":2}]'), ("true", "true"), ("NULL", "null"), ("'nan'::DOUBLE", '"nan"'), ("'a'::ENUM('a','b')", '"a"'),
    ("UUID '550e8400-e29b-41d4-a716-446655440000'", '"550e8400-e29b-41d4-a716-446655440000"'), ("'\\xC3a'::BLOB", '"\\\\xC3a"'),
    ("'line\nend'", '"line\\u000aend"'),
]


def test_query_prints_every_type(duckdb, flowlog, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    sql = "SELECT " + ",".join(f"{v} AS v{i}" for i, (v, _) in enumerate(VALUES))
    line = flowlog("query", "-o", "json", sql, tmp_path / "a.log").stdout
    assert line == "{" + ",".join(f'"v{i}":{want}' for i, (_, want) in enumerate(VALUES)) + "}\n"


@pytest.mark.parametrize("form,want", [
    ("csv", 'a,"b,c",d\n1,"x,""y",\n'), ("text", 'a b,c d\n1 x,"y -\n'), ("table", 'a  b,c   d\n1  x,"y  NULL\n')])
def test_query_forms(duckdb, flowlog, tmp_path, form, want):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    assert flowlog("query", "-o", form, "SELECT 1 AS a, 'x,\"y' AS \"b,c\", NULL::VARCHAR AS d", tmp_path / "a.log").stdout == want


def test_query_carries_out_several_statements_and_many_rows(duckdb, flowlog, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    out = flowlog("query", "-o", "csv", "CREATE TABLE t AS SELECT range AS x FROM range(20000); SELECT * FROM t ORDER BY x", tmp_path / "a.log").stdout
    assert out.split() == ["x"] + [str(i) for i in range(20000)]
    table = flowlog("query", "SELECT range AS x FROM range(10000)", tmp_path / "a.log").stdout.split()
    assert sorted(map(int, table[1:])) == list(range(10000))  # no limit when piped


def test_query_shows_a_plan_as_it_is_drawn(duckdb, flowlog, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    assert "FLOWLOG_SCAN" in flowlog("query", "EXPLAIN SELECT * FROM flows", tmp_path / "a.log").stdout
    assert len(flowlog("query", "EXPLAIN SELECT * FROM flows", tmp_path / "a.log").stdout.splitlines()) > 5


@pytest.mark.parametrize("sql,said", [("SELEC 1", "syntax error"), ("SELECT nosuch FROM flows", "nosuch"), (";", "no statement"),
                                      ("SELECT '101'::BIT AS b", "CAST(b AS VARCHAR)")])
def test_query_shows_what_is_wrong_with_the_sql(duckdb, flowlog, tmp_path, sql, said):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    done = flowlog("query", sql, tmp_path / "a.log", check=False)
    assert done.returncode == 1 and said in done.stderr and not done.stdout


@pytest.mark.parametrize("content,status,said", [("hello world\n", 1, "names no field"), (f"{HEADER}\n2 1 eni-1 10.0.0.1\n", 0, "a.log:2")])
def test_query_names_a_file_it_cannot_read(duckdb, flowlog, tmp_path, content, status, said):
    (tmp_path / "a.log").write_text(content)
    done = flowlog("query", "SELECT * FROM flows", tmp_path / "a.log", check=False)
    assert done.returncode == status and said in done.stderr


def test_query_without_the_library_says_in_one_line_how_to_get_it(flowlog, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    done = flowlog("query", "SELECT 1", tmp_path / "a.log", check=False, env={**os.environ, "FL_DUCKDB": str(tmp_path / "none.so")})
    assert done.returncode == 1 and "make duckdb" in done.stderr and len(done.stderr.splitlines()) == 1


def test_query_of_no_store_says_what_to_do(duckdb, flowlog, tmp_path):
    done = flowlog("query", "SELECT 1", "--store", tmp_path / "none", check=False)
    assert done.returncode == 1 and "flowlog run" in done.stderr
    assert flowlog("query", check=False).returncode == 2


def test_query_is_interrupted_by_ctrl_c(duckdb, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    p = subprocess.Popen([PROGRAM, "query", "SELECT count(*) FROM range(100000000000) a WHERE random() > 2", tmp_path / "a.log"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    catches(p)
    time.sleep(1)
    assert p.poll() is None
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and "interrupted" in err.lower() and not out


# ---- tail ----

def test_tail_shows_delivered_lines_byte_for_byte(flowlog, store):
    path = store("window", 1, "window", 2, "deliver", "window", 3)
    out = flowlog("tail", "--store", path, "-n", 1000).stdout
    delivered = [line for f in path.rglob("*.log.gz") for line in gzip.open(f, "rt").read().splitlines()[1:]]
    assert out.splitlines()[0] == HEADER
    assert len(out.splitlines()) == 31
    assert set(delivered) < set(out.splitlines())
    assert flowlog("tail", "--store", path, "-n", 3).stdout.splitlines()[1:] == out.splitlines()[-3:]
    assert flowlog("tail", "--store", path, "-n", 15).stdout.splitlines()[1:] == out.splitlines()[-15:]
    assert flowlog("tail", "--store", path, "-n", 0).stdout == HEADER + "\n"


@pytest.mark.parametrize("args,n", [
    (["--port", 22], 6), (["--src", "10.0.1.0/24"], 15), (["--dst", "192.0.2.3"], 6), (["--action", "REJECT"], 6), (["--eni", ENIS[1]], 15),
    (["--eni", "web0"], 15), (["--eni", ENIS[0], "--port", 443, "--action", "ACCEPT"], 9), (["--src", "203.0.113.1"], 0)])
def test_tail_filters(flowlog, store, args, n):
    path = write_status(store("window", 1, "window", 2, "deliver", "window", 3))
    assert len(flowlog("tail", "--store", path, "-n", 1000, *args).stdout.splitlines()) == n + 1


def test_without_a_name_the_first_configured_flow_log_is_read(flowlog, store, tmp_path):
    path = store("window", 1, "deliver")
    own, = (path / "deliver").glob("fl-*.json")
    # State of a flow log that sorts before it, as a configuration of earlier times leaves it.
    other = json.loads(own.read_text()) | {"id": "fl-00000000000000000", "traffic_type": "REJECT", "prefix": "nowhere/AWSLogs"}
    own.with_name("fl-00000000000000000.json").write_text(json.dumps(other))
    write_status(path, "deliver", time=1, pid=8, flow_logs=[{"id": own.stem}, {"id": "fl-00000000000000000"}])
    assert len(flowlog("tail", "--store", path, "-n", 100).stdout.splitlines()) > 1
    assert len(flowlog("tail", "--store", path, "-n", 100, "--flow-log", "fl-00000000000000000").stdout.splitlines()) == 1
    done = flowlog("tail", "--store", path, "--flow-log", "fl-1", check=False)
    assert done.returncode == 1 and own.stem in done.stderr and "fl-00000000000000000" in done.stderr


def test_tail_marks_the_open_window(flowlog, store):
    path = store("window", 1, "deliver", "window", 2, "open", 3)
    lines = flowlog("tail", "--store", path, "-n", 1000, "--open").stdout.splitlines()
    assert lines[0] == HEADER + " provisional"
    assert [line.split()[-1] for line in lines[1:]] == ["false"] * 20 + ["true"] * 10
    rows = [json.loads(line) for line in flowlog("tail", "--store", path, "-n", 1000, "--open", "-o", "json").stdout.splitlines()]
    assert [r["provisional"] for r in rows] == [False] * 20 + [True] * 10
    assert rows[0]["srcaddr"] == "10.0.0.1"
    csv = flowlog("tail", "--store", path, "-n", 1, "--open", "-o", "csv").stdout.splitlines()
    assert csv[0].endswith(",provisional") and csv[1].endswith(",true")


def test_tail_follows_windows_as_they_close(flowlog, store):
    path = store("window", 1, "deliver")
    p = subprocess.Popen([PROGRAM, "tail", "-f", "-n", "2", "--store", path], stdout=subprocess.PIPE, text=True)
    try:
        assert [p.stdout.readline().split()[0] for _ in range(3)] == ["version", "2", "2"]
        for window in (2, 3):
            store("window", window, "deliver")
            began = time.monotonic()
            got = [p.stdout.readline().split() for _ in range(10)]
            assert time.monotonic() - began < patience(5)
            assert {int(line[10]) for line in got} == {START + 60 * window}
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("args,said", [(["--port", 70000], "not a port"), (["--src", "nowhere"], "--src"), (["-n", 10000000], "at most")])
def test_tail_refuses_filters_that_cannot_be(flowlog, store, args, said):
    done = flowlog("tail", "--store", store("window", 1, "deliver"), *args, check=False)
    assert done.returncode == 1 and said in done.stderr


# ---- audit ----

def test_audit_balances(flowlog, store):
    path = write_status(store("window", 1, "window", 2, "deliver", "window", 3))
    out = flowlog("audit", "--store", path).stdout
    assert "balanced: seen = recorded + excluded + lost" in out
    assert "not IP +3" in out and "dropped before tc" in out and "open window, XDP, or past the qdisc +2" in out
    lines = [json.loads(line) for line in flowlog("audit", "--store", path, "-o", "json", "--windows").stdout.splitlines()]
    assert lines[-1] == {"kind": "result", "balanced": True, "findings": 0}
    assert sum(line["seen"]["packets"] for line in lines if line["kind"] == "window") == 2 * sum(w + i for w in (1, 2, 3) for i in range(5))
    assert any("4 intervals compared with the journal, 70 packets" in line.get("text", "") for line in lines)


def spoil_object(path):
    some = sorted(path.rglob("*.log.gz"))[0]
    lines = gzip.open(some, "rt").read().splitlines()
    with gzip.open(some, "wt") as f:
        f.write("\n".join(lines[:-1]) + "\n")


def double_object(path):
    some = sorted(path.rglob("*.log.gz"))[0]
    shutil.copy(some, some.with_name(re.sub(r"_[0-9a-f]{8}\.log", "_00000000.log", some.name)))


@pytest.mark.parametrize("steps,spoil,said", [
    (["unbalanced", 3], None, "1 packets seen are neither recorded"),
    (["wrong-sum", 3], None, "its flows are"),
    ([], spoil_object, "the objects"),
    ([], double_object, "the objects"),
    ([], lambda path: write_status(path, interfaces=[{"eni": ENIS[0], "name": "web0", "metered": True, "ledger": {"egress": ledger(20, gap=2)}}]),
     "web0 egress: 2 packets")])
def test_audit_fails_when_something_does_not_balance(flowlog, store, steps, spoil, said):
    path = store("window", 1, "window", 2, "deliver", *steps)
    if spoil:
        spoil(path)
    for form in ("table", "json"):
        done = flowlog("audit", "--store", path, "-o", form, check=False)
        assert done.returncode == 1 and said in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["balanced"] is False


def test_a_damaged_journal_is_told_and_the_rest_is_read(duckdb, flowlog, store):
    path = store("window", 1, "deliver", "window", 2, "open", 3)
    written = [f for f in path.glob("journal/seg.*") if b"eni-00000000000000000" in f.read_bytes()]
    assert len(written) == 1
    data = bytearray(written[0].read_bytes())
    data[data.rindex(b"eni-00000000000000000")] ^= 1
    written[0].write_bytes(data)
    done = flowlog("query", "-o", "json", "SELECT count(*) AS n FROM flows", "--store", path, "--open", check=False)
    assert done.returncode == 1 and json.loads(done.stdout) == {"n": 20} and "the rest of it is skipped" in done.stderr
    done = flowlog("tail", "--store", path, check=False)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 11 and "journal" in done.stderr
    assert flowlog("tail", "--store", path, "-n", 1000, "--open", check=False).stdout.count(" true") == 10
    assert "journal" in flowlog("audit", "--store", path, check=False).stdout


def test_a_damaged_snapshot_is_told_and_the_rest_is_read(duckdb, flowlog, store):
    path = store("window", 1, "deliver", "open", 3)
    data = bytearray((path / "status/open").read_bytes())
    data[-1] ^= 1
    (path / "status/open").write_bytes(data)
    done = flowlog("query", "-o", "json", "SELECT count(*) AS n FROM flows", "--store", path, "--open", check=False, timeout=60)
    assert done.returncode == 1 and json.loads(done.stdout) == {"n": 15} and "status/open" in done.stderr
    done = flowlog("tail", "--store", path, "-n", 1000, "--open", check=False, timeout=60)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 16 and done.stderr.count("status/open") == 1


# ---- interfaces, status, fields ----

def test_interfaces_of_a_running_daemon(flowlog, tmp_path):
    path = write_status(tmp_path)
    rows = [json.loads(line) for line in flowlog("interfaces", "--store", path, "-o", "json").stdout.splitlines()]
    assert [(r["eni"], r["device"], r["metered"], r["skip"]) for r in rows] == [(ENIS[0], "veth0", True, ""), ("", "lo", False, "the loopback interface")]
    assert "the loopback interface" in flowlog("interfaces", "--store", path).stdout


def test_status(flowlog, tmp_path):
    path = write_status(tmp_path)
    write_status(path, "supervisor", role_="", time=int(time.time()), pid=7, roles=[{"name": "meter", "pid": 1, "restarts": 3}], pins="x")
    write_status(path, "deliver", time=1, pid=8, flow_logs=[{"id": "fl-1", "objects": 5, "records": 9, "failures": 2, "lag_seconds": 40,
                                                             "last_error": "disk\x1b[2J full"}])
    out = flowlog("status", "--store", path).stdout
    assert re.search(r"meter +running +1 +3", out) and re.search(r"deliver +not running", out)
    assert "30 seen, 27 recorded, 2 excluded, 1 lost" in out and "40 s behind" in out and "disk?[2J full" in out
    assert [json.loads(line)["pid"] for line in flowlog("status", "--store", path, "-o", "json").stdout.splitlines()] == [7, 1, 8]


HOSTILE = {
    "truncated": ('{"role":"meter","interfaces":[{"eni', "not the JSON"),
    "empty": ("", "not the JSON"),
    "an array": ("[1]", "not an object"),
    "huge": ('{"x":"' + "a" * (17 << 20) + '"}', "16"),
    "deep": ("[" * 100000, "not the JSON"),
    "interfaces a string": ('{"interfaces":"none"}', '"interfaces" is not an array'),
    "name a number": ('{"interfaces":[{"name":7,"metered":true}]}', '"name" is not a string'),
    "metered a string": ('{"interfaces":[{"metered":"yes"}]}', '"metered" is not true or false'),
    "time negative": ('{"time":-1}', '"time" is not a number from 0'),
    "ledger a list": ('{"totals":{"seen":[]},"interfaces":[{"metered":true,"ledger":{"ingress":{"seen":[]}}}]}', '"seen" is not an object'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_status_is_a_clear_error(flowlog, store, name):
    text, said = HOSTILE[name]
    path = write_status(store("window", 1, "deliver"), text=text)
    heard = []
    for command in ("top", "status", "audit", "interfaces"):
        done = flowlog(command, "--store", path, check=False)
        assert done.returncode in (0, 1) and "Sanitizer" not in done.stderr
        heard.append(done.returncode == 1 and said in done.stderr and "meter.json" in done.stderr)
    assert any(heard), "no command has told what is wrong"
    if not name.startswith(("time", "ledger", "interfaces", "name", "metered")):
        assert all(heard)


def test_fields_markdown_is_what_the_docs_hold(flowlog):
    text = (ROOT / "docs/fields.md").read_text()
    for kind, n in (("vpc", 54), ("tgw", 36)):
        table = flowlog("fields", "--kind", kind, "-o", "markdown").stdout
        assert table in text, f"docs/fields.md is old: put 'flowlog fields --kind {kind} -o markdown' into it"
        assert len(flowlog("fields", "--kind", kind, "-o", "json").stdout.splitlines()) == n
        assert len(flowlog("fields", "--kind", kind).stdout.splitlines()) == n + 1


# ---- help, manual, completion: one table ----

def commands(flowlog):
    return re.findall(r"^  (\w+) ", flowlog("help").stdout, re.M)


def test_help_manual_and_completion_agree(flowlog):
    completion = flowlog("help", "--completion", "bash").stdout
    assert set(commands(flowlog)) >= {"meter", "query", "help", *READERS}
    for name in commands(flowlog):
        text = flowlog(name, "--help").stdout
        assert text == flowlog("help", name).stdout
        options = re.findall(r"^ +(?:-(\w), )?--([\w-]+)", text, re.M)
        assert ("h", "help") in options
        page = flowlog("help", "--man", name).stdout.replace("\\-", "-")
        words = re.search(rf'^\t+{name}\) words="([^"]*)"', completion, re.M).group(1).split()
        assert sorted(words) == sorted([f"--{o}" for _, o in options] + [f"-{letter}" for letter, _ in options if letter])
        for letter, option in options:
            assert f"\\fB--{option}\\fR" in page
            assert not letter or f"\\fB-{letter}\\fR" in page
        for choices in re.findall(r"One of ([\w|]+)\.", text):
            assert choices in page
            assert f'words="{choices.replace("|", " ")}"' in completion
    assert flowlog("help", "nosuch", check=False).returncode == 2


def test_manual_pages_are_well_formed(flowlog, tmp_path):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    for name in [None, *commands(flowlog)]:
        page = tmp_path / f"flowlog{'-' + name if name else ''}.1"
        page.write_text(flowlog("help", "--man", *([name] if name else [])).stdout)
        done = sh("mandoc", "-Tlint", page, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert name is None or (PROGRAM.parents[2] / "docs" / page.name).exists(), f"docs/meson.build does not build {page.name}"


def test_completion_completes(flowlog, tmp_path):
    script = tmp_path / "completion"
    script.write_text(flowlog("help", "--completion", "bash").stdout)
    for words, want in [("flowlog qu", "query"), ("flowlog tail --foll", "--follow"), ("flowlog fields --kind t", "tgw"), ("flowlog query -o j", "json")]:
        line = words.split()
        out = sh("bash", "-c", f'source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _flowlog; echo "${{COMPREPLY[@]}}"').stdout
        assert out.split() == [want]


@pytest.mark.parametrize("command", ["tail", "audit", "interfaces", "status", "fields"])
def test_operands_that_nobody_reads_are_usage_errors(flowlog, command):
    assert flowlog(command, "something", check=False).returncode == 2


# ---- the live view ----

class Screen:
    """A terminal of a given size with the program in it, and what the program has written to it."""

    def __init__(self, rows, columns, *args):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(PROGRAM, [str(PROGRAM), *map(str, args)])
        self.text = ""

    def read(self, seconds, until=None):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until and until in self.text):
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode()
                except OSError:
                    break
        return self.text

    def frame(self):
        """A whole frame: from one cursor home to the next."""
        home = "\x1b[H\x1b[K"
        end = time.monotonic() + 60
        while self.text.count(home) < 2 and time.monotonic() < end:
            self.read(0.1)
        got, self.text = self.text.split(home, 2)[1], home + self.text.split(home, 2)[2]
        return got

    def end(self):
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def shown(frame):
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", frame).split("\r\n")
    return lines if lines[-1] else lines[:-1]


@pytest.mark.parametrize("rows,columns", [(24, 80), (50, 200), (5, 20), (1, 1), (2, 7)])
def test_top_live_fits_the_terminal_and_restores_it(tmp_path, rows, columns):
    path = write_status(tmp_path)
    s = Screen(rows, columns, "top", "--live", "--store", path)
    frame = s.frame()
    assert not termios.tcgetattr(s.fd)[3] & termios.ECHO
    os.write(s.fd, b"q")
    s.read(10, "\x1b[?1049l")
    assert s.text.endswith("\x1b[?25h\x1b[?1049l")
    assert termios.tcgetattr(s.fd)[3] & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO
    assert s.end() == 0
    lines = shown(frame)
    assert len(lines) <= rows and max(map(len, lines)) <= columns
    if rows >= 24:
        assert "10.0.0.20:50020" in frame and "provisional" in frame and "seen 30 packets" in frame
        assert ENIS[0] in frame and "lo (the loopback interface)" in frame and "next: " in frame


def test_top_shows_the_busiest_interfaces_all_reasons_and_restarts(tmp_path):
    status = meter_status(top=meter_status()["top"][:2])
    eni = status["interfaces"][0]
    status["interfaces"] = [{**eni, "name": f"n{i}", "open": {"packets": 1, "bytes": i}} for i in range(40)]
    status["interfaces"] += [{"eni": "", "name": f"d{i}", "device": f"d{i}", "metered": False, "skip": "the interface is down"} for i in range(30)]
    status["interfaces"] += [{"eni": "", "name": "lo", "device": "lo", "metered": False, "skip": "loopback never leaves the host"}]
    path = write_status(tmp_path, text=json.dumps(status))
    write_status(path, "supervisor", time=int(time.time()), pid=7, roles=[{"name": "meter", "pid": 1, "restarts": 3}], pins="x")
    s = Screen(30, 80, "top", "--live", "--store", path)
    lines = shown(s.frame())
    os.write(s.fd, b"q")
    assert s.end() == 0
    names = [line.split()[0] for line in lines if ENIS[0] in line]
    assert len(names) >= 10 and names == [f"n{39 - i}" for i in range(len(names))]
    text = " ".join(lines)
    assert "d0, d1, d2" in text and "d29 (the interface is down); lo (loopback never leaves the host)" in text
    assert "! meter ended and was started again, 3 times so far" in text
    assert len(lines) <= 30 and max(map(len, lines)) <= 80 and any(line.startswith("next: ") for line in lines[-2:])


def test_top_live_follows_a_resize_and_ends_at_a_signal(tmp_path):
    path = write_status(tmp_path)
    s = Screen(24, 80, "top", "--live", "--store", path)
    assert len(shown(s.frame())) > 10
    fcntl.ioctl(s.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 30, 0, 0))
    s.text = ""
    s.frame()
    lines = shown(s.frame())
    assert len(lines) <= 10 and max(map(len, lines)) <= 30
    os.kill(s.pid, signal.SIGTERM)
    s.read(10, "\x1b[?1049l")
    assert s.text.endswith("\x1b[?25h\x1b[?1049l") and s.end() == 0


def test_top_without_a_terminal_is_one_plain_frame(flowlog, tmp_path):
    path = write_status(tmp_path)
    out = flowlog("top", "--live", "--store", path).stdout
    assert "\x1b" not in out and "provisional" in out
    assert re.search(r"10\.0\.0\.20:50020 +-> +192\.0\.2\.1:443 +tcp +20 kB +20 +web0 egress", out)
    assert re.search(r"192\.0\.2\.1:443 +<- +10\.0\.0\.2:50002", out)  # the other side opened it


def test_top_says_what_is_missing(flowlog, tmp_path):
    assert "flowlog run" in flowlog("top", "--store", tmp_path / "none").stdout
    assert "no traffic in this window yet; try" in flowlog("top", "--store", write_status(tmp_path, top=[])).stdout
    assert "the meter does not run" in flowlog("top", "--store", write_status(tmp_path, time=int(time.time()) - 60)).stdout


def test_names_cannot_drive_the_terminal(flowlog, tmp_path):
    bad = "web\x1b[31m\u009b2J\n"
    status = meter_status()
    status["interfaces"][0]["name"] = bad
    for flow in status["top"]:
        flow["name"] = bad
    path = write_status(tmp_path, text=json.dumps(status))
    for command in ("top", "interfaces"):
        out = flowlog(command, "--store", path).stdout
        assert "\x1b" not in out and "\u009b" not in out and "web?[31m?2J?" in out


def test_table_adapts_to_the_terminal(duckdb, tmp_path):
    (tmp_path / "a.log").write_text(HEADER + "\n")
    s = Screen(24, 40, "query", "SELECT repeat('x', 100) AS long, 1 AS n, range AS r FROM range(1500)", tmp_path / "a.log")
    s.read(20, "LIMIT")
    assert s.end() == 0
    lines = s.text.replace("\r", "").splitlines()
    assert max(len(line) for line in lines[:-1]) <= 40 and len(lines) == 1002 and "1000 rows" in lines[-1]


def test_query_tells_a_person_that_verdicts_were_not_observed(duckdb, flowlog, store):
    path = store("window", 1)
    path = store("deliver", "window", 2)
    sql = "SELECT action, count(*) FROM flows GROUP BY 1"
    s = Screen(24, 80, "query", sql, "--store", path)
    s.read(20, "not seen rejected")  # behind the answer
    assert s.end() == 0 and "REJECT" in s.text and "verdicts were not observed" in s.text
    assert not flowlog("query", sql, "--store", path).stderr

# SPDX-License-Identifier: Apache-2.0
"""Tables as sources: what Flowlog writes of records as CSV and JSON, and what others export, gives the answers of the text it came from."""
import csv
import gzip
import io
import json
import os
import random
import subprocess

import pytest

from conftest import PROGRAM
from s3_servers import KEY, SECRET, Bucket, Fake

NAMES = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags pkt-srcaddr "
         "flow-direction note").split()
BEGIN = 1795132800  # 2026-11-20 00:00
QUESTIONS = [["top", "--all"], ["top", "--of", "ports"], ["rejects", "--all"], ["series"], ["conversations", "--all"], ["talks", "10.0.1.7"], ["external"],
             ["top", "--src", "10.0.1.0/24", "--port", "443"], ["top", "--where", "bytes > 100000 and not packets = 7"]]


def lines_of(n, seed=1):
    r = random.Random(seed)
    out = []
    for i in range(n):
        start = BEGIN + i * 2
        if r.random() < 0.05:
            out.append(f"5 012345678901 eni-{i % 9:017x} - - - - - - - {start} {start + 59} - {r.choice(['NODATA', 'SKIPDATA'])} - - - -")
            continue
        v6 = r.random() < 0.2
        a, b = ((f"2001:db8::{r.randrange(1, 65536):x}", r.choice(["fd00::7", "::ffff:a00:1"])) if v6 else
                (f"10.0.{r.randrange(4)}.{r.randrange(9)}", f"192.0.2.{r.randrange(256)}"))
        out.append(f"5 012345678901 eni-{i % 9:017x} {a} {b} {r.randrange(65536)} {r.choice([22, 53, 443, 8080])} {r.choice([1, 6, 17])} "
                   f"{r.randrange(1, 1000)} {r.randrange(40, 10**12)} {start} {start + r.randrange(60)} {r.choice(['ACCEPT', 'REJECT'])} OK "
                   f"{r.choice(['-', '2', '19'])} {r.choice(['-', a])} {r.choice(['ingress', 'egress', '-'])} "
                   + r.choice(["-", "plain", "a,b", 'say"x"', '"', "ümlaut", "a\\b", "it's;so", "\x7f{}[]"]))
    return out


LINES = lines_of(6000)
TEXT = " ".join(NAMES) + "\n" + "".join(line + "\n" for line in LINES)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "a.log"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module", params=["csv", "json"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def table(flowlog, text, form, tmp_path_factory):
    path = tmp_path_factory.mktemp(form) / "x"  # the name says nothing
    flowlog("convert", "--single", "-o", form, text, path)
    return path


def test_there_and_back(flowlog, table):
    done = flowlog("convert", "--single", "-o", "text", table, "-")
    assert done.stdout == TEXT and done.stderr == ""


def test_trees_of_tables(flowlog, text, form, tmp_path):
    """As convert writes them without --single: in directories, packed."""
    flowlog("convert", "-o", form, text, tmp_path / form)
    assert all(p.read_bytes()[:2] == b"\x1f\x8b" for p in (tmp_path / form).rglob("*") if p.is_file())
    done = flowlog("convert", "--single", "-o", "text", tmp_path / form, "-")
    assert sorted(done.stdout.splitlines()) == sorted(TEXT.splitlines())


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_the_same_answer(flowlog, text, table, question):
    want = flowlog(*question, "-o", "csv", text)
    got = flowlog(*question, "-o", "csv", table)
    assert got.stdout == want.stdout and got.stderr == want.stderr
    assert len(want.stdout) > 100


def test_summary_is_the_same(flowlog, text, table):
    def summary(path):
        s = json.loads(flowlog("summary", "-o", "json", path).stdout)
        return {k: v for k, v in s.items() if "byte" not in k and k != "sources"}
    want, got = summary(text), summary(table)
    assert {k for k in want if got.get(k) != want[k]} <= {"files"}, (want, got)


@pytest.fixture
def duckdb():
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")


@pytest.mark.parametrize("sql", ["SELECT * FROM flows ORDER BY ALL", "SELECT srcaddr, sum(bytes) b, count(note) n FROM flows GROUP BY 1 ORDER BY ALL",
                                 "SELECT note, \"end\" FROM flows WHERE dstport = 443 AND cidr_match(srcaddr, '10.0.1.0/24') ORDER BY ALL"])
def test_sql_is_the_same(flowlog, duckdb, text, table, sql):
    want = flowlog("query", "-o", "csv", sql, text).stdout
    assert flowlog("query", "-o", "csv", sql, table).stdout == want and len(want) > 1000


def test_what_sql_wrote_is_a_source(flowlog, duckdb, text, form, tmp_path):
    """Underscores, nulls as nothing, own columns: NULL again, and the same answer."""
    (tmp_path / "q").write_text(flowlog("query", "-o", form, "SELECT * FROM flows", text).stdout)
    for question in QUESTIONS:
        assert flowlog(*question, "-o", "csv", tmp_path / "q").stdout == flowlog(*question, "-o", "csv", text).stdout
    (tmp_path / "q").write_text(flowlog("query", "-o", form, "SELECT * FROM flowlog_scan()", text).stdout)
    done = flowlog("query", "-o", "csv", "SELECT DISTINCT source FROM flowlog_scan()", tmp_path / "q")
    assert done.stdout == f"source\n{tmp_path / 'q'}\n" and done.stderr == ""


def test_packed_piped_and_from_a_bucket(flowlog, text, table, tmp_path):
    data = table.read_bytes()
    want = flowlog("top", "--all", "-o", "csv", text).stdout
    half = data.index(b"\n", len(data) // 2) + 1
    packed = {"gz": gzip.compress(data), "members": gzip.compress(data[:half]) + gzip.compress(data[half:]),
              "zst": subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout}
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content)
        assert flowlog("top", "--all", "-o", "csv", tmp_path / name).stdout == want, name
    for content in (data, *packed.values()):
        cat = subprocess.run([PROGRAM, "top", "--all", "-o", "csv", "-"], input=content, stdout=subprocess.PIPE, check=True)
        assert cat.stdout.decode() == want
    fake = Fake()
    fake.reply = Bucket({"t/x": data, "t/y.gz": packed["gz"]})
    env = {**os.environ, "HOME": str(tmp_path), "AWS_ENDPOINT_URL": fake.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
           "AWS_EC2_METADATA_DISABLED": "true"}
    try:
        assert flowlog("top", "--all", "-o", "csv", "s3://b/t/x", env=env).stdout == want
        assert flowlog("top", "--all", "-o", "csv", "s3://b/t/y.gz", env=env).stdout == want
    finally:
        fake.close()


def test_mixed_with_text(flowlog, text, tmp_path):
    head, *rows = TEXT.splitlines()
    (tmp_path / "a.log").write_text("\n".join([head, *rows[:2000]]) + "\n")
    for form, part in (("csv", rows[2000:4000]), ("json", rows[4000:])):
        (tmp_path / "part").write_text("\n".join([head, *part]) + "\n")
        flowlog("convert", "--single", "-o", form, tmp_path / "part", tmp_path / f"b.{form}")
        (tmp_path / "part").unlink()
    for question in QUESTIONS:
        assert flowlog(*question, "-o", "csv", tmp_path).stdout == flowlog(*question, "-o", "csv", text).stdout


def test_big_files_are_shared_between_threads(flowlog, table, form, tmp_path):
    """Ranges of JSON lines; CSV by one thread, whose quoted values may hold newlines. Line numbers of faults are those of the file."""
    data = table.read_bytes()
    times = 24 * 1024 * 1024 // len(data) + 1
    (tmp_path / "big").write_bytes(data * times + b"what is this\n" + data)
    got = {flowlog("summary", "-o", "json", "--threads", n, tmp_path / "big").stdout for n in (1, 4)}
    done = flowlog("top", "-o", "csv", "--threads", 4, tmp_path / "big")
    line = times * len(data.splitlines()) + 1
    assert len(got) == 1 and f"big:{line}: " in done.stderr and "1 line is no record" in done.stderr
    assert flowlog("top", "--of", "talkers", "-o", "json", "--all", tmp_path / "big").stdout.count("\n") == \
        flowlog("top", "--of", "talkers", "-o", "json", "--all", table).stdout.count("\n")


# ---- what others write ----

ROWS = [dict(zip(NAMES, line.split(" "))) for line in LINES[:200]]
WANT = ["srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "action", "log-status", "interface-id"]


def as_text(flowlog, path, names=WANT, check=True):
    done = flowlog("convert", "--single", "-o", "text", path, "-", check=check)
    head, *rows = [line.split(" ") for line in done.stdout.splitlines()]
    return [[row[head.index(n)] for n in names] for row in rows], done


def exported(names, rename=lambda n: n, delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\n", null="", mark="", index=False, cast=lambda n, v: v):
    out = io.StringIO()
    w = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    w.writerow([""] * index + [rename(n) for n in names])
    for i, row in enumerate(ROWS):
        w.writerow([i] * index + [null if row[n] == "-" else cast(n, row[n]) for n in names])
    return mark + out.getvalue()


def camel(name):
    first, *more = {"srcaddr": "src-addr", "dstaddr": "dst-addr", "srcport": "src-port", "dstport": "dst-port"}.get(name, name).split("-")
    return first + "".join(m.capitalize() for m in more)


def floats(name, value):
    return value + ".0" if name in ("srcport", "dstport", "protocol", "packets", "bytes") else value


EXPORTS = {
    "athena": dict(quoting=csv.QUOTE_ALL, rename=lambda n: n.replace("-", "_")),
    "duckdb": dict(rename=lambda n: n.replace("-", "_")),
    "duckdb-null": dict(rename=lambda n: n.replace("-", "_"), null="-"),
    "pandas": dict(index=True, cast=floats),
    "excel": dict(delimiter=";", end="\r\n", mark="\ufeff"),
    "tabs": dict(delimiter="\t", rename=str.upper),
    "insights": dict(rename=camel, quoting=csv.QUOTE_ALL),
}


@pytest.mark.parametrize("how", EXPORTS)
def test_exports_of_others(flowlog, tmp_path, how):
    names = NAMES[:-1]
    random.Random(how).shuffle(names)
    (tmp_path / "x").write_text(exported(names, **EXPORTS[how]))
    got, done = as_text(flowlog, tmp_path / "x")
    assert got == [[row[n] for n in WANT] for row in ROWS] and done.stderr == ""
    # Without a newline at its end; and twice the same, header and all.
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data.rstrip(b"\r\n"))
    assert as_text(flowlog, tmp_path / "x")[0] == got
    if not data.startswith(b"\xef"):
        (tmp_path / "x").write_bytes(data + data)
        twice, done = as_text(flowlog, tmp_path / "x")
        assert twice == got + got and done.stderr == ""


def test_json_of_others(flowlog, tmp_path):
    """Keys in any order, numbers as text and text as numbers, nulls left out, spaces, a mark in front."""
    def odd(i, row):
        o = {n.replace("-", "_"): v if i % 3 == 0 or not v.isdigit() else float(v) if i % 3 == 1 and n == "packets" else int(v)
             for n, v in row.items() if v != "-" or i % 2 == 0 and i}
        keys = list(o)
        random.Random(i).shuffle(keys)
        return {k: o[k] for k in keys}
    rows = [{n: v for n, v in row.items() if n != "account-id"} for row in ROWS]
    (tmp_path / "x").write_text("\ufeff" + "\r\n\r\n".join(json.dumps(odd(i, r), ensure_ascii=i % 2 == 0) for i, r in enumerate(rows)))
    got, done = as_text(flowlog, tmp_path / "x", WANT + ["note"])
    assert got == [[row[n] for n in WANT + ["note"]] for row in rows] and done.stderr == ""


def test_values_over_several_lines(flowlog, tmp_path):
    """As RFC 4180 allows; also where a block ends, and what follows keeps its number."""
    values = ["one\ntwo", 'a "quote"\r\nand, more', "x" * 5000 + "\n" + "y" * 3000, "\n\n\n", "plain"]
    rows = [[f"10.0.0.{i % 250}", str(i), values[i % len(values)]] for i in range(2000)]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["srcaddr", "bytes", "note"], *rows])
    (tmp_path / "x").write_text(out.getvalue(), newline="")
    for source in (tmp_path / "x", "-"):
        with open(tmp_path / "x", "rb") as f:
            done = flowlog("convert", "--single", "-o", "csv", source, "-", stdin=subprocess.Popen(["cat"], stdin=f, stdout=subprocess.PIPE).stdout, text=False)
        assert list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))[1:] == rows and done.stderr == b""
    (tmp_path / "x").write_text(out.getvalue() + "10.0.0.1,x\n", newline="")
    done = flowlog("top", tmp_path / "x")
    assert f":{len(out.getvalue().split(chr(10)))}: 2 values where the header has 3" in done.stderr


BAD = {
    "csv": ("srcaddr,dstaddr,bytes\n10.0.0.1,10.0.0.2,1\n10.0.0.1,10.0.0.2\n10.0.0.1,10.0.0.2,1,1\n10.0.0.1,10.0.0.2,1\n\"10.0.0.1,10.0.0.2,1\n\"10.0.0.1\"x,1,1\n"
            "10.0.0.1,10.0.0.2,1\n,,\n10.0.0.300,10.0.0.2,-1\n" + "y" * 70000 + "\n10.0.0.1,10.0.0.2,1\n", [3, 4, 6, 7, 11], [10, 10], 6),
    "json": ('{"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2","bytes":1}\n{"srcaddr":"10.0.0.1",}\n[1]\n"x"\n{"srcaddr":"10.0.0.1","srcaddr":"10.0.0.2"}\n'
             '{"srcaddr":"10.0.0.1","bytes":1e0}\n{"srcaddr":"10.0.0.300","bytes":[]}\n' + "[" * 70000 + '\n{"srcaddr":"10.0.0.1","bytes":"\\u0031"}\n{"a":"\\u0000"}\n',
             [2, 3, 4, 5, 8, 10], [7, 7], 4),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_record_is_counted_and_told(flowlog, tmp_path, kind):
    data, malformed, values, good = BAD[kind]
    (tmp_path / "x").write_text(data)
    for name, content in (("x", data.encode()), ("x.gz", gzip.compress(data.encode()))):
        (tmp_path / name).write_bytes(content)
        done = flowlog("convert", "--single", "-o", "text", tmp_path / name, "-")
        assert len(done.stdout.splitlines()) == 1 + good
        told = [line.split(f"{name}:")[1].split(":")[0] for line in done.stderr.splitlines() if f"{name}:" in line]
        assert sorted(map(int, told)) == sorted(malformed + values), done.stderr
        assert f"{len(malformed)} lines are no records" in done.stderr and f"{len(values)} values are none of the field" in done.stderr
        (tmp_path / name).unlink()


def test_a_quote_that_is_never_closed_costs_its_line(flowlog, tmp_path):
    """Neither what follows it nor the time: many of them."""
    (tmp_path / "x").write_text("srcaddr,bytes\n" + '"10.0.0.1,1\n10.0.0.2,2\n' * 30000)
    done = flowlog("top", "--of", "talkers", "-o", "json", tmp_path / "x", timeout=60)
    assert '"bytes":60000' in done.stdout.replace(" ", "") and "30000 lines are no records" in done.stderr


def test_a_key_that_comes_late(flowlog, tmp_path):
    """Known fields are read wherever they are asked for; what has no column is said."""
    (tmp_path / "x").write_text('{"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2"}\n' * 1000 + '{"srcaddr":"10.0.0.1","bytes":7}\n')
    done = flowlog("top", "--of", "talkers", "-o", "json", tmp_path / "x")
    assert '"bytes":7' in done.stdout.replace(" ", "") and "not read" not in done.stderr
    done = flowlog("convert", "--single", "-o", "text", tmp_path / "x", "-")
    assert 'x:1001: "bytes" is in no object at the beginning of the file' in done.stderr


@pytest.mark.parametrize("data, said", [
    ('{\n  "srcaddr": "10.0.0.1"\n}\n', "jq -c"), ('{"a": 1, "version": 2, "c": 3}\n', "not those of flow logs"), ("a,b\n1,2\n", "not the names of a flow log's fields"),
    ("srcaddr,srcaddr\n1,2\n", "srcaddr"), ('[{"srcaddr":"10.0.0.1"}]\n', "flow log"), ("x\n", "flow log"), ('"\n', "flow log")])
def test_what_is_no_table_of_records(flowlog, tmp_path, data, said):
    (tmp_path / "x").write_text(data)
    done = flowlog("top", tmp_path / "x", check=False)
    assert done.returncode == 1 and said in done.stderr
    # Among others it is left out, and that is said.
    (tmp_path / "a.log").write_text("srcaddr bytes\n10.0.0.1 5\n")
    done = flowlog("top", "--of", "talkers", tmp_path)
    assert said in done.stderr and "10.0.0.1" in done.stdout


def test_what_a_filter_cannot_judge_is_counted(flowlog, form, tmp_path):
    """As of text: a file without the field beside one that has it."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t/a").write_text("srcaddr dstaddr bytes\n10.0.0.1 10.0.0.2 5\n10.0.0.3 10.0.0.2 5\n")
    (tmp_path / "t/b").write_text("srcaddr dstaddr bytes vpc-id\n10.0.0.1 10.0.0.2 5 vpc-1\n10.0.0.1 10.0.0.2 5 vpc-2\n")
    (tmp_path / form).mkdir()
    for name in "ab":
        flowlog("convert", "--single", "-o", form, tmp_path / "t" / name, tmp_path / form / name)
    for args in ([], ["--src", "10.0.0.1"]):
        want = flowlog("top", "-o", "csv", "--vpc", "vpc-1", *args, tmp_path / "t")
        got = flowlog("top", "-o", "csv", "--vpc", "vpc-1", *args, tmp_path / form)
        assert got.stdout == want.stdout and got.stderr == want.stderr and "vpc" in want.stderr


@pytest.mark.parametrize("data, rest", [("srcaddr,bytes\n10.0.0.1,5\n10.0.0.2", ",6\n"), ("srcaddr,bytes\n10.0.0.1,5\n\"10.0", ".0.2\",6\n"),
                                        ('{"srcaddr":"10.0.0.1","bytes":5}\n{"srcaddr":"10.0.0.2","by', 'tes":6}\n')])
def test_a_line_that_somebody_still_writes(flowlog, tmp_path, data, rest):
    (tmp_path / "x").write_text(data)
    done = flowlog("top", "--of", "talkers", "-o", "csv", tmp_path / "x")
    assert "10.0.0.1" in done.stdout and "10.0.0.2" not in done.stdout and f"x:{data.count(chr(10)) + 1}: still being written" in done.stderr and "no record" not in done.stderr
    # When nobody did for long, it is a fault.
    os.utime(tmp_path / "x", (BEGIN - 86400 * 30, BEGIN - 86400 * 30))
    assert "1 line is no record" in flowlog("top", "--of", "talkers", "-o", "csv", tmp_path / "x").stderr
    (tmp_path / "x").write_text(data + rest)
    done = flowlog("top", "--of", "talkers", "-o", "csv", tmp_path / "x")
    assert "10.0.0.2" in done.stdout and "x:" not in done.stderr

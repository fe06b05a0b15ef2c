# SPDX-License-Identifier: Apache-2.0
"""flowlog convert, and Parquet between us and others: DuckDB, Polars, Arrow and hyparquet read ours, we read theirs."""
import csv
import gzip
import io
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import pytest

from conftest import PROGRAM, sh

PYTHON = ["duckdb==2.0.1", "polars==2.1.0", "pyarrow==26.0.1"]
NODE = ["hyparquet@1.31.5", "hyparquet-compressors@1.1.2"]
UNREACHABLE = r"(?i)connection|resolve|proxy|timed? ?out|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|No module named pip"
V5 = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id tcp-flags "
      "pkt-srcaddr flow-direction").split()
INT32 = {"version", "srcport", "dstport", "protocol", "tcp-flags"}
INT64 = {"packets", "bytes", "start", "end"}
START = 1795132800  # 2026-11-20 00:00


def fetched(where, mark, command, **kw):
    """Into a directory beside the build, once."""
    if not (where / mark).exists():
        where.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
        if done.returncode and re.search(UNREACHABLE, done.stdout):
            pytest.skip("not reachable for " + mark + ": " + done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout
        (where / mark).touch()
    return where


@pytest.fixture(scope="session")
def python():
    """python(code, *arguments) -> what it prints as JSON; with the three libraries."""
    where = PROGRAM.parents[2] / "python-parquet"
    mark = "-".join(re.sub(r"\W", "_", p) for p in PYTHON)
    fetched(where, mark, [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--upgrade", "--target", where, *PYTHON])

    def run(code, *arguments):
        # DuckDB shows the progress of what takes longer than two seconds, on standard output.
        alone = "import json,os,sys\nsys.stdout = os.fdopen(os.dup(1), 'w')\nos.dup2(2, 1)\n"
        done = sh(sys.executable, "-c", alone + "import duckdb,polars,pyarrow as pa,pyarrow.parquet as pq\n" + code, *arguments,
                  env={**os.environ, "PYTHONPATH": str(where)}, timeout=300)
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def records(n, seed=1):
    """Lines of V5's fields; some of interfaces without traffic, some with spellings of their own."""
    rnd = random.Random(seed)
    lines = []
    for i in range(n):
        start = START + i * 3600 // n + rnd.randrange(20)
        if i % 97 == 5:
            lines.append(f"5 123456789012 eni-{i % 7:017x} - - - - - - - {start} {start + 59} - {rnd.choice(['NODATA', 'SKIPDATA'])} - - - -")
            continue
        src = rnd.choice(["10.0.0.%d" % rnd.randrange(256), "2001:db8::%x" % rnd.randrange(1, 99), "::ffff:a00:1", "203.0.113.7"])
        lines.append(" ".join(map(str, [
            5, "123456789012", f"eni-{i % 7:017x}", src, "10.1.%d.%d" % (rnd.randrange(9), rnd.randrange(256)), rnd.randrange(65536),
            rnd.choice([22, 80, 443, rnd.randrange(65536)]), rnd.choice([6, 6, 17, 1]), rnd.randrange(1, 10**rnd.randrange(1, 9)),
            rnd.randrange(1, 10**rnd.randrange(2, 18)), start, start + rnd.randrange(60), rnd.choice(["ACCEPT", "ACCEPT", "REJECT"]), "OK",
            rnd.choice(["vpc-0abc", "-"]), rnd.choice([0, 2, 18, 19]), rnd.choice([src, "192.0.2.9"]), rnd.choice(["ingress", "egress"])])))
    return lines


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A file of 30,000 records in the order of time."""
    path = tmp_path_factory.mktemp("archive") / "a.log"
    path.write_text("\n".join([" ".join(V5), *records(30000)]) + "\n")
    return path


def as_values(line):
    """What a table has: numbers, None for a number that is missing; text as it is, - too."""
    return [None if v == "-" and f in INT32 | INT64 else int(v) if f in INT32 | INT64 else v for f, v in zip(V5, line.split(" "))]


def lines_of(path):
    return path.read_text().splitlines()[1:]


def rows_back(flowlog, path, *args):
    done = flowlog("convert", "--single", "-o", "text", *args, path, "-")
    head, *lines = done.stdout.splitlines()
    return head, lines


# ---- ours, read by others ----

READ_ALL = """
path, = sys.argv[1:]
t = pq.read_table(path)
p = polars.read_parquet(path)
d = duckdb.connect()
d.execute("SET threads=1")
cur = d.execute(f"SELECT * FROM '{path}'")
print(json.dumps({
    "arrow": {"types": {f.name: str(f.type) for f in t.schema}, "rows": list(map(list, zip(*t.to_pydict().values())))},
    "polars": {"types": {k: str(v) for k, v in p.schema.items()}, "rows": list(map(list, p.iter_rows()))},
    "duckdb": {"types": {c[0]: str(c[1]) for c in cur.description}, "rows": list(map(list, cur.fetchall()))},
}))
"""
TYPES = {"arrow": ("int32", "int64", "string"), "polars": ("Int32", "Int64", "String"), "duckdb": ("INTEGER", "BIGINT", "VARCHAR")}


@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip", "none"])
def test_others_read_ours(flowlog, python, archive, tmp_path, codec):
    path = tmp_path / "ours.parquet"
    flowlog("convert", "--single", "--codec", codec, "--row-group", 8192, archive, path)
    want = [as_values(line) for line in lines_of(archive)]
    for name, got in python(READ_ALL, path).items():
        int32, int64, text = TYPES[name]
        types = {f.replace("-", "_"): int32 if f in INT32 else int64 if f in INT64 else text for f in V5}
        assert got["types"] == types, name
        assert got["rows"] == want, name


def test_missing_text_may_be_null(flowlog, python, archive, tmp_path):
    path = tmp_path / "ours.parquet"
    flowlog("convert", "--single", "--null-text", archive, path)
    want = [[None if v == "-" else v for v in as_values(line)] for line in lines_of(archive)]
    for name, got in python(READ_ALL, path).items():
        assert got["rows"] == want, name
    assert rows_back(flowlog, path) == (" ".join(V5), lines_of(archive))


def test_what_the_footer_says(flowlog, python, archive, tmp_path):
    path = tmp_path / "ours.parquet"
    flowlog("convert", "--single", "--row-group", 8192, archive, path)
    got = python("""
m = pq.ParquetFile(sys.argv[1]).metadata
d = duckdb.connect()
def column(g, name):
    return next(m.row_group(g).column(i) for i in range(m.num_columns) if m.row_group(g).column(i).path_in_schema == name)
print(json.dumps({
    "groups": m.num_row_groups, "rows": m.num_rows, "by": m.created_by, "meta": {k.decode(): v.decode() for k, v in m.metadata.items()},
    "sorted": [s.column_index for s in m.row_group(0).sorting_columns],
    "range": [[column(g, "start").statistics.min, column(g, "start").statistics.max] for g in range(m.num_row_groups)],
    "nulls": sum(column(g, "bytes").statistics.null_count for g in range(m.num_row_groups)),
    "pages": [column(0, c).has_offset_index and column(0, c).has_column_index for c in ("srcaddr", "bytes", "action")],
    # DuckDB asks the Bloom filters: some row group is excluded for an address that no record has, within the range of those that are
    "bloom": [bool(r[0]) for r in d.execute(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{sys.argv[1]}', 'dstaddr', '10.1.3.999')").fetchall()],
    "bloom_has": [bool(r[0]) for r in d.execute(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{sys.argv[1]}', 'srcaddr', '203.0.113.7')").fetchall()],
}))""", path)
    values = [as_values(line) for line in lines_of(archive)]
    starts = [v[10] for v in values]
    assert got["groups"] == 4 and got["rows"] == 30000
    assert got["range"] == [[min(starts[i:i + 8192]), max(starts[i:i + 8192])] for i in range(0, 30000, 8192)]
    assert got["nulls"] == sum(v[9] is None for v in values)
    assert got["by"].startswith("flowlog version ")
    assert got["meta"]["flowlog.format"] == " ".join("${%s}" % f for f in V5)
    assert all(got["pages"])
    assert got["bloom"] == [True] * 4 and got["bloom_has"] == [False] * 4


def test_hyparquet_reads_ours(flowlog, archive, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("npm is not there for hyparquet")
    where = PROGRAM.parents[2] / "node-parquet"
    where.mkdir(exist_ok=True)
    fetched(where, "-".join(re.sub(r"\W", "_", p) for p in NODE),
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(where), *NODE])
    (where / "read.mjs").write_text("""
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
const file = await asyncBufferFromFile(process.argv[2])
const rows = await parquetReadObjects({ file, compressors })
console.log(JSON.stringify(rows.map(r => Object.values(r)), (k, v) => typeof v === 'bigint' ? Number(v) : v))
""")
    for codec in ("zstd", "snappy", "gzip"):
        path = tmp_path / f"{codec}.parquet"
        flowlog("convert", "--single", "--codec", codec, archive, path)
        got = json.loads(sh("node", where / "read.mjs", path).stdout)
        # numbers beyond 2^53 are not JavaScript's
        assert [r[:9] + r[10:] for r in got] == [r[:9] + r[10:] for r in map(as_values, lines_of(archive))]


# ---- theirs, read by us ----

THEIRS = {
    "arrow-default": "pq.write_table(t, path)",
    "arrow-v2": "pq.write_table(t, path, data_page_version='2.0', compression='zstd')",
    "arrow-plain": "pq.write_table(t, path, use_dictionary=False, compression='none')",
    "arrow-delta": "pq.write_table(t, path, use_dictionary=False, compression='gzip', column_encoding={f.name: 'DELTA_BINARY_PACKED' if "
                   "pa.types.is_integer(f.type) else 'DELTA_BYTE_ARRAY' for f in t.schema})",
    "arrow-delta-v2": "pq.write_table(t, path, use_dictionary=False, data_page_version='2.0', compression='lz4', column_encoding={f.name: "
                      "'BYTE_STREAM_SPLIT' if pa.types.is_integer(f.type) else 'DELTA_LENGTH_BYTE_ARRAY' for f in t.schema})",
    "arrow-small-pages": "pq.write_table(t, path, data_page_size=2000, dictionary_pagesize_limit=3000, row_group_size=7001, write_page_checksum=True)",
    "arrow-required": "pq.write_table(t.cast(pa.schema([f.with_nullable(t[f.name].null_count > 0) for f in t.schema])), path, compression='snappy')",
    "polars": "polars.from_arrow(t).write_parquet(path)",
    "polars-snappy": "polars.from_arrow(t).write_parquet(path, compression='snappy', row_group_size=5000)",
    "duckdb-snappy": "duckdb.sql(f\"COPY t TO '{path}' (FORMAT parquet)\")",
    "duckdb-v2": "duckdb.sql(f\"COPY t TO '{path}' (FORMAT parquet, PARQUET_VERSION v2, CODEC zstd, ROW_GROUP_SIZE 10000)\")",
    "duckdb-lz4": "duckdb.sql(f\"COPY t TO '{path}' (FORMAT parquet, CODEC lz4_raw)\")",
}
TABLE = """
log, path = sys.argv[1:]
head, *lines = open(log).read().splitlines()
names = head.split(" ")
columns = list(zip(*(l.split(" ") for l in lines)))
int32, int64 = INT32, INT64
t = pa.table({n.replace("-", "_"): pa.array([None if v == "-" else int(v) for v in c], pa.int32() if n in int32 else pa.int64()) if n in int32 | int64
              else pa.array([None if v == "-" and HOLES else v for v in c], pa.string()) for n, c in zip(names, columns)})
"""


@pytest.mark.parametrize("how", THEIRS)
@pytest.mark.parametrize("holes", [False, True])
def test_we_read_theirs(flowlog, python, archive, tmp_path, how, holes):
    path = tmp_path / "theirs.parquet"
    python(f"INT32, INT64, HOLES = {INT32!r}, {INT64!r}, {holes}\n" + TABLE + THEIRS[how], archive, path)
    assert rows_back(flowlog, path) == (" ".join(V5), lines_of(archive))


PASSED_OVER = {  # how others write an index of pages or Bloom filters, the question, which count says that it was used
    "index, by time": ("pq.write_table(t, path, data_page_size=4000, write_page_index=True)", "start >= 1795134000 and start < 1795134300", "rows_pruned"),
    "index, v2 pages": ("pq.write_table(t, path, data_page_size=4000, data_page_version='2.0', compression='zstd', write_page_index=True, use_dictionary=False)",
                        "start >= 1795134000 and start < 1795134300", "rows_pruned"),
    "index, by address": ("pq.write_table(t.sort_by('dstaddr'), path, data_page_size=3000, row_group_size=9000, write_page_index=True)", "dst host 10.1.3.77",
                          "rows_pruned"),
    "index, two columns": ("pq.write_table(t.sort_by('dstport'), path, data_page_size=2000, write_page_index=True)",
                           "(dst port 22 or dst port 443) and start > 1795135000 and not action = ACCEPT", "rows_pruned"),
    "index, pages of nulls": ("pq.write_table(t.sort_by([('log_status', 'ascending')]), path, data_page_size=1000, write_page_index=True)", "log_status = NODATA",
                              "rows_pruned"),
    "Bloom filters": ("duckdb.sql(f\"COPY t TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)\")", "src host 10.0.0.77", "row_groups_pruned"),
    "ours, sorted": ("t.sort_by('start')", "start >= 1795134000 and start < 1795134300", "row_groups_pruned"),
}


@pytest.mark.parametrize("how", PASSED_OVER)
@pytest.mark.parametrize("holes", [False, True])
def test_what_is_passed_over_changes_no_answer(flowlog, python, archive, tmp_path, how, holes):
    code, where, count = PASSED_OVER[how]
    path = tmp_path / "theirs.parquet"
    if how.startswith("ours"):
        flowlog("convert", "--single", "--row-group", 4096, *(["--null-text"] if holes else []), archive, path)
    else:
        python(f"INT32, INT64, HOLES = {INT32!r}, {INT64!r}, {holes}\n" + TABLE + code, archive, path)
    for question in (["top", "--of", "talkers", "-n", "1000"], ["top", "--of", "pairs", "-n", "100000"], ["series"]):
        want = flowlog(*question, "--where", where, "-o", "csv", archive).stdout
        assert len(want.splitlines()) > 1 or "NODATA" in where
        assert flowlog(*question, "--where", where, "-o", "csv", path).stdout == want
    text, parquet = (json.loads(flowlog("summary", "--where", where, "-o", "json", p).stdout) for p in (archive, path))
    assert parquet[count] > 0 and text[count] == 0
    differ = {"rows_pruned", "row_groups_pruned", "records", "files", "bytes"}
    assert {k: v for k, v in text.items() if k not in differ} == {k: v for k, v in parquet.items() if k not in differ}
    assert parquet["records"] + parquet["rows_pruned"] <= 30000


def test_types_of_others(flowlog, python, tmp_path):
    """Times of any unit, unsigned and floating numbers, numbers as text, names with hyphens, nested columns beside."""
    path = tmp_path / "odd.parquet"
    python("""
t = pa.table({"tags": [[1], [2], []], "start": pa.array([1700000000123, 1700000060999, None], pa.timestamp("ms", tz="UTC")),
    "end": pa.array([1700000001000000, 1700000002999999, 1700000003000000], pa.timestamp("us")),
    "dst-port": pa.array([1, 2, 3]), "dstport": pa.array([443, 65535, None], pa.uint16()), "bytes": [1.0, 4e9, None],
    "packets": ["7", "-", "x"], "account-id": pa.array([123456789012, 1, 2]), "srcaddr": ["10.0.0.1", "not one", ""],
    "flag": [True, False, None], "protocol": pa.array([6, 17, -1], pa.int8()), "struct": [{"a": 1}] * 3, "a b": [1, 2, 3], "interface-id": pa.array(["eni-1", "eni-2", "eni-1"]).dictionary_encode()})
pq.write_table(t, sys.argv[1])
""", path)
    done = flowlog("convert", "--single", "-o", "text", path, "-")
    head, *lines = done.stdout.splitlines()
    assert head == "start end dst_port dstport bytes packets account-id srcaddr flag protocol interface-id"
    assert lines == ["1700000000 1700000001 1 443 1 7 123456789012 10.0.0.1 true 6 eni-1",
                     "1700000060 1700000002 2 65535 4000000000 - 1 - false 17 eni-2",
                     "- 1700000003 3 - - - 2 - - - eni-1"]
    assert re.search(r"\b4 values are none of the field", done.stderr)
    told = next(line for line in done.stderr.splitlines() if "columns that are not read" in line)
    assert str(path) in told and "tags" in told and "struct" in told and "a b (its name)" in told


def test_codecs_that_are_not_read(flowlog, python, archive, tmp_path):
    path = tmp_path / "brotli.parquet"
    python("pq.write_table(pa.table({'srcaddr': ['10.0.0.1']}), sys.argv[1], compression='brotli')", path)
    done = flowlog("convert", "--single", "-o", "text", path, "-", check=False)
    assert done.returncode == 1 and "Brotli" in done.stderr and str(path) in done.stderr


# ---- convert ----

def tree(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def all_lines(path):
    return sorted(line for p in path.rglob("*.log.gz") for line in gzip.open(p, "rt").read().splitlines()[1:])


@pytest.mark.parametrize("hive", [[], ["--hive"]])
def test_there_and_back(flowlog, archive, tmp_path, hive):
    flowlog("convert", *hive, archive, tmp_path / "pq")
    flowlog("convert", *hive, "-o", "text", tmp_path / "pq", tmp_path / "text")
    assert all_lines(tmp_path / "text") == sorted(lines_of(archive))
    names = tree(tmp_path / "pq")
    folder = "AWSLogs/aws-account-id=000000000000/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=20/hour=00/" if hive else \
        "AWSLogs/000000000000/vpcflowlogs/us-east-1/2026/11/20/00/"
    assert names[0].startswith(folder + "000000000000_vpcflowlogs_us-east-1_fl-") and len(names) == 13
    for name in names:
        assert re.fullmatch(r".*/000000000000_vpcflowlogs_us-east-1_fl-[0-9a-f]{17}_20261120T\d\d\d[05]Z_[0-9a-f]{8}\.log\.parquet", name)
        # what a name promises
        slot = re.search(r"T(\d\d)(\d\d)Z_", name)
        first = START + int(slot[1]) * 3600 + int(slot[2]) * 60
        _, lines = rows_back(flowlog, tmp_path / "pq" / name)
        assert all(first <= int(line.split(" ")[11]) < first + 300 for line in lines)


def test_nothing_is_replaced_unasked(flowlog, archive, tmp_path):
    flowlog("convert", archive, tmp_path / "pq")
    before = {name: (tmp_path / "pq" / name).read_bytes() for name in tree(tmp_path / "pq")}
    done = flowlog("convert", archive, tmp_path / "pq", check=False)
    assert done.returncode == 1 and "--force" in done.stderr
    assert {name: (tmp_path / "pq" / name).read_bytes() for name in tree(tmp_path / "pq")} == before
    flowlog("convert", "--force", archive, tmp_path / "pq")
    assert {name: (tmp_path / "pq" / name).read_bytes() for name in tree(tmp_path / "pq")} == before  # the same bytes
    one = tmp_path / "one.csv"
    one.write_text("mine")
    assert flowlog("convert", "--single", "-o", "csv", archive, one, check=False).returncode == 1
    assert one.read_text() == "mine" and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["one.csv"]
    flowlog("convert", "--single", "--force", "-o", "csv", archive, one)
    assert len(one.read_text().splitlines()) == 30001


def test_records_in_no_order(flowlog, tmp_path):
    """More five minutes than files may be open at a time: some have several files, none is lost."""
    lines = [f"5 10.0.0.{i % 200} {START + (i * 7919) % (400 * 300)} {i}" for i in range(20000)]
    source = tmp_path / "a.log"
    source.write_text("version srcaddr end bytes\n" + "\n".join(lines) + "\n")
    flowlog("convert", "-o", "text", source, tmp_path / "out")
    assert all_lines(tmp_path / "out") == sorted(lines)


def test_a_time_beyond_all_names_stops_nothing(flowlog, tmp_path):
    """It stays with the record before."""
    lines = [f"2 10.0.0.1 {START} 1", f"2 10.0.0.2 {2**63 - 1} 2", f"2 10.0.0.3 {START + 1} 3"]
    (tmp_path / "a.log").write_text("version srcaddr end bytes\n" + "\n".join(lines) + "\n")
    flowlog("convert", "-o", "text", tmp_path / "a.log", tmp_path / "out")
    assert all_lines(tmp_path / "out") == lines and len([p for p in (tmp_path / "out").rglob("*") if p.is_file()]) == 1


def test_what_is_no_address_is_null_to_statistics_too(flowlog, python, tmp_path):
    path = tmp_path / "a.parquet"
    python("pq.write_table(pa.table({'srcaddr': ['10.0.0.1', 'host'], 'action': ['ACCEPT', 'Accept'], 'x': ['', 'y'], 'start': [1700000000] * 2, 'end': [1700000060] * 2, "
           "'bytes': [1, 2]}), sys.argv[1])", path)
    for words in "srcaddr is null", "action is null":
        done = flowlog("series", "-o", "json", "--where", words, path, check=False)
        assert json.loads(done.stdout)["bytes"] == 2, words


def test_names_of_others_shift_no_column(flowlog, python, tmp_path):
    path = tmp_path / "a.parquet"
    python("pq.write_table(pa.table({'srcaddr': ['10.0.0.1'], 'a,b': ['x,y'], 'c\"d': ['z'], 'e\\nf': ['w'], 'end': [5]}), sys.argv[1])", path)
    head, row = csv.reader(io.StringIO(flowlog("convert", "--single", "-o", "csv", path, "-").stdout))
    assert dict(zip(head, row)) == {"srcaddr": "10.0.0.1", "a,b": "x,y", 'c"d': "z", "e\nf": "w", "end": "5"}
    head, row = flowlog("convert", "--single", "-o", "text", path, "-").stdout.splitlines()
    assert dict(zip(head.split(" "), row.split(" "))) == {"srcaddr": "10.0.0.1", "a,b": "x,y", 'c"d': "z", "e%0Af": "w", "end": "5"}


def test_tables(flowlog, archive, tmp_path):
    pq = tmp_path / "a.parquet"
    flowlog("convert", "--single", archive, pq)
    head, *rows = csv.reader(io.StringIO(flowlog("convert", "--single", "-o", "csv", pq, "-").stdout))
    assert head == V5 and [" ".join(r) for r in rows] == lines_of(archive)
    objects = [json.loads(line) for line in flowlog("convert", "--single", "-o", "json", pq, "-").stdout.splitlines()]
    assert [list(o) for o in objects] == [V5] * 30000
    assert [["-" if v is None else str(v) for v in o.values()] for o in objects] == [line.split(" ") for line in lines_of(archive)]


def test_mixed_sources_become_one(flowlog, tmp_path):
    """Other fields, other order: a column for each, - where a record has none."""
    (tmp_path / "a.log").write_text("version srcaddr end\n2 10.0.0.1 1795132800\n")
    (tmp_path / "b.log").write_text("srcaddr bytes end version\n10.0.0.2 7 1795132801 3\n")
    flowlog("convert", "--single", tmp_path / "a.log", tmp_path / "b.log", tmp_path / "c.parquet")
    assert rows_back(flowlog, tmp_path / "c.parquet") == ("version srcaddr end bytes", ["2 10.0.0.1 1795132800 -", "3 10.0.0.2 1795132801 7"])


@pytest.mark.parametrize("args, words", [
    (["--single", "--codec", "zstd", "-o", "text"], "gzip"),
    (["--account", "12"], "twelve digits"),
    (["--row-group", "5"], "--row-group 5"),
    (["--id", "x"], "--id x"),
])
def test_refusals(flowlog, archive, tmp_path, args, words):
    done = flowlog("convert", *args, archive, tmp_path / "out", check=False)
    assert done.returncode == 1 and words in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_times_only_one_file(flowlog, tmp_path):
    (tmp_path / "a.log").write_text("version srcaddr\n2 10.0.0.1\n")
    done = flowlog("convert", tmp_path / "a.log", tmp_path / "out", check=False)
    assert done.returncode == 1 and "--single" in done.stderr and "end" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_row_group_is_told(flowlog, archive, tmp_path):
    path = tmp_path / "a.parquet"
    flowlog("convert", "--single", "--row-group", 8192, archive, path)
    data = bytearray(path.read_bytes())
    data[5000] ^= 0x40
    path.write_bytes(data)
    done = flowlog("convert", "--single", "-o", "text", path, "-", check=False)
    assert done.returncode == 1 and str(path) in done.stderr
    assert done.stdout.splitlines()[1:] == lines_of(archive)[8192:]


def test_a_store_of_parquet(flowlog, tmp_path):
    """A flow log whose objects are Parquet answers as one of text does."""
    make = PROGRAM.parents[2] / "tests/cli/make_store"
    store = tmp_path / "store"
    sh(make, store, "parquet", "window", "1", "window", "2", "deliver", "window", "3")
    text = tmp_path / "text"
    sh(make, text, "window", "1", "window", "2", "deliver", "window", "3")
    assert any(name.endswith(".log.parquet") for name in tree(store))
    for command in (["tail", "-n", "1000"], ["audit"]):
        got, want = (flowlog(*command, "--store", s, check=False) for s in (store, text))
        assert (got.returncode, got.stdout.replace(str(store), "")) == (want.returncode, want.stdout.replace(str(text), ""))
    got, want = (sorted(rows_back(flowlog, s)[1]) for s in (store, text))
    assert got == want and got

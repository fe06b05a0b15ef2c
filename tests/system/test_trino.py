# SPDX-License-Identifier: Apache-2.0
"""Trino, whose code Athena runs, over what we write, by AWS's documented tables, and we over what Trino writes."""
import json

import pytest

from test_parquet import V5, as_values, lines_of, records
from trino import Trino

# The published DDL (Athena guide), types as they are there: protocol is a bigint, and an INT32 in AWS's files and ours.
TYPES = {"version": "int", "account-id": "varchar", "interface-id": "varchar", "srcaddr": "varchar", "dstaddr": "varchar", "srcport": "int", "dstport": "int",
         "protocol": "bigint", "packets": "bigint", "bytes": "bigint", "start": "bigint", "end": "bigint", "action": "varchar", "log-status": "varchar",
         "vpc-id": "varchar", "tcp-flags": "int", "pkt-srcaddr": "varchar", "flow-direction": "varchar"}
COLUMNS = ", ".join(f'"{f.replace("-", "_")}" {TYPES[f]}' for f in V5)
NAMES = ", ".join('"' + f.replace("-", "_") + '"' for f in V5)
TEXT = "format = 'TEXTFILE', textfile_field_separator = ' ', skip_header_line_count = 1"
HIVE = ["aws-account-id", "aws-service", "aws-region", "year", "month", "day", "hour"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path, at = tmp_path_factory.mktemp("archive") / "a.log", V5.index("bytes")
    lines = [line.split(" ") for line in records(12000)]
    for v in lines:
        v[at] = v[at] if v[at] == "-" else str(int(v[at]) % 10**12)  # there a sum of bytes is a bigint
    path.write_text("\n".join([" ".join(V5), *map(" ".join, lines)]) + "\n")
    return path


@pytest.fixture(scope="module")
def trino(tmp_path_factory):
    server = Trino(tmp_path_factory.mktemp("trino"))
    try:
        server.query("CREATE SCHEMA hive.flow")
        yield server
    finally:
        server.close()


def sorted_rows(rows):
    return sorted(rows, key=lambda r: [(v is None, str(v)) for v in r])


def check_table(trino, flowlog, table, archive):
    """Every value with its type; then sums, by SQL there and by ready questions here."""
    want = [as_values(line) for line in lines_of(archive)]
    assert sorted_rows(trino.query(f"SELECT {NAMES} FROM {table}")) == sorted_rows(want)
    top = flowlog("top", "--of", "talkers", "-o", "csv", "-n", "25", archive).stdout.splitlines()[1:]
    assert trino.query(f"SELECT srcaddr, sum(bytes), sum(packets), count(*) FROM {table} WHERE log_status = 'OK' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 25") == \
        [[a, *map(int, n)] for a, *n in (line.split(",") for line in top)]
    about = json.loads(flowlog("summary", "-o", "json", archive).stdout)
    first, last, n = trino.query(f"SELECT min(start), max(\"end\"), count(*) FROM {table}")[0]
    assert (first, last, n) == (about["first"], about["last"], about["records"])


@pytest.mark.parametrize("form", ["parquet", "text"])
def test_trino_reads_our_hive_partitions(flowlog, trino, archive, form):
    tree = trino.files / f"hive-{form}"
    flowlog("convert", "--hive", "-o", form, archive, tree)
    partitions = ", ".join(f'"{p}" varchar' for p in HIVE)
    trino.query(f"CREATE TABLE hive_{form} ({COLUMNS}, {partitions}) WITH (external_location = 'local:///files/hive-{form}/AWSLogs', partitioned_by = ARRAY"
                f"{HIVE}, {TEXT if form == 'text' else 'format = ' + repr('PARQUET')})")
    trino.query(f"CALL hive.system.sync_partition_metadata('flow', 'hive_{form}', 'FULL')")
    check_table(trino, flowlog, f"hive_{form}", archive)
    assert trino.query(f"SELECT DISTINCT \"aws-account-id\", \"aws-service\", \"aws-region\", year, month, day, hour FROM hive_{form} ORDER BY hour") == \
        [["000000000000", "vpcflowlogs", "us-east-1", "2026", "11", "20", hour] for hour in ("00", "01")]


@pytest.mark.parametrize("codec", ["zstd", "snappy"])
def test_trino_reads_ours_by_partition_projection(flowlog, trino, archive, codec):
    """The guide's table over Parquet by the hour."""
    tree, table = trino.files / f"plain-{codec}", f"projected_{codec}"
    flowlog("convert", "--codec", codec, "--account", "123456789012", "--row-group", 2048, archive, tree)
    place = f"local:///files/plain-{codec}/AWSLogs/123456789012/vpcflowlogs/"
    trino.query(
        f"CREATE TABLE {table} ({COLUMNS}, region varchar WITH (partition_projection_type = 'enum', partition_projection_values = ARRAY['us-east-1']), "
        "\"date\" varchar WITH (partition_projection_type = 'date', partition_projection_format = 'yyyy/MM/dd', partition_projection_range = "
        "ARRAY['2026/11/19', '2026/11/21'], partition_projection_interval = 1, partition_projection_interval_unit = 'DAYS'), "
        "hour varchar WITH (partition_projection_type = 'integer', partition_projection_range = ARRAY['00', '23'], partition_projection_digits = 2)) "
        f"WITH (external_location = '{place}', format = 'PARQUET', partitioned_by = ARRAY['region', 'date', 'hour'], partition_projection_enabled = true, "
        f"partition_projection_location_template = '{place}${{region}}/${{date}}/${{hour}}')")
    check_table(trino, flowlog, table, archive)
    n = sum(line.split(" ")[V5.index("end")] >= "1795136400" for line in lines_of(archive))
    assert trino.query(f"SELECT count(*) FROM {table} WHERE \"date\" = '2026/11/20' AND hour = '01'") == [[n]] and n
    # by its statistics, dictionaries and the index of pages: what it passes over is no row of the answer
    rows = [v for v in map(as_values, lines_of(archive))]
    for where, passes in (("dstaddr = '10.1.3.77'", lambda v: v[4] == "10.1.3.77"), ("dstport = 22 AND action = 'REJECT'", lambda v: v[6] == 22 and v[12] == "REJECT"),
                          ("start BETWEEN 1795134000 AND 1795134059", lambda v: 1795134000 <= v[10] <= 1795134059), ("bytes IS NULL", lambda v: v[9] is None)):
        assert sorted_rows(trino.query(f"SELECT {NAMES} FROM {table} WHERE {where}")) == sorted_rows([v for v in rows if passes(v)])


@pytest.fixture(scope="module")
def origin(trino, archive):
    """The text as it is, missing values null."""
    (trino.files / "origin").mkdir()
    (trino.files / "origin/a.log").write_text(archive.read_text())
    trino.query(f"CREATE TABLE origin ({COLUMNS}) WITH (external_location = 'local:///files/origin', {TEXT}, null_format = '-')")


@pytest.mark.parametrize("how", ["SNAPPY", "ZSTD", "GZIP", "small pages"])
def test_we_read_what_trino_writes(flowlog, trino, archive, origin, how):
    table = "written_" + how.replace(" ", "_").lower()
    session = {"parquet_writer_page_size": "8kB", "parquet_writer_block_size": "1MB"} if " " in how else {"compression_codec": how}
    trino.query(f"CREATE TABLE {table} WITH (external_location = 'local:///files/{table}', format = 'PARQUET', parquet_bloom_filter_columns = ARRAY['srcport'])"
                f" AS SELECT {NAMES} FROM origin ORDER BY dstaddr", **session)
    # missing text was made null there, and is - here
    head, *lines = flowlog("convert", "--single", "-o", "text", trino.files / table, "-").stdout.splitlines()
    assert head == " ".join(V5) and sorted(lines) == sorted(lines_of(archive))
    for where in (["--dst", "10.1.3.77"], ["--dst", "10.1.3.0/24", "--port", "22"], ["--since", "2026-11-20T00:20:00Z", "--until", "2026-11-20T00:25:00Z"],
                  ["--where", "log_status = NODATA"]):
        for question in (["top", "--of", "pairs", "-n", "20000"], ["series"]):
            want = flowlog(*question, *where, "-o", "csv", archive).stdout
            assert flowlog(*question, *where, "-o", "csv", trino.files / table).stdout == want


def test_we_read_times_that_trino_writes(flowlog, trino, archive, origin):
    """As timestamps of each precision, which are seconds here."""
    for digits, precision in ((3, "MILLISECONDS"), (6, "MICROSECONDS"), (9, "NANOSECONDS")):
        table = f"times_{precision.lower()}"
        trino.query(f"CREATE TABLE {table} WITH (external_location = 'local:///files/{table}', format = 'PARQUET') AS SELECT srcaddr, bytes, "
                    f"CAST(from_unixtime(start) AS timestamp({digits})) AS start, CAST(from_unixtime(\"end\") AS timestamp({digits})) AS \"end\" FROM origin WHERE log_status = 'OK'",
                    timestamp_precision=precision)
        got = flowlog("convert", "--single", "-o", "text", trino.files / table, "-").stdout.splitlines()
        values = [line.split(" ") for line in lines_of(archive)]
        want = [" ".join((v[3], v[9], v[10], v[11])) for v in values if v[13] == "OK"]
        assert got[0] == "srcaddr bytes start end" and sorted(got[1:]) == sorted(want)

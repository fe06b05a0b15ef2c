# SPDX-License-Identifier: Apache-2.0
"""Spark, whose Parquet is parquet-mr's: it reads what we write as partitions, we read what it writes in all its ways."""
import json
import os
import re
import subprocess
import sys
import tarfile

import pytest

from conftest import PROGRAM
from test_parquet import INT32, INT64, UNREACHABLE, V5, as_values, lines_of, records
from trino import java_home

SPARK, PY4J = "pyspark==4.3.0", "py4j==0.10.9.9"
WRITERS = {  # options of a DataFrame's writer
    "snappy": {"compression": "snappy"},
    "zstd, small pages": {"compression": "zstd", "parquet.page.size": "4000", "parquet.page.row.count.limit": "500"},
    "gzip, v2 pages": {"compression": "gzip", "parquet.writer.version": "v2", "parquet.page.row.count.limit": "700"},
    "lz4_raw, no dictionary": {"compression": "lz4_raw", "parquet.enable.dictionary": "false"},
    "v2, no dictionary": {"compression": "zstd", "parquet.enable.dictionary": "false", "parquet.writer.version": "v2", "parquet.page.row.count.limit": "900"},
    "Bloom filters": {"compression": "snappy", "parquet.bloom.filter.enabled#dstaddr": "true", "parquet.bloom.filter.expected.ndv#dstaddr": "3000",
                      "parquet.block.size": "60000", "parquet.page.size": "4000", "parquet.enable.dictionary": "false",
                      "parquet.page.size.row.check.min": "100"},
}
SCRIPT = """
import json, sys
from pyspark.sql import SparkSession
work, writers, int32, int64 = sys.argv[1], *map(json.loads, sys.argv[2:5])
s = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC").config("spark.driver.host", "127.0.0.1")
     .config("spark.driver.bindAddress", "127.0.0.1").config("spark.sql.shuffle.partitions", "2").config("spark.log.level", "ERROR").getOrCreate())
ours = s.read.parquet(f"{work}/ours/AWSLogs")
json.dump({"types": ours.dtypes, "rows": [list(r) for r in ours.collect()]}, open(f"{work}/read.json", "w"))
text = s.read.option("sep", " ").option("header", True).csv(f"{work}/a.log")
t = text.selectExpr(*(f"CAST(nullif(`{c}`, '-') AS {'INT' if c in int32 else 'BIGINT' if c in int64 else 'STRING'}) AS `{c.replace('-', '_')}`" for c in text.columns))
t = t.coalesce(1).sortWithinPartitions("start").cache()
for name, options in writers.items():
    t.write.options(**options).parquet(f"{work}/theirs/{name}")
for kind in ("INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"):
    s.conf.set("spark.sql.parquet.outputTimestampType", kind)
    t.where("log_status = 'OK'").selectExpr("srcaddr", "bytes", "timestamp_seconds(start) AS start", "timestamp_seconds(`end`) AS `end`").write.parquet(f"{work}/times/{kind}")
"""


def installed():
    where = PROGRAM.parents[2] / "spark"
    mark = where / re.sub(r"\W", "_", SPARK)
    if not mark.exists():
        where.mkdir(exist_ok=True)
        for command in (["download", "--no-deps", "--no-binary", "pyspark", "--no-build-isolation", "-d", where, SPARK], ["install", "--target", where, PY4J]):
            done = subprocess.run([sys.executable, "-m", "pip", command[0], "-q", "--disable-pip-version-check", *command[1:]], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=600)
            if done.returncode and re.search(UNREACHABLE, done.stdout):
                pytest.skip("not reachable for Spark: " + done.stdout.strip().splitlines()[-1])
            assert done.returncode == 0, done.stdout
        package = next(where.glob("pyspark-*.tar.gz"))
        with tarfile.open(package) as t:
            t.extractall(where)
        package.unlink()
        mark.touch()
    return where


@pytest.fixture(scope="module")
def work(flowlog, tmp_path_factory):
    """What one run of it read and wrote: its start is most of the time."""
    home, work = java_home(17, "Spark", most=21), tmp_path_factory.mktemp("spark")
    where = installed()
    spark = next(where.glob("pyspark-*/deps")).parent
    (work / "a.log").write_text("\n".join([" ".join(V5), *records(12000)]) + "\n")
    flowlog("convert", "--hive", work / "a.log", work / "ours")
    done = subprocess.run([sys.executable, "-c", SCRIPT, work, json.dumps(WRITERS), json.dumps(sorted(INT32)), json.dumps(sorted(INT64))], timeout=300, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=work,
                          env={**os.environ, "PYTHONPATH": f"{spark}:{where}", "SPARK_HOME": str(spark / "deps"), "JAVA_HOME": home, "TZ": "UTC"})
    assert done.returncode == 0, done.stdout[-3000:]
    return work


def test_spark_reads_our_partitions(work):
    got = json.loads((work / "read.json").read_text())
    types = {f.replace("-", "_"): "int" if f in INT32 else "bigint" if f in INT64 else "string" for f in V5}
    assert dict(got["types"][:len(V5)]) == types
    assert [t[0] for t in got["types"][len(V5):]] == ["aws-account-id", "aws-service", "aws-region", "year", "month", "day", "hour"]
    assert sorted(map(str, (r[:len(V5)] for r in got["rows"]))) == sorted(map(str, map(as_values, lines_of(work / "a.log"))))
    assert {tuple(r[-4:]) for r in got["rows"]} == {(2026, 11, 20, 0), (2026, 11, 20, 1)}


@pytest.mark.parametrize("how", WRITERS)
def test_we_read_what_spark_writes(flowlog, work, how):
    theirs = work / "theirs" / how
    head, *lines = flowlog("convert", "--single", "-o", "text", *theirs.glob("*.parquet"), "-").stdout.splitlines()
    assert head == " ".join(V5) and sorted(lines) == sorted(lines_of(work / "a.log"))
    for where in (["--dst", "10.1.3.77"], ["--dst", "10.1.3.0/24", "--port", "22"], ["--since", "2026-11-20T00:20:00Z", "--until", "2026-11-20T00:21:00Z"],
                  ["--where", "log_status = NODATA"]):
        want = flowlog("top", "--of", "pairs", "-n", "20000", *where, "-o", "csv", work / "a.log").stdout
        assert flowlog("top", "--of", "pairs", "-n", "20000", *where, "-o", "csv", theirs).stdout == want
    hour = json.loads(flowlog("summary", "--since", "2026-11-20T00:20:00Z", "--until", "2026-11-20T00:21:00Z", "-o", "json", theirs).stdout)
    if "page" in how or "v2" in how:
        assert hour["rows_pruned"] > 9000  # by its index of pages
    if "Bloom" in how:
        assert json.loads(flowlog("summary", "--dst", "10.1.77.1", "-o", "json", theirs).stdout)["row_groups_pruned"] > 0


@pytest.mark.parametrize("kind", ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"])
def test_we_read_times_that_spark_writes(flowlog, work, kind):
    got = flowlog("convert", "--single", "-o", "text", *(work / "times" / kind).glob("*.parquet"), "-").stdout.splitlines()
    values = [line.split(" ") for line in lines_of(work / "a.log")]
    assert got[0] == "srcaddr bytes start end"
    assert sorted(got[1:]) == sorted(" ".join((v[3], v[9], v[10], v[11])) for v in values if v[13] == "OK")

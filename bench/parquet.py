#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parquet on one core: writing beside DuckDB's COPY, questions beside DuckDB's own scan of the same files, in one run.

    bench/parquet.py [--build build] [--runs 3] [--work /tmp/flbench]       with the Python package duckdb

Inputs are bench/scan.py's (--work, made there). CPU seconds of one thread, medians; runs alternate. The bars
(../shared/design/measurements.md): records to Parquet >= 1.5 M/s; questions over Parquet no slower than DuckDB's. DuckDB is asked for the same
columns of the same answer as the command prints."""
import argparse
import json
import pathlib
import platform
import resource
import statistics
import subprocess
import time

import duckdb

V2 = "version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action log_status".split()
INTS = {n: "INTEGER" for n in ("version", "srcport", "dstport", "protocol")} | {n: "BIGINT" for n in ("packets", "bytes", "start", "end")}
QUESTIONS = {
    "top talkers": (["top", "--of", "talkers"], "SELECT srcaddr, sum(bytes), sum(packets), count(*) FROM {} WHERE srcaddr <> '-' GROUP BY 1 ORDER BY 2 DESC LIMIT 10"),
    "rejected SSH": (["rejects", "--where", "dst port 22"],
                     "SELECT srcaddr, dstaddr, protocol, dstport, count(*), sum(packets), min(start), max(\"end\") FROM {} WHERE dstport = 22 AND action = 'REJECT' "
                     "GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 20"),
    "one address, one hour": (["top", "--of", "pairs", "--src", "10.2.51.102", "--since", "2026-11-20T01:00:00Z", "--until", "2026-11-20T02:00:00Z"],
                              "SELECT srcaddr, dstaddr, sum(bytes), sum(packets), count(*) FROM {} WHERE srcaddr = '10.2.51.102' AND \"end\" >= 1795136400 AND "
                              "start < 1795140000 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10"),
    "REJECT a minute": (["series", "--action", "REJECT"],
                        "SELECT start // 60, count(*), sum(bytes), sum(packets), count(*) FILTER (action = 'REJECT') FROM {} WHERE action = 'REJECT' AND "
                        "log_status = 'OK' GROUP BY 1 ORDER BY 1"),
}


def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def asked(sql):
    before = time.process_time()
    duckdb.sql(sql).fetchall()
    return time.process_time() - before


def copy_sql(text, path):
    columns = ", ".join(f'CAST("{n}" AS {INTS[n]}) AS "{n}"' if n in INTS else f'"{n}"' for n in V2)
    return (f"COPY (SELECT {columns} FROM read_csv('{text}', sep=' ', header=true, nullstr='-', all_varchar=true, names={V2})) TO '{path}' "
            "(FORMAT parquet, COMPRESSION zstd)")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/flbench"))
    p.add_argument("--runs", type=int, default=3)
    a = p.parse_args()
    flowlog, program, text = a.build / "src/daemon/flowlog", a.build / "bench/bench_parquet", a.work / "v2.txt"
    if not text.exists():
        p.error(f"{text} is not there: bench/scan.py makes it")
    for setting in ("threads=1", "preserve_insertion_order=false"):
        duckdb.sql(f"SET {setting}")
    ours, theirs = a.work / "ours-v2.parquet", a.work / "duckdb-v2.parquet"
    records = 20_000_000
    print(platform.processor() or platform.machine(), platform.release(), "duckdb", duckdb.__version__)
    for codec in ("zstd", "snappy", "gzip", "none"):
        got = [json.loads(cpu([program, "write", text, a.work / "part.parquet", codec, "2000000"])[1]) for _ in range(a.runs)]
        print(f"write from memory, {codec}: {statistics.median(g['million_a_second'] for g in got):.2f} M records/s, {got[0]['bytes_a_record']:.1f} bytes a record")
    (a.work / "part.parquet").unlink()
    took = {"flowlog convert": [], "DuckDB COPY": []}
    for _ in range(a.runs):
        took["flowlog convert"].append(cpu([flowlog, "convert", "--single", "--force", text, ours])[0])
        took["DuckDB COPY"].append(asked(copy_sql(text, theirs)))
    for (name, seconds), path in zip(took.items(), (ours, theirs)):
        s = statistics.median(seconds)
        print(f"text to zstd, {name}: {s:.2f} s, {records / s / 1e6:.2f} M records/s, {path.stat().st_size / records:.1f} bytes a record")
    for path in (theirs, ours):
        for name, (command, sql) in QUESTIONS.items():
            got, beside = [], []
            for _ in range(a.runs):
                got.append(cpu([flowlog, *command, "--threads", "1", path])[0])
                beside.append(asked(sql.format(f"'{path}'")))
            print(f"{path.name}, {name}: flowlog {statistics.median(got):.3f} s, DuckDB {statistics.median(beside):.3f} s")


if __name__ == "__main__":
    main()

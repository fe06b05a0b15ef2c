#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The five questions of ../shared/design/measurements.md over .log.gz, beside inflate alone, DuckDB's read_csv, awk and flowlogs_reader, in one run.

    bench/questions.py [--program build/src/daemon/flowlog] [--records 20000000] [--runs 3] [--formats v2,v5] [--work /tmp/flbench] [--peers]

Inputs and floors are those of bench/scan.py. CPU seconds (user and system) of one thread on one CPU, medians; runs of all programs alternate. Bars
are ratios to the faster of libdeflate and ISA-L in the same run. Ours print what the command prints, which is more than was asked of peers (packets and
flows beside bytes). --peers runs DuckDB (from the interpreter's own module), awk on the plain text and flowlogs_reader on a few files, where there; ClickHouse with --chdb."""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import scan

HOUR = ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", 1795168800, 1795172400)
HOST = "10.1.15.149"
# name: (our arguments, SQL over flows(...), bar as a multiple of inflate)
QUESTIONS = {
    "top talkers": (["top"], "SELECT srcaddr, sum(bytes) b FROM f GROUP BY 1 ORDER BY 2 DESC LIMIT 10", 1.6),
    "rejected SSH": (["rejects", "-w", "dst port ssh and tcp"],
                     "SELECT srcaddr, dstaddr, count(*) n FROM f WHERE action='REJECT' AND dstport='22' AND protocol='6' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20",
                     1.35),
    "distinct ports a source": (["ports", "--of", "sources"],
                                "SELECT srcaddr, count(DISTINCT dstport) n FROM f GROUP BY 1 ORDER BY 2 DESC LIMIT 20", 2.2),
    "one IP, one hour": (["top", "--of", "pairs", "-w", f"host {HOST}", "--since", HOUR[0], "--until", HOUR[1]],
                         f"SELECT srcaddr, dstaddr, sum(bytes) b FROM f WHERE '{HOST}' IN (srcaddr, dstaddr) AND \"end\" >= {HOUR[2]} AND start < {HOUR[3]}"
                         " GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10", .2),
    "REJECT a minute": (["series", "--every", "1m", "--action", "REJECT"],
                        "SELECT start // 60 m, count(*) n FROM f WHERE action='REJECT' GROUP BY 1 ORDER BY 1", 1.35),
}
AWK = {"top talkers": 'NR>1 && $4!="-" {b[$4]+=$10} END {for (a in b) print b[a], a | "sort -rn | head"}',
       "rejected SSH": '$13=="REJECT" && $7==22 && $8==6 {n[$4" "$5]++} END {for (a in n) print n[a], a | "sort -rn | head -20"}'}


def measured(argv, cpus, **kw):
    """CPU seconds, wall seconds, peak KiB and output of a process and its children."""
    began = time.monotonic()
    p = subprocess.Popen(["taskset", "-c", cpus, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **kw)
    first = p.stdout.readline()
    to_first = time.monotonic() - began
    out = first + p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    if status:
        raise SystemExit(f"{argv}: {status}")
    return {"cpu": used.ru_utime + used.ru_stime, "wall": time.monotonic() - began, "first": to_first, "kib": used.ru_maxrss, "out": out}


def ours(args, question, fmt, threads, cpus):
    return measured([args.program, *QUESTIONS[question][0], "-o", "csv", "--threads", threads, args.work / fmt], cpus)


def ours_sql(args, question, fmt, threads, cpus):
    """The same statement as DuckDB's, on our view: its own scan replaced by ours."""
    statement = QUESTIONS[question][1].replace(" FROM f ", " FROM flows ")
    return measured([args.program, "query", "-o", "csv", "--threads", threads, statement, args.work / fmt], cpus)


def duckdb(args, question, fmt, cpus):
    names = open(args.work / f"{fmt}.txt").readline().strip().replace("-", "_").split()
    numbers = {"bytes", "packets", "start", "end"}
    columns = ",".join(f"'{n}':'{'BIGINT' if n in numbers else 'VARCHAR'}'" for n in names)
    sql = (f"SET threads=1; SET preserve_insertion_order=false; CREATE VIEW f AS SELECT * FROM read_csv('{args.work / fmt}/**/*.log.gz', delim=' ', "
           f"header=true, nullstr='-', auto_detect=false, columns={{{columns}}});")
    return measured([sys.executable, "-c", f"import duckdb; c = duckdb.connect(); c.execute({sql!r}); print(c.execute({QUESTIONS[question][1]!r}).fetchall())"], cpus)


def clickhouse(args, question, fmt, cpus):
    """ClickHouse in a process of Python (the package chdb), if there is one: --chdb names the interpreter that has it."""
    names = open(args.work / f"{fmt}.txt").readline().strip().replace("-", "_").split()
    numbers = {"bytes", "packets", "start", "end"}
    columns = ", ".join(f"`{n}` Nullable({'Int64' if n in numbers else 'String'})" for n in names)
    source = f"file('{args.work / fmt}/**/*.log.gz', 'CustomSeparatedWithNames', '{columns}') AS f"
    sql = QUESTIONS[question][1].replace(" FROM f ", f" FROM {source} ").replace("start // 60", "intDiv(start, 60)")
    sql += (" SETTINGS max_threads=1, input_format_parallel_parsing=0, format_custom_field_delimiter=' ', format_custom_escaping_rule='CSV', "
            "format_csv_null_representation='-'")
    return measured([args.chdb, "-c", f"import chdb; print(chdb.query({sql!r}, 'CSV'))"], cpus)


def reader(args, fmt, cpus):
    """flowlogs_reader on the first 8 files: records and CPU seconds."""
    files = sorted((args.work / fmt).rglob("*.log.gz"))[:8]
    code = ("import gzip,sys\nfrom flowlogs_reader import FlowRecord\nn=0\nfor p in sys.argv[1:]:\n f=gzip.open(p,'rt'); names=f.readline().split()\n"
            " for l in f:\n  r=FlowRecord(dict(zip([x.replace('-','_') for x in names], l.split()))); n+=1\nprint(n)")
    got = measured([sys.executable, "-c", code, *files], cpus)
    return int(got["out"]), got["cpu"]


def run(args, fmt):
    inflate, got = [], {}
    for i in range(args.runs):
        floors = scan.inflate_floors(args.work, args.work / fmt)
        inflate.append(min(floors["libdeflate"], floors["isal-whole"]))
        for q in QUESTIONS:
            got.setdefault((q, "ours"), []).append(ours(args, q, fmt, 1, args.cpus.split(",")[0]))
            got.setdefault((q, "ours, 2 threads"), []).append(ours(args, q, fmt, 2, args.cpus))
            got.setdefault((q, "SQL"), []).append(ours_sql(args, q, fmt, 1, args.cpus.split(",")[0]))
            got.setdefault((q, "SQL, 2 threads"), []).append(ours_sql(args, q, fmt, 2, args.cpus))
            if args.peers and not i:
                got[q, "read_csv"] = [duckdb(args, q, fmt, args.cpus.split(",")[0])]
                if args.chdb:
                    got[q, "ClickHouse"] = [clickhouse(args, q, fmt, args.cpus.split(",")[0])]
                if q in AWK and fmt == "v2":
                    awk = "mawk" if shutil.which("mawk") else "awk"
                    got[q, awk] = [measured([awk, AWK[q], args.work / f"{fmt}.txt"], args.cpus.split(",")[0])]
    floor = statistics.median(inflate)
    print(f"\n{fmt}: inflate {floor:.2f} CPU s")
    print("| question | program | CPU s | times inflate | bar | wall s | first row s | MiB |\n|---|---|---|---|---|---|---|---|")
    for (q, who), runs in got.items():
        m = {k: statistics.median(r[k] for r in runs) for k in ("cpu", "wall", "first", "kib")}
        print(f"| {q} | {who} | {m['cpu']:.2f} | {m['cpu'] / floor:.2f} | {QUESTIONS[q][2] if who == 'ours' else ''} | {m['wall']:.2f} | "
              f"{m['first']:.2f} | {m['kib'] / 1024:.0f} |")
    if args.peers:
        try:
            n, cpu = reader(args, fmt, args.cpus.split(",")[0])
            print(f"\nflowlogs_reader: {n / cpu / 1e6:.3f} M records/s")
        except SystemExit:
            print("\nflowlogs_reader: not installed")
    return {"format": fmt, "inflate": floor, "runs": [{"question": q, "program": w, **{k: r[k] for k in ("cpu", "wall", "first", "kib")}}
                                                      for (q, w), rs in got.items() for r in rs]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--program", type=pathlib.Path, default=scan.ROOT / "build/src/daemon/flowlog")
    p.add_argument("--records", type=int, default=20_000_000)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--formats", default="v2,v5")
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/flbench"))
    p.add_argument("--cpus", default="0,1", help="two of them; the first alone for one thread")
    p.add_argument("--peers", action="store_true")
    p.add_argument("--chdb", help="an interpreter with the package chdb, for --peers")
    p.add_argument("--json", type=pathlib.Path)
    args = p.parse_args()
    scan.make_inputs(args.work, args.records, args.formats.split(","))
    print(f"{platform.processor() or platform.machine()}, Linux {platform.release()}, load {os.getloadavg()[0]:.0f}")
    results = [run(args, fmt) for fmt in args.formats.split(",")]
    if args.json:
        args.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()

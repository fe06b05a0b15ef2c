#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flow-log text to columns on one core: each kernel beside the parse floors, and whole questions over .log.gz beside inflate alone, in one run.

    bench/scan.py [--program build/bench/bench_scan] [--records 20000000] [--runs 5] [--formats v2,v5] [--work /tmp/flbench]

Inputs and floors are built from $SHARED/bench (default ../shared/bench) into --work once and shared by all benchmarks: FORMAT/ (.log.gz in
AWS's layout), FORMAT.txt (plain), FORMAT-600m.txt (its first 600 MB: the kernels' part). CPU seconds of one thread, medians; runs of all
programs alternate. The bars (../shared/design/measurements.md) are for whole questions, <= 1.35 to 1.6 times inflate: what is not spent here is left
for the groups."""
import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = pathlib.Path(os.environ.get("SHARED", ROOT.parent / "shared"))
LIBS = {"gen_flowlogs": ["-O2", "-lm", "-lz", "-ldeflate", "-lpthread"], "gz_bench": ["-O3", "-march=native", "-lz", "-ldeflate", "-lisal"],
        "parse_bench": ["-O3", "-march=native", "-ldeflate", "-lisal", "-lz"]}
KERNELS = ("scalar", "avx2", "avx512")
QUESTIONS = ("index", "all", "talkers", "talkers-ok", "ports", "minutes", "ssh", "one", "talks")
# Of parse_bench, v2 only: the question of ours that does as much
FLOORS = {"idx-swar": ("index", "scalar"), "idx-avx2": ("index", "avx2"), "idx-avx512": ("index", "avx512"), "all-swar": ("all", "scalar"),
          "all-avx2": ("all", "avx2"), "all-avx512": ("all", "avx512"), "proj-avx2": ("talkers", "avx2"), "proj-avx512": ("talkers", "avx512"),
          "rej-avx2": ("ssh", "avx2"), "rej-avx512": ("ssh", "avx512")}


def make_inputs(work, records, formats):
    work.mkdir(parents=True, exist_ok=True)
    for name, flags in LIBS.items():
        if not (work / name).exists():
            options, libs = [f for f in flags if not f.startswith("-l")], [f for f in flags if f.startswith("-l")]
            subprocess.run(["gcc", *options, "-o", work / name, SHARED / "bench" / f"{name}.c", *libs], check=True)
    for fmt in formats:
        if not (work / f"{fmt}.txt").exists():
            subprocess.run([work / "gen_flowlogs", "-n", str(records), "-f", fmt, "-o", work / f"{fmt}.part", "-t", work / f"{fmt}.txt.part", "-g",
                            work / f"{fmt}.truth"], check=True)
            (work / f"{fmt}.part").rename(work / fmt)
            (work / f"{fmt}.txt.part").rename(work / f"{fmt}.txt")
        part = work / f"{fmt}-600m.txt"
        if not part.exists():
            with open(work / f"{fmt}.txt", "rb") as whole, open(part, "wb") as out:
                out.write(whole.read(600_000_000))


def ours(program, question, kernel, path, block=256):
    return json.loads(subprocess.run([program, question, kernel, str(block), path], check=True, stdout=subprocess.PIPE, text=True).stdout)


def parse_floor(work, mode, path):
    out = subprocess.run([work / "parse_bench", path, mode, "1"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(re.search(r"([\d.]+) ns/rec", out)[1])


def inflate_floors(work, path):
    """CPU seconds by library; the rest of gz_bench is about compression."""
    found = {}
    with subprocess.Popen([work / "gz_bench", path, "1"], stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            name, seconds = line.split()[0], float(re.search(r"median ([\d.]+) s", line)[1])
            found[name] = seconds
            if name == "isal-256K":
                p.terminate()
                break
    return found


def kernels(args, fmt):
    path = args.work / f"{fmt}-600m.txt"
    known = [k for k in KERNELS if subprocess.run([args.program, "index", k, "64", os.devnull], capture_output=True).returncode == 0]
    got, floors = {}, {}
    for _ in range(args.runs):
        for kernel in known:
            for question in QUESTIONS:
                got.setdefault((question, kernel), []).append(ours(args.program, question, kernel, path)["scan_ns"])
        for mode in FLOORS if fmt == "v2" else ():
            floors.setdefault(FLOORS[mode], []).append(parse_floor(args.work, mode, path))
    print(f"\n{fmt}, ns a record (floor)\n\n| | {' | '.join(known)} |\n|---|{'---|' * len(known)}")
    for question in QUESTIONS:
        cells = [f"{statistics.median(got[question, k]):.1f}" + (f" ({statistics.median(floors[question, k]):.1f})" if (question, k) in floors else "")
                 for k in known]
        print(f"| {question} | {' | '.join(cells)} |", flush=True)


def packed(args, fmt):
    path, got, floors = args.work / fmt, {}, {}
    for _ in range(args.runs):
        for name, seconds in inflate_floors(args.work, path).items():
            floors.setdefault(name, []).append(seconds)
        for question in ("inflate", *QUESTIONS[1:]):
            got.setdefault(question, []).append(ours(args.program, question, "best", path)["total_s"])
    floor = min(statistics.median(floors[n]) for n in ("libdeflate", "isal-whole"))
    print(f"\n{fmt}, .log.gz: libdeflate {statistics.median(floors['libdeflate']):.2f} s, ISA-L {statistics.median(floors['isal-whole']):.2f} s\n\n"
          "| | CPU s | of the faster |\n|---|---|---|")
    for question, seconds in got.items():
        print(f"| {question} | {statistics.median(seconds):.2f} | {statistics.median(seconds) / floor:.2f} |", flush=True)


def blocks(args):
    print("\nsize of blocks, v2 .log.gz, CPU s\n\n| KiB | inflate | talkers |\n|---|---|---|")
    for kib in (64, 128, 256, 512, 1024, 4096):
        print(f"| {kib} | {' | '.join('%.2f' % ours(args.program, q, 'best', args.work / 'v2', kib)['total_s'] for q in ('inflate', 'talkers'))} |",
              flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--program", type=pathlib.Path, default=ROOT / "build/bench/bench_scan")
    ap.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/flbench"))
    ap.add_argument("--records", type=int, default=20_000_000)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--formats", default="v2,v5")
    args = ap.parse_args()
    formats = args.formats.split(",")
    make_inputs(args.work, args.records, formats)
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {model}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; "
          f"{args.records} records, median of {args.runs}")
    for fmt in formats:
        kernels(args, fmt)
        packed(args, fmt)
    if "v2" in formats:
        blocks(args)


if __name__ == "__main__":
    main()

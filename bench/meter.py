#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Capture file to flow log records: flowlog meter beside nfpcapd, softflowd and the floors, all in one run.

    bench/meter.py [--program build/src/daemon/flowlog] [--packets 20000000] [--runs 5] [--inputs A,B,C] [--peers nfpcapd,softflowd]

Inputs and floors are built from $SHARED/bench (default ../shared/bench) into --work (/tmp/flbench). What is compared is user CPU
seconds of one process, the median of the runs; runs of all programs alternate, so that a noisy machine is noisy for everybody.
The bars (../shared/design/measurements.md): >= 70 % of the last floor, >= 20x nfpcapd, memory <= 120 bytes a live flow + 64 MiB."""
import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = pathlib.Path(os.environ.get("SHARED", ROOT.parent / "shared"))


def build(work, packets, inputs):
    work.mkdir(parents=True, exist_ok=True)
    for name, flags in (("gen_pcap", ["-O2"]), ("floors", ["-O3", "-march=native"])):
        if not (work / name).exists():
            libs = ["-lm"] if name == "gen_pcap" else ["-lpcap"]
            subprocess.run(["gcc", *flags, "-o", work / name, SHARED / "bench" / f"{name}.c", *libs], check=True)
    for kind in inputs:
        truth = work / f"{kind}.json"
        if not truth.exists() or not truth.read_text() or json.loads(truth.read_text())["packets"] != packets:
            truth.write_text(subprocess.run([work / "gen_pcap", kind, work / f"{kind}.pcap", str(packets)], check=True, stdout=subprocess.PIPE,
                                            text=True).stdout)


def cpu(command):
    """User seconds, system seconds, peak MiB."""
    pid = os.fork()
    if not pid:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}: status {status}")
    return usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024


def check_totals(program, work, kind):
    """A benchmark of wrong numbers is none."""
    truth = json.loads((work / f"{kind}.json").read_text())
    ledger = work / "ledger.json"
    with open(os.devnull, "w") as null:
        subprocess.run([program, "meter", "--ledger", ledger, work / f"{kind}.pcap"], check=True, stdout=null)
    seen = json.loads(ledger.read_text())
    assert seen["seen"] == seen["recorded"] == {"packets": truth["packets"], "bytes": truth["ip_bytes"]}, (kind, seen, truth)


def commands(program, work, kind, peers):
    pcap = str(work / f"{kind}.pcap")
    found = {"flowlog meter": [str(program), "meter", pcap],
             "floor: parse": [str(work / "floors"), "parse", pcap],
             "floor: parse + aggregate": [str(work / "floors"), "agg", pcap, "60"],
             "floor: parse + aggregate + text": [str(work / "floors"), "aggtxt", pcap, "60"]}
    if "nfpcapd" in peers and shutil.which("nfpcapd"):
        out = tempfile.mkdtemp(dir=work)
        found["nfpcapd"] = ["nfpcapd", "-r", pcap, "-w", out, "-t", "60"]
    if "softflowd" in peers and shutil.which("softflowd"):
        found["softflowd"] = ["softflowd", "-r", pcap, "-n", "127.0.0.1:9", "-v", "9", "-m", "2000000", "-d"]
    return found


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--program", type=pathlib.Path, default=ROOT / "build/src/daemon/flowlog")
    ap.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/flbench"))
    ap.add_argument("--packets", type=int, default=20_000_000)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--inputs", default="A,B,C")
    ap.add_argument("--peers", default="nfpcapd,softflowd")
    args = ap.parse_args()
    inputs, peers = args.inputs.split(","), args.peers.split(",")
    build(args.work, args.packets, inputs)
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {model}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; "
          f"{args.packets} packets, median of {args.runs}\n")
    print("| input | program | user s | system s | M packets / user s | peak MiB | flowlog is |")
    print("|---|---|---|---|---|---|---|")
    for kind in inputs:
        check_totals(args.program, args.work, kind)
        runs = {name: [] for name in commands(args.program, args.work, kind, peers)}
        jobs = commands(args.program, args.work, kind, peers)
        for turn in range(args.runs):
            for name, command in jobs.items():
                # The slow peers are measured once: they are far off.
                if turn == 0 or name not in peers:
                    runs[name].append(cpu(command))
        medians = {name: [statistics.median(r[i] for r in got) for i in range(3)] for name, got in runs.items()}
        ours = medians["flowlog meter"][0]
        for name, (user, system, mib) in medians.items():
            ratio = "" if name == "flowlog meter" else f"{user / ours:.2f}x as fast"
            print(f"| {kind} | {name} | {user:.2f} | {system:.2f} | {args.packets / user / 1e6:.2f} | {mib:.0f} | {ratio} |", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()

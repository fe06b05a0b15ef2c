#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput of a veth pair without metering, with programs that return at once (what tc costs), with eBPF and with packet sockets; packets unaccounted at the generator's maximum;
CPU nanoseconds a packet in user space. Medians of RUNS, the kinds taken in turn so that a noisy machine hits all alike.
usage: bench/live.py BUILD [RUNS] [SECONDS]; needs root, iperf3, ethtool."""
import json
import signal
import statistics
import subprocess
import sys
import uuid

BUILD, RUNS, SECONDS = sys.argv[1], int((sys.argv[2:] or ["3"])[0]), float((sys.argv[3:] or ["2"])[0])
BENCH = f"{BUILD}/bench/bench_live"
KINDS = ("none", "empty", "ebpf", "afpacket")
A, B = (f"flb{x}{uuid.uuid4().hex[:6]}" for x in "ab")


def sh(*args, check=True):
    return subprocess.run(list(map(str, args)), check=check, capture_output=True, text=True).stdout


def at(ns, *args):
    return ["ip", "netns", "exec", ns, *map(str, args)]


def offload(on):
    for ns, dev in ((A, "a0"), (B, "b0")):
        for name in ("tso", "gso", "gro"):
            sh(*at(ns, "ethtool", "-K", dev, name, "on" if on else "off"), check=False)


def setup():
    for ns in (A, B):
        sh("ip", "netns", "add", ns)
        sh(*at(ns, "ip", "link", "set", "lo", "up"))
    sh("ip", "link", "add", "a0", "netns", A, "type", "veth", "peer", "name", "b0", "netns", B)
    for ns, dev, v4 in ((A, "a0", "10.77.0.1"), (B, "b0", "10.77.0.2")):
        sh(*at(ns, "sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1"))
        sh(*at(ns, "ip", "addr", "add", f"{v4}/24", "dev", dev))
        sh(*at(ns, "ip", "link", "set", dev, "up"))


def rx():
    return json.loads(sh(*at(B, "ip", "-j", "-s", "link", "show", "dev", "b0")))[0]["stats64"]["rx"]["packets"]


def metered(kind, load):
    """Runs the load with the meter on b0; (result of load, the meter's JSON with "unaccounted")."""
    if kind == "none":
        return load(), None
    command = ("empty",) if kind == "empty" else ("meter", kind)
    p = subprocess.Popen(at(B, BENCH, *command, "b0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = p.stderr.readline()
    if line != "ready\n":
        sys.exit(f"{kind}: {line}")
    before = rx()
    result = load()
    frames = rx() - before
    p.send_signal(signal.SIGTERM)
    out = json.loads(p.communicate()[0])
    return result, out and {**out, "frames": frames}


def iperf():
    server = subprocess.Popen(at(B, "iperf3", "-s", "-1", "--forceflush"), stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        if "listening" in line:
            break
    done = json.loads(sh(*at(A, "iperf3", "-c", "10.77.0.2", "-J", "-t", SECONDS), check=False))
    server.communicate()
    return done["end"]["sum_received"]["bits_per_second"] / 1e9


def blast(flows):
    return lambda: json.loads(sh(*at(A, BENCH, "blast", "a0", flows, SECONDS)))["sent"] / SECONDS / 1e6


def row(label, unit, load, exact):
    results = {k: [] for k in KINDS}
    meters = {k: [] for k in KINDS}
    for _ in range(RUNS):
        for kind in KINDS:
            rate, m = metered(kind, load)
            results[kind].append(rate)
            if m:
                meters[kind].append(m)
    base = statistics.median(results["none"])
    for kind in KINDS:
        rate = statistics.median(results[kind])
        text = f"{label:24} {kind:9} {rate:8.2f} {unit} {100 * rate / base:6.1f} %"
        if meters[kind]:
            packets = [m["packets"] - m["lost"] for m in meters[kind]]
            text += f"  user {statistics.median(m['user_ns'] / p for m, p in zip(meters[kind], packets)):6.1f}"
            text += f"  system {statistics.median(m['sys_ns'] / p for m, p in zip(meters[kind], packets)):6.1f} ns/packet"
            text += f"  packets a partial {statistics.median(m['recorded'] / m['partials'] for m in meters[kind]):6.1f}"
            text += f"  lost (counted) {100 * sum(m['lost'] for m in meters[kind]) / sum(m['packets'] for m in meters[kind]):.2f} %"
            if exact:
                text += f"  unaccounted {[m['frames'] - m['packets'] - m['not_ip'] for m in meters[kind]]}"
        print(text, flush=True)


for n in (100, 1000, 100000):
    print(sh(BENCH, "feed", n), end="", flush=True)
setup()
try:
    for on in (False, True):
        offload(on)
        row(f"iperf3 TCP, GSO {'on' if on else 'off'}", "Gbit/s", iperf, False)
    offload(False)
    # The generator's frames have no receiver: the stack drops them behind tc and taps.
    for flows in (100, 100000):
        row(f"60-byte UDP, {flows} flows", "M/s   ", blast(flows), True)
finally:
    for ns in (A, B):
        sh("ip", "netns", "del", ns, check=False)

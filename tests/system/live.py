# SPDX-License-Identifier: Apache-2.0
"""Meters of one interface, side by side, and the traffic they are to agree on.

A source is started, sees traffic, is stopped and says what it saw as a Seen. Live backends run alone under live_probe, capture
files through `flowlog meter`; a source over `flowlog run` can join later: it needs start(), stop() and a name.
"""
import collections
import gzip
import json
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLOWLOG", ROOT / "build-test/src/daemon/flowlog")).resolve().parents[2]
PROBE = BUILD / "tests/capture/live_probe"

Flow = collections.namedtuple("Flow", "direction src dst sport dport proto")
Count = collections.namedtuple("Count", "packets bytes")
NOTHING = Count(0, 0)


def plus(a, b):
    return Count(a.packets + b.packets, a.bytes + b.bytes)


class Seen:
    """flows: Flow -> Count. By direction: ip, not_ip, lost and vlan (of ip, not in flows) Counts and the number of buffers (skbs)."""

    def __init__(self):
        self.flows = collections.defaultdict(lambda: NOTHING)
        self.ip = collections.defaultdict(lambda: NOTHING)
        self.not_ip = collections.defaultdict(lambda: NOTHING)
        self.lost = collections.defaultdict(lambda: NOTHING)
        self.vlan = collections.defaultdict(lambda: NOTHING)
        self.skbs = collections.defaultdict(int)

    def add_flow(self, flow, packets, octets):
        self.flows[flow] = plus(self.flows[flow], Count(packets, octets))

    def total(self, direction):
        """What the flows of a direction sum to."""
        sums = NOTHING
        for flow, count in self.flows.items():
            if flow.direction == direction:
                sums = plus(sums, count)
        return sums


def built_backends():
    """Names of the live backends that live_probe was built with; empty when it is not there at all."""
    if not PROBE.exists():
        return []
    done = subprocess.run([PROBE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("backends:"):
            return line.split()[1:]
    return []


class Probe:
    """A live backend. flip: the interface's direction is the ENI's (the guest's end), so tc and ENI direction are the same."""

    def __init__(self, backend, ns, device, window_ms=1000, options=()):
        self.name, self.backend, self.ns, self.device = backend, backend, ns, device
        self.options = ["--window-ms", str(window_ms), *map(str, options)]

    def start(self):
        self.process = subprocess.Popen(
            [PROBE, self.backend, self.device, "--netns", self.ns.name, *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert line == "ready\n", f"{self.backend}: {line}{self.process.stderr.read()}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=180)
        assert self.process.returncode == 0, f"{self.backend}: {err}"
        return self.parse(json.loads(out))

    @staticmethod
    def parse(result):
        seen = Seen()
        for f in result["flows"]:
            seen.add_flow(Flow(f["direction"], f["src"], f["dst"], f["sport"], f["dport"], f["proto"]), f["packets"], f["bytes"])
        for c in result["counts"]:
            d = c["direction"]
            seen.skbs[d] += c["skbs"]
            seen.ip[d] = plus(seen.ip[d], Count(c["packets"], c["bytes"]))
            seen.not_ip[d] = plus(seen.not_ip[d], Count(c["not_ip_packets"], c["not_ip_bytes"]))
            seen.vlan[d] = plus(seen.vlan[d], Count(c["vlan_packets"], c["vlan_bytes"]))
            seen.lost[d] = plus(seen.lost[d], Count(c["lost_packets"], c["lost_bytes"]))
        return seen


class CaptureFile:
    """tcpdump on the interface, then `flowlog meter` on its file. A file holds frames: offload must be off."""

    FORMAT = "${flow-direction} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes}"

    def __init__(self, flowlog, ns, device, path, local):
        self.name, self.flowlog, self.ns, self.device, self.path, self.local = "file", flowlog, ns, device, path, local

    def start(self):
        self.process = self.ns.popen(
            "tcpdump", "-i", self.device, "-w", self.path, "-s", "256", "-B", "65536", "-U", "--immediate-mode", "-p", "-Z", "root",
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on" in line:
                return
        raise AssertionError("tcpdump did not begin to listen")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        err = self.process.communicate(timeout=180)[1]
        assert "\n0 packets dropped by kernel" in "\n" + err, f"tcpdump lost packets, the comparison is void: {err}"
        ledger_path = f"{self.path}.ledger"
        local = [w for cidr in self.local for w in ("--local", cidr)]
        done = self.flowlog("meter", *local, "--format", self.FORMAT, "--ledger", ledger_path, self.path)
        seen = Seen()
        for line in done.stdout.splitlines()[1:]:
            direction, src, dst, sport, dport, proto, packets, octets = line.split()
            seen.add_flow(Flow(direction, src, dst, int(sport), int(dport), int(proto)), int(packets), int(octets))
        ledger = json.loads(pathlib.Path(ledger_path).read_text())
        seen.file_ledger = ledger
        return seen


class Daemon:
    """The whole of `flowlog run` over one interface: what it delivered when it was told to end. The other end of
    the cable is in a namespace that the daemon does not follow, so it takes ours for the host's end: directions are the guest's."""

    GUEST = {"ingress": "egress", "egress": "ingress"}

    FORMAT = CaptureFile.FORMAT + " ${log-status}"

    def __init__(self, flowlog, backend, ns, device, store):
        self.name, self.flowlog, self.backend, self.ns, self.device, self.store = f"run-{backend}", flowlog, backend, ns, device, store

    def start(self):
        self.process = self.ns.popen(
            self.flowlog.path, "run", "--backend", self.backend, "--include", self.device, "--window", "1s", "--store", self.store,
            "--journal-size", "16MiB", "--format", self.FORMAT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        log = ""
        for line in self.process.stdout:
            log += line
            if f"{self.device} is metered" in line:
                time.sleep(0.5)  # said before the meter's process has attached
                return
        raise AssertionError(log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        log = self.process.communicate(timeout=180)[0]
        assert self.process.returncode == 0, log
        seen = Seen()
        for path in pathlib.Path(self.store).rglob("*.log.gz"):
            for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]:
                direction, src, dst, sport, dport, proto, packets, octets, status = line.split()
                assert status != "SKIPDATA", line
                if status == "OK":
                    seen.add_flow(Flow(self.GUEST[direction], src, dst, int(sport), int(dport), int(proto)), int(packets), int(octets))
        return seen


class Counters:
    """The interface's own counters, ENI direction of the end they belong to."""

    name = "counters"

    def __init__(self, ns, device):
        self.ns, self.device = ns, device

    def read(self):
        stats = json.loads(self.ns("ip", "-j", "-s", "link", "show", "dev", self.device).stdout)[0]["stats64"]
        return {"ingress": Count(stats["rx"]["packets"], stats["rx"]["bytes"]),
                "egress": Count(stats["tx"]["packets"], stats["tx"]["bytes"])}

    def start(self):
        self.before = self.read()

    def stop(self):
        after = self.read()
        return {d: Count(after[d].packets - self.before[d].packets, after[d].bytes - self.before[d].bytes) for d in after}


def measure(sources, traffic):
    """Starts every source, lets the traffic happen, stops them. name -> what it saw."""
    for s in sources:
        s.start()
    try:
        time.sleep(0.2)
        traffic()
        time.sleep(0.4)  # what is still under way arrives
    finally:
        seen = {s.name: s.stop() for s in reversed(sources)}
    return seen


def differences(a, b, name_a, name_b, limit=10):
    """Sentences; empty when both saw the same flows with the same packets and bytes."""
    lines = []
    for flow in sorted(set(a.flows) | set(b.flows)):
        x, y = a.flows.get(flow, NOTHING), b.flows.get(flow, NOTHING)
        if x != y:
            lines.append(f"{flow}: {name_a} {tuple(x)}, {name_b} {tuple(y)}")
    return lines[:limit] + ([f"and {len(lines) - limit} more"] if len(lines) > limit else [])


def check_balance(seen, name):
    """Within one live source: counters, flows and losses add up."""
    for d in ("ingress", "egress"):
        assert seen.lost[d] == NOTHING, f"{name} lost packets on {d}: {seen.lost[d]}"
        sums = plus(seen.total(d), seen.vlan[d])
        assert sums == seen.ip[d], f"{name}, {d}: flows and VLANs sum to {sums}, counted were {seen.ip[d]}"


def quiet(counters, still=1.3, limit=15):
    """Waits until the interface has had no traffic for a while (multicast reports of a fresh interface)."""
    end, before, since = time.time() + limit, counters.read(), time.time()
    while time.time() - since < still:
        assert time.time() < end, "the interface does not become quiet"
        time.sleep(0.1)
        now = counters.read()
        if now != before:
            before, since = now, time.time()

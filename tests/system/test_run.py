# SPDX-License-Identifier: Apache-2.0
"""flowlog run in network namespaces: what it writes, says and leaves behind, and what its death costs."""
import contextlib
import glob
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import sh

BPFFS = pathlib.Path("/sys/fs/bpf")
FAST = ["--window", "1s", "--interval", "1s", "--publish-every", "1s", "--journal-size", "8MiB"]


class Pair:
    """Two hosts on a cable without a packet that the test did not send: no IPv6, no ARP, no offloads."""

    def __init__(self, netns):
        self.a, self.b = netns(), netns()
        sh("ip", "-n", self.a.name, "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", self.b.name)
        for ns, dev, own, other in ((self.a, "v0", 1, 2), (self.b, "v1", 2, 1)):
            ns("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
            ns("ethtool", "-K", dev, "tso", "off", "gso", "off", "gro", "off", check=False)
            mac = f"02:00:00:00:00:0{own}"
            sh("ip", "-n", ns.name, "link", "set", dev, "address", mac)
            sh("ip", "-n", ns.name, "addr", "add", f"10.77.0.{own}/24", "dev", dev)
            sh("ip", "-n", ns.name, "link", "set", dev, "up")
            sh("ip", "-n", ns.name, "neigh", "replace", f"10.77.0.{other}", "lladdr", f"02:00:00:00:00:0{other}", "dev", dev, "nud", "permanent")

    def counters(self):
        s = json.loads(sh("ip", "-n", self.a.name, "-j", "-s", "link", "show", "dev", "v0").stdout)[0]["stats64"]
        return s["rx"]["packets"], s["tx"]["packets"]


@pytest.fixture
def pair(netns):
    return Pair(netns)


class Daemon:
    def __init__(self, flowlog, netns, tmp_path, *args, store=None, inside=None):
        self.store = store or tmp_path / "store"
        self.log = open(tmp_path / "log", "ab")
        self.path = tmp_path / "log"
        # nsenter and not "ip netns exec": that would give it a /sys of its own, and the pins would die with it.
        self.argv = [*(inside or ["nsenter", f"--net=/run/netns/{netns.name}"]), flowlog.path, "run", "--store", str(self.store), *args]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.argv, stdout=self.log, stderr=self.log, start_new_session=True)
        self.wait_for(lambda: self.status("meter") is not None and self.status("meter")["pid"] in self.pids().values())

    def text(self):
        return self.path.read_text(errors="replace")

    def status(self, role):
        try:
            return json.loads((self.store / "status" / f"{role}.json").read_text())
        except (OSError, ValueError):
            return None

    def pids(self):
        s = self.status("supervisor")
        return {r["name"]: r["pid"] for r in s["roles"]} if s and s["pid"] == self.process.pid else {}

    def wait_for(self, what, seconds=60):
        for _ in range(seconds * 20):
            if what():
                return
            if self.process.poll() is not None:
                raise AssertionError(f"flowlog ended with {self.process.returncode}\n{self.text()}")
            time.sleep(0.05)
        raise AssertionError(f"it did not come\n{self.text()}")

    def settle(self, windows=2):
        """Until what came so far is in closed windows, in the journal and in the status; an identity read before holds by then."""
        def closed():
            return self.status("meter")["last_window"]["number"]

        self.wait_for(closed)  # the first one of this meter
        before = closed()
        self.wait_for(lambda: closed() >= before + windows)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(60)
        self.log.flush()
        return status

    def kill_all(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def records(self):
        out = []
        for name in glob.glob(f"{self.store}/s3/**/*.log.gz", recursive=True):
            lines = gzip.open(name, "rt").read().splitlines()
            out += [dict(zip(lines[0].split(), line.split())) for line in lines[1:]]
        return out


@pytest.fixture
def daemon(flowlog, root, tmp_path):
    made = []

    def make(netns, *args, **kw):
        os.chmod(tmp_path, 0o755)
        made.append(Daemon(flowlog, netns, tmp_path, *args, **kw))
        return made[-1]

    yield make
    for d in made:
        if d.process.poll() is None:
            d.kill_all()
        for pins in BPFFS.glob("flowlog-*"):
            if d.status("supervisor") and pins.name == d.status("supervisor")["pins"]:
                subprocess.run([flowlog.path, "detach", "--force", "--store", str(d.store)], stdout=subprocess.DEVNULL)
        for log in pathlib.Path("/dev/shm").glob("flowlog-*"):
            if (log / "store").is_file() and (log / "store").read_text() == str(d.store):
                shutil.rmtree(log)


def packets(records, ingress_to="10.77.0.1"):
    ingress = sum(int(r["packets"]) for r in records if r["log-status"] == "OK" and r["dstaddr"] == ingress_to)
    egress = sum(int(r["packets"]) for r in records if r["log-status"] == "OK" and r["srcaddr"] == ingress_to)
    return ingress, egress


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_one_run_from_start_to_stop(daemon, pair, tmp_path, backend):
    d = daemon(pair.a, *FAST, "--backend", backend)
    pair.b("ping", "-q", "-c", "20", "-i", "0.05", "10.77.0.1")

    def v0():
        return next(i for i in d.status("meter")["interfaces"] if i["device"] == "v0")

    d.wait_for(lambda: v0()["metered"] and v0()["ledger"]["ingress"]["recorded"]["packets"] == 20)
    d.wait_for(lambda: "system" in v0())
    assert v0()["system"]["ingress"]["packets"] == v0()["system"]["egress"]["packets"] == 20
    pins = d.status("supervisor")["pins"]
    assert bool(pins) == (backend == "ebpf") and (not pins or (BPFFS / pins).is_dir())
    meter = d.status("meter")
    assert meter["backend"] == backend and meter["window"]["length"] == 1
    assert next(i for i in meter["interfaces"] if i["device"] == "lo")["skip"]
    assert {r["name"] for r in d.status("supervisor")["roles"]} == {"meter", "names", "deliver"}
    assert d.stop() == 0
    text = d.text()
    assert re.search(r"v0 is metered as eni-[0-9a-f]{17}", text)
    assert "lo is not metered: loopback" in text
    assert re.search(r"window \S+Z 1 s: \d+ flows, .* packets seen = \d+ recorded \+ 0 excluded \+ 0 lost", text)
    assert "needs root" not in text and "not permitted" not in text and "denied" not in text
    assert packets(d.records()) == pair.counters() == (20, 20)
    assert not pins or not (BPFFS / pins).exists()
    assert "prog" not in sh("ip", "-n", pair.a.name, "-d", "link", "show", "v0").stdout
    # The store belongs to somebody who is not root, and to nobody else.
    for path in [d.store, *d.store.rglob("*")]:
        st = path.stat()
        assert st.st_uid != 0, path
        assert st.st_mode & 0o027 == 0, path
    assert d.store.stat().st_mode & 0o777 == 0o750


def test_roles_are_unprivileged(daemon, pair):
    d = daemon(pair.a, *FAST)
    for name, pid in d.pids().items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\t[1-9]", status, re.M), name
        capability = 1 << 2 if name == "names" else 0  # CAP_DAC_READ_SEARCH: the files of container runtimes are root's
        assert f"CapEff:\t{capability:016x}" in status and "CapBnd:\t0000000000000000" in status, name
        assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, name
    maps = [os.readlink(p) for p in glob.glob(f"/proc/{d.pids()['deliver']}/fd/*")]
    assert not [m for m in maps if "bpf" in m], "deliver holds the maps"
    d.stop()


def test_a_second_daemon_is_refused(daemon, flowlog, pair):
    d = daemon(pair.a, *FAST)
    done = flowlog("run", "--store", d.store, check=False)
    assert done.returncode == 1
    assert f"is in use by another flowlog (process {d.process.pid})" in done.stderr
    assert d.stop() == 0


def test_directories_it_must_not_use(flowlog, root, tmp_path):
    os.chmod(tmp_path, 0o755)
    full, other, file = tmp_path / "full", tmp_path / "other", tmp_path / "file"
    full.mkdir()
    shutil.chown(full, 65534)
    (full / "thesis.txt").write_text("x")
    other.mkdir()
    shutil.chown(other, 12345)
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(full)
    for path, args, want in ((full, [], 'is not a flowlog store: it holds "thesis.txt"'), (other, ["--user", "nobody"], "belongs to user 12345"),
                             (file, [], "is not a directory"), (link, [], "is not a directory"), (tmp_path / "no/where", [], "cannot be made")):
        done = flowlog("run", "--store", path, *args, check=False)
        assert done.returncode == 1 and want in done.stderr, done.stderr
    assert os.listdir(full) == ["thesis.txt"]


def test_without_privilege_one_sentence(flowlog, root, tmp_path):
    os.chmod(tmp_path, 0o777)
    program = tmp_path / "flowlog"
    shutil.copy(flowlog.path, program)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "run", "--store", tmp_path / "s"], capture_output=True,
                          text=True)
    assert done.returncode == 1
    assert done.stderr == f"flowlog run: watching interfaces needs root; start it with: sudo {program} run\n"


def test_configuration(flowlog, tmp_path):
    conf = tmp_path / "flowlog.yaml"
    conf.write_text("store: /tmp/x\njournal:\n  max_siez: 1GiB\n")
    done = flowlog("run", "--check-config", "-c", conf, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{conf}:3: unknown key journal.max_siez; did you mean journal.max_size?\n"
    conf.write_text("store: /tmp/x\nwindow: 7s\n")
    done = flowlog("run", "--check-config", "-c", conf, check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"{conf}:2: window 7s: it must be whole seconds")
    example = pathlib.Path(__file__).parents[2] / "docs/flowlog.yaml"
    assert flowlog("run", "--check-config", "-c", example).stdout == f"{example}: good\n"


def test_every_key_of_the_example_is_commented_and_known(flowlog, tmp_path):
    """The example with every comment that is a setting turned into one is good as well: it names what exists."""
    example = (pathlib.Path(__file__).parents[2] / "docs/flowlog.yaml").read_text()
    conf = tmp_path / "all.yaml"
    conf.write_text(re.sub(r"^#(?=[a-z ]+[a-z_]*:|  )", "", example, flags=re.M))
    assert conf.read_text() != example
    assert flowlog("run", "--check-config", "-c", conf).returncode == 0
    shown = flowlog("run", "--help").stdout
    for key in re.findall(r"Environment: (FL_\w+)", shown):
        assert key[3:].lower().split("_")[-1] in example.lower(), key


def test_interfaces_come_go_and_change_their_name(daemon, flowlog, pair):
    d = daemon(pair.a, *FAST)
    pair.a("ip", "link", "add", "w0", "type", "veth", "peer", "name", "w1")
    pair.a("sh", "-c", "for i in w0 w1; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; ip link set $i up; done; ip addr add 10.9.0.1/24 dev w1")

    def device(name):
        return next((i for i in d.status("meter")["interfaces"] if i["device"] == name), None)

    d.wait_for(lambda: device("w1") and device("w1")["metered"])
    assert "other end of the same cable" in device("w0")["skip"]
    eni = device("w1")["eni"]
    pair.a("sh", "-c", "ip link set w1 down; ip link set w1 name w9; ip link set w9 up")
    d.wait_for(lambda: device("w9") and device("w9")["metered"])
    assert device("w9")["eni"] == eni
    # Loss of an interface in the middle of a window loses no packet of it.
    pair.a("ip", "link", "set", "w9", "multicast", "on")
    pair.a("python3", "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 32, socket.inet_aton('10.9.0.1'));"
           "[s.sendto(b'x', ('224.1.2.3', 7)) for _ in range(9)]")
    pair.a("ip", "link", "del", "w9")
    d.wait_for(lambda: device("w9") is None)
    d.wait_for(lambda: "w9 is gone" in d.text())
    # Nor do the totals forget it.
    d.wait_for(lambda: d.status("meter")["totals"]["recorded"]["packets"] >= 9)
    assert d.stop() == 0
    rows = [json.loads(line) for line in flowlog("audit", "--store", d.store, "-o", "json").stdout.splitlines()]
    gone = [r for r in rows if r.get("name") == "(gone)"]
    assert len(gone) == 1 and gone[0]["seen"]["packets"] == gone[0]["recorded"]["packets"] >= 9
    assert sum(int(r["packets"]) for r in d.records() if r["interface-id"] == eni and r["dstaddr"] == "224.1.2.3") == 9


def test_a_run_with_another_format_is_another_flow_log(daemon, flowlog, pair, tmp_path):
    """The files of the two are not mixed up; and an id that was given stands for one flow log alone."""
    def run(*args):
        d = daemon(pair.a, *FAST, *args)
        pair.a("ping", "-q", "-c", "3", "-i", "0.1", "10.77.0.2")
        assert d.stop() == 0
        assert flowlog("audit", "--store", d.store, check=False).returncode == 0
        return d, {line.split()[0] for line in flowlog("tail", "--store", d.store, "-n", "100").stdout.splitlines()[1:]}

    d, versions = run()
    assert versions == {"2"}
    assert run("--format", "v5-all")[1] == {"5"}
    # The first one is still there, and goes on where it was.
    assert run()[1] == {"2"}
    assert len(list((d.store / "deliver").glob("fl-*.json"))) == 2
    sums = [int(r["packets"]) for r in d.records() if r["version"] == "2" and r["log-status"] == "OK"]
    assert sum(sums) == 18

    conf = tmp_path / "c.yaml"
    text = "window: 1s\nflow_logs:\n  - id: fl-0123456789abcdef0\n    destination: other\n    interval: 60\n    format: "
    conf.write_text(text + "default\n")
    d.argv = [*d.argv[:2], flowlog.path, "run", "--store", str(d.store), "--journal-size", "8MiB", "-c", str(conf)]
    d.start()
    assert d.stop() == 0
    conf.write_text(text + "v5-all\n")
    d.start()
    d.wait_for(lambda: "a flow log does not change; give the new one another id" in d.text())
    assert d.stop() == 0


SLOW_ECHO = """
import socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
got, who = s.recvfrom(2048)
time.sleep(0.02)
reply = bytearray(got[20:])
reply[0] = 0
reply[2:4] = struct.pack("!H", (struct.unpack("!H", reply[2:4])[0] + 0x800 - 1) % 0xffff + 1)
s.sendto(reply, who)
"""


def test_who_opened_what(daemon, pair):
    """Echo requests have no ports, and nobody is opened by a group."""
    d = daemon(pair.a, "--window", "60s")
    pair.a("ip", "route", "add", "224.0.0.0/4", "dev", "v0")
    # An answer that comes later than a millisecond after the question.
    pair.b("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    answer = pair.b.popen("python3", "-c", SLOW_ECHO, stdout=subprocess.PIPE)
    answer.stdout.readline()
    pair.a("ping", "-q", "-c", "1", "10.77.0.2")
    assert answer.wait(10) == 0
    pair.a("python3", "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9)); s.sendto(b'x', ('224.1.2.3', 5353))")

    def top():
        return {(f["src"], f["dst"]): f["opener"] for f in d.status("meter")["top"]}

    d.wait_for(lambda: len(top()) == 3)
    assert top() == {("10.77.0.1", "10.77.0.2"): True, ("10.77.0.2", "10.77.0.1"): False, ("10.77.0.1", "224.1.2.3"): True}


def test_status_and_detach_know_at_once_that_it_has_ended(daemon, flowlog, pair):
    d = daemon(pair.a, *FAST)
    assert re.findall(r"^(\w+) +running ", flowlog("status", "--store", d.store).stdout, re.M) == ["supervisor", "meter", "names", "deliver"]
    assert "is running (pid" in flowlog("detach", "--store", d.store, check=False).stderr
    assert d.stop() == 0
    assert len(re.findall(r"^\w+ +not running ", flowlog("status", "--store", d.store).stdout, re.M)) == 4
    assert flowlog("detach", "--store", d.store).stdout == "0 links detached\n"
    assert "the meter does not run" in flowlog("top", "--store", d.store).stdout


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_another_namespace_is_followed(daemon, pair, backend):
    d = daemon(pair.a, *FAST, "--netns", pair.b.name, "--backend", backend)
    pair.b("ping", "-q", "-c", "5", "-i", "0.05", "10.77.0.1")
    d.settle()
    there = {(i["netns"], i["device"]): i for i in d.status("meter")["interfaces"]}
    # Both ends of one cable: the guest's is metered.
    assert there[(pair.b.name, "v1")]["metered"] and not there[("", "v0")]["metered"]
    assert d.stop() == 0
    assert packets(d.records(), "10.77.0.2") == (5, 5)


def test_without_bpf_it_falls_back_and_says_why(daemon, tmp_path):
    """As in a user namespace, where the kernel refuses BPF and where there is no user to become."""
    inside = ["unshare", "-Urn", "sh", "-c", "ip link add w0 type veth peer name w1 && ip link set w0 up && ip link set w1 up && exec \"$0\" \"$@\""]
    if subprocess.run(["unshare", "-Urn", "true"], check=False).returncode:
        pytest.skip("the kernel refuses user namespaces")
    pins_before = set(os.listdir(BPFFS))
    d = daemon(None, *FAST, inside=inside)
    assert d.status("meter")["backend"] == "afpacket" and d.status("meter")["reason"]
    assert re.search(r"falling back to AF_PACKET: \w+", d.text())
    assert d.stop() == 0
    # Other daemons of this machine come and go: what this one could leave is an empty directory.
    assert not [p for p in BPFFS.glob("flowlog-*") if p.name not in pins_before and is_empty(p)]


def is_empty(directory):
    try:
        return not os.listdir(directory)
    except FileNotFoundError:
        return False


def test_under_sudo_the_store_is_the_callers(flowlog, daemon, pair, tmp_path):
    place = pathlib.Path(tempfile.mkdtemp(prefix="fl-sudo-"))  # pytest's own directory is closed to other users
    os.chmod(place, 0o755)
    os.environ.update(SUDO_UID="4242", SUDO_GID="4343")
    try:
        d = daemon(pair.a, *FAST, store=place / "store")
    finally:
        del os.environ["SUDO_UID"], os.environ["SUDO_GID"]
    pair.b("ping", "-q", "-c", "5", "-i", "0.05", "10.77.0.1")
    d.settle()
    program = place / "flowlog"
    shutil.copy(flowlog.path, program)
    tail = sh("setpriv", "--reuid=4242", "--regid=4343", "--clear-groups", program, "tail", "--store", d.store)
    assert "10.77.0.2" in tail.stdout
    assert d.stop() == 0
    for path in [d.store, *d.store.rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4343), path
    shutil.rmtree(place)


def test_service_manager_is_told(flowlog, daemon, pair, tmp_path):
    import socket

    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = str(path)
        try:
            d = daemon(pair.a, *FAST)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert s.recv(1000).startswith(b"READY=1\nSTATUS=metering")
        assert d.stop() == 0
        assert s.recv(1000).startswith(b"STOPPING=1")


def test_an_empty_list_of_flow_logs_touches_nothing(daemon, pair, tmp_path):
    conf = tmp_path / "c.yaml"
    conf.write_text("flow_logs: []\n")
    d = daemon(pair.a, *FAST, "-c", conf)
    assert not [i for i in d.status("meter")["interfaces"] if i["metered"]]
    assert d.stop() == 0
    assert not d.records()


def wait_until(what, seconds=10):
    for _ in range(seconds * 50):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def flood(pair):
    """UDP both ways from many ports until it is stopped; how much is sent the interface counts."""
    code = ("import socket,itertools,time\n"
            "t=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) for _ in range(50)]\n"
            "for i in itertools.count():\n"
            "  try: t[i%50].sendto(b'x'*(i%900), ('{}', 2000+i%97))\n"
            "  except OSError: pass\n"
            "  if i%200==0: time.sleep(0.02)\n")
    return [ns.popen("python3", "-c", code.format(to)) for ns, to in ((pair.a, "10.77.0.2"), (pair.b, "10.77.0.1"))]


def stop_flood(processes):
    for p in processes:
        p.kill()
        p.wait()
    time.sleep(0.2)


@pytest.mark.parametrize("victim", ["meter", "deliver", "supervisor", "all"])
def test_kill_at_random_moments_costs_nothing(daemon, pair, victim):
    rounds = int(os.environ.get("FLOWLOG_KILLS", "6"))
    seed = random.randrange(1 << 32)
    rnd = random.Random(seed)
    d = daemon(pair.a, *FAST, "--backend", "ebpf")
    traffic = flood(pair)
    try:
        for _ in range(rounds):
            time.sleep(rnd.uniform(0.1, 2.5))
            if victim in ("all", "supervisor"):
                roles = list(d.pids().values())
                d.process.kill() if victim == "supervisor" else d.kill_all()
                d.process.wait()
                for pid in roles:  # nobody outlives the supervisor
                    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or "Z (zombie)" in open(f"/proc/{pid}/status").read())
                time.sleep(rnd.uniform(0, 1.5))
                d.start()
            else:
                pid = d.pids()[victim]
                os.kill(pid, signal.SIGKILL)
                d.wait_for(lambda: d.pids().get(victim, pid) not in (pid, 0))
    finally:
        stop_flood(traffic)
    time.sleep(1.5)
    assert d.stop() == 0, f"seed {seed}\n{d.text()}"
    records = d.records()
    assert packets(records) == pair.counters() > (2000, 2000), f"seed {seed}\n{d.text()}"
    assert not [r for r in records if r["log-status"] == "SKIPDATA"]


def test_a_full_ring_is_counted_to_the_packet(daemon, pair):
    """While the meter stands still, more flows come than cache and ring hold."""
    d = daemon(pair.a, *FAST, "--backend", "ebpf", "--ring-size", "64KiB")
    os.kill(d.pids()["meter"], signal.SIGSTOP)
    code = ("import socket\ns=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) for _ in range(20)]\n"
            "for r in range(2):\n"
            "  for p in range(1,30000):\n"
            "    try: s[p%20].sendto(b'x',('10.77.0.1',p))\n"
            "    except OSError: pass\n")
    pair.a("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", check=False)
    pair.b("python3", "-c", code)
    os.kill(d.pids()["meter"], signal.SIGCONT)

    def balanced():
        t = d.status("meter")["totals"]
        return t["seen"]["packets"] == sum(pair.counters()) == t["recorded"]["packets"] + t["lost"]["packets"]

    d.wait_for(balanced)
    totals = d.status("meter")["totals"]
    assert d.stop() == 0
    assert totals["lost"]["causes"]["ring-full"]["packets"] > 1000
    assert totals["seen"]["packets"] == sum(pair.counters())
    assert totals["seen"]["packets"] == totals["recorded"]["packets"] + totals["lost"]["packets"]
    records = d.records()
    assert sum(packets(records)) == totals["recorded"]["packets"]
    assert [r for r in records if r["log-status"] == "SKIPDATA"]


def test_the_terminal_shows_interfaces_and_a_live_view(flowlog, pair, tmp_path):
    import pty

    os.chmod(tmp_path, 0o755)
    master, slave = pty.openpty()
    argv = ["nsenter", f"--net=/run/netns/{pair.a.name}", flowlog.path, "run", "--store", str(tmp_path / "s"), *FAST]
    p = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    os.set_blocking(master, False)
    seen = b""

    def read():
        nonlocal seen
        with contextlib.suppress(OSError):
            while more := os.read(master, 65536):
                seen += more
        return seen

    wait_until(lambda: b"next: " in read(), 60)
    pair.b("ping", "-q", "-c", "30", "-i", "0.1", "10.77.0.1")
    wait_until(lambda: b"10.77.0.2" in read(), 60)
    p.terminate()
    assert p.wait(60) == 0
    read()
    os.close(master)
    text = seen.decode(errors="replace")
    first = text[:text.index("next: ")]
    assert re.search(r"eni-[0-9a-f]{17}  host +v0", first)
    assert "not metered: lo (loopback never leaves the host)" in first
    # What to try next depends on how far the window is.
    assert any(f"{flowlog.path} {c}" in text for c in ("tail", "audit", "top", "query")) and "10.77.0.2" in text
    # The last window's ledger, and what to do next, in words that can be typed.
    end = text[text.index("closing the open window"):]
    assert re.search(r"window \S+ 1 s: \d+ flows?, .* seen = ", end) and f"{flowlog.path} audit --store {tmp_path}/s" in end


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_ends_it_in_order(daemon, flowlog, pair, signo):
    """Ctrl-C, and a terminal that is closed: every process gets the signal, and still the last window is delivered."""
    d = daemon(pair.a, "--window", "60s", "--journal-size", "8MiB")
    traffic = flood(pair)
    wait_until(lambda: min(pair.counters()) > 200, 60)
    stop_flood(traffic)
    os.killpg(d.process.pid, signo)
    assert d.process.wait(60) == 0, d.text()
    assert packets(d.records()) == pair.counters() > (100, 100)
    assert "killed" not in d.text() and flowlog("audit", "--store", d.store, check=False).returncode == 0


def test_a_power_cut_is_announced(daemon, flowlog, pair):
    """With the power go shared memory, the pins and every process; the disk stays."""
    d = daemon(pair.a, *FAST)
    pair.b("ping", "-q", "-c", "10", "-i", "0.1", "10.77.0.1")
    d.wait_for(lambda: d.status("deliver")["flow_logs"][0]["objects"] > 0)
    d.kill_all()
    sh(flowlog.path, "detach", "--force", "--store", d.store)
    for log in pathlib.Path("/dev/shm").glob("flowlog-*"):
        if (log / "store").read_text() == str(d.store):
            shutil.rmtree(log)
    time.sleep(1)
    d.start()
    d.wait_for(lambda: "marked SKIPDATA" in d.text())
    time.sleep(1.5)
    assert d.stop() == 0
    records = d.records()
    skipped = {int(r["start"]) for r in records if r["log-status"] == "SKIPDATA"}
    assert len(skipped) == 1
    assert max(int(r["start"]) for r in records if r["log-status"] == "OK") < skipped.pop() + 1
    assert not (d.store / "journal/last").exists()


def test_the_fallback_announces_its_gap(daemon, pair):
    d = daemon(pair.a, *FAST, "--backend", "afpacket")
    pair.b("ping", "-q", "-c", "10", "-i", "0.1", "10.77.0.1")
    d.kill_all()
    time.sleep(2)
    d.start()
    time.sleep(1.5)
    assert d.stop() == 0
    assert [r for r in d.records() if r["log-status"] == "SKIPDATA"]

# SPDX-License-Identifier: Apache-2.0
"""Who is behind an interface: a process in a container's cgroup, its runtime's files, and the labels as tags of records.

The runtimes' directories are made here and stand for the real ones in a mount namespace of the daemon's own.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from aws_inventory import ANY, group, interface, open_acl, permission, subnet, vpc
from conftest import PROGRAM, sh
from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)

WEB, LATER = "0a" * 32, "1b" * 32
FIELDS = "${interface-id} ${srcaddr} ${dstaddr} ${packets} ${start} ${instance-tag} ${interface-tag} ${interface-tag-2} ${asg-tag} ${log-status}"
CONF = f"""
window: 1s
exclusions: none
journal:
  max_size: 8MiB
delivery:
  publish_every: 1s
flow_logs:
  - id: fl-0123456789abcdef0
    destination: names
    interval: 60
    format: {FIELDS}
    instance_tag: Team
    interface_tag: Team
    interface_tag_2: Line
    asg_tag: Team
"""


def cgroup_root():
    """Where a group of processes can be made, whichever version is mounted."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    places = [m[1] for m in mounts if m[2] == "cgroup2"] + [m[1] for m in mounts if m[2] == "cgroup" and "name=systemd" in m[3]]
    for place in places:
        if os.access(place, os.W_OK):
            return pathlib.Path(place)
    raise AssertionError("no cgroup can be made here")


class Containers:
    """A Docker of our own: configurations below var, and processes in its cgroups."""

    def __init__(self, var):
        self.var, self.groups, self.processes = var, [], []
        (var / "docker/containers").mkdir(parents=True)
        for path in (var, var / "docker", var / "docker/containers"):
            path.chmod(0o700)

    def inside(self, ns):
        """The daemon's command line: in the namespace, and with our /var/lib."""
        return ["nsenter", f"--net=/run/netns/{ns.name}", "unshare", "--mount", "--propagation", "private", "sh", "-c",
                f'mount --bind {self.var} /var/lib && exec "$@"', "sh"]

    def write(self, container, name, labels):
        where = self.var / "docker/containers" / container
        where.mkdir(mode=0o700, exist_ok=True)
        new = where / ".tmp"
        new.write_text(json.dumps({"ID": container, "Name": f"/{name}", "Config": {"Image": "x", "Labels": labels}}))
        new.rename(where / "config.v2.json")

    def forget(self, container):
        where = self.var / "docker/containers" / container
        (where / "config.v2.json").unlink()
        where.rmdir()

    def run(self, container, ns):
        process = ns.popen("sleep", "1000")
        path = cgroup_root() / f"docker-{container}.scope"
        path.mkdir()
        self.groups.append(path)
        while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.02)
        (path / "cgroup.procs").write_text(str(process.pid))
        self.processes.append(process)
        return process

    def end(self):
        for p in self.processes:
            p.kill()
            p.wait()
        for path in self.groups:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    path.rmdir()
                    break
                time.sleep(0.05)


@pytest.fixture
def containers(root, tmp_path):
    made = Containers(tmp_path / "var-lib")
    yield made
    made.end()


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "flowlog.yaml"
    path.write_text(CONF)
    return path


def v0(d):
    return next(i for i in d.status("meter")["interfaces"] if i["device"] == "v0")


def ping(pair, n=3):  # noqa: F811
    pair.b("ping", "-q", "-c", str(n), "-i", "0.05", "10.77.0.1")


def tail(flowlog, d):
    lines = flowlog("tail", "--store", d.store, "-n", "100000").stdout.splitlines()
    return [dict(zip(lines[0].split(), line.split())) for line in lines[1:] if line.split()[-1] == "OK"]


def tags(records, eni):
    """By second, in order, without what repeats: the tags of an interface."""
    out = []
    for r in sorted(records, key=lambda r: int(r["start"])):
        if r["interface-id"] == eni and r["log-status"] == "OK":
            assert r["instance-tag"] == r["interface-tag"] and r["asg-tag"] == "-"
            if out[-1:] != [(r["interface-tag"], r["interface-tag-2"])]:
                out.append((r["interface-tag"], r["interface-tag-2"]))
    return out


def early_in_a_minute(needed=25):
    """A flow log's interval is a minute: what is to be in one of it must not begin at its end."""
    left = 60 - time.time() % 60
    if left < needed:
        time.sleep(left + 0.2)


def test_a_container_its_rename_its_end_and_a_restart(daemon, pair, containers, conf, flowlog):  # noqa: F811
    containers.write(WEB, "web", {"Team": "blue", "Line": "a b"})
    inside = containers.run(WEB, pair.b)
    early_in_a_minute()
    d = daemon(pair.a, "-c", str(conf), inside=containers.inside(pair.a))
    d.wait_for(lambda: v0(d)["name"] == "web")
    assert v0(d)["kind"] == "container" and v0(d)["owner"] == "web"
    eni = v0(d)["eni"]
    assert f"v0 is metered as {eni} (container web)" in d.text()
    ping(pair)
    d.settle()
    listed = next(json.loads(line) for line in flowlog("interfaces", "--store", d.store, "-o", "json").stdout.splitlines() if '"v0"' in line)
    assert listed["owner"] == "web" and listed["labels"] == {"Team": "blue", "Line": "a b"}
    containers.write(WEB, "shop", {"Team": "red"})
    d.wait_for(lambda: v0(d)["name"] == "shop")
    d.settle()
    ping(pair)
    d.settle()
    # Each record has the identity of its window, also when it is read later.
    assert tags(tail(flowlog, d), eni) == [("blue", "a%20b"), ("red", "-")]
    if "FL_DUCKDB" in os.environ or (PROGRAM.parent / "libduckdb.so").exists():
        found = flowlog("query", "--store", d.store, "-o", "csv", "SELECT DISTINCT interface_tag FROM flows WHERE srcaddr='10.77.0.2' ORDER BY 1").stdout
        assert found.split()[1:] == ["blue", "red"]
    # The container goes, and the daemon is killed: what was recorded keeps the identity it had.
    d.kill_all()
    inside.kill()
    inside.wait()
    containers.forget(WEB)
    d.start()
    d.wait_for(lambda: v0(d)["name"] == "v0")
    assert "owner" not in v0(d)
    assert tags(tail(flowlog, d), eni) == [("blue", "a%20b"), ("red", "-")]
    d.settle()
    assert d.stop() == 0
    minutes = {}  # the records of a minute: as it was named last in it
    for r in d.records():
        minutes.setdefault(int(r["start"]) // 60, []).append(r)
    found = [tags(records, eni) for _, records in sorted(minutes.items())]
    assert all(len(names) == 1 for names in found) and found[-1] == [("red", "-")]
    assert flowlog("audit", "--store", d.store, check=False).returncode == 0
    events = [json.loads(line) for line in (d.store / "inventory/discovered.jsonl").read_text().splitlines()]
    assert [e.get("name", "gone") for e in events if e["eni"] == eni] == ["web", "gone", "shop", "gone"]
    stat = os.stat(d.store / "inventory/discovered.jsonl")
    assert stat.st_uid == os.stat(d.store).st_uid != 0


def test_a_container_that_comes_later_and_a_pod_without_processes(daemon, netns, pair, containers, conf, flowlog):  # noqa: F811
    """Their files are root's and the daemon's processes are not: another role of it finds them."""
    d = daemon(pair.a, "-c", str(conf), inside=containers.inside(pair.a))
    assert v0(d)["name"] == "v0" and v0(d)["kind"] == "host"
    c = netns()
    containers.write(LATER, "later", {"Team": "green"})
    containers.run(LATER, c)
    results = containers.var / "cni/results"
    results.mkdir(parents=True)
    (results / "cbr0-x-eth0").write_text(json.dumps({
        "kind": "cniCacheV1", "containerId": "x", "ifName": "eth0", "networkName": "cbr0",
        "cniArgs": [["K8S_POD_NAMESPACE", "prod"], ["K8S_POD_NAME", "api-0"]],
        "result": {"interfaces": [{"name": "cni0"}, {"name": "x0"}, {"name": "eth0", "sandbox": "/run/netns/x"}]}}))
    other = netns()
    for device, ns, number in (("w0", c, 8), ("x0", other, 9)):
        sh("ip", "-n", pair.a.name, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", ns.name)
        sh("ip", "-n", pair.a.name, "addr", "add", f"10.{number}.0.1/24", "dev", device)
        sh("ip", "-n", ns.name, "addr", "add", f"10.{number}.0.2/24", "dev", "eth0")
        sh("ip", "-n", pair.a.name, "link", "set", device, "up")
        sh("ip", "-n", ns.name, "link", "set", "eth0", "up")

    def name(device):
        return next((i["name"] for i in d.status("meter")["interfaces"] if i["device"] == device), None)

    d.wait_for(lambda: name("w0") == "later" and name("x0") == "prod/api-0")
    eni = next(i["eni"] for i in d.status("meter")["interfaces"] if i["device"] == "w0")
    d.settle()
    c("ping", "-q", "-c", "3", "-i", "0.1", "10.8.0.1")
    d.settle()
    assert ("green", "-") in tags(tail(flowlog, d), eni)
    shown = flowlog("interfaces", "--store", d.store).stdout
    assert "later" in shown and "prod/api-0" in shown
    assert flowlog("status", "--store", d.store).stdout.count(" running ") == 4
    sh("ip", "-n", pair.a.name, "link", "del", "w0")
    d.wait_for(lambda: name("w0") is None)
    history = d.store / "inventory/discovered.jsonl"
    d.wait_for(lambda: any(json.loads(line).get("gone") and json.loads(line)["eni"] == eni for line in history.read_text().splitlines()))
    assert d.stop() == 0
    assert "denied" not in d.text() and "not permitted" not in d.text()


def test_an_inventory_comes_first(daemon, pair, containers, conf, flowlog, tmp_path):  # noqa: F811
    """An interface of an inventory has AWS's tags alone; its container is still known by name, also to `why`."""
    containers.write(WEB, "web", {"Team": "blue"})
    containers.run(WEB, pair.b)
    aws = tmp_path / "aws"
    aws.mkdir()
    eni = "eni-0names0000000001"
    tagged = interface(eni, "front", "vpc-0e", "subnet-0e", "10.77.0.1", ["sg-0e"])
    tagged["TagSet"] = [{"Key": "Name", "Value": "front"}, {"Key": "Line", "Value": "aws"}]
    for top, rows in {
            "Vpcs": [vpc("vpc-0e", "10.77.0.0/16")],
            "Subnets": [subnet("subnet-0e", "vpc-0e", "10.77.0.0/24", "us-east-1a")],
            "NetworkAcls": [open_acl("acl-0e", "vpc-0e", ["subnet-0e"])],
            "SecurityGroups": [group("sg-0e", "e", "vpc-0e", [permission("tcp", (80, 80), ANY)], [])],
            "NetworkInterfaces": [tagged],
            "Bindings": [{"NetworkInterfaceId": eni, "Interface": "v0"}]}.items():
        (aws / (f"{top}.json" if top != "Bindings" else "bindings.json")).write_text(json.dumps({top: rows}))
    flowlog("inventory", "import", "--store", tmp_path / "store", aws, check=False)
    d = daemon(pair.a, "-c", str(conf), inside=containers.inside(pair.a))
    d.wait_for(lambda: v0(d)["eni"] == eni and v0(d).get("owner") == "web")
    assert v0(d)["name"] == "front"
    d.settle()
    ping(pair)
    d.settle()
    assert tags(tail(flowlog, d), eni) == [("-", "aws")]
    for who in ("front", "web"):
        why = flowlog("why", "--store", d.store, "10.77.0.2", who + ":80", check=False)
        assert eni in why.stdout, why.stderr
    assert "db" in flowlog("why", "--store", d.store, "10.77.0.2", "db:80", check=False).stderr
    assert d.stop() == 0


def test_what_a_user_leaves_in_the_way(daemon, pair, containers, conf):  # noqa: F811
    """A pipe, a directory, garbage and a huge file in place of a configuration: the short id, and everything goes on."""
    where = containers.var / "docker/containers" / WEB
    where.mkdir()
    os.mkfifo(where / "config.v2.json")
    containers.run(WEB, pair.b)
    d = daemon(pair.a, "-c", str(conf), inside=containers.inside(pair.a))
    d.wait_for(lambda: v0(d)["name"] == WEB[:12])
    (where / "config.v2.json").unlink()
    for make in (lambda p: p.mkdir(), lambda p: p.write_bytes(b"\0" * 100), lambda p: p.write_text("[" * 100000),
                 lambda p: os.truncate(p, 0) if p.exists() else p.write_text(""), lambda p: (p.write_text(""), os.truncate(p, 1 << 40))):
        path = where / "config.v2.json"
        make(path)
        time.sleep(1.1)
        path.rmdir() if path.is_dir() else path.unlink()
    containers.write(WEB, "\u001b[31mred\u202e" * 30, {"k" * 5000: "v", "Team": "x" * 100000})
    d.wait_for(lambda: "red" in v0(d)["name"], seconds=40)
    assert len(v0(d)["name"].encode()) < 64 and "\u001b" not in v0(d)["name"]
    assert all(r["restarts"] == 0 for r in d.status("supervisor")["roles"])
    assert d.stop() == 0


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_followed_namespaces_are_named(daemon, pair, containers, conf, flowlog, backend):  # noqa: F811
    containers.write(WEB, "web", {"Team": "blue"})
    containers.run(WEB, pair.b)
    d = daemon(pair.a, "-c", str(conf), "--netns", pair.b.name, "--backend", backend, inside=containers.inside(pair.a))

    def v1():
        return next(i for i in d.status("meter")["interfaces"] if i["device"] == "v1")

    d.wait_for(lambda: v1()["name"] == "web")
    assert "other end of the same cable" in v0(d)["skip"]
    d.settle()
    ping(pair)
    d.settle()
    assert tags(tail(flowlog, d), v1()["eni"]) == [("blue", "-")]
    assert d.stop() == 0


BUSYBOX = shutil.which("busybox")

if shutil.which("podman") and BUSYBOX and b"statically" in subprocess.run(["file", "-L", BUSYBOX], stdout=subprocess.PIPE).stdout:

    def test_a_real_podman(daemon, pair, containers, conf, flowlog, tmp_path):  # noqa: F811
        """Where Podman is installed: a container of its own making, its rename and its end."""
        short = tempfile.mkdtemp(prefix="fl-", dir="/tmp")  # podman wants less than 50 characters
        (tmp_path / "image/bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, tmp_path / "image/bin/sh")
        runtime = ["--runtime", "runc"] if shutil.which("runc") else []

        def podman(*args, **kw):
            # Not "ip netns exec", whose /sys has no cgroups.
            return sh("nsenter", f"--net=/run/netns/{pair.a.name}", "podman", "--root", containers.var / "containers/storage", "--runroot", short,
                      "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", *runtime, *args, **kw)

        sh("tar", "-C", tmp_path / "image", "-cf", tmp_path / "image.tar", "bin")
        podman("import", tmp_path / "image.tar", "box")
        d = daemon(pair.a, "-c", str(conf), inside=containers.inside(pair.a))
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        made = podman("run", "-d", "--name", "shop", "--annotation", "Team=blue", *limits, "localhost/box", "/bin/sh", "-c", "while true; do sleep 1; done",
                      check=False)
        if made.returncode:
            pytest.skip(f"podman cannot run a container here: {made.stderr.strip()}")
        try:
            def names():
                return [i["name"] for i in d.status("meter")["interfaces"] if i["kind"] == "container" and i["metered"]]

            d.wait_for(lambda: names() == ["shop"])
            listed = [json.loads(line) for line in flowlog("interfaces", "--store", d.store, "-o", "json").stdout.splitlines()]
            assert [i["labels"]["Team"] for i in listed if i.get("owner") == "shop"] == ["blue"]
            podman("rename", "shop", "store")
            d.wait_for(lambda: names() == ["store"])
        finally:
            podman("rm", "-f", "-t", "0", "-a", check=False)
            shutil.rmtree(short, ignore_errors=True)
        d.wait_for(lambda: names() == [])
        assert d.stop() == 0

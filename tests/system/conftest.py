# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the program under test, the corpus, network namespaces, and skips that must explain themselves."""
import os
import pathlib
import re
import signal
import subprocess
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("FLOWLOG", ROOT / "build-test/src/daemon/flowlog"))
CORPUS = pathlib.Path(os.environ.get("FLOWLOG_CORPUS", ROOT.parent / "shared/corpus"))
ALLOWED_SKIPS = pathlib.Path(__file__).with_name("allowed_skips.txt")


class Flowlog:
    """Runs the program: flowlog("meter", path) -> CompletedProcess with text output."""

    path = str(PROGRAM)

    def __call__(self, *args, check=True, timeout=120, **kw):
        kw.setdefault("text", True)
        done = subprocess.run([self.path, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, **kw)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, args))}: exit status {done.returncode}\n{done.stderr}")
        return done


@pytest.fixture(scope="session")
def flowlog():
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not built")
    return Flowlog()


@pytest.fixture(scope="session")
def corpus():
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}")
    return CORPUS


@pytest.fixture(scope="session")
def root():
    """Tests that attach programs or make namespaces ask for this."""
    if os.geteuid():
        pytest.skip("needs root")


def sh(*args, check=True, **kw):
    kw.setdefault("text", True)
    done = subprocess.run(list(map(str, args)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: exit status {done.returncode}\n{done.stderr}")
    return done


def patience(seconds):
    """What is promised within so many seconds, on a machine that has other work as well."""
    return seconds * max(1, os.getloadavg()[0] / os.cpu_count())


def catches(process, signo=signal.SIGINT):
    """Until the process has a handler for the signal."""
    for _ in range(1200):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if int(re.search(r"^SigCgt:\t([0-9a-f]+)", status, re.M).group(1), 16) >> (signo - 1) & 1:
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError(f"no handler for signal {signo}")


def listening(ns, *ports):
    """Until somebody listens at each of them, TCP or UDP."""
    for port in ports:
        for _ in range(600):
            if ns("ss", "-Htuln", f"sport = :{port}").stdout:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"nobody listens at port {port}")


class Netns:
    """A network namespace of the test's own; ns("ip", "addr") runs a command inside."""

    def __init__(self, name):
        self.name = name
        sh("ip", "netns", "add", name)
        self("ip", "link", "set", "lo", "up")
        # No router solicitations or duplicate address detection: only the test's own packets cross the cable.
        self("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
             "net.ipv6.conf.default.router_solicitations=0", check=False)

    def __call__(self, *args, **kw):
        return sh("ip", "netns", "exec", self.name, *args, **kw)

    def popen(self, *args, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, args)], **kw)

    def delete(self):
        sh("ip", "netns", "del", self.name, check=False)


@pytest.fixture
def netns(root):
    """netns() makes a namespace that goes away with the test."""
    made = []

    def make():
        made.append(Netns("fl" + uuid.uuid4().hex[:8]))
        return made[-1]

    yield make
    for ns in made:
        ns.delete()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skip is a failure unless its reason is on the committed list."""
    report = (yield).get_result()
    if not (report.skipped and os.environ.get("CI")):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    allowed = [line.split("#")[0].strip() for line in ALLOWED_SKIPS.read_text().splitlines()]
    if not any(a and a in reason for a in allowed):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI for a reason that is not on {ALLOWED_SKIPS.name}: {reason}"

# SPDX-License-Identifier: Apache-2.0
"""The store while the daemon writes it: a full disk, and how soon a window can be asked about."""
import os
import re
import time

import pytest

from conftest import patience, sh
from test_run import FAST, daemon, flood, packets, pair, stop_flood, wait_until  # noqa: F401 (fixtures)


@pytest.fixture
def small_disk(root, tmp_path):
    os.chmod(tmp_path, 0o755)
    disk = tmp_path / "disk"
    disk.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=48m,mode=0777", "flowlog-test", disk)
    yield disk
    sh("umount", "-l", disk, check=False)


def test_a_full_disk_stops_delivery_and_nothing_else(daemon, flowlog, pair, small_disk, tmp_path):
    seconds = int(os.environ.get("FLOWLOG_DISK_FULL_SECONDS", "8"))
    d = daemon(pair.a, *FAST, "--backend", "ebpf", store=small_disk / "store")
    traffic = flood(pair)
    try:
        d.wait_for(lambda: d.status("deliver")["flow_logs"][0]["objects"] > 0)
        # Unbuffered: what is left of a write that the disk took in part would be written again on closing.
        with open(small_disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 65536)
            except OSError:
                pass
        before = d.status("meter")
        time.sleep(seconds)
        # Status files cannot be rewritten either; the journal was set aside beforehand. That does not mean that nobody runs.
        assert len(re.findall(r"^\w+ +running ", flowlog("status", "--store", d.store).stdout, re.M)) == 4
        assert "is running" in flowlog("detach", "--store", d.store, check=False).stderr
        assert "is the disk full?" in flowlog("top", "--store", d.store).stdout
        (small_disk / "ballast").unlink()
        d.wait_for(lambda: d.status("deliver")["flow_logs"][0]["failures"] > 0)
        d.wait_for(lambda: d.status("meter")["last_window"]["number"] >= before["last_window"]["number"] + seconds - 2)
        assert "tried again" in d.text()
        d.wait_for(lambda: d.status("deliver")["flow_logs"][0]["undelivered_windows"] <= 3, 60)
    finally:
        stop_flood(traffic)
    time.sleep(1.5)
    assert d.stop() == 0
    records = d.records()
    assert packets(records) == pair.counters() > (2000, 2000), d.text()
    assert not [r for r in records if r["log-status"] == "SKIPDATA"]


def pinged(lines):
    """Packets of the ping; they may lie in two windows."""
    return sum(int(line.split()[8]) for line in lines if " 10.77.0.2 10.77.0.1 0 0 1 " in line)


def test_a_window_can_be_asked_about_within_five_seconds_of_its_end(daemon, flowlog, pair):
    d = daemon(pair.a, *FAST, "--backend", "ebpf", "--publish-every", "300s")
    pair.b("ping", "-q", "-c", "5", "-i", "0.02", "10.77.0.1")
    sent = time.time()
    while time.time() < sent + 1 + patience(5):  # the window ends within a second
        lines = flowlog("tail", "--store", d.store, "-n", "50").stdout.splitlines()
        if pinged(lines) == 5:
            break
        time.sleep(0.2)
    else:
        raise AssertionError(f"not there after six seconds\n{lines}")
    # Not from a file: nothing is delivered yet. The same answer after delivery, once.
    assert not d.records()
    assert d.stop() == 0
    lines = flowlog("tail", "--store", d.store, "-n", "1000").stdout.splitlines()
    assert pinged(lines) == 5


def test_audit_balances_against_the_systems_counters(daemon, flowlog, pair):
    d = daemon(pair.a, *FAST, "--backend", "ebpf")
    traffic = flood(pair)
    d.settle(4)
    stop_flood(traffic)
    d.settle()
    done = flowlog("audit", "--store", d.store, "-o", "json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert d.stop() == 0
    done = flowlog("audit", "--store", d.store, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Several objects of one slot of five minutes, whose names say nothing of their order: the newest records are the last.
    lines = flowlog("tail", "--store", d.store, "-n", "1000000").stdout.splitlines()
    ends = [int(line.split()[11]) for line in lines[1:]]
    # Within a window records are in the order of their keys, and what came late is behind the next window's.
    assert all(end >= before - 1 for before, end in zip(ends, ends[1:])) and ends[-1] >= max(ends) - 1 and len(set(ends)) > 4
    assert flowlog("tail", "--store", d.store, "-n", "3").stdout.splitlines()[1:] == lines[-3:]

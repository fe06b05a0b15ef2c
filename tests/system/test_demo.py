# SPDX-License-Identifier: Apache-2.0
"""`flowlog demo`: what a new user runs first. Its own comparison is checked here from its output, not believed."""
import os
import re
import subprocess
import time

import pytest

from conftest import patience

USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if not os.geteuid() else []


@pytest.fixture(scope="module")
def demo(flowlog):
    """Runs the demo as an ordinary user."""
    if "demo" not in flowlog("--help").stdout:
        pytest.skip("backend not built: no demo without -Dcapture=true")
    if subprocess.run([*USER, "unshare", "-Urn", "true"], capture_output=True).returncode:
        pytest.skip("the kernel refuses user namespaces")

    def run(*args, wrapper=()):
        return subprocess.run([*USER, *wrapper, flowlog.path, "demo", *args], capture_output=True, text=True, timeout=60, cwd="/")

    return run


def records_of(text):
    lines = text.splitlines()
    names = next(line for line in lines if line.startswith("version account-id")).split()
    return [dict(zip(names, line.split())) for line in lines if re.match(r"2 \d{12} eni-[0-9a-f]{17} ", line)]


def test_the_demo_adds_up_without_privilege(demo):
    start = time.time()
    done = demo("--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert time.time() - start < patience(8)
    assert "It adds up" in done.stdout
    records = records_of(done.stdout)
    promised = int(re.search(r"has (\d+) flow log records", done.stdout).group(1))
    assert len(records) == promised

    def total(column, **match):
        return sum(int(r[column]) for r in records if all(r[k] == v for k, v in match.items()))

    # The client's side of every number, from the records alone.
    assert total("packets", dstport="514", protocol="17") == 25
    assert total("bytes", dstport="514", protocol="17") == 25 * 428
    assert total("packets", protocol="1") == 2 * 5
    probed = {r["dstport"] for r in records if r["protocol"] == "6" and 8000 <= int(r["dstport"]) < 8050 and r["dstaddr"] == "10.0.0.20"}
    assert len(probed) == 50
    page = total("bytes", srcport="80", protocol="6")
    assert 4 << 20 < page < (4 << 20) * 1.1
    # And the interface's counters, as printed, are the records' sums.
    for what, server in (("into the server", "dstaddr"), ("out of the server", "srcaddr")):
        packets, octets = map(int, re.search(rf"{what} +interface counters +(\d+) +(\d+) ", done.stdout).groups())
        assert (packets, octets) == (total("packets", **{server: "10.0.0.20"}), total("bytes", **{server: "10.0.0.20"}))


def test_its_first_screen_fits(demo):
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 30, "more than a screen"
    assert all(len(line) <= 130 for line in lines)


def test_a_kernel_that_refuses_says_so_in_one_sentence(demo):
    """A user namespace in which no further one may be made stands in for such a kernel."""
    wrapper = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"', "sh"]
    done = demo(wrapper=wrapper)
    assert done.returncode == 1
    assert "refuses user namespaces" in done.stderr
    assert "sysctl" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_leaves_nothing_behind(demo, tmp_path):
    os.chmod(tmp_path, 0o777)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(parent.stat().st_mode | 0o55)  # may be /tmp itself
    done = demo(wrapper=["env", f"TMPDIR={tmp_path}"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(tmp_path) == []


def test_an_operand_is_a_usage_error(flowlog, demo):
    assert flowlog("demo", "now", check=False).returncode == 2

# SPDX-License-Identifier: Apache-2.0
"""flowlog convert: options of sources as every command has them, and nothing left behind by what did not come to its end."""
import gzip
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM, ROOT, sh
from s3_servers import KEY, SECRET, Bucket, Fake

HEAD = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
START = 1795132800  # 2026-11-20 00:00


def lines(n, step=7):
    return [f"2 123456789012 eni-0a1b2c3d4e5f60718 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255} 192.0.2.{i * 7 % 251} {i * 31 % 65536} 443 6 {i % 99 + 1} "
            f"{i * 977 % 90000} {START + i * step} {START + i * step + 59} ACCEPT OK" for i in range(n)]


def text(n, step=7):
    return "\n".join([HEAD, *lines(n, step)]) + "\n"


def everything(path):
    """What there is below a directory, directories too."""
    return sorted(str(p.relative_to(path)) for p in pathlib.Path(path).rglob("*"))


def records_below(path):
    return [line for p in sorted(pathlib.Path(path).rglob("*.log.gz")) for line in gzip.open(p, "rt").read().splitlines()[1:]]


def test_options_of_sources_reach_a_bucket(flowlog, tmp_path):
    """No variable of AWS's: profile, region, endpoint and who pays come from the command line, a declared format too."""
    fake = Fake()
    fake.reply = Bucket({"logs/a.log": "".join(line.replace(" OK", "\n") for line in lines(50)).encode()}, name="b")
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(f"[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    try:
        got = flowlog("convert", "--single", "-o", "text", "--profile", "work", "--region", "eu-west-3", "--endpoint-url", fake.url, "--requester-pays",
                      "-f", " ".join(f"${{{n}}}" for n in HEAD.split()[:-1]), "s3://b/logs/", "-", env=env).stdout
        assert got.splitlines() == [HEAD.removesuffix(" log-status"), *(line.removesuffix(" OK") for line in lines(50))]
        assert fake.seen and all(q.signer == (KEY, "eu-west-3", "s3") and q.headers["x-amz-request-payer"] == "requester" for q in fake.seen)
        # The region of names is another option.
        flowlog("convert", "-o", "text", "--anonymous", "--region", "eu-west-3", "--log-region", "eu-north-1", "--endpoint-url", fake.url, "-f",
                " ".join(f"${{{n}}}" for n in HEAD.split()[:-1]), "s3://b/logs/", tmp_path / "out", env=env)
        assert any("vpcflowlogs/eu-north-1/2026" in p for p in everything(tmp_path / "out"))
    finally:
        fake.close()


def test_every_option_of_sources_is_one_of_convert(flowlog):
    rows = re.findall(r'^\{"([\w-]+)"', (ROOT / "src/cli/source_options.def").read_text(), re.M)
    said = flowlog("convert", "--help").stdout
    assert {"format", "region", "endpoint-url"} < set(rows) and all(f"--{name}" in said for name in rows)


@pytest.mark.parametrize("there", [False, True], ids=["new", "with-others-files"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_stopped_in_the_middle(tmp_path, there, how):
    out = tmp_path / "made/by/convert"
    mine = tmp_path / "made/by/convert/AWSLogs/000000000000/mine"
    if there:
        mine.parent.mkdir(parents=True)
        mine.write_text("x")
    before = everything(tmp_path)
    with subprocess.Popen([PROGRAM, "convert", "-o", "text", "-", out], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        p.stdin.write(text(60000))  # more files than are open at a time
        p.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(out.rglob("*.tmp")):
            assert time.monotonic() < deadline and p.poll() is None
            time.sleep(0.02)
        p.send_signal(how)
        p.send_signal(how)  # as a terminal and a script that passes it on do
        said = p.stderr.read()
        assert p.wait(60) == 128 + how
    assert "stopped" in said and f"nothing of it is left at {out}" in said
    assert everything(tmp_path) == before


def test_stopped_single_file(tmp_path):
    with subprocess.Popen([PROGRAM, "convert", "--single", "-o", "csv", "-", tmp_path / "a.csv"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        p.stdin.write(text(3000))
        p.stdin.flush()
        while not everything(tmp_path):
            time.sleep(0.02)
        p.send_signal(signal.SIGINT)
        said = p.stderr.read()
        assert p.wait(60) == 130 and "nothing of it is left" in said
    assert everything(tmp_path) == []


def test_stopped_after_something_was_written_out(tmp_path):
    """What went down a pipe cannot be taken back: that is said."""
    (tmp_path / "a.log").write_text(text(60000))
    with subprocess.Popen([PROGRAM, "convert", "--single", "-o", "csv", tmp_path / "a.log", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert len(os.read(p.stdout.fileno(), 1000)) == 1000
        time.sleep(0.5)  # nobody reads on: it waits
        p.send_signal(signal.SIGINT)
        assert p.wait(10) == 130
        assert "standard output is incomplete" in p.stderr.read()


@pytest.fixture
def small_disk(root, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=512k", "flowlog-test", disk)
    yield disk
    sh("umount", disk)


@pytest.mark.parametrize("args", [["-o", "text", "--codec", "none"], ["-o", "parquet"], ["--single", "-o", "json"]], ids=lambda a: a[-1])
def test_a_full_disk(flowlog, tmp_path, small_disk, args):
    (tmp_path / "a.log").write_text(text(60000))
    (small_disk / "kept").mkdir()
    (small_disk / "kept/mine").write_text("x")
    for _ in range(2):  # also the second time there is room for as much
        done = flowlog("convert", *args, tmp_path / "a.log", small_disk / "kept/out", check=False)
        assert done.returncode == 1 and "No space left on device" in done.stderr and str(small_disk / "kept/out") in done.stderr
        assert "nothing of it is left" in done.stderr
        assert everything(small_disk) == ["kept", "kept/mine"]
    assert (small_disk / "kept/mine").read_text() == "x"


def test_a_damaged_input(flowlog, tmp_path):
    """Records up to the fault are kept and the exit status says that there were more; every file is whole."""
    data = gzip.compress(text(20000).encode())
    (tmp_path / "a.log.gz").write_bytes(data[:len(data) // 2])
    done = flowlog("convert", "-o", "text", tmp_path / "a.log.gz", tmp_path / "out", check=False)
    assert done.returncode == 1 and "a.log.gz" in done.stderr and "could not be read to the end" in done.stderr
    got = records_below(tmp_path / "out")
    assert 1000 < len(got) < 20000 and got == lines(len(got)) and not list((tmp_path / "out").rglob(".*"))
    # What no record comes out of makes nothing.
    (tmp_path / "b.log.gz").write_bytes(gzip.compress((HEAD + "\n").encode())[:-4])
    done = flowlog("convert", "-o", "text", tmp_path / "b.log.gz", tmp_path / "none/out", check=False)
    assert done.returncode == 1 and "b.log.gz" in done.stderr and not (tmp_path / "none").exists()


def test_a_directory_that_may_not_be_written(flowlog, tmp_path):
    (tmp_path / "a.log").write_text(text(100))
    (tmp_path / "file").write_text("mine")
    done = flowlog("convert", tmp_path / "a.log", tmp_path / "file/x/y", check=False)
    assert done.returncode == 1 and "file" in done.stderr
    assert everything(tmp_path) == ["a.log", "file"] and (tmp_path / "file").read_text() == "mine"


def test_names_that_were_taken_meanwhile(flowlog, tmp_path):
    """Without --force nothing of before is replaced, and what got its name already is taken back."""
    (tmp_path / "a.log").write_text(text(2000))
    flowlog("convert", "-o", "text", tmp_path / "a.log", tmp_path / "out")
    names = [p for p in everything(tmp_path / "out") if p.endswith(".gz")]
    assert len(names) > 3
    for p in names[:-1]:
        (tmp_path / "out" / p).unlink()
    (tmp_path / "out" / names[-1]).write_text("mine")
    before = everything(tmp_path)
    done = flowlog("convert", "-o", "text", tmp_path / "a.log", tmp_path / "out", check=False)
    assert done.returncode == 1 and "--force" in done.stderr and names[-1] in done.stderr
    assert everything(tmp_path) == before and (tmp_path / "out" / names[-1]).read_text() == "mine"

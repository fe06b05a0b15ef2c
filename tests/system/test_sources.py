# SPDX-License-Identifier: Apache-2.0
"""The same records from every kind of source, and mixtures of them, give the same rows; what is wrong with one is told and hides nothing else."""
import calendar
import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import PROGRAM, catches, patience, sh
from s3_servers import KEY, SECRET, Bucket, Fake

MAKE_STORE = PROGRAM.parents[2] / "tests/cli/make_store"
NAMES = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags "
         "pkt-srcaddr flow-direction").split()
BEGIN = 1763985600  # 2025-11-24T12:00:00Z


def records(n, seed=1):
    r = random.Random(seed)
    lines = []
    for i in range(n):
        start = BEGIN + r.randrange(3600)
        if r.random() < 0.05:
            lines.append(f"5 123456789012 eni-{i % 9:017x} - - - - - - - {start} {start + 59} - {r.choice(['NODATA', 'SKIPDATA'])} - - -")
            continue
        v6 = r.random() < 0.3
        a, b = ((f"2001:db8::{r.randrange(1, 65536):x}", f"fd00::{r.randrange(1, 256):x}") if v6 else
                (f"10.{r.randrange(4)}.{r.randrange(256)}.{r.randrange(256)}", f"192.0.2.{r.randrange(256)}"))
        lines.append(f"5 123456789012 eni-{i % 9:017x} {a} {b} {r.randrange(65536)} {r.choice([22, 53, 443, 8080])} {r.choice([1, 6, 17])} "
                     f"{r.randrange(1, 1000)} {r.randrange(40, 10**12)} {start} {start + r.randrange(60)} {r.choice(['ACCEPT', 'REJECT'])} OK "
                     f"{r.choice(['-', '2', '19'])} {r.choice(['-', a])} {r.choice(['ingress', 'egress'])}")
    return lines


def text_of(lines, names=NAMES):
    return " ".join(names) + "\n" + "".join(line + "\n" for line in lines)


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture
def rows(flowlog):
    """rows(SOURCE...) -> sorted records, as a header line's names and values."""
    def run(*sources, names=NAMES, check=True, **kw):
        done = flowlog("convert", "--single", "-o", "text", *sources, "-", check=check, **kw)
        head, *lines = done.stdout.splitlines()
        have = head.split()
        index = [have.index(n) for n in names]
        return sorted(" ".join(line.split()[i] for i in index) for line in lines), done
    return run


@pytest.fixture
def bucket(tmp_path):
    fake = Fake()
    fake.env = {**os.environ, "HOME": str(tmp_path / "home"), "AWS_ENDPOINT_URL": fake.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_EC2_METADATA_DISABLED": "true"}
    (tmp_path / "home").mkdir()
    yield fake
    fake.close()


def test_kinds_and_mixtures(flowlog, rows, bucket, tmp_path):
    lines = records(5000)
    text = text_of(lines).encode()
    part = [text_of(lines[i::5]).encode() for i in range(5)]
    (tmp_path / "a").mkdir()
    files = {"plain": text, "gz": gzip.compress(text), "zst.log.gz": zstd(text), "joined.gz": b"".join(map(gzip.compress, part))}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    flowlog("convert", "--single", "-o", "parquet", tmp_path / "plain", tmp_path / "parquet")
    (tmp_path / "a/0.log").write_bytes(part[0])
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/1.txt").write_bytes(zstd(part[1]))
    (tmp_path / "a/b/c/2.gz").write_bytes(gzip.compress(part[2]))
    (tmp_path / "4.log").write_bytes(part[4])
    flowlog("convert", "--single", "-o", "parquet", tmp_path / "4.log", tmp_path / "a/b/4.log")  # a name says nothing
    bucket.reply = Bucket({"logs/AWSLogs/3.log.gz": gzip.compress(part[3]), "other/x.log": part[0]})
    want = sorted(lines)
    for name in [*files, "parquet"]:
        assert rows(tmp_path / name)[0] == want, name
        with open(tmp_path / name, "rb") as f:
            assert rows("-", stdin=f)[0] == want, name
        cat = subprocess.Popen(["cat", tmp_path / name], stdout=subprocess.PIPE)
        assert rows("-", stdin=cat.stdout)[0] == want, f"{name} through a pipe"
        assert cat.wait() == 0
    # Text, gzip, zstd, Parquet and a bucket together; the directory named twice.
    assert rows(tmp_path / "a", tmp_path / "a/b", "s3://b/logs/", env=bucket.env)[0] == want
    assert rows("s3://b/other", env=bucket.env)[0] == sorted(lines[0::5])
    # Ready questions over them.
    answers = {flowlog("top", "--of", "talkers", "--all", "-o", "csv", *s, env=bucket.env).stdout
               for s in ([tmp_path / "plain"], [tmp_path / "parquet"], [tmp_path / "a", "s3://b/logs/"], [tmp_path / "joined.gz", "--threads", "1"])}
    assert len(answers) == 1 and len(answers.pop().splitlines()) > 100


def test_a_capture_is_what_meter_writes(flowlog, rows, corpus):
    captures = sorted(p for p in (corpus / "pcap").rglob("*") if p.is_file() and p.read_bytes()[:4] in
                      (b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\xa1\xb2\xc3\xd4") and p.stat().st_size < 200000)[:12]
    assert len(captures) == 12
    some = 0
    for path in captures:
        metered = flowlog("meter", "--format", "v5-all", path, check=False)
        head, *lines = metered.stdout.splitlines()
        got, done = rows(path, names=head.split(), check=False)
        assert got == sorted(lines), path
        assert (done.returncode == 0) == (metered.returncode == 0), path
        with open(path, "rb") as f:
            assert rows("-", names=head.split(), stdin=subprocess.Popen(["gzip"], stdin=f, stdout=subprocess.PIPE).stdout, check=False)[0] == sorted(lines)
        some += len(lines)
    assert some > 50


def test_a_store_and_its_files(flowlog, rows, tmp_path):
    names = "version interface-id srcaddr dstaddr srcport dstport packets bytes start end action log-status".split()
    subprocess.run([MAKE_STORE, tmp_path / "data", "window", "0", "window", "1", "deliver", "window", "2"], check=True)
    want, _ = rows(tmp_path / "data", names=names)
    assert len(want) == 3 * 2 * 5
    # The delivered files are among them: named beside the store they add nothing.
    assert rows(tmp_path / "data", tmp_path / "data/s3", names=names)[0] == want
    # A state directory among other files is read as what it is.
    (tmp_path / "more").mkdir()
    (tmp_path / "more/x.log").write_text("version srcaddr\n2 10.9.9.9\n")
    os.symlink(tmp_path / "data", tmp_path / "more/host-1")
    got, _ = rows(tmp_path / "more", names=names)
    assert len(got) == len(want) + 1 and set(want) < set(got)
    delivered, _ = rows(tmp_path / "data/s3", names=names)
    assert len(delivered) == 2 * 2 * 5 and set(delivered) < set(want)


def test_faults_are_told_and_hide_nothing(flowlog, rows, tmp_path):
    lines = records(3000)
    data = gzip.compress(text_of(lines).encode())
    d = tmp_path / "d"
    d.mkdir()
    (d / "cut.gz").write_bytes(data[: len(data) // 2])
    (d / "binary").write_bytes(bytes(range(256)))
    (d / "notes").write_text("not a flow log\n")
    (d / "cut.parquet").write_bytes(b"PAR1" + bytes(100))
    (d / "good.log").write_text("srcaddr bytes\n10.0.0.1 1\n10.0.0.2\n10.0.0.3 x\n")
    got, done = rows(d, names=["srcaddr", "bytes"], check=False)
    assert done.returncode == 1
    for name in ["cut.gz", "binary", "notes", "cut.parquet", "good.log:3", "good.log:4"]:
        assert f"{name}: " in done.stderr, done.stderr
    assert "10.0.0.1 1" in got and "10.0.0.3 -" in got and 500 < len(got) < 3000
    for name in ["binary", "notes", "cut.parquet", "none"]:
        done = flowlog("top", "--of", "talkers", d / name, check=False)
        assert done.returncode == 1 and name in done.stderr


def test_a_file_that_somebody_writes(flowlog, rows, tmp_path):
    """Asked again and again while it grows, in pieces that are no lines: whole lines count, and half a one is no fault."""
    lines = records(4000)
    data = text_of(lines).encode()
    path = tmp_path / "a.log"
    path.write_bytes(data[:len(text_of([]))])
    stop = threading.Event()

    def write():
        r = random.Random(3)
        at = len(text_of([]))
        with open(path, "ab", buffering=0) as f:
            while at < len(data) and not stop.is_set():
                n = r.randrange(1, 400)
                # Nobody can tell half a last value from a whole one when a slow machine lets this thread wait.
                n = max(n, data.find(b"\n", at + n) + 1 - at) if data.find(b"\n", at + n, at + n + 12) >= 0 else n
                f.write(data[at:at + n])
                at += n
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = []
        while writer.is_alive() or not seen or seen[-1] < len(lines):
            before = path.read_bytes().count(b"\n") - 1
            got, done = rows(path)
            after = path.read_bytes().count(b"\n")
            assert done.returncode == 0 and "no record" not in done.stderr and "none of the field" not in done.stderr, done.stderr
            assert before <= len(got) <= after and set(got) <= set(lines)
            seen.append(len(got))
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 3 and rows(path)[0] == sorted(lines)
    # Cut short long ago: then it is one.
    path.write_bytes(data[:-60])
    os.utime(path, (BEGIN, BEGIN))
    got, done = rows(path)
    assert len(got) == len(lines) - 1 and "a.log:4001: " in done.stderr and "1 line is no record of its file's format" in done.stderr
    # With all that it has but a newline it is whole.
    path.write_bytes(data[:-1])
    got, done = rows(path)
    assert got == sorted(lines) and not done.stderr


# From a process that is small itself: a child's peak is at least what its parent had when it was made.
PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@pytest.mark.parametrize("pack", ["plain", "gzip", "zstd"])
def test_a_line_without_end_takes_no_memory(flowlog, tmp_path, pack):
    """Half a gigabyte of one line, in a file of a few kilobytes where it is packed: told, and what stands around it counts."""
    path, size = tmp_path / "a.log", 1 << 29
    head, tail = b"srcaddr bytes\n10.0.0.1 1\n", b"\n10.0.0.2 2\n"
    if pack == "plain":
        with open(path, "wb") as f:
            f.write(head)
            f.truncate(size)
            f.seek(0, 2)
            f.write(tail)
    else:
        packer = subprocess.Popen(["gzip", "-1"] if pack == "gzip" else ["zstd", "-q", "-1"], stdin=subprocess.PIPE, stdout=open(path, "wb"))
        packer.stdin.write(head)
        for _ in range(size >> 24):
            packer.stdin.write(b"x" * (1 << 24))
        packer.stdin.write(tail)
        packer.stdin.close()
        assert packer.wait() == 0 and path.stat().st_size < size / 100
    done = sh(sys.executable, "-c", PEAK, flowlog.path, "top", "-o", "csv", path)
    *out, peak = done.stdout.splitlines()
    err = done.stderr
    assert out[1:] == ["10.0.0.2,2,0,1", "10.0.0.1,1,0,1"], err
    assert "longer than a record can be" in err and "1 line is no record" in err
    assert int(peak) < 256 << 10  # KiB; with the sanitizers


def test_what_may_not_be_read_is_told(flowlog, tmp_path):
    if os.geteuid():
        pytest.skip("needs root")
    (tmp_path / "d/closed").mkdir(parents=True)
    (tmp_path / "d/a.log").write_text("srcaddr bytes\n10.0.0.1 1\n")
    (tmp_path / "d/b.log").write_text("srcaddr bytes\n10.0.0.2 1\n")
    for p, mode in [(tmp_path / "d/b.log", 0), (tmp_path / "d/closed", 0), (tmp_path, 0o755), (tmp_path / "d", 0o755)]:
        p.chmod(mode)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o5 != 0o5 and str(parent).startswith("/tmp/pytest"):
            parent.chmod(parent.stat().st_mode | 0o5)
    done = subprocess.run([PROGRAM, "top", "--of", "talkers", "-o", "csv", tmp_path / "d"], user=65534, group=65534, extra_groups=[], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "10.0.0.1" in done.stdout and "10.0.0.2" not in done.stdout
    assert "b.log: Permission denied" in done.stderr and "closed/: Permission denied" in done.stderr


def test_an_interrupt_ends_at_once(flowlog):
    """Somebody waits for a pipe that never says anything."""
    reader, writer = os.pipe()
    with subprocess.Popen([PROGRAM, "top", "--of", "talkers", "-"], stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        os.write(writer, b"srcaddr bytes\n10.0.0.1 1\n")
        catches(p)
        begin = time.monotonic()
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
        assert time.monotonic() - begin < patience(10) and "stopped" in err and p.returncode != 0
    os.close(reader)
    os.close(writer)


def test_only_the_days_that_are_asked_for(flowlog, bucket, tmp_path):
    """Neither listed nor fetched: what the layout says is of another time."""
    objects = {}
    for month in range(1, 13):
        for day in (1, 15):
            key = (f"AWSLogs/123456789012/vpcflowlogs/eu-central-1/2025/{month:02}/{day:02}/"
                   f"123456789012_vpcflowlogs_eu-central-1_fl-0123456789abcdef0_2025{month:02}{day:02}T1200Z_{month:08x}.log.gz")
            at = calendar.timegm((2025, month, day, 12, 0, 0))
            objects[key] = gzip.compress(f"srcaddr bytes start end\n10.0.{month}.{day} 1 {at} {at + 59}\n".encode())
    bucket.reply = Bucket(objects)
    done = flowlog("top", "--of", "talkers", "-o", "csv", "--since", "2025-06-15T00:00:00Z", "--until", "2025-06-16T00:00:00Z", "s3://b/", env=bucket.env)
    assert done.stdout.splitlines()[1].startswith("10.0.6.15,") and len(done.stdout.splitlines()) == 2

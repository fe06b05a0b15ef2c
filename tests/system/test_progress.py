# SPDX-License-Identifier: Apache-2.0
"""The line that tells how far a command is: on a terminal, there alone, and gone when the command ends."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM
from s3_servers import KEY, SECRET, Bucket, Fake, Reply

HEAD = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
ROW = "2 123456789012 eni-0a1b2c3d4e5f60718 10.0.0.1 10.0.0.2 50000 443 6 5 1000 1795132800 1795132860 ACCEPT OK\n"
DRAWN = re.compile(r"\r\x1b\[K([^\r\n]+)")
HOW_FAR = r"[\d.]+ k?B of [\d.]+ MB, \d files?, [\d.]+ k?B/s, \d+ s left"
COMMANDS = {"top": ["top", "--of", "talkers", "--threads", "1"], "convert": ["convert", "--single", "-o", "text"], "query": ["query", "--threads", "1", "SELECT count(*) FROM flows"]}


class Terminal:
    """The program with standard error on a terminal of its own, standard input a pipe, and standard output a file."""

    def __init__(self, args, out, env=None):
        reader, self.stdin = os.pipe()
        self.said = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.dup2(reader, 0)
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o644), 1)
            os.close(self.stdin)
            os.execve(PROGRAM, [str(PROGRAM), *map(str, args)], env or os.environ)
        os.close(reader)

    def hear(self, seconds):
        """What it says within this time, or to its end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    got = os.read(self.fd, 65536)
                except OSError:
                    return False
                self.said += got.decode()
        return True

    def until(self, pattern):
        end = time.monotonic() + 60
        while not re.search(pattern, self.said):
            assert time.monotonic() < end and self.hear(0.1), self.said
        return self.said

    def end(self):
        while self.hear(1):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


@pytest.fixture
def sources(tmp_path):
    """A pipe, and a file behind it whose size is known."""
    (tmp_path / "big.log").write_text(HEAD + ROW * 30000)
    return ["-", tmp_path / "big.log"]


def feed(t):
    os.write(t.stdin, (HEAD + ROW * 5).encode())
    for _ in range(100):
        os.write(t.stdin, ROW.encode() * 5)
        if t.hear(0.1) is False or DRAWN.search(t.said):
            return


@pytest.mark.parametrize("command", ["top", "convert"])
def test_drawn_and_gone(sources, tmp_path, command):
    t = Terminal([*COMMANDS[command], *sources, *(["-"] if command == "convert" else [])], tmp_path / "out")
    feed(t)
    t.until(HOW_FAR)
    os.close(t.stdin)
    assert t.end() == 0
    drawn = DRAWN.findall(t.said)
    assert all(re.fullmatch((r"[\d.]+ ?k? records; " if command == "convert" else "") + r"[\d.]+ [kM]?B.*/s.*", d) for d in drawn if "records in" not in d), drawn
    # The line is cleared, and then what is said stands on lines of its own.
    rest = t.said[t.said.rindex("\r\x1b[K") + 4:]
    assert re.fullmatch(r"[\d.]+ ?k? records in 1 file, [\d.]+ MB\r\n", rest) if command == "convert" else rest == ""
    assert "\x1b" not in (tmp_path / "out").read_text() and "10.0.0.1" in (tmp_path / "out").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_on_a_terminal(sources, tmp_path, command):
    """As typed: at once, status 130, the line cleared, a sentence, nothing answered."""
    if command == "query" and "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")
    t = Terminal([*COMMANDS[command], *sources, *(["-"] if command == "convert" else [])], tmp_path / "out")
    feed(t)
    t.until(HOW_FAR)
    began = time.monotonic()
    os.write(t.fd, b"\x03")
    status = t.end()
    assert status == 130 and time.monotonic() - began < 3, t.said
    os.close(t.stdin)
    # The terminal itself shows ^C.
    rest = t.said[t.said.rindex("\r\x1b[K") + 4:]
    assert re.fullmatch(rf"flowlog {command}: [^\r\n]+\r\n(flowlog {command}: [^\r\n]+\r\n)?", rest), t.said
    assert "stopped" in rest or "interrupted" in rest
    assert command == "convert" or (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize("command", ["top", "convert"])
def test_nothing_where_there_is_no_terminal(sources, tmp_path, command):
    with subprocess.Popen([PROGRAM, *COMMANDS[command], *map(str, sources), *(["-"] if command == "convert" else [])], stdin=subprocess.PIPE,
                          stdout=open(tmp_path / "out", "w"), stderr=subprocess.PIPE) as p:
        p.stdin.write((HEAD + ROW * 5).encode())
        for _ in range(12):
            p.stdin.write(ROW.encode() * 5)
            p.stdin.flush()
            time.sleep(0.1)
        p.stdin.close()
        said = p.stderr.read()
        assert p.wait(30) == 0 and said == b""


def test_an_object_on_its_way_is_progress(tmp_path):
    """Bytes count as they arrive: one slow object is not silence."""
    data = (HEAD + ROW * 20000).encode()
    fake, bucket = Fake(), Bucket({"a.log": data})

    def slowly(q):
        reply = bucket(q)
        if "list-type" not in q.query and len(reply.body) > 500000:
            reply.pause, reply.at = 3, len(reply.body) // 2
        return reply
    fake.reply = slowly
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true",
           "AWS_ENDPOINT_URL": fake.url, "XDG_CACHE_HOME": str(tmp_path / "cache"), **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
    try:
        t = Terminal([*COMMANDS["top"], "s3://b/"], tmp_path / "out", env)
        os.close(t.stdin)
        assert t.end() == 0
    finally:
        fake.close()
    assert re.search(r"[\d.]+ [kM]?B of 2\.1 MB", t.said), t.said
    assert "10.0.0.1" in (tmp_path / "out").read_text()

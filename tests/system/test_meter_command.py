# SPDX-License-Identifier: Apache-2.0
"""flowlog meter's manners: inputs, refusals, faults, ends of pipes."""
import gzip
import json
import os
import pty
import shutil
import struct
import subprocess
import time

import pytest

from conftest import ROOT

SESSION = ROOT / "tests/golden/session/in.pcap"
FORMAT = ("--format", "${srcaddr} ${srcport} ${packets} ${bytes} ${start}")


def records(text):
    return sorted(text.splitlines()[1:])


def test_one_capture_in_every_wrapping(flowlog, tmp_path):
    data = SESSION.read_bytes()
    want = records(flowlog("meter", *FORMAT, SESSION).stdout)
    assert len(want) == 4
    (tmp_path / "a.gz").write_bytes(gzip.compress(data[:200]) + gzip.compress(data[200:]))
    assert records(flowlog("meter", *FORMAT, tmp_path / "a.gz").stdout) == want
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", str(SESSION), "-o", str(tmp_path / "a.zst")], check=True)
        assert records(flowlog("meter", *FORMAT, tmp_path / "a.zst").stdout) == want
    for source in ("-", "/dev/stdin"):
        done = subprocess.run([flowlog.path, "meter", *FORMAT, source], input=data, stdout=subprocess.PIPE, check=True)
        assert records(done.stdout.decode()) == want
    with open(SESSION, "rb") as f:  # standard input that is a file, at its beginning or behind it
        assert records(flowlog("meter", *FORMAT, "-", stdin=f).stdout) == want
    assert records(flowlog("meter", *FORMAT, "-r", SESSION).stdout) == want


def test_several_files_are_one_run(flowlog, tmp_path):
    ledger = tmp_path / "ledger.json"
    done = flowlog("meter", *FORMAT, "--ledger", ledger, SESSION, "-r", SESSION, SESSION)
    seen = json.loads(ledger.read_text())["seen"]
    assert seen["packets"] == 3 * 9
    assert done.stdout.count("srcaddr") == 1
    assert sum(int(r.split()[2]) for r in records(done.stdout)) == 27


def test_a_cut_capture_gives_its_records_then_the_offset(flowlog, tmp_path):
    data = SESSION.read_bytes()
    cut = tmp_path / "cut.pcap"
    # Where each record begins: the offset that the sentence must name.
    starts, at = [], 24
    while at < len(data):
        starts.append(at)
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    for n in range(24, len(data), 7):
        cut.write_bytes(data[:n])
        ledger = tmp_path / "ledger.json"
        done = flowlog("meter", *FORMAT, "--ledger", ledger, cut, check=False)
        whole = sum(1 for s in starts[1:] + [len(data)] if s <= n)
        assert json.loads(ledger.read_text())["seen"]["packets"] == whole
        assert sum(int(r.split()[2]) for r in records(done.stdout)) == whole
        if n in starts:
            assert done.returncode == 0 and not done.stderr
        else:
            assert done.returncode == 1
            assert f"at offset {max(s for s in starts if s <= n)}" in done.stderr, done.stderr


def test_a_damaged_file_does_not_stop_the_next(flowlog, tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(SESSION.read_bytes()[:-3])
    done = flowlog("meter", *FORMAT, cut, SESSION, check=False)
    assert done.returncode == 1 and "cut.pcap" in done.stderr
    assert sum(int(r.split()[2]) for r in records(done.stdout)) == 8 + 9


def test_damaged_compression(flowlog, tmp_path):
    packed = gzip.compress(SESSION.read_bytes())
    (tmp_path / "cut.gz").write_bytes(packed[:-40])
    done = flowlog("meter", tmp_path / "cut.gz", check=False)
    assert done.returncode == 1 and "compressed data ends in the middle" in done.stderr


@pytest.mark.parametrize("args, says", [
    (("--interval", "0"), "a window is 1 to 16777 whole seconds long"),
    (("--interval", "16778"), "a window is 1 to 16777 whole seconds long"),
    (("--interval", "x"), "interval"),
    (("--format", "${scraddr}"), "unknown field scraddr; the nearest is srcaddr"),
    (("--format", "${srcaddr} "), "trailing space"),
    (("--local", "10.0.0.0/99"), "10.0.0.0/99"),
    (("--format", "srcaddr"), "or one of default, v5-all, v7-all, v8-all, v11-all"),
    (("--interval", "1500ms"), "--interval: a window is 1 to 16777 whole seconds"),
    (("--interval", "5h"), "--interval: a window is 1 to 16777 whole seconds"),
    (("--exclusions", "dhpc"), '"dhpc" is no rule'),
    (("-o", "xml"), "text|json|csv"),
    (("--frmat", "x"), "did you mean --format"),
])
def test_refusals_are_usage_errors_with_a_sentence(flowlog, args, says):
    done = flowlog("meter", *args, SESSION, check=False)
    assert done.returncode == 2 and says in done.stderr and not done.stdout


def test_a_format_that_elastic_would_misread_is_taken_with_a_warning(flowlog, tmp_path):
    default = ["version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes",
               "start", "end", "action", "log-status"]
    text = " ".join(f"${{{name}}}" for name in [*default[:12], default[13], default[12]])
    done = flowlog("meter", "--format", text, SESSION)
    assert len(records(done.stdout)) == 4 and "flowlog: format: Elastic takes a record with this number of fields" in done.stderr
    assert not flowlog("meter", SESSION).stderr
    conf = tmp_path / "c.yaml"
    conf.write_text(f"flow_logs:\n  - id: fl-0123456789abcdef0\n    destination: arn:aws:s3:::flows\n    format: {text}\n")
    checked = flowlog("run", "--check-config", "-c", conf, check=False)
    if "unknown command" not in checked.stderr:
        assert checked.returncode == 0 and "flow log fl-0123456789abcdef0: format: Elastic takes" in checked.stderr


def test_the_longest_interval_is_taken(flowlog):
    assert flowlog("meter", "--interval", "16777", SESSION).stdout
    ten, same = (flowlog("meter", "--interval", text, SESSION).stdout for text in ("10m", "600"))
    assert ten == same


def test_a_capture_gives_the_same_bytes_again(flowlog, tmp_path):
    """Flows of a window are in the order in which they came, however often the table has grown since: hashes are seeded anew each run."""
    frames = []
    for i in range(12000):
        n = i * 7919 % 10007  # in no order of its own, and some come again
        ip = struct.pack("!BBHHHBBHI4s", 0x45, 0, 28, 0, 0, 64, 17, 0, 0x0A000000 + n, b"\x0a\x01\0\1")
        frame = bytes(12) + b"\x08\0" + ip + struct.pack("!HHHH", n, 53, 8, 0)
        frames.append(struct.pack("<IIII", 1760000000 + i // 4000 * 60, i % 4000, len(frame), len(frame)) + frame)
    path = tmp_path / "many.pcap"
    path.write_bytes(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(frames))
    runs = [flowlog("meter", "--format", "${srcport} ${packets} ${start}", path).stdout for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    want = [i * 7919 % 10007 for i in range(12000)]
    assert [int(line.split()[0]) for line in runs[0].splitlines()[1:]] == want
    converted = [flowlog("convert", "--single", "-o", "csv", path, "-").stdout for _ in range(2)]
    assert converted[0] == converted[1] and len(converted[0].splitlines()) == 1 + 12000


@pytest.mark.parametrize("path, says", [("/nonexistent.pcap", "No such file"), ("/dev/null", "empty"), (__file__, "not a capture file"), ("/", "directory")])
def test_what_is_no_capture(flowlog, path, says):
    done = flowlog("meter", path, check=False)
    assert done.returncode == 1 and path in done.stderr and says in done.stderr


def test_no_file_is_a_usage_error(flowlog):
    assert flowlog("meter", check=False).returncode == 2


def test_a_reader_that_leaves_is_met_in_silence(flowlog, tmp_path):
    big = tmp_path / "big.pcap"
    data = SESSION.read_bytes()
    header, body = data[:24], bytearray(data[24:])
    with open(big, "wb") as f:
        f.write(header)
        for i in range(60000):  # more records than a pipe holds
            struct.pack_into("<H", body, 16 + 34, i)
            f.write(body)
    for ignore in ("", "trap '' PIPE; "):
        done = subprocess.run(["bash", "-c", f"{ignore}\"$0\" meter \"$1\" | head -n 1", flowlog.path, str(big)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.stdout.startswith("version ") and not done.stderr


def test_a_full_disk_is_named(flowlog):
    with open("/dev/full", "w") as full:
        done = subprocess.run([flowlog.path, "meter", str(SESSION)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "standard output: No space left" in done.stderr


def test_memory_limit_is_counted_not_hidden(flowlog, tmp_path):
    ledger = tmp_path / "ledger.json"
    done = flowlog("meter", "--memory", "4K", "--ledger", ledger, SESSION)
    l = json.loads(ledger.read_text())
    lines = [dict(zip(done.stdout.splitlines()[0].split(), line.split())) for line in done.stdout.splitlines()[1:]]
    skip = [r for r in lines if r["log-status"] == "SKIPDATA"]
    assert skip and all(r["srcaddr"] == r["packets"] == "-" and int(r["end"]) - int(r["start"]) == 59 for r in skip)
    assert f"{l['lost']['packets']} packets did not fit into 4.1 kB of memory" in done.stderr
    assert l["lost"]["causes"]["table-full"]["packets"] == l["lost"]["packets"] > 0
    assert l["seen"]["packets"] == l["recorded"]["packets"] + l["lost"]["packets"] == 9


def test_the_ledger_never_replaces_what_is_no_file(flowlog, tmp_path):
    """Renaming a new file over /dev/null would be a bad day for the machine."""
    want = flowlog("meter", "--ledger", tmp_path / "plain", SESSION).stdout
    ledger = (tmp_path / "plain").read_text()
    link, fifo = tmp_path / "link", tmp_path / "fifo"
    (tmp_path / "target").write_text("x" * 5000)
    link.symlink_to("target")
    flowlog("meter", "--ledger", link, SESSION)
    assert link.is_symlink() and (tmp_path / "target").read_text() == ledger
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True)
    flowlog("meter", "--ledger", fifo, SESSION)
    assert reader.communicate(timeout=10)[0] == ledger and fifo.is_fifo()
    got = flowlog("meter", "--ledger", "-", SESSION).stdout.splitlines()
    assert got[-1] == ledger.strip() and sorted(got[:-1]) == sorted(want.splitlines())


def test_a_file_that_shrinks_while_it_is_read(flowlog, tmp_path):
    """The reader maps files; one that is cut meanwhile must be a fault with a sentence, not a signal."""
    data = SESSION.read_bytes()
    big = tmp_path / "big.pcap"
    with open(big, "wb") as f:
        f.write(data[:24])
        for _ in range(150):
            f.write(data[24:] * 1000)
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    child = subprocess.Popen([flowlog.path, "meter", str(big)], stdout=out, stderr=subprocess.PIPE, text=True)
    time.sleep(0.05)
    os.truncate(big, 4096)
    err = child.communicate(timeout=60)[1]
    os.close(out)
    assert child.returncode in (0, 1), err
    if child.returncode:
        assert "big.pcap" in err


def test_the_terminal_is_told_about_verdicts(flowlog):
    main, side = pty.openpty()
    subprocess.run([flowlog.path, "meter", str(SESSION)], stdout=subprocess.DEVNULL, stderr=side, check=True)
    os.close(side)
    assert b"holds no verdicts" in os.read(main, 4096)
    os.close(main)
    assert not flowlog("meter", SESSION).stderr


def merged(text):
    """Records summed per tuple as a longer interval would: counts added, flags OR-ed, the earliest start and the latest end."""
    flows = {}
    for line in text.splitlines()[1:]:
        *key, packets, size, start, end, flags = line.split()
        old = flows.get(tuple(key), (0, 0, 1 << 62, 0, 0))
        flows[tuple(key)] = (old[0] + int(packets), old[1] + int(size), min(old[2], int(start)), max(old[3], int(end)), old[4] | int(flags))
    return flows


@pytest.mark.parametrize("interval", ["1", "60"])
def test_ten_minutes_are_the_merge_of_their_parts(flowlog, corpus, interval):
    fields = ("--format", "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${tcp-flags}")
    compared = 0
    for path in sorted((corpus / "pcap/ndpi").glob("*.pcap"))[::4]:
        # The parts of each long window are merged apart from the next one's.
        whole = flowlog("meter", *fields, "--interval", "600", path).stdout.splitlines()
        parts = flowlog("meter", *fields, "--interval", interval, path).stdout.splitlines()
        for window in {int(line.split()[7]) // 600 for line in whole[1:]}:
            pick = [[t[0]] + [l for l in t[1:] if int(l.split()[7]) // 600 == window] for t in (whole, parts)]
            assert merged("\n".join(pick[0])) == merged("\n".join(pick[1])), path
            compared += 1
    assert compared > 40

# SPDX-License-Identifier: Apache-2.0
"""What tshark counts in a capture: frames with an IP packet, and the bytes of the outermost one.

The table tshark_counts.tsv keeps what tshark said about the corpus, by the file's SHA-256: 1,450 starts of tshark take ten minutes.
The corpus test asks tshark again for a sample and for every file that is not in the table; run this file to write it anew:

    /usr/bin/python3 tests/system/tshark_counts.py CORPUS > tests/system/tshark_counts.tsv
"""
import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys

TABLE = pathlib.Path(__file__).with_name("tshark_counts.tsv")
FOLDERS = ("pcap", "malformed")
# Every fragment counts by itself, so nothing may be put together. Two passes, names and the user's settings are not wanted.
OPTIONS = ["-n", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields",
           "-E", "separator=/t", "-E", "occurrence=f", "-e", "frame.number", "-e", "frame.protocols", "-e", "ip.len", "-e", "ipv6.plen",
           "-e", "ipv6.opt.jumbo"]


def captures(corpus):
    """Every capture of the two folders; what stands beside them (expected output, labels) is not one."""
    magic = {b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a"}
    for folder in FOLDERS:
        for path in sorted((corpus / folder).rglob("*")):
            if not path.is_file():
                continue
            with open(path, "rb") as f:
                head = f.read(4)
            if head in magic or (path.suffix in (".gz", ".zst", ".xz", ".lz4") and ".pcap" in path.name) or path.suffix in (
                    ".pcap", ".cap", ".pcapng", ".trace", ".dmp", ".snoop"):
                yield path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames(path):
    """(frame number, bytes of the outermost IP packet or None) for every frame."""
    env = {**os.environ, "WIRESHARK_CONFIG_DIR": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
    done = subprocess.run(["tshark", "-r", str(path), *OPTIONS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=300)
    if b"aren't valid" in done.stderr or b"isn't valid" in done.stderr:
        raise RuntimeError(done.stderr.decode("utf-8", "replace"))
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        columns = line.split("\t")
        if len(columns) < 5 or not columns[0].isdigit():
            continue
        number, protocols, v4, v6, jumbo = columns[:5]
        first = next((p for p in protocols.split(":") if p in ("ip", "ipv6")), None)
        if first == "ip" and v4:
            yield int(number), int(v4), protocols
        elif first == "ipv6" and v6:
            yield int(number), int(jumbo or v6) + 40, protocols
        else:
            yield int(number), None, protocols


def count(path):
    sizes = [size for _, size, _ in frames(path) if size is not None]
    return len(sizes), sum(sizes)


def count_all(paths, workers=None):
    with concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return dict(zip(paths, pool.map(count, paths)))


def table():
    """sha256 -> (packets, bytes)."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {row[1]: (int(row[2]), int(row[3])) for row in rows}


def main():
    corpus = pathlib.Path(sys.argv[1])
    paths = list(captures(corpus))
    version = subprocess.run(["tshark", "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]
    print(f"# {version}, defragmentation off: capture, SHA-256, frames with an IP packet, bytes of the outermost IP packets")
    for path, (packets, size) in count_all(paths).items():
        print(path.relative_to(corpus), sha256(path), packets, size, sep="\t")


if __name__ == "__main__":
    main()

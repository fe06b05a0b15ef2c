#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A year in AWS's layout, 100,000 small files: listing, and a question about one hour, beside find(1) as the floor.

usage: layout.py FLOWLOG [DIR]   (DIR keeps the files for another run; without it they are made in TMPDIR and removed)
"""
import datetime
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

FILES = 100_000
HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
BEGIN = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)


def make(root):
    """Every slot of five minutes has a file, ten records in each."""
    for i in range(FILES):
        at = BEGIN + datetime.timedelta(minutes=5 * i)
        day = root / f"AWSLogs/123456789012/vpcflowlogs/eu-central-1/{at:%Y/%m/%d}"
        if at.hour == at.minute == 0:
            day.mkdir(parents=True)
        start = int(at.timestamp())
        lines = "".join(
            f"2 123456789012 eni-0123456789abcdef0 10.0.{i % 256}.{k} 10.1.0.1 {40000 + k} 443 6 10 {1000 + i} {start} {start + 59} ACCEPT OK\n"
            for k in range(10))
        name = f"123456789012_vpcflowlogs_eu-central-1_fl-0123456789abcdef0_{at:%Y%m%dT%H%M}Z_{i:08x}.log.gz"
        (day / name).write_bytes(gzip.compress((HEADER + lines).encode(), 1))


def best(what, command, rounds=5, **kw):
    times = []
    for _ in range(rounds):
        begin = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
        times.append(time.monotonic() - begin)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
    print(f"{what:58} {min(times):8.3f} s   (median {sorted(times)[rounds // 2]:.3f})")
    return done.stdout


def main():
    flowlog = sys.argv[1]
    kept = len(sys.argv) > 2
    root = pathlib.Path(sys.argv[2] if kept else tempfile.mkdtemp(prefix="layout-"))
    try:
        if not (root / "aws").is_dir():
            make(root / "aws")
        if not (root / "plain").is_dir():
            subprocess.run(["cp", "-al", root / "aws/AWSLogs/123456789012/vpcflowlogs/eu-central-1", root / "plain"], check=True)
        hour = ["--since", "2025-06-15T12:00:00Z", "--until", "2025-06-15T13:00:00Z"]
        for threads in ["1", "2"]:
            args = [flowlog, "top", "--of", "talkers", "-o", "csv", "--threads", threads]
            best(f"one hour of the layout, {threads} thread(s)", [*args, *hour, root / "aws"])
            # Directories that say nothing of time: every name is listed, and no file outside the hour is looked at.
            best(f"one hour by names alone, {threads} thread(s)", [*args, *hour, root / "plain"])
            best(f"the last hour, from the newest record, {threads} thread(s)", [*args, "--since", "1h", root / "aws"])
            best(f"the whole year, {threads} thread(s)", [*args, root / "aws"], rounds=3)
        best("find -type f (names alone)", ["find", str(root / "aws"), "-type", "f"])
        best("find -size +0 (with stat)", ["find", str(root / "aws"), "-type", "f", "-size", "+0"])
        best("flowlog fields (starting the program)", [flowlog, "fields"])
    finally:
        if not kept:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()

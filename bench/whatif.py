#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records a second of `flowlog whatif`, and of `flowlog suggest`, over a log of the version 5 fields, plain and gzipped.

    bench/whatif.py build/src/daemon/flowlog [MILLIONS]
"""
import gzip
import pathlib
import random
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from aws_inventory import World, permission  # noqa: E402

HEADER = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags flow-direction "
          "pkt-srcaddr pkt-dstaddr\n")


def lines(n, r):
    at = {"10.0.1.5": "eni-0web01", "10.0.2.5": "eni-0app02", "10.0.2.6": "eni-0app03", "10.0.3.5": "eni-0db04"}
    pairs = [("10.0.1.5", "10.0.2.5", 8080), ("10.0.2.5", "10.0.3.5", 5432), ("10.0.2.6", "10.0.3.5", 5432)]
    for i in range(n // 2):
        src, dst, port = r.choice(pairs) if r.random() < .5 else (f"203.0.{r.randrange(64)}.{r.randrange(256)}", "10.0.1.5", 443)
        eni, sport, t = at[dst], r.randrange(32768, 61000), 1700000000 + i // 1000
        tail = f"ACCEPT OK {{}} {{}} {src} {dst}"
        yield f"5 111122223333 {eni} {src} {dst} {sport} {port} 6 10 5000 {t} {t + 50} {tail.format(2, 'ingress')}\n"
        yield f"5 111122223333 {eni} {dst} {src} {port} {sport} 6 10 5000 {t} {t + 50} ACCEPT OK 18 egress {dst} {src}\n"


def measure(program, *args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([program, *map(str, args)], check=True, stdout=subprocess.PIPE).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def main():
    program, n = sys.argv[1], int(float(sys.argv[2] if len(sys.argv) > 2 else 2) * 1e6)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        aws, w, logs = World().write(tmp / "aws"), World(), tmp / "logs"
        w.find("sg-0db")["IpPermissions"] = [permission("tcp", (5432, 5432), "10.0.2.5/32")]
        new = tmp / "new.json"
        new.write_text(__import__("json").dumps({"SecurityGroups": [w.find("sg-0db")]}))
        logs.mkdir()
        text = HEADER + "".join(lines(n, random.Random(1)))
        (logs / "a.log").write_text(text)
        (tmp / "b.log.gz").write_bytes(gzip.compress(text.encode(), 1))
        for name, args in {"whatif, text": ("whatif", "--rules", new, "--inventory", aws, logs),
                           "whatif, gzip": ("whatif", "--rules", new, "--inventory", aws, tmp / "b.log.gz"),
                           "suggest, text": ("suggest", "--for", "sg-0web", "--inventory", aws, logs)}.items():
            best = min(measure(program, *args)[0] for _ in range(3))
            print(f"{name:14} {n / best / 1e6:6.2f} M records a CPU second ({best:.2f} s for {n / 1e6:.1f} M)")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flow logs as NetFlow v5 datagrams, so that nfdump can be asked what we are asked, on its own format. IPv4 records with traffic only.

    nfcapd -w DIR -p PORT -b 127.0.0.1 -t 3600 -B 8000000 -z &  bench/to_netflow.py PORT [ARCHIVE]; kill %1
    taskset -c 1 nfdump -R DIR -q -s srcip/bytes -n 10
    taskset -c 1 nfdump -R DIR -q -s srcip/flows -n 20 'proto tcp and dst port 22 and not flags S'       # REJECT is sent as flags 0
    taskset -c 1 nfdump -R DIR -q -o csv -t 2026/11/20.10:00:00-2026/11/20.11:00:00 'host 10.1.15.149'

Needs duckdb and numpy (pip). Prints how many records were sent; `nfdump -R DIR -I` says how many arrived."""
import glob
import socket
import sys
import time

import duckdb
import numpy as np

PORT, ARCHIVE = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "/tmp/flbench/v2"
ROWS = 30  # of one datagram
PAUSE_EVERY, PAUSE = 40, .0006  # datagrams, seconds: nothing is lost on the way
RECORD = np.dtype([("src", ">u4"), ("dst", ">u4"), ("hop", ">u4"), ("in", ">u2"), ("out", ">u2"), ("packets", ">u4"), ("bytes", ">u4"), ("first", ">u4"),
                   ("last", ">u4"), ("sport", ">u2"), ("dport", ">u2"), ("pad", "u1"), ("flags", "u1"), ("protocol", "u1"), ("tos", "u1"),
                   ("src_as", ">u2"), ("dst_as", ">u2"), ("masks", ">u4")])
UPTIME = 3600  # seconds, when the datagram is sent
SYN = 2


def address(column):
    return " + ".join(f"split_part({column}, '.', {i + 1})::UINTEGER * {256 ** (3 - i)}" for i in range(4))


def records(engine, path):
    rows = engine.execute(f"""SELECT {address('srcaddr')} AS src, {address('dstaddr')} AS dst, srcport::INT AS sport, dstport::INT AS dport,
        protocol::INT AS protocol, packets::BIGINT AS packets, bytes::BIGINT AS octets, start::BIGINT AS first, "end"::BIGINT AS last, action = 'REJECT' AS rejected
        FROM read_csv('{path}', delim=' ', header=true, nullstr='-', all_varchar=true) WHERE srcaddr NOT LIKE '%:%'""").fetchnumpy()
    out = np.zeros(len(rows["src"]), RECORD)
    boot = int(rows["first"].min()) - 60
    for name in ("src", "dst", "sport", "dport", "protocol"):
        out[name] = rows[name]
    for name, column in (("packets", "packets"), ("bytes", "octets")):
        out[name] = np.minimum(rows[column], 2 ** 32 - 1)
    for name in ("first", "last"):
        out[name] = (rows[name] - boot) * 1000
    out["flags"] = np.where(rows["rejected"], 0, SYN)
    return boot, out


def main():
    engine = duckdb.connect()
    engine.execute("SET threads=1")
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent = 0
    for path in sorted(glob.glob(f"{ARCHIVE}/**/*.log.gz", recursive=True)):
        boot, batch = records(engine, path)
        data = batch.tobytes()
        for number, at in enumerate(range(0, len(batch), ROWS)):
            n = min(ROWS, len(batch) - at)
            head = b"".join(v.to_bytes(w, "big") for v, w in ((5, 2), (n, 2), (UPTIME * 1000, 4), (boot + UPTIME, 4), (0, 4), (sent % 2 ** 32, 4), (0, 4)))
            to.sendto(head + data[RECORD.itemsize * at:RECORD.itemsize * (at + n)], ("127.0.0.1", PORT))
            sent += n
            if number % PAUSE_EVERY == 0:
                time.sleep(PAUSE)
    print(sent)


if __name__ == "__main__":
    main()

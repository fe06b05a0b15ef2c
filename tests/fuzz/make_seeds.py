# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets: small inputs of our own, one a shape. Crashers that were found stand beside them by name."""
import gzip
import pathlib
import struct

from scapy.all import (ARP, AH, Dot1AD, Dot1Q, Ether, GRE, ICMP, IP, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PPP, PPPoE,
                       SCTP, TCP, UDP, VXLAN, ICMPv6ND_NS, Raw)
from scapy.contrib.mpls import MPLS

HERE = pathlib.Path(__file__).parent / "seeds"
E, P4, P6 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")

FRAMES = {
    "tcp4": E / P4 / TCP(sport=50000, dport=80, flags="S"),
    "udp4": E / P4 / UDP(sport=50000, dport=53) / b"question",
    "icmp4": E / P4 / ICMP(),
    "options4": E / IP(src="10.0.0.1", dst="10.0.0.2", options=[b"\x94\x04\0\0"]) / UDP(sport=1, dport=2),
    "fragment4": E / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF", id=7) / UDP(sport=1, dport=2) / (b"x" * 24),
    "tcp6": E / P6 / TCP(sport=50000, dport=443, flags="SA"),
    "nd6": E / P6 / ICMPv6ND_NS(tgt="2001:db8::2"),
    "extensions6": E / P6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=9, m=1) / UDP(sport=1, dport=2) / b"12345678",
    "ah": E / P4 / AH(nh=6, payloadlen=4, icv=b"123456789012") / TCP(),
    "sctp": E / P4 / SCTP(sport=1, dport=2),
    "vlan": E / Dot1AD(vlan=1) / Dot1Q(vlan=2) / P4 / UDP(sport=1, dport=2),
    "mpls": E / MPLS(label=16, s=0) / MPLS(label=17, s=1) / P6 / UDP(sport=1, dport=2),
    "pppoe": E / PPPoE(sessionid=1) / PPP(proto=0x21) / P4 / UDP(sport=1, dport=2),
    "arp": E / ARP(),
    "gre": E / P4 / GRE() / P6 / TCP(flags="F"),
    "vxlan": E / P4 / UDP(sport=9, dport=4789) / VXLAN(vni=5) / E / P4 / UDP(sport=1, dport=2),
    "sixinfour": E / P4 / P6 / UDP(sport=1, dport=2),
    "llc": Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=36) / Raw(b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(P4 / UDP(sport=1, dport=2))),
}
LINKS = 16  # more than there are; the target takes the remainder


def connections():
    """Entries of the policy's connection table (src/policy/connections.c): what decodes, and one bad thing a file."""
    def v4(*b):
        return bytes(10) + b"\xff\xff" + bytes(b)

    def entry(local, remote, lport, rport, proto, v6, state, counts, last=1700000000000, idle=60000):
        return local + remote + struct.pack("<QHHBBBBQQ", 0x1234567812345678, lport, rport, proto, v6, state, counts, last, last + idle)

    a, b, x = v4(10, 0, 1, 5), v4(203, 0, 113, 9), bytes.fromhex("20010db8000000000000000000000005")
    tcp = entry(a, b, 443, 50000, 6, 0, 1 | 4, 1)
    files = {"none": [], "tcp": [tcp], "udp-v6": [entry(x, x, 53, 5353, 17, 1, 2 | 8, 4)], "icmp": [entry(a, b, 0, 0, 1, 0, 1 | 4, 1)],
             "closed": [entry(a, b, 22, 50000, 6, 0, 0xff, 0xa, idle=0)], "same-twice": [tcp, tcp],
             "icmp-ports": [entry(a, b, 1, 0, 1, 0, 5, 1)], "no-opener": [entry(a, b, 1, 1, 6, 0, 4, 1)],
             "end-before-last": [entry(a, b, 1, 1, 6, 0, 5, 1, idle=-5)], "far-end": [entry(a, b, 1, 1, 6, 0, 5, 1, idle=1 << 60)],
             "counts": [entry(a, b, 1, 1, 17, 0, 5, 0x33)], "family": [entry(x, b, 1, 1, 6, 0, 5, 1)],
             "time-max": [entry(a, b, 1, 1, 6, 0, 5, 1, last=(1 << 64) - 1, idle=0)], "udp-fin": [entry(a, b, 1, 1, 17, 0, 5 | 16, 1)],
             "many": [entry(a, v4(10, i >> 8, i & 255, 1), i, i, 6 if i % 2 else 17, 0, 5, 1) for i in range(200)]}
    for name, entries in files.items():
        put("connections", name, struct.pack("<BI", 1, len(entries)) + b"".join(entries))
    put("connections", "too-many", struct.pack("<BI", 1, 0xffffffff) + tcp)


def parquet_with_index():
    """Ten pages and their index, of some columns that the target's filter looks at; nulls, a page of them too. With the package pyarrow."""
    import pyarrow
    import pyarrow.parquet
    rows = [("10.0.0.%d" % (i % 250), "REJECT" if i % 9 == 0 else "ACCEPT", i * 7, "eni-%d" % (i // 100)) if i % 10 and i < 350 else (None, None, None, "eni-3")
            for i in range(400)]
    t = pyarrow.table({n: [r[k] for r in rows] for k, n in enumerate(("srcaddr", "action", "bytes", "interface_id"))})
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(t, out, data_page_size=300, write_batch_size=40, write_page_index=True, compression="snappy")
    put("parquet", "v1-index", out.getvalue().to_pybytes())


def words():
    """Filters as people write them (src/scan/words.c): a condition each, how they are joined, and what is wrong with one."""
    good = ["host 10.0.0.1 and (port 22 or 443) and not accept", "src net 10.0.0.0/8 and dst public and bytes > 1m", "src 2001:db8::1 || dst private",
            "portrange 8000-8099 or src port ssh or dst port https", "proto gre or 47 or tcp or udp or icmp or icmp6", "ip and ! ip6 && egress",
            "eni eni-1 or vpc \"vpc 1\" or subnet subnet-1 or instance i-1 or account 1 or region eu-central-1 or az euc1-az1",
            "action reject or status NODATA or ingress", "start >= 2026-11-20T00:00:00Z and end < 1795132800 and packets != 3 and bytes <= 0",
            "srcaddr = ::ffff:10.0.0.1 or pkt-dstaddr != 10.0.0.0/8", "vpc_id is null and not subnet_id is not null", "vpc_id = \"a \\\" b\"", "",
            "log_status = ok and action != accept", "not not not host 1.1.1.1", "dstport < 18446744073709551615", "srcport>=1 and srcport<=5"]
    bad = ["host", "host and", "port 65536", "portrange 9-3", "prt 22", "(port 22", "port 22)", "bytes > x", "srcaddr > 1", "action maybe", "vpc_id is",
           "host web-1", "\"", "net 10.0.0.0/33", "bytes >", "bytes 3", "src tcp", "and", "(" * 70 + "tcp" + ")" * 70, "not " * 70 + "tcp", "x" * 300,
           "bytes > 99999999999999999999", "bytes > 18446744073709551615k", "proto nosuch", "src"]
    for kind, texts in (("good", good), ("bad", bad)):
        for i, text in enumerate(texts):
            put("words", f"{kind}-{i:02}", text.encode())


def names():
    """Files of runtimes: the first byte is the kind (tests/fuzz/fuzz_names.c)."""
    a, b = "0a" * 32, "1b" * 32
    files = {
        "docker": (0, '{"Name":"/web","Config":{"Image":"nginx","Labels":{"Team":"blue","Bad":1}}}'),
        "docker-pod": (0, '{"Name":"/k8s_POD","Config":{"Labels":{"io.kubernetes.pod.name":"api","io.kubernetes.pod.namespace":"prod",'
                          '"io.kubernetes.docker.type":"podsandbox"}}}'),
        "docker-shapes": (0, '{"Name":[],"Config":[{"Labels":7}]}'),
        "podman": (1, '[{"id":"0123","names":["db"]},{"id":"0123","names":[]},{"id":4}]'),
        "oci": (2, '{"hostname":"h","annotations":{"io.kubernetes.cri.sandbox-name":"p","io.kubernetes.cri.sandbox-namespace":"s"}}'),
        "crio": (2, '{"annotations":{"io.kubernetes.cri-o.KubeName":"dns","io.kubernetes.cri-o.Labels":"{\\"k\\":\\"v\\"}"}}'),
        "oci-nested": (2, '{"annotations":{"io.kubernetes.cri-o.Labels":"[[[[","a":{"b":[]}}}'),
        "cni": (3, '{"cniArgs":[["K8S_POD_NAMESPACE","s"],["K8S_POD_NAME","p"],["K8S_POD_NAME"],7],"result":{"interfaces":'
                   '[{"name":"veth1"},{"name":"eth0","sandbox":"/x"}]}}'),
        "domain": (4, "<domstatus><domain><name>vm</name><title>a &amp;&#65;&#x41;&bad;</title><metadata><x:y><x:z>1</x:z></x:y></metadata>"
                      "<devices><interface><mac address='52:54:00:00:00:01'/><target dev=\"veth1\"/></interface></devices></domain>"),
        "domain-odd": (4, "<?xml?><!DOCTYPE a><!-- <b> --><domain><name><![CDATA[c<d]]></name><interface><target dev='>'/></interface></domain></x>"),
        "domain-deep": (4, "<a>" * 80),
        "cgroup1": (5, f"12:cpu,cpuacct:/docker/{a}\n0::/\n"),
        "cgroup2": (5, f"0::/user.slice/user-1000.slice/libpod-{b}.scope/container\n"),
        "cgroup-machines": (5, "0::/machine.slice/machine-qemu\\x2d7\\x2dbuild.scope\n"),
        "cgroup-lxc": (5, "1:a:/x\n0::/lxc.payload.mail/system.slice\n"),
        "cgroup-plain": (5, "0::/default/box"),
        "cni-id": (6, f'{{"containerId":"{a}","result":{{"interfaces":[{{"name":"veth1"}}]}}}}'),
    }
    for name, (kind, text) in files.items():
        put("names", name, bytes([kind]) + text.encode())


def identities():
    line = '{"at":1000,"eni":"eni-%d","device":"v","name":"n%d","kind":"container","labels":{"Team":"blue"}}\n'
    put("identities", "two", (line % (1, 1) + line % (2, 2)).encode())
    put("identities", "again", (line % (2, 1) + line % (2, 2) + '{"at":500,"eni":"eni-2","gone":true}\n' + line % (2, 3)).encode())
    put("identities", "torn", (line % (1, 1) + line % (2, 2))[:-20].encode())
    put("identities", "odd", b'\n\0\n{"at":-9223372036854775808,"eni":"","device":"","name":"","kind":""}\n{"at":1e3,"eni":"e"}\n')


def buckets():
    """Answers of S3 and listings as they are kept (fuzz_s3.c: the prefix is "p"), and shared files of AWS (fuzz_awsfile.c)."""
    def page(inside):
        return b"<ListBucketResult><EncodingType>url</EncodingType>" + inside + b"</ListBucketResult>"

    thing = b"<Contents><Key>p%2Fa+b</Key><LastModified>2026-11-25T08:00:00.000Z</LastModified><ETag>&#34;e&quot;</ETag><Size>7</Size></Contents>"
    for name, data in {
            "page": page(thing * 2 + b"<CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes>"), "empty": page(b""),
            "more": page(b"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
            "cdata": page(b"<Contents><Key><![CDATA[p<]]>&amp;&#x1F600;%25</Key></Contents>"),
            "attributes": b"<?xml version='1.0'?><s3:ListBucketResult xmlns:s3='a>b' ><!-- c --><Contents/></s3:ListBucketResult>",
            "doctype": b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "deep": b"<a>" * 17, "nul-key": page(b"<Contents><Key>p%00</Key></Contents>"),
            "error": b"<Error><Code>SlowDown</Code><Message>m</Message></Error>",
            "kept": b"7 1795593600 %22e%22 p/a%20b\n18446744073709551615 -1  p\nend 00000000\n", "kept-bad": b"7 1 e\nend 00000000\n"}.items():
        put("s3", name, data)
    for name, data in {
            "plain": b"[default]\nregion = eu-west-1 # c\n[profile \"a b\"]\nrole_arn=x\n", "nested": b"[a]\ns3 =\n  x = 1\n\ty=2\nb=3\n c\n",
            "crlf": b"\xef\xbb\xbf[a]\r\nb=c\r\n", "comments": b"# a\n; b\n\n[a] ; c\nb = # d\n", "open": b"[a\n", "bare": b"[a]\nword\n",
            "first": b"a = b\n", "indented": b"[a]\n  b = c\n", "nul": b"[a]\nb=\0\n", "unnamed": b"[]\nb=1\n= c\n"}.items():
        put("awsfile", name, data)


def put(target, name, data):
    (HERE / target).mkdir(parents=True, exist_ok=True)
    (HERE / target / name).write_bytes(data)


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def captures():
    frames = [bytes(FRAMES[n]) for n in ("tcp4", "udp4", "arp")]
    for name, order, magic, unit in (("le_us", "<", 0xa1b2c3d4, 1000), ("be_ns", ">", 0xa1b23c4d, 1)):
        data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
        for i, f in enumerate(frames):
            data += struct.pack(order + "IIII", 1700000000 + i, 500 // unit, len(f), len(f)) + f
        put("pcap", name + ".pcap", data)
        put("pcap", name + ".pcap.gz", gzip.compress(data, mtime=0))
    ng = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    ng += block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH4s", 2, 4, b"eth0") + struct.pack("<HHB3x", 9, 1, 9) + struct.pack("<HH", 0, 0))
    ng += block(1, struct.pack("<HHI", 101, 0, 64) + struct.pack("<HHB3x", 9, 1, 0x80 | 20) + struct.pack("<HHq", 14, 8, 5) + struct.pack("<HH", 0, 0))
    for i, f in enumerate(frames):
        ng += block(6, struct.pack("<IIIII", i % 2, 0x61, 5 + i, len(f), len(f)) + f + b"\0" * (-len(f) % 4) + struct.pack("<HHI", 2, 4, 1 + i % 2) +
                    struct.pack("<HH", 0, 0))
    ng += block(3, struct.pack("<I", len(frames[0])) + frames[0])
    ng += block(2, struct.pack("<HHIIII", 0, 0, 0, 9, len(frames[1]), len(frames[1])) + frames[1])
    put("pcap", "sections.pcapng", ng + ng)


def scans():
    """Flow-log text for the columns (a byte of options in front), and files for the unpacker (a byte: bytes a read)."""
    v2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
    row = "2 111122223333 eni-0a1b2c3d4e5f60718 10.0.0.1 10.20.4.9 51512 443 6 25 10240 1735689600 1735689655 ACCEPT OK"
    two = "srcaddr bytes\n10.0.0.1 5\n10.0.0.256 5\n::ffff:10.0.0.1 99999999\n1:2::8 123456789\n01.2.3.4 1a\n- -\n"
    for name, choice, text in (
            ("default", 0, f"{v2}\n{row}\n{row}\n"), ("crlf", 0x10, f"{v2}\r\n{row}\r\n\r\n{row}\r\n"), ("no-newline", 0x40, f"{row}\n{row}"),
            ("literal", 0x24, f"{v2}\n{row}\n{row.replace('10.0.0.1', '10.0.0.2')}\n{row.replace('10.0.0.1', '::ffff:a00:1')}\n"),
            ("spaces", 0x80, f" {row}\n{row} \n{row.replace(' 6 ', '  6 ')}\n\n{row}\n{row} x\n"), ("two", 1, two), ("two-cut", 0x31, two),
            ("other-header", 1, two + "bytes dstaddr srcaddr\n7 10.0.0.2 10.0.0.3\n" + two), ("twice-named", 1, two + "srcaddr srcaddr\n1.1.1.1 2\n"),
            ("one", 2, "OK\nNODATA\nSKIPDATA\n-\nok\nlog-status\n\n"), ("one-status", 0x1e, "OK\nNODATA\nSKIPDATA\n-\n"),
            ("text-first", 0xc3, "vpc-0123 10.0.0.1 6 19 1735689600\nvpc-0123 :: 256 63 -\nvpc-id version\nvpc-1 5\n"),
            ("long", 2, "x" * 20000 + "\nOK\n"), ("binary", 0x52, "\0\x01 \x7f\r\r\n\n \n")):
        put("text", name, bytes((choice,)) + text.encode("latin-1"))
    plain = (f"{v2}\n" + f"{row}\n" * 40).encode()
    member = gzip.compress(plain, mtime=0)
    named = member[:3] + b"\x1e" + member[4:10] + b"\3\0abcname\0comment\0\0\0" + member[10:]
    zstd = bytes.fromhex("28b52ffd2005290000") + plain[:5]  # one raw block
    for name, data in (("plain", plain), ("gzip", member), ("members", member + gzip.compress(b"", mtime=0) + named), ("padded", member + bytes(9)),
                       ("garbage", member + b"garbage"), ("cut", member[:60]), ("checksum", member[:-8] + b"1234" + member[-4:]), ("zstd", zstd),
                       ("frames", zstd + b"\x50\x2a\x4d\x18\2\0\0\0xy" + zstd), ("zstd-garbage", zstd + b"what"), ("magic", b"\x1f\x8b"), ("none", b"")):
        put("inflate", name, b"\7" + data)
    put("inflate", "quick", b"\xff" + member + member)


def tables():
    """CSV and JSON lines (a byte of options in front: delimiter, whether the end is the file's, where to cut)."""
    head, row = "version,interface_id,srcaddr,dstaddr,bytes,end,action", "2,eni-0a1b2c3d4e5f60718,10.0.0.1,10.20.4.9,10240,1735689655,ACCEPT"
    quoted = ",".join(f'"{v}"' for v in row.split(","))
    for name, choice, text in (
            ("csv", 4, f"{head}\n{row}\n{row}\n"), ("crlf", 12, f"{head}\r\n{row}\r\n\r\n{row}"), ("quoted", 36, f"{head}\n{quoted}\n{quoted}\r\n"),
            ("semicolons", 5, "\ufeff" + head.replace(",", ";") + "\n;;;;;;\n"), ("tabs", 6, head.replace(",", "\t") + "\n"),
            ("lines", 68, 'srcaddr,bytes,"a ""b"" c"\n1.1.1.1,1,"x\ny"\n"","",""\n"a""b","""",\n'), ("open", 4, 'srcaddr,bytes\n"1.1.1.1,1\n1.1.1.1,1\n'),
            ("behind", 4, 'srcaddr,bytes\n"1.1.1.1"x,1\n"a"\r\r\n"a"\r,1\n'), ("more", 0, f"{head}\n{quoted[:40]}"), ("many-lines", 4, '"' + "\n" * 40 + '"\n'),
            ("names", 4, ",srcAddr,interface-id,a b,end ,x" + "y" * 300 + "\n"), ("cells", 4, "srcaddr,bytes" + ",1" * 200 + "\n"),
            ("json", 4, '{"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2","bytes":5}\n{"srcaddr":null,"other":[1,{"a":2}]}\n'), ("object", 4, '{\n "srcaddr": 1\n}\n'),
            ("twice", 4, '{"srcaddr":1,"srcaddr":2}\n{"src_addr":1,"dstAddr":2}\n')):
        put("table", name, bytes((choice,)) + text.encode())
    put("look", "csv", f"{head}\n{row}\n".encode())
    put("look", "json", b'{"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2","bytes":5}\n')


def main():
    for number, (name, frame) in enumerate(FRAMES.items()):
        put("decode", name, bytes((0, number & 7)) + bytes(frame))
    ip = bytes(FRAMES["udp4"])[14:]
    for link in range(LINKS):
        put("decode", f"link{link:02}", bytes((link, 0)) + b"\0\0\0\x02" + ip)
    for name, head in (("raw", (1, b"")), ("sll", (2, b"\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0")), ("sll2", (3, b"\x08\0" + b"\0" * 18)),
                       ("ppp", (6, b"\xff\3\0\x21"))):
        put("decode", name, bytes((head[0], 0)) + head[1] + ip)
    captures()
    for name, text in {
            "default": "default", "tgw": "tgw-default", "all": "v11-all", "one": "${version}", "two": "${srcaddr} ${bytes}", "space": "${srcaddr} ",
            "double": "${srcaddr}  ${bytes}", "twice": "${bytes} ${bytes}", "unknown": "${scraddr}", "open": "${srcaddr", "empty": "",
            "mixed": "${version} ${tgw-id} ${packets-lost-no-route}"}.items():
        put("format", name, text.encode())
    v2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
    for name, text in {
            "ok": v2 + "2 111122223333 eni-0a1b2c3d4e5f60718 10.20.1.15 10.20.4.9 51512 443 6 25 10240 1735689600 1735689655 ACCEPT OK\n",
            "v6": v2 + "2 111122223333 eni-0a1b2c3d4e5f60718 2001:db8::7 2001:db8:20:b::9 34892 22 6 54 8855 1735689600 1735689658 REJECT OK\n",
            "nodata": v2 + "2 111122223333 eni-0a1b2c3d4e5f60718 - - - - - - - 1735689600 1735689658 - NODATA\n",
            "skipdata": v2 + "2 111122223333 eni-0a1b2c3d4e5f60718 - - - - - - - 1735689600 1735689658 - SKIPDATA\n",
            "custom": "version vpc-id type tcp-flags pkt-srcaddr srcaddr flow-direction traffic-path other\n"
                      "5 vpc-0123 IPv6 19 2001:db8::1 2001:db8::1 egress 8 text\n",
            "short": v2 + "2 1 eni-1\n",
            "tgw": "version resource-type tgw-id packets-lost-no-route tcp-flags srcaddr\n6 TransitGateway tgw-1 7 24 10.0.0.1\n"}.items():
        put("record", name, text.encode())
    connections()
    scans()
    tables()
    words()
    names()
    identities()
    buckets()
    parquet_with_index()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What replaying an inventory's rules costs: flowlog meter over one capture without an inventory, and as an interface with 10 and with
1,000 rules in its group and its ACL. usage: bench/replay.py [--program P] [--packets N] [--runs N] [--inputs A,C]; see bench/meter.py."""
import argparse
import json
import pathlib
import statistics

from meter import ROOT, build, cpu

V, S, G = "vpc-00000000000000001", "subnet-00000000000000001", "sg-00000000000000001"


def inventory(folder, mac, rules):
    """Half of the rules name networks that no packet comes from, half ports of the rest; the last lets all pass."""
    folder.mkdir(parents=True, exist_ok=True)
    allow = [{"IpProtocol": "tcp", "FromPort": i % 60000, "ToPort": i % 60000 + 5, "IpRanges": [{"CidrIp": f"240.{i // 256}.{i % 256}.0/24"}]}
             for i in range(rules - 1)] + [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/1"}, {"CidrIp": "128.0.0.0/1"}]}]
    entries = [{"RuleNumber": i + 1, "Egress": e, "RuleAction": "deny", "Protocol": "6", "CidrBlock": f"241.{i // 256}.{i % 256}.0/24",
                "PortRange": {"From": i, "To": i + 5}} for i in range(rules - 1) for e in (True, False)]
    entries += [{"RuleNumber": 32000, "Egress": e, "RuleAction": "allow", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"} for e in (True, False)]
    (folder / "all.json").write_text(json.dumps({"Vpcs": [{"VpcId": V, "CidrBlock": "10.0.0.0/8", "OwnerId": "1" * 12}]}))
    for name, value in {"Subnets": [{"SubnetId": S, "VpcId": V, "CidrBlock": "10.255.255.0/24"}],
                        "SecurityGroups": [{"GroupId": G, "GroupName": "g", "VpcId": V, "IpPermissions": allow, "IpPermissionsEgress": allow}],
                        "NetworkAcls": [{"NetworkAclId": "acl-1", "VpcId": V, "IsDefault": True, "Associations": [], "Entries": entries}],
                        "NetworkInterfaces": [{"NetworkInterfaceId": "eni-00000000000000001", "VpcId": V, "SubnetId": S, "MacAddress": mac,
                                               "PrivateIpAddress": "10.255.255.9", "PrivateIpAddresses": [{"PrivateIpAddress": "10.255.255.9", "Primary": True}],
                                               "Groups": [{"GroupId": G, "GroupName": "g"}]}]}.items():
        (folder / f"{name}.json").write_text(json.dumps({name: value}))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--program", type=pathlib.Path, default=ROOT / "build/src/daemon/flowlog")
    ap.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/flbench"))
    ap.add_argument("--packets", type=int, default=20_000_000)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--inputs", default="A,C")
    a = ap.parse_args()
    build(a.work, a.packets, a.inputs.split(","))
    for kind in a.inputs.split(","):
        pcap = a.work / f"{kind}.pcap"
        with open(pcap, "rb") as f:
            f.seek(24 + 16)
            mac = ":".join(f"{b:02x}" for b in f.read(6))
        commands = {"without": [str(a.program), "meter", str(pcap)]}
        for rules in (10, 1000):
            inventory(a.work / f"inventory-{rules}", mac, rules)
            commands[f"{rules} rules"] = [str(a.program), "meter", "--inventory", str(a.work / f"inventory-{rules}"), "--interface", "eni-00000000000000001",
                                          "--enforced", str(pcap)]
        found = {name: [] for name in commands}
        for _ in range(a.runs):
            for name, command in commands.items():
                found[name].append(cpu(command)[0])
        for name, seconds in found.items():
            s = statistics.median(seconds)
            print(f"{kind}  {name:12} {s:6.2f} user s  {a.packets / s / 1e6:6.1f} M packets/s  {s / statistics.median(found['without']):5.2f}x", flush=True)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Flow logs of what is bound to a Linux interface without being one of AWS's: a transit gateway's attachment, a regional NAT gateway."""
import json
import os

from aws_inventory import interface, subnet, vpc
from conftest import PROGRAM, sh
from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)

TGW, VPN, VPC, TABLE, NAT = "tgw-0e", "tgw-attach-0ee1", "tgw-attach-0ee2", "tgw-rtb-0e", "nat-0e"


def write(where, binding):
    attachment = lambda i, kind, resource: {  # noqa: E731
        "TransitGatewayAttachmentId": i, "TransitGatewayId": TGW, "TransitGatewayOwnerId": "444455556666", "ResourceOwnerId": "111122223333",
        "ResourceType": kind, "ResourceId": resource, "State": "available", "Tags": [],
        "Association": {"TransitGatewayRouteTableId": TABLE, "State": "associated"}}
    leads = lambda cidr, i: {"DestinationCidrBlock": cidr, "Type": "static", "State": "active",  # noqa: E731
                             "TransitGatewayAttachments": [{"TransitGatewayAttachmentId": i}]}
    answers = {
        "Vpcs": [vpc("vpc-0e", "10.77.0.0/31")], "Subnets": [subnet("subnet-0e", "vpc-0e", "10.77.0.0/31", "us-east-1a")],
        "NetworkInterfaces": [interface("eni-0e", "", "vpc-0e", "subnet-0e", "10.77.0.0", [], InterfaceType="transit_gateway", RequesterManaged=True,
                                        MacAddress="02:00:00:00:0e:0e", Description=f"Network Interface for Transit Gateway Attachment {VPC}")],
        "TransitGateways": [{"TransitGatewayId": TGW, "TransitGatewayArn": f"arn:aws:ec2:eu-west-1:444455556666:transit-gateway/{TGW}",
                             "OwnerId": "444455556666", "State": "available"}],
        "TransitGatewayRouteTables": [{"TransitGatewayRouteTableId": TABLE, "TransitGatewayId": TGW, "State": "available"}],
        "TransitGatewayAttachments": [attachment(VPN, "vpn", "vpn-0e"), attachment(VPC, "vpc", "vpc-0e")],
        "NatGateways": [{"NatGatewayId": NAT, "VpcId": "vpc-0e", "State": "available", "AvailabilityMode": "regional", "Tags": [],
                         "NatGatewayAddresses": [{"PublicIp": "10.77.0.2", "AvailabilityZone": "us-east-1a"}]}],
        "Bindings": [{**binding, "Interface": "v0", "End": "guest"}]}
    where.mkdir()
    for top, rows in answers.items():
        (where / f"{top}.json").write_text(json.dumps({top: rows}))
    (where / f"{TABLE}.json").write_text(json.dumps({"Routes": [leads("10.77.0.0/31", VPC), leads("10.77.0.2/32", VPN)]}))
    return where


def run(make, pair, flowlog, where, form, *more):  # noqa: F811
    sh("ip", "-n", pair.a.name, "link", "add", "x0", "type", "veth", "peer", "name", "x1")
    for dev in ("x0", "x1"):
        sh("ip", "-n", pair.a.name, "link", "set", dev, "up")
    d = make(pair.a, *FAST, "--inventory", where, "--exclusions", "none", "--format", form, *more)
    pair.b("ping", "-q", "-c", "5", "-i", "0.05", "10.77.0.1")
    # traffic of an interface that is neither
    pair.a("/usr/bin/python3", "-c", "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
           "[s.sendto(b'x', ('ff02::1', 9, 0, socket.if_nametoindex('x0'))) for _ in range(3)]")
    d.wait_for(lambda: sum(i["ledger"]["ingress"]["recorded"]["packets"] for i in d.status("meter")["interfaces"] if i["device"] == "v0") == 5)
    d.settle()
    return d


def test_a_transit_gateway_flow_log(daemon, pair, flowlog, tmp_path):  # noqa: F811
    d = run(daemon, pair, flowlog, write(tmp_path / "aws", {"TransitGatewayAttachmentId": VPN}), "tgw-default")
    others = [i for i in d.status("meter")["interfaces"] if i["device"] != "v0" and i["metered"]]
    tailed = flowlog("tail", "--store", d.store, "-o", "json").stdout.splitlines()
    if "FL_DUCKDB" in os.environ or (PROGRAM.parent / "libduckdb.so").exists():
        asked = flowlog("query", "--store", d.store, "-o", "json", "SELECT DISTINCT tgw_attachment_id, flow_direction FROM flows WHERE protocol = 1").stdout
        assert sorted(json.loads(line)["flow_direction"] for line in asked.splitlines()) == ["egress", "ingress"] and VPN in asked
    assert d.stop() == 0
    assert sum(i["ledger"][way]["recorded"]["packets"] for i in others for way in ("ingress", "egress")) > 0
    rows = [r for r in d.records() if r["log-status"] == "OK"]
    assert rows and {r["tgw-attachment-id"] for r in d.records()} == {VPN}
    got = {(r["flow-direction"], r["srcaddr"], r["dstaddr"], r["tgw-src-vpc-id"], r["tgw-dst-vpc-id"], r["tgw-src-eni"], r["tgw-dst-eni"],
            r["tgw-pair-attachment-id"]) for r in rows}
    assert got == {("ingress", "10.77.0.2", "10.77.0.1", "-", "vpc-0e", "-", "eni-0e", VPC), ("egress", "10.77.0.1", "10.77.0.2", "vpc-0e", "-", "eni-0e", "-", VPC)}
    assert {(r["version"], r["resource-type"], r["account-id"], r["tgw-id"], r["region"]) for r in rows} == \
        {("6", "TransitGateway", "444455556666", TGW, "eu-west-1")}
    assert sum(int(r["packets"]) for r in rows if r["flow-direction"] == "ingress") == 5
    assert tailed and {json.loads(line)["tgw-attachment-id"] for line in tailed} == {VPN}


def test_a_regional_nat_gateway(daemon, pair, flowlog, tmp_path):  # noqa: F811
    d = run(daemon, pair, flowlog, write(tmp_path / "aws", {"NatGatewayId": NAT}),
            "${resource-id} ${interface-id} ${subnet-id} ${vpc-id} ${srcaddr} ${pkt-srcaddr} ${protocol} ${log-status}")
    assert d.stop() == 0
    rows = [r for r in d.records() if r["protocol"] == "1"]
    assert {(r["resource-id"], r["interface-id"], r["subnet-id"], r["vpc-id"], r["srcaddr"] == r["pkt-srcaddr"]) for r in rows} == {(NAT, "-", "-", "vpc-0e", True)}


def test_readers_of_the_journal_know_a_directory_too(daemon, pair, flowlog, tmp_path):  # noqa: F811
    where = write(tmp_path / "aws", {"NatGatewayId": NAT})
    d = run(daemon, pair, flowlog, where, "${resource-id} ${interface-id} ${protocol} ${log-status}", "--publish-every", "60s")
    assert not d.records()
    tailed = flowlog("tail", "--store", d.store).stdout.splitlines()
    assert f"{NAT} - 1 OK" in tailed
    assert d.stop() == 0


def test_what_such_a_flow_log_cannot_have(flowlog, tmp_path):
    write(tmp_path / "aws", {"NatGatewayId": NAT})
    for members, said in (("interval: 600", "60 seconds"), ("traffic_type: REJECT", "traffic_type"), ("generic_path: maybe", "true or false"), ("", "")):
        (tmp_path / "c.yaml").write_text(f"flow_logs:\n  - destination: a-bucket\n    format: tgw-default\n    lost_apart: true\n    {members}\n")
        done = flowlog("run", "--check-config", "--config", tmp_path / "c.yaml", check=False)
        assert (done.returncode == 0) is not said and said in done.stderr, members
    (tmp_path / "x.pcap").write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    for args, said in ((["--interface", "nat-0e"], "of no transit gateway"), (["--interface", VPN, "--enforced"], "no action")):
        done = flowlog("meter", "--inventory", tmp_path / "aws", "--format", "tgw-default", *args, tmp_path / "x.pcap", check=False)
        assert done.returncode == 2 and said in done.stderr

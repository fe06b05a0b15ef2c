# SPDX-License-Identifier: Apache-2.0
"""AWS's JSON: imported, shown, made by moto at size, and worn by the interfaces of a running meter."""
import gzip
import json
import os
import re
import subprocess
import sys
import time

import pytest

from conftest import PROGRAM, ROOT
from test_run import FAST, daemon, pair  # noqa: F401 (fixtures)

GOLDEN = ROOT / "tests/inventory/data/golden"
ACCOUNT = "111122223333"
MOTO = ["moto[ec2,s3]==5.2.5", "flask==3.1.2", "flask-cors==6.0.1"]  # the server of test_s3.py needs the last two


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def imports(store):
    return sorted(p.name for p in (store / "inventory").iterdir())


def test_import_says_what_was_read_and_keeps_history(flowlog, store, tmp_path):
    done = flowlog("inventory", "import", "--store", store, GOLDEN)
    assert re.search(r"^ +9 network interfaces$", done.stdout, re.M) and re.search(r"^ +1 ECS task$", done.stdout, re.M)
    assert "problem" not in done.stdout and "Not there" not in done.stdout
    (first,) = imports(store)
    assert f"Imported as {store}/inventory/{first}." in done.stdout
    # as they are
    for path in GOLDEN.iterdir():
        assert (store / "inventory" / first / path.name).read_bytes() == path.read_bytes()
    # A directory and a file of the same name; all within a second.
    small = tmp_path / "small"
    small.mkdir()
    (small / "vpcs.json").write_text('{"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}]}')
    for _ in range(3):
        done = flowlog("inventory", "import", "-o", "json", "--store", store, small, GOLDEN / "vpcs.json")
    said = json.loads(done.stdout)
    assert said["read"]["VPC"] == 3 and said["read"]["subnet"] == 0 and not said["problems"]
    assert "aws ec2 describe-subnets > subnets.json" in said["missing"]
    assert not [m for m in said["missing"] if "describe-vpcs " in m]
    assert len(imports(store)) == 4 == len(set(imports(store)))
    assert said["import"] == f"{store}/inventory/{imports(store)[-1]}"
    history = [json.loads(line) for line in flowlog("inventory", "history", "-o", "json", "--store", store).stdout.splitlines()]
    assert [h["name"] for h in history] == imports(store)
    # Each import is what was valid from its time on.
    assert flowlog("inventory", "show", "--store", store, "-o", "json").stdout == ""
    then = flowlog("inventory", "show", "--store", store, "-o", "json", "--at", history[0]["since"]).stdout
    assert len(then.splitlines()) == 9
    done = flowlog("inventory", "show", "--store", store, "--at", "2020-01-01", check=False)
    assert done.returncode == 1 and "the first import is of" in done.stderr


def test_what_is_usable_is_used_and_the_rest_is_listed(flowlog, store, tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02}.json").write_text('{"Nothing": []}' if i else '{"Subnets": [{"SubnetId": "subnet-1", "VpcId": 7}, {}], "N\x1b": 1}')
    done = flowlog("inventory", "import", "--store", store, tmp_path)
    assert re.search(r"^ +1 subnet$", done.stdout, re.M)
    assert "00.json: Subnets[0].VpcId: expected a string, found a number; left out" in done.stdout
    assert "00.json: Subnets[1]: a subnet without an id; left out" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.count("Nothing") == 2  # once, path and text
    # Nothing usable: said, not kept.
    before = imports(store)
    (tmp_path / "00.json").unlink()
    done = flowlog("inventory", "import", "--store", store, tmp_path, check=False)
    assert done.returncode == 1 and "nothing was imported" in done.stderr and "is not known" in done.stdout
    assert imports(store) == before


def test_root_writes_as_the_owner_of_the_store(flowlog, root, store, tmp_path):
    """A link that the store's owner has put there leads root nowhere; what is imported is the owner's."""
    done = flowlog("inventory", "import", "--store", store, GOLDEN)
    owner = store.stat().st_uid
    assert owner != 0
    for path in store.rglob("*"):
        assert path.stat().st_uid == owner and path.stat().st_mode & 0o027 == 0, path
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "linked").mkdir()
    os.chown(tmp_path / "linked", owner, -1)
    (tmp_path / "linked/inventory").symlink_to(other)
    done = flowlog("inventory", "import", "--store", tmp_path / "linked", GOLDEN, check=False)
    assert done.returncode == 1 and "linked/inventory" in done.stderr and not list(other.iterdir())


@pytest.mark.parametrize("args,status,say", [
    ([], 2, "expected import, show, history or commands"),
    (["improt"], 2, "improt: expected import"),
    (["import"], 2, "import needs a directory or files"),
    (["import", "/nonexistent"], 1, "/nonexistent: No such file"),
    (["import", "/dev/null"], 1, "not a regular file"),
    (["show"], 1, "flowlog inventory import"),
    (["show", "a", "b"], 2, "one name"),
    (["show", "--at", "soon"], 2, "--at"),
    (["history", "x"], 2, "no operands"),
    (["history"], 0, ""),
])
def test_usage(flowlog, store, args, status, say):
    done = flowlog("inventory", "--store", store, *args, check=False)
    assert done.returncode == status and say in done.stderr
    assert not (store / "inventory").exists() or imports(store) == []


def test_show(flowlog, tmp_path):
    lines = flowlog("inventory", "show", "--inventory", GOLDEN).stdout.splitlines()
    assert lines[0].split() == ["ENI", "NAME", "ADDRESSES", "GROUPS", "SUBNET", "INSTANCE"] and len(lines) == 10
    assert re.search(r"eni-0e100000000000001 +web-1 +10.20.0.10=198.51.100.10 10.20.0.11 2001:db8:20::10 +web +prod-public +i-01000000000000001", lines[1])
    web = json.loads(flowlog("inventory", "show", "--inventory", GOLDEN, "-o", "json", "198.51.100.10").stdout)
    assert web["eni"] == "eni-0e100000000000001" and web["tags"] == {"Name": "web-1"} and web["acl"]["name"] == "public"
    assert web["security_groups"][0]["in"][3] == {"id": "sgr-07000000000000004", "rule": "icmp type 8, 203.0.113.0/24", "description": ""}
    assert {"destination": "0.0.0.0/0", "target": "igw-01100000000000001", "kind": "internet gateway", "blackhole": False} in web["route_table"]["routes"]
    text = flowlog("inventory", "show", "--inventory", GOLDEN, "app").stdout
    assert "  in  sgr-07000000000000007  tcp 8080-8090, web (sg-05000000000000001)\n" in text
    assert "  0.0.0.0/0 -> NAT gateway nat-0d100000000000001\n" in text
    done = flowlog("inventory", "show", "--inventory", GOLDEN, "nobody", check=False)
    assert done.returncode == 1 and "not an interface, instance, name or address" in done.stderr
    # Two that a name could mean.
    (tmp_path / "e.json").write_text(json.dumps({"NetworkInterfaces": [
        {"NetworkInterfaceId": f"eni-{i}", "PrivateIpAddress": "10.0.0.1", "VpcId": f"vpc-{i}"} for i in (1, 2)]}))
    done = flowlog("inventory", "show", "--inventory", tmp_path, "10.0.0.1", check=False)
    assert done.returncode == 1 and "eni-1 in vpc-1, eni-2 in vpc-2; name one by its id" in done.stderr


def test_an_import_goes_on_behind_what_it_cannot_read(flowlog, store, tmp_path):
    """A link that leads nowhere, a directory that is not there: named, and the others are taken."""
    where = tmp_path / "aws"
    where.mkdir()
    (where / "a.json").symlink_to(tmp_path / "gone")
    (where / "vpcs.json").write_text('{"Vpcs": [{"VpcId": "vpc-1"}]}')
    (tmp_path / "big.json").write_text("x")
    os.truncate(tmp_path / "big.json", (1 << 30) + 1)
    said = json.loads(flowlog("inventory", "import", "-o", "json", "--store", store, tmp_path / "none", where, tmp_path / "big.json").stdout)
    assert said["import"] and said["read"]["VPC"] == 1
    found = {p["file"]: (p["text"], p["left_out"]) for p in said["problems"]}
    assert found == {"a.json": ("No such file or directory; left out", True), f"{tmp_path}/none": ("No such file or directory; left out", True),
                     "big.json": ("larger than 1073741824 bytes; left out", True)}
    assert os.listdir(f"{store}/inventory/{imports(store)[-1]}") == ["vpcs.json"]
    done = flowlog("inventory", "import", "--store", store, tmp_path / "none", where / "a.json", check=False)
    assert done.returncode == 1 and "none: No such file" in done.stderr


def test_commands_make_what_an_import_misses(flowlog, store):
    commands = flowlog("inventory", "commands").stdout.splitlines()
    (store.parent / "v.json").write_text('{"Vpcs": [{"VpcId": "vpc-1"}]}')
    missing = json.loads(flowlog("inventory", "import", "-o", "json", "--store", store, store.parent / "v.json").stdout)["missing"]
    assert set(commands) - set(missing) == {commands[0], *commands[-4:]} and "describe-vpcs" in commands[0]
    assert subprocess.run(["sh", "-n"], input="\n".join(commands), text=True).returncode == 0


def test_a_file_of_more_than_100_megabytes(flowlog, tmp_path):
    with open(tmp_path / "network-interfaces.json", "w") as f:
        f.write('{"NetworkInterfaces": [')
        for i in range(1000):
            f.write(("," if i else "") + json.dumps({"NetworkInterfaceId": f"eni-{i:017}", "PrivateIpAddress": f"10.0.{i // 250}.{i % 250}",
                                                     "Description": f"{i:<110000}"}))
        f.write("]}")
    assert (tmp_path / "network-interfaces.json").stat().st_size > 100 << 20
    lines = flowlog("inventory", "show", "--inventory", tmp_path, "-o", "json").stdout.splitlines()
    assert len(lines) == 1000 and json.loads(lines[-1])["addresses"] == [{"private": "10.0.3.249"}]


def test_the_published_ranges_are_read(flowlog, store, corpus, tmp_path):
    """ip-ranges.json as AWS publishes it (corpus), all of it."""
    (tmp_path / "ip-ranges.json").write_bytes(gzip.decompress((corpus / "aws/ip-ranges.json.gz").read_bytes()))
    said = json.loads(flowlog("inventory", "import", "-o", "json", "--store", store, tmp_path / "ip-ranges.json").stdout)
    assert said["problems"] == [] and said["read"]["public address ranges"] is True


# ---- an inventory made by moto, which answers as AWS does ----

MAKE = """
import datetime, json, os, pathlib, sys
os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="eu-central-1")
import boto3
from moto import mock_aws
out, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
with mock_aws():
    ec2 = boto3.client("ec2")
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{v}.0.0/16")["Vpc"]["VpcId"] for v in range(2)]
    subnets = [ec2.create_subnet(VpcId=v, CidrBlock=f"10.{i}.{16 * s}.0/20")["Subnet"]["SubnetId"] for i, v in enumerate(vpcs) for s in range(2)]
    # what moto gives an address of its own choice, by chance the same twice, is kept apart
    other = [ec2.create_subnet(VpcId=v, CidrBlock=f"10.{i}.128.0/17")["Subnet"]["SubnetId"] for i, v in enumerate(vpcs)]
    groups = [[ec2.create_security_group(GroupName=f"g{n}", Description="d", VpcId=v)["GroupId"] for n in range(5)] for v in vpcs]
    for of_vpc in groups:
        for a, b in zip(of_vpc, of_vpc[1:]):
            ec2.authorize_security_group_ingress(GroupId=a, IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "web"}]},
                {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": b}]}, {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}])
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpcs[0])
    eip = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=other[0], AllocationId=eip)["NatGateway"]["NatGatewayId"]
    pcx = ec2.create_vpc_peering_connection(VpcId=vpcs[0], PeerVpcId=vpcs[1])["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    table = ec2.create_route_table(VpcId=vpcs[0])["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", VpcPeeringConnectionId=pcx)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[1])
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=3, MaxCount=3, SubnetId=other[0], SecurityGroupIds=[groups[0][0]])
    lists = ec2.create_managed_prefix_list(PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4",
                                           Entries=[{"Cidr": "203.0.113.0/24"}])["PrefixList"]["PrefixListId"]
    endpoint = ec2.create_vpc_endpoint(VpcId=vpcs[0], ServiceName="com.amazonaws.eu-central-1.s3", RouteTableIds=[table])
    tgw = ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    ec2.create_transit_gateway_vpc_attachment(TransitGatewayId=tgw, VpcId=vpcs[1], SubnetIds=[other[1]])
    have = len(ec2.describe_network_interfaces()["NetworkInterfaces"])
    for i in range(count - have):
        ec2.create_network_interface(SubnetId=subnets[i % 4], Groups=[groups[i % 4 // 2][i % 5]],
                                     PrivateIpAddress=f"10.{i % 4 // 2}.{16 * (i % 2) + i // 4 // 200}.{10 + i // 4 % 200}",
                                     TagSpecifications=[{"ResourceType": "network-interface", "Tags": [{"Key": "Name", "Value": f"n{i}"}]}])
    for call in ("vpcs subnets network_interfaces security_groups security_group_rules network_acls route_tables instances nat_gateways "
                 "vpc_endpoints managed_prefix_lists vpc_peering_connections internet_gateways egress_only_internet_gateways vpn_gateways "
                 "transit_gateway_attachments transit_gateway_vpc_attachments availability_zones").split():
        operation = "describe_" + call
        pages = ec2.get_paginator(operation).paginate().build_full_result() if ec2.can_paginate(operation) else getattr(ec2, operation)()
        pages.pop("ResponseMetadata", None)
        # the CLI prints times in ISO 8601 and indents by four
        (out / f"{call}.json").write_text(json.dumps(pages, indent=4, default=datetime.datetime.isoformat))
    for l in ec2.describe_managed_prefix_lists()["PrefixLists"]:
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=l["PrefixListId"])
        (out / f"{l['PrefixListId']}.json").write_text(json.dumps({"Entries": entries["Entries"]}))
"""


@pytest.fixture(scope="session")
def moto():
    """A directory with moto, beside the build, so that it is fetched once."""
    where = PROGRAM.parents[2] / "python-moto"
    mark = where / "-".join(re.sub(r"\W", "_", m) for m in MOTO)
    if not mark.exists():
        done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--upgrade", "--target", where, *MOTO],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode and re.search(r"(?i)connection|resolve|proxy|timed? ?out|No module named pip", done.stdout):
            pytest.skip("PyPI is not reachable for moto: " + done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout
        mark.touch()
    return where


def test_a_thousand_interfaces_made_by_moto(flowlog, store, moto, tmp_path):
    out = tmp_path / "aws"
    out.mkdir()
    subprocess.run([sys.executable, "-c", MAKE, out, "1000"], check=True, env={**os.environ, "PYTHONPATH": str(moto)}, timeout=300)
    said = json.loads(flowlog("inventory", "import", "-o", "json", "--store", store, out).stdout)
    # moto gives NAT gateways an address of anywhere; that is found
    strange = [a["NetworkInterfaceId"] for n in json.loads((out / "nat_gateways.json").read_text())["NatGateways"] for a in n["NatGatewayAddresses"]]
    assert [p for p in said["problems"] if p["path"] not in strange or "is outside its subnet" not in p["text"]] == []
    raw = {e["NetworkInterfaceId"]: e for e in json.loads((out / "network_interfaces.json").read_text())["NetworkInterfaces"]}
    assert said["read"]["network interface"] == len(raw) == 1000
    shown = [json.loads(line) for line in flowlog("inventory", "show", "--store", store, "-o", "json").stdout.splitlines()]
    assert len(shown) == 1000
    for e in shown:
        want = raw[e["eni"]]
        assert (e["vpc"], e["subnet"], e["account"]) == (want["VpcId"], want["SubnetId"], want["OwnerId"])
        assert e["groups"] == [g["GroupId"] for g in want["Groups"]]
        assert e["addresses"][0]["private"] == want["PrivateIpAddress"]
        assert e["region"] == "eu-central-1" and e["az_id"].startswith("euc1-az")
    for file, top, people in [("route_tables", "RouteTables", "route table"), ("network_acls", "NetworkAcls", "network ACL"),
                              ("security_groups", "SecurityGroups", "security group"), ("nat_gateways", "NatGateways", "NAT gateway")]:
        assert said["read"][people] == len(json.loads((out / f"{file}.json").read_text())[top]) > 0
    one = json.loads(flowlog("inventory", "show", "--store", store, "-o", "json", "n1").stdout)
    assert {"0.0.0.0/0", "10.1.0.0/16"} <= {r["destination"] for r in one["route_table"]["routes"]}
    assert all(r["id"].startswith("sgr-") for g in one["security_groups"] for r in g["in"] + g["out"])


# ---- the meter ----

FORMAT = " ".join("${%s}" % f for f in ("account-id interface-id vpc-id subnet-id instance-id region az-id srcaddr dstaddr srcport dstport protocol packets "
                                        "bytes start end action log-status flow-direction").split())


def write_inventory(where, eni="eni-0aaaaaaaaaaaaaaa1", subnet="subnet-0aaaaaaaaaaaaaaa1", more=None):
    where.mkdir(exist_ok=True)
    answers = {
        "Vpcs": [{"VpcId": "vpc-0aaaaaaaaaaaaaaa1", "OwnerId": ACCOUNT, "CidrBlock": "10.76.0.0/15"}],
        "Subnets": [{"SubnetId": subnet, "VpcId": "vpc-0aaaaaaaaaaaaaaa1", "CidrBlock": "10.76.0.0/15", "AvailabilityZone": "eu-west-1b",
                     "AvailabilityZoneId": "euw1-az3"}],
        "NetworkInterfaces": [{"NetworkInterfaceId": eni, "OwnerId": ACCOUNT, "VpcId": "vpc-0aaaaaaaaaaaaaaa1", "SubnetId": subnet,
                               "MacAddress": "02:00:00:00:00:01", "PrivateIpAddress": "10.77.0.1", "TagSet": [{"Key": "Name", "Value": "worker"}],
                               "Attachment": {"InstanceId": "i-0aaaaaaaaaaaaaaa1", "DeviceIndex": 0, "Status": "attached"}}], **(more or {})}
    for top, rows in answers.items():
        (where / f"{top}.json").write_text(json.dumps({top: rows}))
    return where


def test_delivered_records_have_what_only_the_inventory_knows(flowlog, daemon, pair, tmp_path):  # noqa: F811
    """Paths, next hops and tags; by delivery and, beyond it, by tail from the journal."""
    store, fields = tmp_path / "store", "interface-id srcaddr dstaddr dstport protocol flow-direction traffic-path next-hop-interface-id interface-tag instance-tag"
    local = {"DestinationCidrBlock": "10.76.0.0/15", "GatewayId": "local", "State": "active"}
    more = {"RouteTables": [{"RouteTableId": "rtb-0aaaaaaaaaaaaaaa1", "VpcId": "vpc-0aaaaaaaaaaaaaaa1", "Routes": [local],
                             "Associations": [{"Main": True, "RouteTableId": "rtb-0aaaaaaaaaaaaaaa1"}]}]}
    flowlog("inventory", "import", "--store", store, write_inventory(tmp_path / "one", more=more))
    config = tmp_path / "flowlog.yaml"
    config.write_text("flow_logs:\n  - destination: tags\n    interval: 60\n    interface_tag: Name\n    instance_tag: Nobody\n    format: "
                      + " ".join("${%s}" % f for f in fields.split()) + "\n")
    d = daemon(pair.a, "--config", config, "--window", "1s", "--publish-every", "1s", "--journal-size", "8MiB")
    send(pair.a, "10.77.0.2", 9, 3)
    want = {"interface-id": "eni-0aaaaaaaaaaaaaaa1", "srcaddr": "10.77.0.1", "dstaddr": "10.77.0.2", "dstport": 9, "protocol": 17, "flow-direction": "egress",
            "traffic-path": 1, "next-hop-interface-id": None, "interface-tag": "worker", "instance-tag": None}
    tail = lambda: [r for line in flowlog("tail", "--store", store, "-n", "100", "-o", "json").stdout.splitlines() if (r := json.loads(line))["dstport"] == 9]
    d.wait_for(tail)
    assert tail() == [want]
    assert d.stop() == 0
    assert tail() == [want]
    (record,) = [r for r in d.records() if r["dstport"] == "9"]
    assert record == {k: "-" if v is None else str(v) for k, v in want.items()}


def send(ns, to, port, n, source=0):
    ns("python3", "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
       f"s.bind(('', {source})); [s.sendto(b'x' * 100, ('{to}', {port})) for _ in range({n})]")


def v0(d):
    return next(i for i in d.status("meter")["interfaces"] if i["device"] == "v0")


def ok(records):
    """Without the answers that nobody listens (ICMP)."""
    return [r for r in records if r["log-status"] == "OK" and r["protocol"] == "17"]


@pytest.mark.parametrize("backend", ["ebpf", "afpacket"])
def test_records_carry_the_identity_of_their_time(flowlog, daemon, pair, tmp_path, backend):  # noqa: F811
    first, second = "eni-0aaaaaaaaaaaaaaa1", "eni-0bbbbbbbbbbbbbbb2"
    store = tmp_path / "store"
    flowlog("inventory", "import", "--store", store, write_inventory(tmp_path / "one"))
    d = daemon(pair.a, *FAST, "--backend", backend, "--format", FORMAT)
    assert v0(d)["eni"] == first and v0(d)["name"] == "worker"
    assert d.status("meter")["inventory"] == {"name": imports(store)[0], "interfaces": 1, "bound": 1, "problems": 0}
    assert f"inventory   {imports(store)[0]}: 1 of its 1 interfaces are here\n" in flowlog("status", "--store", store).stdout
    slot = v0(d)["slot"]
    send(pair.a, "10.77.0.2", 9, 20)
    # What AWS does not log: questions to its name server, the router's address.
    for address in ("10.76.0.1", "10.76.0.2"):
        pair.a("ip", "route", "add", address, "dev", "v0")
        pair.a("ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:02", "dev", "v0", "nud", "permanent")
    send(pair.a, "10.76.0.2", 53, 7)
    send(pair.a, "10.76.0.1", 9, 5)
    d.wait_for(lambda: v0(d)["ledger"]["egress"]["recorded"]["packets"] == 20)
    flowlog("inventory", "import", "--store", store, write_inventory(tmp_path / "two", second, "subnet-0bbbbbbbbbbbbbbb2"))
    sent = 0
    for _ in range(300):
        send(pair.a, "10.77.0.2", 9, 1, source=777)
        sent += 1
        if v0(d)["eni"] == second:
            break
        time.sleep(0.05)
    assert v0(d)["slot"] == slot, "the counting was interrupted"
    send(pair.a, "10.77.0.2", 9, 1, source=777)
    d.settle()  # the new identity holds
    send(pair.a, "10.77.0.2", 10, 4)
    d.wait_for(lambda: v0(d)["ledger"]["egress"]["recorded"]["packets"] == 20 + sent + 1 + 4)
    ledger = v0(d)["ledger"]
    assert {k: v["packets"] for k, v in ledger["egress"]["excluded"]["rules"].items() if v["packets"]} == {"amazon-dns": 7, "default-router": 5}
    assert d.stop() == 0
    records = ok(d.records())
    assert {r["interface-id"] for r in records} == {first, second}
    for r in records:
        n = "a1" if r["interface-id"] == first else "b2"
        assert r["subnet-id"][-2:] == n and r["account-id"] == ACCOUNT and r["region"] == "eu-west-1" and r["az-id"] == "euw1-az3", r
        assert r["vpc-id"] == "vpc-0aaaaaaaaaaaaaaa1" and r["instance-id"] == "i-0aaaaaaaaaaaaaaa1"
    assert sum(int(r["packets"]) for r in records if r["srcport"] == "777") == sent + 1
    assert {r["interface-id"] for r in records if r["dstport"] == "10"} == {second}
    # No window has both: the change is at a border.
    of = {}
    for r in records:
        of.setdefault(int(r["start"]), set()).add(r["interface-id"])
    assert all(len(ids) == 1 for ids in of.values()), of
    assert max(t for t, ids in of.items() if first in ids) < min(t for t, ids in of.items() if second in ids)


def test_a_directory_is_followed_and_bindings_name_the_hosts_end(daemon, pair, tmp_path):  # noqa: F811
    eni = "eni-0aaaaaaaaaaaaaaa1"
    where = tmp_path / "aws"
    where.mkdir()
    d = daemon(pair.a, *FAST, "--inventory", where, "--exclusions", "none", "--format", FORMAT)
    discovered = v0(d)["eni"]
    assert discovered != eni
    write_inventory(where, eni)
    # The metered interface is now the host's end of a guest with another address.
    rows = json.loads((where / "NetworkInterfaces.json").read_text())
    rows["NetworkInterfaces"][0]["MacAddress"] = "02:99:00:00:00:01"
    (where / "NetworkInterfaces.json").write_text(json.dumps(rows))
    (where / "bindings.json").write_text(json.dumps({"Bindings": [{"NetworkInterfaceId": eni, "Interface": "v0", "End": "host"}]}))
    d.wait_for(lambda: v0(d)["eni"] == eni)
    d.settle()
    send(pair.a, "10.77.0.2", 53, 6)
    d.wait_for(lambda: v0(d)["ledger"]["ingress"]["recorded"]["packets"] == 6)  # out of the host's end: into the guest
    # A broken file: said once, the identity stays.
    (where / "NetworkInterfaces.json").write_text('{"NetworkInterfaces": 7}')
    d.wait_for(lambda: "1 problem" in d.text() or "2 problems" in d.text())
    assert d.stop() == 0
    assert {r["interface-id"] for r in ok(d.records()) if r["dstport"] == "53"} == {eni}
    assert {r["flow-direction"] for r in ok(d.records()) if r["dstport"] == "53"} == {"ingress"}


def test_after_a_kill_the_window_keeps_its_identity(flowlog, daemon, pair, tmp_path):  # noqa: F811
    store = tmp_path / "store"
    flowlog("inventory", "import", "--store", store, write_inventory(tmp_path / "one"))
    d = daemon(pair.a, "--window", "10s", "--interval", "10s", "--publish-every", "1s", "--journal-size", "8MiB", "--format", FORMAT)
    while time.time() % 10 > 4:
        time.sleep(0.1)
    send(pair.a, "10.77.0.2", 9, 20)
    time.sleep(0.5)
    d.kill_all()
    flowlog("inventory", "import", "--store", store, write_inventory(tmp_path / "two", "eni-0bbbbbbbbbbbbbbb2"))
    d.start()
    d.wait_for(lambda: v0(d)["eni"] == "eni-0bbbbbbbbbbbbbbb2")
    d.settle(1)
    send(pair.a, "10.77.0.2", 10, 3)
    assert d.stop() == 0
    records = ok(d.records())
    assert {(r["dstport"], r["interface-id"]) for r in records} == {("9", "eni-0aaaaaaaaaaaaaaa1"), ("10", "eni-0bbbbbbbbbbbbbbb2")}
    assert sum(int(r["packets"]) for r in records) == 23

# SPDX-License-Identifier: Apache-2.0
"""Writes the scenarios of ../shared/spec/semantics.md and records.md as cases: a folder with inventory/, in.pcap, args (one a line),
want.log and note. The captures are what AWS's documented examples describe, as the named interface would see them; want.log holds the
records that the documentation shows, written by hand, in the documented fields. Identifiers are made up."""
import json
import pathlib
import shutil

from scapy.all import ICMP, IP, TCP, UDP, Ether, wrpcap

HERE = pathlib.Path(__file__).parent
T0 = 1735689600  # 2025-01-01 00:00:00 UTC, the start of a window
ACCOUNT, REGION = "123456789010", "us-east-1"
ANY = [{"CidrIp": "0.0.0.0/0"}]


def eni(n, subnet, vpc, addresses, groups=(), kind="interface", **more):
    mac = f"02:00:00:00:00:{n:02x}"
    return {"NetworkInterfaceId": f"eni-{n:017x}", "SubnetId": subnet, "VpcId": vpc, "OwnerId": ACCOUNT, "AvailabilityZone": "us-east-1a",
            "MacAddress": mac, "InterfaceType": kind, "SourceDestCheck": kind == "interface", "Status": "in-use",
            "RequesterManaged": kind != "interface", "PrivateIpAddress": addresses[0], "Groups": [{"GroupId": g, "GroupName": g} for g in groups],
            "PrivateIpAddresses": [{"PrivateIpAddress": a, "Primary": i == 0} for i, a in enumerate(addresses)], "Ipv6Addresses": [],
            "TagSet": [], **more}


def vpc(n, cidr, **more):
    return {"VpcId": f"vpc-{n:017x}", "CidrBlock": cidr, "OwnerId": ACCOUNT, "State": "available",
            "CidrBlockAssociationSet": [{"AssociationId": "a", "CidrBlock": cidr, "CidrBlockState": {"State": "associated"}}], "Tags": [], **more}


def subnet(n, vpc_id, cidr):
    return {"SubnetId": f"subnet-{n:017x}", "VpcId": vpc_id, "CidrBlock": cidr, "OwnerId": ACCOUNT, "AvailabilityZone": "us-east-1a",
            "AvailabilityZoneId": "use1-az1", "State": "available", "Ipv6CidrBlockAssociationSet": [], "Tags": []}


def permission(protocol, first, last, ranges=ANY):
    p = {"IpProtocol": protocol, "IpRanges": ranges, "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}
    return p if protocol == "-1" else {**p, "FromPort": first, "ToPort": last}


def group(n, vpc_id, inbound, outbound):
    return {"GroupId": f"sg-{n:017x}", "GroupName": f"group-{n}", "VpcId": vpc_id, "OwnerId": ACCOUNT, "Description": "",
            "IpPermissions": inbound, "IpPermissionsEgress": outbound, "Tags": []}


def entry(number, egress, action, protocol="-1", **more):
    return {"RuleNumber": number, "Egress": egress, "RuleAction": action, "Protocol": protocol, "CidrBlock": "0.0.0.0/0", **more}


def acl(n, vpc_id, subnets, entries):
    return {"NetworkAclId": f"acl-{n:017x}", "VpcId": vpc_id, "OwnerId": ACCOUNT, "IsDefault": False, "Tags": [],
            "Entries": entries + [entry(32767, e, "deny") for e in (True, False)],
            "Associations": [{"NetworkAclAssociationId": "x", "NetworkAclId": f"acl-{n:017x}", "SubnetId": s} for s in subnets]}


OPEN_ACL = [entry(100, True, "allow"), entry(100, False, "allow")]


def routes(n, vpc_id, subnets, *targets):
    return {"RouteTableId": f"rtb-{n:017x}", "VpcId": vpc_id, "OwnerId": ACCOUNT, "Tags": [],
            "Associations": [{"Main": False, "SubnetId": s, "RouteTableId": f"rtb-{n:017x}"} for s in subnets],
            "Routes": [{"State": "active", "Origin": "CreateRoute", **t} for t in targets]}


def write(case, note, args, inventory, packets):
    folder = HERE / case
    shutil.rmtree(folder / "inventory", ignore_errors=True)
    (folder / "inventory").mkdir(parents=True)
    for member, value in inventory.items():
        (folder / "inventory" / f"{member}.json").write_text(json.dumps({member: value}, indent=1) + "\n")
    (folder / "note").write_text(note + "\n")
    (folder / "args").write_text("".join(a + "\n" for a in args))
    for when, packet in packets:
        packet.time = T0 + when
    wrpcap(str(folder / "in.pcap"), [p for _, p in packets])


def frame(n, out):
    """A frame that interface n sends (out) or receives."""
    own, other = f"02:00:00:00:00:{n:02x}", "02:ff:00:00:00:01"
    return Ether(src=own, dst=other) if out else Ether(src=other, dst=own)


V, S = f"vpc-{1:017x}", f"subnet-{1:017x}"
DEFAULT = ["--interface", f"eni-{1:017x}", "--enforced"]


def instance(inbound, outbound, entries, **more):
    """The instance 172.31.16.139 of the documented examples."""
    local = {"DestinationCidrBlock": "172.31.0.0/16", "GatewayId": "local"}
    internet = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000000000000001"}
    return {"Vpcs": [vpc(1, "172.31.0.0/16", **more)], "Subnets": [subnet(1, V, "172.31.16.0/20")],
            "NetworkInterfaces": [eni(1, S, V, ["172.31.16.139", "172.31.16.140"], [f"sg-{1:017x}"])],
            "SecurityGroups": [group(1, V, inbound, outbound)], "NetworkAcls": [acl(1, V, [S], entries)],
            "RouteTables": [routes(1, V, [S], local, internet)],
            "InternetGateways": [{"InternetGatewayId": "igw-00000000000000001", "OwnerId": ACCOUNT, "Tags": [],
                                  "Attachments": [{"State": "available", "VpcId": V}]}]}


def ping(answered):
    for i in range(4):
        yield i, frame(1, False) / IP(src="203.0.113.12", dst="172.31.16.139") / ICMP(type=8, seq=i) / (b"x" * 56)
        if answered:
            yield i + 0.01, frame(1, True) / IP(src="172.31.16.139", dst="203.0.113.12") / ICMP(type=0, seq=i) / (b"x" * 56)


def tcp(out, flags, own=22, peer=40000, size=0, address="172.31.16.139", client="203.0.113.12"):
    if out:
        return frame(1, True) / IP(src=address, dst=client) / TCP(sport=own, dport=peer, flags=flags) / (b"x" * size)
    return frame(1, False) / IP(src=client, dst=address) / TCP(sport=peer, dport=own, flags=flags) / (b"x" * size)


def verdicts():
    icmp = [permission("icmp", -1, -1)]
    inbound_only = [entry(100, False, "allow", "1", IcmpTypeCode={"Type": -1, "Code": -1})]
    write("ping-acl-denies-reply", "semantics.md 4.2: the group lets the reply out because it is stateful, the ACL does not because it is not: two records.",
          DEFAULT, instance(icmp, [], inbound_only), list(ping(True)))
    write("ping-accepted", "semantics.md 4.2: inbound allowed by the group, both ways by the ACL: two records, both ACCEPT.",
          DEFAULT, instance(icmp, [], OPEN_ACL), list(ping(True)))
    write("ping-group-denies", "semantics.md 4.2: the request never reaches the instance: one record.", DEFAULT, instance([], [], OPEN_ACL), list(ping(False)))
    ssh = [permission("tcp", 22, 22, [{"CidrIp": "203.0.113.0/24"}])]
    write("late-after-close", "semantics.md 4.2: packets that arrive after the connection was closed are REJECT although the port is allowed.",
          DEFAULT + ["--format", "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${packets} ${bytes} ${tcp-flags} ${action} ${log-status}"],
          instance(ssh, [], OPEN_ACL),
          [(0, tcp(False, "S")), (0.01, tcp(True, "SA")), (0.02, tcp(False, "A")), (1, tcp(True, "FA")), (1.01, tcp(False, "FA")), (1.02, tcp(True, "A")),
           (80, tcp(False, "A")), (81, tcp(False, "FA"))])
    write("ssh-and-rdp", "records.md 4: SSH accepted, RDP rejected, on the same interface.", DEFAULT, instance(ssh, [], OPEN_ACL),
          [(3, tcp(False, "S", own=3389, peer=40001)), (0, tcp(False, "S")), (0.01, tcp(True, "SA")), (0.02, tcp(False, "A", size=4))])
    write("acl-order", "The lowest matching number decides: 90 denies what 100 allows.",
          DEFAULT, instance(ssh, [], [entry(90, False, "deny", "6", PortRange={"From": 22, "To": 22})] + OPEN_ACL), [(0, tcp(False, "S"))])
    inside = [permission("tcp", 22, 22, [{"CidrIp": "172.31.0.0/16"}])]
    write("acl-not-inside-subnet", "Network ACLs do not filter traffic inside the subnet; from the next subnet they do.",
          DEFAULT, instance(inside, [], []), [(0, tcp(False, "S", client="172.31.17.9")), (1, tcp(False, "S", client="172.31.40.9"))])
    write("not-enforced", "Without --enforced the rules have no say: ACCEPT, and the ledger counts what they would deny.",
          DEFAULT[:2], instance([], [], OPEN_ACL), [(0, tcp(False, "S"))])
    write("contradiction", "The rules deny the first packet, and yet it was answered: what they said was not what happened.",
          DEFAULT + ["--format", "${srcaddr} ${srcport} ${dstport} ${action}"], instance([], [permission("-1", 0, 0)], OPEN_ACL),
          [(0, tcp(False, "S")), (0.1, tcp(True, "SA"))])
    write("block-public-access", "semantics.md 4.4: REJECT with the reason BPA and without bytes.",
          DEFAULT + ["--format", "${srcaddr} ${dstaddr} ${packets} ${bytes} ${action} ${reject-reason} ${log-status}"],
          instance([permission("-1", 0, 0)], [permission("-1", 0, 0)], OPEN_ACL, BlockPublicAccessStates={"InternetGatewayBlockMode": "block-ingress"}),
          [(0, tcp(False, "S"))])


def addresses():
    fields = ["--format", "${interface-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${action}"]
    everything = [permission("-1", 0, 0)]
    write("secondary-address", "records.md 2.2: an address of the interface that is not the primary one shows in pkt-* only.",
          DEFAULT + fields, instance(everything, everything, OPEN_ACL),
          [(0, tcp(False, "S", address="172.31.16.140")), (0.1, tcp(True, "SA", address="172.31.16.140"))])
    nat, client, host = "10.0.0.220", "10.0.1.5", "203.0.113.5"
    subnets = [subnet(1, V, "10.0.0.0/24"), subnet(2, V, "10.0.1.0/24")]
    local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}
    inventory = {"Vpcs": [vpc(1, "10.0.0.0/16")], "Subnets": subnets,
                 "NetworkInterfaces": [eni(1, S, V, [nat], kind="nat_gateway"), eni(2, f"subnet-{2:017x}", V, [client], [f"sg-{1:017x}"])],
                 "SecurityGroups": [group(1, V, [], everything)], "NetworkAcls": [acl(1, V, [S, f"subnet-{2:017x}"], OPEN_ACL)],
                 "NatGateways": [{"NatGatewayId": "nat-00000000000000001", "SubnetId": S, "VpcId": V, "State": "available", "ConnectivityType": "public",
                                  "NatGatewayAddresses": [{"NetworkInterfaceId": f"eni-{1:017x}", "PrivateIp": nat, "PublicIp": "192.0.2.10", "IsPrimary": True}]}],
                 "RouteTables": [routes(1, V, [S], local, {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000000000000001"}),
                                 routes(2, V, [f"subnet-{2:017x}"], local, {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-00000000000000001"})]}
    inventory["NetworkInterfaces"][0]["InterfaceType"] = "natGateway"
    steps = [(0, frame(1, False) / IP(src=client, dst=host) / TCP(sport=5000, dport=443, flags="S")),
             (1, frame(1, True) / IP(src=nat, dst=host) / TCP(sport=1024, dport=443, flags="S")),
             (2, frame(1, False) / IP(src=host, dst=nat) / TCP(sport=443, dport=1024, flags="SA")),
             (3, frame(1, True) / IP(src=host, dst=client) / TCP(sport=443, dport=5000, flags="SA"))]
    write("nat-gateway", "records.md 4, semantics.md 5: the four records of a NAT gateway's interface.",
          DEFAULT + ["--format", "${instance-id} ${interface-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr}"], inventory, steps)
    write("private-instance", "records.md 4: the instance behind the NAT gateway, which is its next hop both ways.",
          ["--interface", client, "--enforced", "--format", "${srcaddr} ${dstaddr} ${flow-direction} ${traffic-path} ${next-hop-interface-id} ${next-hop-interface-type} ${action}"],
          inventory, [(0, frame(2, True) / IP(src=client, dst=host) / TCP(sport=5000, dport=443, flags="S")),
                      (3, frame(2, False) / IP(src=host, dst=client) / TCP(sport=443, dport=5000, flags="SA"))])
    a, b = "10.20.33.164", "10.40.2.236"
    tgw = {"Vpcs": [vpc(1, "10.40.0.0/16")], "Subnets": [subnet(1, V, "10.40.1.0/24"), subnet(2, V, "10.40.2.0/24")],
           "NetworkInterfaces": [eni(1, S, V, ["10.40.1.175"], kind="transit_gateway"), eni(2, f"subnet-{2:017x}", V, [b], [f"sg-{1:017x}"])],
           "SecurityGroups": [group(1, V, everything, everything)], "NetworkAcls": [acl(1, V, [S, f"subnet-{2:017x}"], OPEN_ACL)],
           "RouteTables": [routes(1, V, [S, f"subnet-{2:017x}"], {"DestinationCidrBlock": "10.40.0.0/16", "GatewayId": "local"},
                                  {"DestinationCidrBlock": "10.20.0.0/16", "TransitGatewayId": "tgw-00000000000000001"})]}
    write("transit-gateway-interface", "semantics.md 5: the gateway's interface in the server's VPC shows its own address where it delivers and where it receives.",
          DEFAULT + ["--format", "${instance-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${interface-type}"], tgw,
          [(0, frame(1, True) / IP(src=a, dst=b) / TCP(sport=5000, dport=443, flags="S")),
           (1, frame(1, False) / IP(src=b, dst=a) / TCP(sport=443, dport=5000, flags="SA"))])
    write("transit-gateway-server", "The server behind it: packet addresses as they are; the reply's next hop is the gateway's interface, what it sent in has none.",
          ["--interface", b, "--enforced", "--format", "${srcaddr} ${dstaddr} ${flow-direction} ${traffic-path} ${next-hop-interface-id} ${next-hop-interface-type}"], tgw,
          [(0, frame(2, False) / IP(src=a, dst=b) / TCP(sport=5000, dport=443, flags="S")),
           (1, frame(2, True) / IP(src=b, dst=a) / TCP(sport=443, dport=5000, flags="SA"))])


def transit():
    """A transit gateway between two VPCs, an office behind a VPN, and what has no way."""
    n = lambda prefix, digit: f"{prefix}-0{digit * 16}"
    a, b, t, table = n("tgw-attach", "a"), n("tgw-attach", "b"), "tgw-0a1b2c3d4e5f60718", "tgw-rtb-0a1b2c3d4e5f60718"
    other = "444455556666"
    attachment = lambda i, kind, resource, owner: {"TransitGatewayAttachmentId": i, "TransitGatewayId": t, "TransitGatewayOwnerId": "111122223333",
        "ResourceOwnerId": owner, "ResourceType": kind, "ResourceId": resource, "State": "available", "Tags": [],
        "Association": {"TransitGatewayRouteTableId": table, "State": "associated"}}
    leads = lambda cidr, i, kind, resource, how="propagated": {"DestinationCidrBlock": cidr, "Type": how, "State": "active",
        "TransitGatewayAttachments": [{"TransitGatewayAttachmentId": i, "ResourceType": kind, "ResourceId": resource}]}

    def side(digit, cidrs, zone, addresses, owner):
        v = {**vpc(0, cidrs[0]), "VpcId": n("vpc", digit), "OwnerId": owner}
        subnets, enis = [], []
        for i, (cidr, address) in enumerate(zip(cidrs[1:], addresses)):
            d = digit if not i else {"a": "e", "b": "f"}[digit]
            az = f"us-east-1{'abc'[zone - 1 + i]}"
            subnets.append({**subnet(0, v["VpcId"], cidr), "SubnetId": n("subnet", d), "OwnerId": owner, "AvailabilityZone": az,
                            "AvailabilityZoneId": f"use1-az{zone + i}"})
            enis.append({**eni(0, n("subnet", d), v["VpcId"], [address], kind="transit_gateway"), "NetworkInterfaceId": n("eni", d), "OwnerId": owner,
                         "MacAddress": f"02:00:00:00:0{digit}:{i:02x}", "AvailabilityZone": az, "AvailabilityZoneId": f"use1-az{zone + i}",
                         "Description": f"Network Interface for Transit Gateway Attachment {n('tgw-attach', digit)}"})
        return v, subnets, enis

    def inventory(one, two):
        return {"TransitGateways": [{"TransitGatewayId": t, "TransitGatewayArn": f"arn:aws:ec2:us-east-1:111122223333:transit-gateway/{t}",
                                     "OwnerId": "111122223333", "State": "available", "Tags": []}],
                "TransitGatewayRouteTables": [{"TransitGatewayRouteTableId": table, "TransitGatewayId": t, "State": "available", "Tags": []}],
                "TransitGatewayAttachments": [attachment(a, "vpc", one[0]["VpcId"], "111122223333"), attachment(b, "vpc", two[0]["VpcId"], other),
                                              attachment(n("tgw-attach", "c"), "vpn", n("vpn", "c"), "111122223333")],
                "TransitGatewayVpcAttachments": [
                    {"TransitGatewayAttachmentId": i, "TransitGatewayId": t, "VpcId": s[0]["VpcId"], "VpcOwnerId": s[0]["OwnerId"], "State": "available",
                     "SubnetIds": [x["SubnetId"] for x in s[1]], "Options": {"ApplianceModeSupport": "disable"}, "Tags": []} for i, s in ((a, one), (b, two))],
                "Vpcs": [one[0], two[0]], "Subnets": one[1] + two[1], "NetworkInterfaces": one[2] + two[2]}

    def write_transit(case, note, interface, sides, cidrs, packets, fields="tgw-default"):
        write(case, note, ["--interface", interface, "--format", fields], inventory(*sides), packets)
        (HERE / case / f"inventory/{table}.json").write_text(json.dumps({"Routes": [
            leads(cidrs[0], a, "vpc", n("vpc", "a")), leads(cidrs[1], b, "vpc", n("vpc", "b")),
            leads("172.20.0.0/16", n("tgw-attach", "c"), "vpn", n("vpn", "c")),
            {"DestinationCidrBlock": "10.3.0.0/16", "Type": "static", "State": "blackhole"}], "AdditionalRoutesAvailable": False}, indent=1) + "\n")

    def talk(start, src, dst, sport, dport, flags, sizes, mac=None, out=False):
        own = "02:00:00:00:0a:00" if mac is None else mac
        ether = Ether(src=own, dst="02:ff:00:00:00:01") if out else Ether(src="02:ff:00:00:00:01", dst=own)
        for i, (flag, size) in enumerate(zip(flags, sizes)):
            yield start + i, ether / IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flag) / (b"x" * size)

    pair = (side("a", ["10.1.0.0/16", "10.1.0.0/24"], 1, ["10.1.0.4"], "111122223333"), side("b", ["10.2.0.0/16", "10.2.0.0/24"], 2, ["10.2.0.4"], other))
    # 12 packets of 3400 bytes in all, SYN-ACK and FIN among them
    flags, sizes = ["SA"] + ["A"] * 10 + ["FA"], [0, 0, 0] + [320] * 8 + [3400 - 12 * 40 - 8 * 320]
    write_transit("transit-gateway-flow-log", "records.md 5.2: the documented record, its answer, a blackhole and no route. Whether a time to live expired is not seen.",
                  n("eni", "a"), pair, ("10.1.0.0/16", "10.2.0.0/16"),
                  list(talk(0, "10.1.0.10", "10.2.0.20", 49152, 443, flags, sizes)) + list(talk(1, "10.2.0.20", "10.1.0.10", 443, 49152, ["A"] * 4, [10] * 4, out=True))
                  + list(talk(2, "10.1.0.10", "10.3.0.9", 49153, 443, ["S"] * 3, [0] * 3)) + list(talk(3, "10.1.0.10", "10.9.0.9", 49154, 443, ["S"] * 2, [0] * 2)))
    way = (side("a", ["10.20.0.0/16", "10.20.33.0/24", "10.20.34.0/24"], 1, ["10.20.33.4", "10.20.34.4"], "111122223333"),
           side("b", ["10.40.0.0/16", "10.40.1.0/24", "10.40.2.0/24"], 1, ["10.40.1.175", "10.40.2.31"], other))
    fields = " ".join(f"${{{f}}}" for f in ("tgw-attachment-id tgw-src-vpc-id tgw-dst-vpc-id tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id "
                                            "tgw-pair-attachment-id srcaddr dstaddr packets-lost-no-route packets-lost-mtu-exceeded flow-direction").split())
    client, server = "10.20.33.164", "10.40.2.236"
    write_transit("transit-gateway-request", "semantics.md 5: the request leaves the gateway in the zone it came in by, under the packet's own addresses.",
                  n("eni", "b"), way, ("10.20.0.0/16", "10.40.0.0/16"), list(talk(0, client, server, 5000, 443, ["S"], [0], mac="02:00:00:00:0b:00", out=True)), fields)
    write_transit("transit-gateway-reply", "semantics.md 5: the reply enters by the gateway's interface in the server's zone; in the client's VPC it leaves in the same one.",
                  n("eni", "f"), (way[0][:1] + ([way[0][1][0]], [way[0][2][0]]), way[1]), ("10.20.0.0/16", "10.40.0.0/16"),
                  list(talk(0, server, client, 443, 5000, ["SA"], [0], mac="02:00:00:00:0b:01")), fields)
    write_transit("transit-gateway-vpn", "An office behind a VPN attachment, which has no interface: sides that are no VPC are -.",
                  n("tgw-attach", "c"), pair, ("10.1.0.0/16", "10.2.0.0/16"),
                  list(talk(0, "172.20.8.1", "10.1.0.10", 5000, 443, ["S"], [0], mac="02:00:00:00:09:09")) +
                  list(talk(1, "10.1.0.10", "172.20.8.1", 443, 5000, ["SA"], [0], mac="02:00:00:00:09:09")) +
                  list(talk(2, "172.20.8.1", "192.0.2.1", 5000, 443, ["S"], [0], mac="02:00:00:00:09:09")), fields)


def regional():
    host, client, public = "203.0.113.5", "10.0.1.5", "192.0.2.10"
    local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}
    inventory = {"Vpcs": [vpc(1, "10.0.0.0/16")], "Subnets": [subnet(2, V, "10.0.1.0/24")],
                 "NetworkInterfaces": [eni(2, f"subnet-{2:017x}", V, [client], [f"sg-{1:017x}"])],
                 "SecurityGroups": [group(1, V, [], [permission("-1", 0, 0)])],
                 "NatGateways": [{"NatGatewayId": "nat-0a1b2c3d4e5f60718", "VpcId": V, "State": "available", "ConnectivityType": "public",
                                  "AvailabilityMode": "regional", "RouteTableId": f"rtb-{1:017x}", "Tags": [],
                                  "NatGatewayAddresses": [{"PublicIp": public, "Status": "succeeded", "AvailabilityZone": "us-east-1a",
                                                           "AvailabilityZoneId": "use1-az1"}]}],
                 "RouteTables": [routes(1, V, [], local, {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000000000000001"}),
                                 routes(2, V, [f"subnet-{2:017x}"], local, {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-0a1b2c3d4e5f60718"})]}
    packet = lambda src, dst, sport, dport, flags: Ether(src="02:ff:00:00:00:01", dst="02:ff:00:00:00:02") / IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags)
    write("regional-nat-gateway", "records.md 4: the four steps through a regional NAT gateway, which has no interface: nothing is rewritten, its public address appears.",
          ["--interface", "nat-0a1b2c3d4e5f60718", "--format", "${resource-id} ${instance-id} ${interface-id} ${subnet-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} "
           "${pkt-dstaddr} ${vpc-id} ${region} ${interface-type} ${flow-direction} ${traffic-path}"], inventory,
          [(0, packet(client, host, 5000, 443, "S")), (1, packet(public, host, 1024, 443, "S")), (2, packet(host, public, 443, 1024, "SA")),
           (3, packet(host, client, 443, 5000, "SA"))])


def exclusions():
    """Block Public Access of both directions, and what an exclusion leaves of it."""
    everything = [permission("-1", 0, 0)]
    fields = ["--format", "${srcaddr} ${dstaddr} ${bytes} ${action} ${reject-reason}"]
    for case, mode, note in (("bpa-exclusion", "allow-bidirectional", "An excluded VPC: nothing is blocked."),
                             ("bpa-exclusion-egress", "allow-egress", "Excluded for what goes out: what comes in is still REJECT with the reason BPA.")):
        inventory = instance(everything, everything, OPEN_ACL)
        inventory["VpcBlockPublicAccessOptions"] = {"AwsAccountId": ACCOUNT, "AwsRegion": REGION, "InternetGatewayBlockMode": "block-bidirectional"}
        inventory["VpcBlockPublicAccessExclusions"] = [{"ExclusionId": "vpcbpa-exclude-00000000000000001", "State": "create-complete", "Tags": [],
            "ResourceArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{V}", "InternetGatewayExclusionMode": mode}]
        write(case, f"semantics.md 4.4, VpcBlockPublicAccessExclusion: {note}", DEFAULT + fields, inventory,
              [(0, tcp(False, "S")), (1, tcp(True, "S", own=50000, peer=443))])


def paths():
    local = {"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local"}
    table = [local, {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000000000000001"},
             {"DestinationPrefixListId": "pl-00000000000000001", "GatewayId": "vpce-00000000000000001"},
             {"DestinationCidrBlock": "192.168.0.0/16", "GatewayId": "vgw-00000000000000001"},
             {"DestinationCidrBlock": "10.30.0.0/16", "VpcPeeringConnectionId": "pcx-00000000000000001"},
             {"DestinationCidrBlock": "10.50.0.0/16", "VpcPeeringConnectionId": "pcx-00000000000000002"},
             {"DestinationCidrBlock": "10.60.0.0/16", "VpcPeeringConnectionId": "pcx-00000000000000001", "State": "blackhole"}]
    everything = [permission("-1", 0, 0)]
    peering = lambda n, v, region: {"VpcPeeringConnectionId": f"pcx-{n:017x}", "Status": {"Code": "active"}, "Tags": [],
                                    "RequesterVpcInfo": {"VpcId": V, "OwnerId": ACCOUNT, "Region": REGION, "CidrBlock": "10.20.0.0/16"},
                                    "AccepterVpcInfo": {"VpcId": f"vpc-{v:017x}", "OwnerId": ACCOUNT, "Region": region, "CidrBlock": f"10.{v}0.0.0/16"}}
    inventory = {
        "Vpcs": [vpc(1, "10.20.0.0/16"), vpc(3, "10.30.0.0/16")], "Subnets": [subnet(1, V, "10.20.4.0/24"), subnet(3, f"vpc-{3:017x}", "10.30.0.0/24")],
        "NetworkInterfaces": [eni(1, S, V, ["10.20.4.9"], [f"sg-{1:017x}"], TagSet=[{"Key": "Role", "Value": "front door"}],
                                  Attachment={"InstanceId": "i-00000000000000001", "Status": "attached"}),
                              eni(2, S, V, ["10.20.4.10"], [f"sg-{1:017x}"]), eni(3, f"subnet-{3:017x}", f"vpc-{3:017x}", ["10.30.0.7"], [])],
        "SecurityGroups": [group(1, V, everything, everything)], "NetworkAcls": [acl(1, V, [S], OPEN_ACL)], "RouteTables": [routes(1, V, [S], *table)],
        "VpcEndpoints": [{"VpcEndpointId": "vpce-00000000000000001", "VpcEndpointType": "Gateway", "VpcId": V, "ServiceName": "com.amazonaws.us-east-1.s3",
                          "State": "available", "RouteTableIds": [f"rtb-{1:017x}"], "SubnetIds": [], "NetworkInterfaceIds": [], "Groups": [], "Tags": []}],
        "PrefixLists": [{"PrefixListId": "pl-00000000000000001", "PrefixListName": "com.amazonaws.us-east-1.s3", "State": "create-complete", "OwnerId": "AWS", "Tags": []}],
        "VpcPeeringConnections": [peering(1, 3, REGION), peering(2, 5, "eu-west-1")],
        "Reservations": [{"OwnerId": ACCOUNT, "Instances": [{"InstanceId": "i-00000000000000001", "State": {"Code": 16, "Name": "running"}, "SubnetId": S, "VpcId": V,
                                                             "Tags": [{"Key": "Team", "Value": "web front"}]}]}]}
    out = lambda to: frame(1, True) / IP(src="10.20.4.9", dst=to) / TCP(sport=5000, dport=443, flags="S")
    ranges = [{"ip_prefix": "52.95.128.0/21", "region": "us-east-1", "service": s, "network_border_group": "us-east-1"} for s in ("AMAZON", "S3")]
    everywhere = ["52.94.0.9", "52.95.128.179", "198.51.100.7", "192.168.7.7", "10.30.0.7", "10.50.0.7", "10.60.0.7", "10.20.4.10"]
    inventory["prefixes"] = ranges + [{"ip_prefix": "52.94.0.0/22", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"}]
    write("traffic-paths", "records.md, fields 27 to 29 and 50: every way out of a subnet, the service at its end and the next interface. 52.95.128.0/21 goes to the gateway endpoint.",
          DEFAULT + ["--format", "${dstaddr} ${pkt-dst-aws-service} ${flow-direction} ${traffic-path} ${next-hop-interface-id} ${next-hop-vpc-id}"], inventory,
          [(i, out(to)) for i, to in enumerate(everywhere)])
    (HERE / "traffic-paths/inventory/pl-00000000000000001.json").write_text(json.dumps({"Entries": [{"Cidr": "52.95.128.0/21"}]}) + "\n")
    write("tags", "records.md 4: tag values percent-encoded, a key that is not there is -.",
          DEFAULT + ["--tag", "instance-tag=Team", "--tag", "instance-tag-2=Nobody", "--tag", "interface-tag=Role",
                     "--format", "${version} ${srcaddr} ${dstaddr} ${action} ${interface-type} ${instance-tag} ${instance-tag-2} ${interface-tag} ${instance-id}"],
          inventory, [(0, out("198.51.100.7"))])


if __name__ == "__main__":
    verdicts()
    addresses()
    transit()
    regional()
    exclusions()
    paths()

# SPDX-License-Identifier: Apache-2.0
"""A small world as the describe calls of the AWS CLI print it, made to be broken: World() is a place where everything works."""
import copy
import json

ANY, ANY6 = "0.0.0.0/0", "::/0"
PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmp6": "58", "all": "-1"}


def permission(proto, ports=None, cidr=None, group=None, plist=None):
    """ports: (from, to), for ICMP (type, code)."""
    p = {"IpProtocol": {"all": "-1", "icmp6": "icmpv6"}.get(proto, proto), "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}
    if ports:
        p["FromPort"], p["ToPort"] = ports
    if cidr and ":" in cidr:
        p["Ipv6Ranges"].append({"CidrIpv6": cidr})
    elif cidr:
        p["IpRanges"].append({"CidrIp": cidr})
    if group:
        p["UserIdGroupPairs"].append({"GroupId": group, "UserId": "111122223333"})
    if plist:
        p["PrefixListIds"].append({"PrefixListId": plist})
    return p


def entry(number, action, proto, ports=None, cidr=ANY, egress=False):
    e = {"RuleNumber": number, "RuleAction": action, "Protocol": PROTOCOLS.get(proto, proto), "Egress": egress}
    e["Ipv6CidrBlock" if ":" in cidr else "CidrBlock"] = cidr
    if proto in ("icmp", "icmp6"):
        e["IcmpTypeCode"] = {"Type": ports[0] if ports else -1, "Code": ports[1] if ports else -1}
    elif ports:
        e["PortRange"] = {"From": ports[0], "To": ports[1]}
    return e


def open_acl(acl_id, vpc, subnets):
    entries = [e for out in (False, True) for e in (entry(100, "allow", "all", egress=out), entry(101, "allow", "all", cidr=ANY6, egress=out),
                                                    entry(32767, "deny", "all", egress=out), entry(32767, "deny", "all", cidr=ANY6, egress=out))]
    return {"NetworkAclId": acl_id, "VpcId": vpc, "IsDefault": False, "Entries": entries, "OwnerId": "111122223333", "Tags": [],
            "Associations": [{"NetworkAclAssociationId": f"aclassoc-{s}", "NetworkAclId": acl_id, "SubnetId": s} for s in subnets]}


def route(cidr, state="active", **target):
    key = "DestinationPrefixListId" if cidr.startswith("pl-") else "DestinationIpv6CidrBlock" if ":" in cidr else "DestinationCidrBlock"
    return {key: cidr, "State": state, "Origin": "CreateRoute", **target}


def table(rtb, vpc, subnets, *routes, main=False):
    associations = [{"RouteTableAssociationId": f"rtbassoc-{s}", "RouteTableId": rtb, "SubnetId": s, "Main": False} for s in subnets]
    if main:
        associations.append({"RouteTableAssociationId": f"rtbassoc-{rtb}", "RouteTableId": rtb, "Main": True})
    return {"RouteTableId": rtb, "VpcId": vpc, "OwnerId": "111122223333", "Tags": [], "PropagatingVgws": [], "Associations": associations,
            "Routes": list(routes)}


def named(name):
    return [{"Key": "Name", "Value": name}]


def interface(eni, name, vpc, subnet, address, groups, public=None, v6=None, **more):
    primary = {"Primary": True, "PrivateIpAddress": address}
    if public:
        primary["Association"] = {"PublicIp": public, "IpOwnerId": "111122223333"}
    return {"NetworkInterfaceId": eni, "VpcId": vpc, "SubnetId": subnet, "OwnerId": "111122223333", "PrivateIpAddress": address,
            "PrivateIpAddresses": [primary], "Ipv6Addresses": [{"Ipv6Address": v6}] if v6 else [], "Groups": [{"GroupId": g} for g in groups],
            "InterfaceType": "interface", "SourceDestCheck": True, "RequesterManaged": False, "MacAddress": "02:00:00:00:00:" + eni[-2:],
            "Status": "in-use", "TagSet": named(name), **more}


def group(sg, name, vpc, inbound, outbound=None):
    out = [permission("all", cidr=ANY), permission("all", cidr=ANY6)] if outbound is None else outbound
    return {"GroupId": sg, "GroupName": name, "VpcId": vpc, "OwnerId": "111122223333", "Description": name, "IpPermissions": inbound,
            "IpPermissionsEgress": out, "Tags": []}


def vpc(vpc_id, cidr, v6=None):
    return {"VpcId": vpc_id, "CidrBlock": cidr, "OwnerId": "111122223333", "State": "available", "IsDefault": False, "Tags": [],
            "CidrBlockAssociationSet": [{"AssociationId": "a-" + vpc_id, "CidrBlock": cidr, "CidrBlockState": {"State": "associated"}}],
            "Ipv6CidrBlockAssociationSet": [{"AssociationId": "b-" + vpc_id, "Ipv6CidrBlock": v6, "Ipv6CidrBlockState": {"State": "associated"}}]
            if v6 else []}


def subnet(subnet_id, vpc_id, cidr, az, v6=None):
    return {"SubnetId": subnet_id, "VpcId": vpc_id, "CidrBlock": cidr, "AvailabilityZone": az, "AvailabilityZoneId": "use1-az" + str("abc".index(az[-1]) + 1),
            "OwnerId": "111122223333", "State": "available", "Tags": [],
            "Ipv6CidrBlockAssociationSet": [{"AssociationId": "c", "Ipv6CidrBlock": v6, "Ipv6CidrBlockState": {"State": "associated"}}] if v6 else []}


def peering(pcx, a, a_cidr, b, b_cidr, status="active"):
    side = lambda v, c: {"VpcId": v, "OwnerId": "111122223333", "Region": "us-east-1", "CidrBlock": c, "CidrBlockSet": [{"CidrBlock": c}]}  # noqa: E731
    return {"VpcPeeringConnectionId": pcx, "Status": {"Code": status, "Message": ""}, "RequesterVpcInfo": side(a, a_cidr),
            "AccepterVpcInfo": side(b, b_cidr), "Tags": []}


def instance(i, eni, state="running"):
    return {"InstanceId": i, "State": {"Code": 16, "Name": state}, "Tags": [], "NetworkInterfaces": [{"NetworkInterfaceId": eni}]}


class World:
    """VPC a: public, private and db subnets with a NAT, an internet and an egress-only gateway; VPC b is peered, VPC c behind a transit gateway.

    Members are the lists of the describe answers; change them, then write()."""

    def __init__(self):
        a, b, c = "vpc-0a", "vpc-0b", "vpc-0c"
        self.vpcs = [vpc(a, "10.0.0.0/16", "2001:db8:a::/56"), vpc(b, "10.1.0.0/16"), vpc(c, "10.2.0.0/16")]
        self.subnets = [subnet("subnet-0public", a, "10.0.1.0/24", "us-east-1a", "2001:db8:a:1::/64"),
                        subnet("subnet-0private", a, "10.0.2.0/24", "us-east-1a", "2001:db8:a:2::/64"),
                        subnet("subnet-0db", a, "10.0.3.0/24", "us-east-1b"),
                        subnet("subnet-0b", b, "10.1.1.0/24", "us-east-1a"), subnet("subnet-0c", c, "10.2.1.0/24", "us-east-1a")]
        self.acls = [open_acl("acl-0public", a, ["subnet-0public"]), open_acl("acl-0private", a, ["subnet-0private"]),
                     open_acl("acl-0db", a, ["subnet-0db"]), open_acl("acl-0b", b, ["subnet-0b"]), open_acl("acl-0c", c, ["subnet-0c"])]
        local, local6 = route("10.0.0.0/16", GatewayId="local"), route("2001:db8:a::/56", GatewayId="local")
        self.tables = [
            table("rtb-0public", a, ["subnet-0public"], local, local6, route(ANY, GatewayId="igw-0a"), route(ANY6, GatewayId="igw-0a")),
            table("rtb-0private", a, ["subnet-0private"], local, local6, route(ANY, NatGatewayId="nat-0a"),
                  route(ANY6, EgressOnlyInternetGatewayId="eigw-0a"), route("10.1.0.0/16", VpcPeeringConnectionId="pcx-0ab"),
                  route("10.2.0.0/16", TransitGatewayId="tgw-0"), route("pl-0s3", GatewayId="vpce-0s3")),
            table("rtb-0db", a, ["subnet-0db"], local, local6),
            table("rtb-0b", b, ["subnet-0b"], route("10.1.0.0/16", GatewayId="local"), route("10.0.0.0/16", VpcPeeringConnectionId="pcx-0ab")),
            table("rtb-0c", c, ["subnet-0c"], route("10.2.0.0/16", GatewayId="local"), route("10.0.0.0/16", TransitGatewayId="tgw-0"))]
        self.groups = [
            group("sg-0web", "web", a, [permission("tcp", (443, 443), ANY), permission("tcp", (443, 443), ANY6), permission("icmp", (8, -1), ANY)]),
            group("sg-0app", "app", a, [permission("tcp", (8080, 8080), group="sg-0web"), permission("icmp", (8, -1), "10.0.0.0/8")]),
            group("sg-0db", "db", a, [permission("tcp", (5432, 5432), group="sg-0app"), permission("udp", (53, 53), "10.0.2.0/24"),
                                      permission("tcp", (22, 22), plist="pl-0office")], []),
            group("sg-0b", "b", b, [permission("tcp", (80, 80), "10.0.0.0/16"), permission("tcp", (81, 81), group="sg-0app")]),
            group("sg-0c", "c", c, [permission("tcp", (80, 80), "10.0.0.0/16")]),
            group("sg-0box", "box", a, [permission("all", cidr=ANY)])]
        self.interfaces = [
            interface("eni-0web01", "web", a, "subnet-0public", "10.0.1.5", ["sg-0web"], "198.51.100.5", "2001:db8:a:1::5"),
            interface("eni-0app02", "app", a, "subnet-0private", "10.0.2.5", ["sg-0app"], None, "2001:db8:a:2::5"),
            interface("eni-0app03", "app2", a, "subnet-0private", "10.0.2.6", ["sg-0app"]),
            interface("eni-0db04", "db", a, "subnet-0db", "10.0.3.5", ["sg-0db"]),
            interface("eni-0b05", "b", b, "subnet-0b", "10.1.1.5", ["sg-0b"]),
            interface("eni-0c06", "c", c, "subnet-0c", "10.2.1.5", ["sg-0c"]),
            interface("eni-0nat07", "nat", a, "subnet-0public", "10.0.1.9", [], "198.51.100.9", InterfaceType="nat_gateway", RequesterManaged=True,
                      SourceDestCheck=False),
            interface("eni-0box08", "box", a, "subnet-0public", "10.0.1.8", ["sg-0box"], SourceDestCheck=False)]
        self.instances = [instance("i-0web", "eni-0web01"), instance("i-0app", "eni-0app02"), instance("i-0db", "eni-0db04")]
        for i in self.instances:
            self.find(i["NetworkInterfaces"][0]["NetworkInterfaceId"])["Attachment"] = {"InstanceId": i["InstanceId"], "DeviceIndex": 0, "Status": "attached"}
        self.nats = [{"NatGatewayId": "nat-0a", "VpcId": a, "SubnetId": "subnet-0public", "State": "available", "ConnectivityType": "public", "Tags": [],
                      "NatGatewayAddresses": [{"NetworkInterfaceId": "eni-0nat07", "PrivateIp": "10.0.1.9", "PublicIp": "198.51.100.9", "IsPrimary": True}]}]
        self.igws = [{"InternetGatewayId": "igw-0a", "Attachments": [{"VpcId": a, "State": "available"}], "Tags": []}]
        self.eigws = [{"EgressOnlyInternetGatewayId": "eigw-0a", "Attachments": [{"VpcId": a, "State": "attached"}], "Tags": []}]
        self.peerings = [peering("pcx-0ab", a, "10.0.0.0/16", b, "10.1.0.0/16")]
        self.attachments = [{"TransitGatewayAttachmentId": f"tgw-attach-0{v[-1]}", "TransitGatewayId": "tgw-0", "VpcId": v, "State": "available",
                             "SubnetIds": subnets, "Tags": []} for v, subnets in ((a, ["subnet-0private"]), (c, ["subnet-0c"]))]
        self.endpoints = [{"VpcEndpointId": "vpce-0s3", "VpcEndpointType": "Gateway", "VpcId": a, "ServiceName": "com.amazonaws.us-east-1.s3",
                           "State": "available", "RouteTableIds": ["rtb-0private"], "Tags": []}]
        self.lists = [{"PrefixListId": "pl-0s3", "PrefixListName": "com.amazonaws.us-east-1.s3", "State": "create-complete"},
                      {"PrefixListId": "pl-0office", "PrefixListName": "office", "State": "create-complete"}]
        self.entries = {"pl-0s3": ["52.216.0.0/15"], "pl-0office": ["10.0.1.0/24", "203.0.113.0/24"]}

        self.more = {}  # file: content, as it stands

    def hub(self):
        """The transit gateway with its route tables: VPC a with a subnet for it, VPC c behind it, an office behind a VPN."""
        a, c, main = "vpc-0a", "vpc-0c", "tgw-rtb-0main"
        self.subnets += [subnet("subnet-0tgwa", a, "10.0.9.0/28", "us-east-1a"), subnet("subnet-0tgwc", c, "10.2.9.0/28", "us-east-1a")]
        self.acls += [open_acl("acl-0tgwa", a, ["subnet-0tgwa"]), open_acl("acl-0tgwc", c, ["subnet-0tgwc"])]
        self.tables += [table("rtb-0tgwa", a, ["subnet-0tgwa"], route("10.0.0.0/16", GatewayId="local"), route(ANY, NatGatewayId="nat-0a")),
                        table("rtb-0tgwc", c, ["subnet-0tgwc"], route("10.2.0.0/16", GatewayId="local"))]
        self.find("rtb-0private")["Routes"].append(route("172.16.0.0/12", TransitGatewayId="tgw-0"))
        self.find("rtb-0public")["Routes"].append(route("10.2.0.0/16", TransitGatewayId="tgw-0"))
        self.find("rtb-0c")["Routes"].append(route(ANY, TransitGatewayId="tgw-0"))
        for x, v, s, address in (("a", a, "subnet-0tgwa", "10.0.9.4"), ("c", c, "subnet-0tgwc", "10.2.9.4")):
            self.interfaces.append(interface(f"eni-0tgw{x}", "", v, s, address, [], InterfaceType="transit_gateway", RequesterManaged=True,
                                             SourceDestCheck=False, MacAddress=f"02:00:00:00:01:0{x}",
                                             Description=f"Network Interface for Transit Gateway Attachment tgw-attach-0{x}"))
        for x, s in zip(self.attachments, ("subnet-0tgwa", "subnet-0tgwc")):
            x["SubnetIds"] = [s]
        self.tgw = [{"TransitGatewayAttachmentId": i, "TransitGatewayId": "tgw-0", "TransitGatewayOwnerId": "111122223333", "ResourceOwnerId": "111122223333",
                     "ResourceType": kind, "ResourceId": resource, "State": "available", "Tags": [],
                     "Association": {"TransitGatewayRouteTableId": main, "State": "associated"}}
                    for i, kind, resource in (("tgw-attach-0a", "vpc", a), ("tgw-attach-0c", "vpc", c), ("tgw-attach-0v", "vpn", "vpn-0v"))]
        self.tgw_routes = {main: [self.tgw_route("10.0.0.0/16", "a", "propagated"), self.tgw_route("10.2.0.0/16", "c", "propagated"),
                                  self.tgw_route("172.16.0.0/12", "v"), self.tgw_route(ANY, "a")]}
        self.tgw_propagations = {main: ["a", "c"]}
        self.vpns = [{"VpnConnectionId": "vpn-0v", "State": "available", "TransitGatewayId": "tgw-0", "Tags": [],
                      "VgwTelemetry": [{"OutsideIpAddress": "198.51.100.77", "Status": "UP"}, {"OutsideIpAddress": "198.51.100.78", "Status": "UP"}]}]

    @staticmethod
    def tgw_route(cidr, attachment, how="static"):
        kind, resource = {"a": ("vpc", "vpc-0a"), "c": ("vpc", "vpc-0c"), "v": ("vpn", "vpn-0v"), "": ("", "")}[attachment]
        return {"DestinationCidrBlock": cidr, "Type": how, "State": "active" if attachment else "blackhole",
                **({"TransitGatewayAttachments": [{"TransitGatewayAttachmentId": "tgw-attach-0" + attachment, "ResourceType": kind, "ResourceId": resource}]}
                   if attachment else {})}

    def copy(self):
        return copy.deepcopy(self)

    def find(self, what):
        """By id or name, whatever it is."""
        for members in vars(self).values():
            for x in members if isinstance(members, list) else []:
                names = [t["Value"] for t in x.get("TagSet", []) if t["Key"] == "Name"]
                if what in [x.get(k) for k in x if k.endswith("Id")] + names and what in [next(v for k, v in x.items() if k.endswith("Id"))] + names:
                    return x
        raise KeyError(what)

    def write(self, path):
        files = {"vpcs": {"Vpcs": self.vpcs}, "subnets": {"Subnets": self.subnets}, "network-acls": {"NetworkAcls": self.acls},
                 "route-tables": {"RouteTables": self.tables}, "security-groups": {"SecurityGroups": self.groups},
                 "network-interfaces": {"NetworkInterfaces": self.interfaces},
                 "instances": {"Reservations": [{"OwnerId": "111122223333", "Instances": self.instances}]}, "nat-gateways": {"NatGateways": self.nats},
                 "internet-gateways": {"InternetGateways": self.igws}, "egress-only": {"EgressOnlyInternetGateways": self.eigws},
                 "peerings": {"VpcPeeringConnections": self.peerings}, "attachments": {"TransitGatewayVpcAttachments": self.attachments},
                 "endpoints": {"VpcEndpoints": self.endpoints}, "lists": {"PrefixLists": self.lists}}
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / f"{name}.json").write_text(json.dumps(content))
        for name, content in self.more.items():
            (path / f"{name}.json").write_text(json.dumps(content))
        if hasattr(self, "tgw"):
            (path / "tgw-attachments.json").write_text(json.dumps({"TransitGatewayAttachments": self.tgw}))
            (path / "vpns.json").write_text(json.dumps({"VpnConnections": self.vpns}))
            (path / "tgw-tables.json").write_text(json.dumps({"TransitGatewayRouteTables": [
                {"TransitGatewayRouteTableId": t, "TransitGatewayId": "tgw-0", "State": "available", "Tags": []} for t in self.tgw_routes]}))
            for t, routes in self.tgw_routes.items():
                (path / f"{t}.json").write_text(json.dumps({"Routes": routes, "AdditionalRoutesAvailable": False}))
            for t in self.tgw_propagations:
                (path / f"{t}.propagations.json").write_text(json.dumps({"TransitGatewayRouteTablePropagations": [
                    {"TransitGatewayAttachmentId": "tgw-attach-0" + a, "State": "enabled"} for a in self.tgw_propagations[t]]}))
        for name, cidrs in self.entries.items():
            (path / f"{name}.json").write_text(json.dumps({"Entries": [{"Cidr": c} for c in cidrs]}))
        return path

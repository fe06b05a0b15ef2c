# SPDX-License-Identifier: Apache-2.0
"""flowlog why over a library of set-ups, each broken in one way: it names the cause, whose problem it is, and where."""
import json
import re
import shutil

import pytest

from aws_inventory import ANY, ANY6, World, entry, permission, route
from conftest import ROOT

REJECT_ALL = [entry(32767, "deny", "all"), entry(32767, "deny", "all", egress=True)]


def acl(name, *entries, inbound=None, outbound=None):
    """Replaces one direction of an ACL by these entries, or both."""
    def change(w):
        a = w.find(name)
        keep = [e for e in a["Entries"] if (e["Egress"] and outbound is None) or (not e["Egress"] and inbound is None)]
        new = [{**e, "Egress": False} for e in inbound or []] + [{**e, "Egress": True} for e in outbound or []]
        a["Entries"] = keep + new + REJECT_ALL if not entries else list(entries) + REJECT_ALL
    return change


def rules(name, *permissions, egress=False):
    def change(w):
        w.find(name)["IpPermissionsEgress" if egress else "IpPermissions"] = list(permissions)
    return change


def members(name, **values):
    return lambda w: w.find(name).update(values)


def drop_route(name, cidr):
    def change(w):
        t = w.find(name)
        t["Routes"] = [r for r in t["Routes"] if cidr not in r.values()]
        assert t
    return change


def add_route(name, cidr, **target):
    return lambda w: w.find(name)["Routes"].append(route(cidr, **target))


def set_route(name, cidr, **target):
    def change(w):
        drop_route(name, cidr)(w)
        add_route(name, cidr, **target)(w)
    return change


def both(*changes):
    def change(w):
        for c in changes:
            c(w)
    return change


def vpc_members(**values):
    return lambda w: w.vpcs[0].update(values)


def no_public(w):
    for a in w.find("web")["PrivateIpAddresses"]:
        a.pop("Association")


def entries(name, *cidrs):
    def change(w):
        w.entries[name] = list(cidrs)
    return change


def hub(*changes):
    """The transit gateway with route tables of its own, and then something else."""
    def change(w):
        w.hub()
        for c in changes:
            c(w)
    return change


def hub_route(cidr, attachment):
    """Puts a route of the gateway's table in place of the one for the same network; None: takes it out."""
    def change(w):
        routes = w.tgw_routes["tgw-rtb-0main"]
        routes[:] = [r for r in routes if r["DestinationCidrBlock"] != cidr]
        if attachment is not None:
            routes.append(w.tgw_route(cidr, attachment))
    return change


def own_table(w):
    """VPC c looks up in a table of its own, which has no route back."""
    w.tgw[1]["Association"]["TransitGatewayRouteTableId"] = "tgw-rtb-0c"
    w.tgw_routes["tgw-rtb-0c"] = []


def regional(w):
    w.nats[0].pop("SubnetId")
    w.nats[0].update(AvailabilityMode="regional", RouteTableId="rtb-0nat", NatGatewayAddresses=[{"PublicIp": "198.51.100.9", "AvailabilityZone": "us-east-1a"}])
    w.interfaces = [x for x in w.interfaces if x["NetworkInterfaceId"] != "eni-0nat07"]
    w.tables.append({"RouteTableId": "rtb-0nat", "VpcId": "vpc-0a", "Associations": [], "Tags": [],
                     "Routes": [route("10.0.0.0/16", GatewayId="local"), route(ANY, GatewayId="igw-0a")]})


def excluded(resource, mode, block="block-bidirectional"):
    def change(w):
        w.more["bpa"] = {"VpcBlockPublicAccessOptions": {"AwsAccountId": "111122223333", "AwsRegion": "us-east-1", "InternetGatewayBlockMode": block}}
        w.more["exclusions"] = {"VpcBlockPublicAccessExclusions": [
            {"ExclusionId": "vpcbpa-exclude-01", "State": "create-complete", "InternetGatewayExclusionMode": mode, "Tags": [],
             "ResourceArn": f"arn:aws:ec2:us-east-1:111122223333:{resource.split('-')[0]}/{resource}"}]}
    return change


TCP443, TCP5432 = ("tcp", (443, 443)), ("tcp", (5432, 5432))
EPHEMERAL = entry(100, "allow", "tcp", (1024, 65535))

# name: (what is broken, from, to, cause, area, leg, where)
BROKEN = {
    # security groups
    "wrong port": (rules("sg-0web", permission("tcp", (80, 80), ANY)), "internet", "web:443", "group-port", "security-group", "there", "eni-0web01"),
    "port just outside a range": (rules("sg-0web", permission("tcp", (444, 8080), ANY)), "internet", "web:443", "group-port", "security-group",
                                  "there", "eni-0web01"),
    "wrong protocol": (rules("sg-0web", permission("udp", (443, 443), ANY)), "internet", "web:443", "group-protocol", "security-group", "there",
                       "eni-0web01"),
    "no inbound rules": (rules("sg-0web"), "internet", "web:443", "group-no-rules", "security-group", "there", "eni-0web01"),
    "no outbound rules": (rules("sg-0app", egress=True), "app", "db:5432", "group-no-rules", "security-group", "there", "eni-0app02"),
    "database may not call out": (None, "db", "app:8080", "group-no-rules", "security-group", "there", "eni-0db04"),
    "outbound to another port": (rules("sg-0app", permission("tcp", (443, 443), ANY), egress=True), "app", "db:5432", "group-port", "security-group",
                                 "there", "eni-0app02"),
    "outbound to another network": (rules("sg-0app", permission(*TCP5432, "10.0.4.0/24"), egress=True), "app", "db:5432", "group-address",
                                    "security-group", "there", "eni-0app02"),
    "address outside the CIDR": (rules("sg-0db", permission(*TCP5432, "10.0.2.0/30")), "app", "db:5432", "group-address", "security-group", "there",
                                 "eni-0db04"),
    "not a member of the group": (None, "web", "db:5432", "group-not-member", "security-group", "there", "eni-0db04"),
    "member lost its group": (members("app", Groups=[{"GroupId": "sg-0web"}]), "app", "db:5432", "group-not-member", "security-group", "there",
                              "eni-0db04"),
    "by the public address no member": (rules("sg-0web", permission("tcp", (443, 443), group="sg-0app")), "app", "198.51.100.5:443",
                                        "group-not-member", "security-group", "there", "eni-0web01"),
    "group that is gone": (rules("sg-0db", permission(*TCP5432, group="sg-0gone")), "app", "db:5432", "group-unknown-reference", "security-group",
                           "there", "eni-0db04"),
    "prefix list without the address": (entries("pl-0office", "203.0.113.0/24"), "web", "db:22", "group-prefix-list", "security-group", "there",
                                        "eni-0db04"),
    "prefix list without entries": (lambda w: w.entries.pop("pl-0office"), "web", "db:22", "group-unknown-reference", "security-group", "there",
                                    "eni-0db04"),
    "IPv4 rule for IPv6": (rules("sg-0web", permission(*TCP443, ANY)), "2001:4860::8", "[2001:db8:a:1::5]:443", "group-family", "security-group",
                           "there", "eni-0web01"),
    "IPv6 rule for IPv4": (rules("sg-0web", permission(*TCP443, ANY6)), "internet", "web:443", "group-family", "security-group", "there",
                           "eni-0web01"),
    "other ICMP type": (rules("sg-0web", permission("icmp", (3, -1), ANY)), "internet", "web", "group-icmp-type", "security-group", "there",
                        "eni-0web01"),
    "ICMP code": (rules("sg-0web", permission("icmp", (8, 0), ANY)), "internet", "web/icmp:8:1", "group-icmp-type", "security-group", "there",
                  "eni-0web01"),
    "ping is not TCP": (rules("sg-0web", permission("tcp", (0, 65535), ANY)), "internet", "web", "group-protocol", "security-group", "there",
                        "eni-0web01"),
    "nothing near": (rules("sg-0web", permission("tcp", (22, 22), "192.0.2.0/24")), "internet", "web/47", "group-no-near-rule", "security-group",
                     "there", "eni-0web01"),
    "the peered VPC's group": (None, "app2", "b:82", "group-port", "security-group", "there", "eni-0b05"),
    "overlapping rules, all too narrow": (rules("sg-0web", permission("tcp", (443, 443), "203.0.112.0/24"), permission("tcp", (80, 80), "203.0.113.0/24"),
                                                permission("tcp", (443, 443), "203.0.114.0/23")), "internet", "web:443", "group-address",
                                          "security-group", "there", "eni-0web01"),
    # network ACLs
    "ACL denies": (acl("acl-0public", inbound=[entry(90, "deny", "tcp", (443, 443)), EPHEMERAL]), "internet", "web:443", "acl-deny", "network-acl",
                   "there", "acl-0public"),
    "ACL denies and nothing would allow": (acl("acl-0public", inbound=[entry(90, "deny", "all", cidr="203.0.113.0/24"), entry(100, "allow", "udp", (1, 2))]),
                                           "internet", "web:443", "acl-deny", "network-acl", "there", "acl-0public"),
    "ACL order": (acl("acl-0db", inbound=[entry(100, "deny", "tcp", (1024, 65535)), entry(200, "allow", "tcp", (5432, 5432))]), "app", "db:5432",
                  "acl-order", "network-acl", "there", "acl-0db"),
    "ACL inbound port": (acl("acl-0db", inbound=[entry(100, "allow", "tcp", (3306, 3306))]), "app", "db:5432", "acl-port", "network-acl", "there",
                         "acl-0db"),
    "ACL outbound port": (acl("acl-0private", outbound=[entry(100, "allow", "tcp", (443, 443))]), "app", "db:5432", "acl-port", "network-acl", "there",
                          "acl-0private"),
    "ACL protocol": (acl("acl-0db", inbound=[entry(100, "allow", "udp", (5432, 5432))]), "app", "db:5432", "acl-protocol", "network-acl", "there",
                     "acl-0db"),
    "ACL address": (acl("acl-0db", inbound=[entry(100, "allow", "tcp", (5432, 5432), "10.0.1.0/24")]), "app", "db:5432", "acl-address", "network-acl",
                    "there", "acl-0db"),
    "ACL without rules": (acl("acl-0db", inbound=[]), "app", "db:5432", "acl-no-rules", "network-acl", "there", "acl-0db"),
    "ACL for IPv4 only": (acl("acl-0public", inbound=[entry(100, "allow", "all")]), "2001:4860::8", "[2001:db8:a:1::5]:443", "acl-family",
                          "network-acl", "there", "acl-0public"),
    "ACL ICMP type": (acl("acl-0public", inbound=[entry(100, "allow", "icmp", (0, -1))]), "internet", "web", "acl-icmp-type", "network-acl", "there",
                      "acl-0public"),
    "ACL nothing near": (acl("acl-0public", inbound=[entry(100, "allow", "tcp", (22, 22), "192.0.2.0/24")]), "internet", "web/icmp", "acl-no-near-rule",
                         "network-acl", "there", "acl-0public"),
    "ping answer kept back (AWS's example)": (acl("acl-0public", outbound=[entry(100, "allow", "tcp", (0, 65535))]), "internet", "web", "acl-protocol",
                                              "network-acl", "back", "acl-0public"),
    "ephemeral ports of the server": (acl("acl-0db", outbound=[entry(100, "allow", "tcp", (5432, 5432))]), "app", "db:5432", "acl-ephemeral-ports",
                                      "network-acl", "back", "acl-0db"),
    "ephemeral ports of the client": (acl("acl-0private", inbound=[entry(100, "allow", "tcp", (443, 443))]), "app", "db:5432", "acl-ephemeral-ports",
                                      "network-acl", "back", "acl-0private"),
    "half of the ephemeral ports": (acl("acl-0db", outbound=[entry(100, "allow", "tcp", (49152, 65535))]), "app", "db:5432", "acl-ephemeral-ports",
                                    "network-acl", "back", "acl-0db"),
    "ephemeral ports denied in the middle": (acl("acl-0db", outbound=[entry(90, "deny", "tcp", (40000, 40010)), entry(100, "allow", "all")]), "app",
                                             "db:5432", "acl-ephemeral-ports", "network-acl", "back", "acl-0db"),
    "ephemeral ports over UDP": (acl("acl-0db", outbound=[entry(100, "allow", "tcp", (1024, 65535))]), "app", "db:53/udp", "acl-ephemeral-ports",
                                 "network-acl", "back", "acl-0db"),
    "ephemeral ports of the NAT gateway": (acl("acl-0public", inbound=[entry(90, "allow", "all", cidr="10.0.0.0/8"), entry(100, "allow", "tcp", (32768, 60999))]),
                                           "app", "internet:443", "acl-ephemeral-ports", "network-acl", "back", "acl-0public"),
    "the NAT gateway's subnet, inbound": (acl("acl-0public", inbound=[entry(90, "deny", "all", cidr="10.0.2.0/24"), EPHEMERAL]), "app",
                                          "internet:443", "acl-deny", "network-acl", "there", "acl-0public"),
    "the NAT gateway's subnet, outbound": (acl("acl-0public", outbound=[entry(100, "allow", "tcp", (80, 80))]), "app", "internet:443", "acl-port",
                                           "network-acl", "there", "acl-0public"),
    # routes
    "no route": (rules("sg-0db", permission("all", cidr=ANY), egress=True), "db", "internet:443", "no-route", "route", "there", "rtb-0db"),
    "no default route": (drop_route("rtb-0private", ANY), "app", "internet:443", "no-route", "route", "there", "rtb-0private"),
    "public subnet without a default route": (drop_route("rtb-0public", ANY), "internet", "web:443", "no-route", "route", "there", "rtb-0public"),
    "no route to the peer": (drop_route("rtb-0private", "10.1.0.0/16"), "app", "10.1.1.5:80", "private-address-to-internet", "address", "there",
                             "igw-0a"),
    "blackhole": (set_route("rtb-0private", "10.1.0.0/16", state="blackhole", VpcPeeringConnectionId="pcx-0gone"), "app", "b:80", "blackhole", "route",
                  "there", "rtb-0private"),
    "a more specific blackhole": (add_route("rtb-0private", "10.1.1.0/24", state="blackhole", VpcPeeringConnectionId="pcx-0gone"), "app", "b:80",
                                  "blackhole", "route", "there", "rtb-0private"),
    "peering without a route back": (drop_route("rtb-0b", "10.0.0.0/16"), "app", "b:80", "no-route", "route", "back", "rtb-0b"),
    "blackhole on the way back": (set_route("rtb-0b", "10.0.0.0/16", state="blackhole", VpcPeeringConnectionId="pcx-0gone"), "app", "b:80", "blackhole",
                                  "route", "back", "rtb-0b"),
    "transit gateway without a route back": (drop_route("rtb-0c", "10.0.0.0/16"), "app", "c:80", "no-route", "route", "back", "rtb-0c"),
    "NAT gateway in a subnet without a way out": (drop_route("rtb-0public", ANY), "app", "internet:443", "nat-gateway-no-route", "route", "there",
                                                  "rtb-0public"),
    "NAT gateway in its own private subnet": (lambda w: w.nats[0].update(SubnetId="subnet-0private") or w.find("nat").update(SubnetId="subnet-0private"),
                                              "app", "internet:443", "route-loop", "route", "there", "rtb-0private"),
    "the answer by a NAT gateway": (set_route("rtb-0b", "10.0.0.0/16", NatGatewayId="nat-0a"), "app", "b:80", "asymmetric-route", "route", "back",
                                    "nat-0a"),
    # gateways
    "peering pending": (lambda w: w.peerings[0]["Status"].update(Code="pending-acceptance"), "app", "b:80", "peering-not-active", "gateway", "there",
                        "pcx-0ab"),
    "peering deleted": (lambda w: w.peerings[0]["Status"].update(Code="deleted"), "app", "b:80", "peering-not-active", "gateway", "there", "pcx-0ab"),
    "peering unknown": (set_route("rtb-0private", "10.1.0.0/16", VpcPeeringConnectionId="pcx-0other"), "app", "b:80", "peering-unknown", "gateway",
                        "there", "pcx-0other"),
    "peering is not transitive": (add_route("rtb-0private", "10.9.0.0/16", VpcPeeringConnectionId="pcx-0ab"), "app", "10.9.0.1:80",
                                  "peering-not-transitive", "gateway", "there", "pcx-0ab"),
    "NAT gateway failed": (lambda w: w.nats[0].update(State="failed"), "app", "internet:443", "nat-gateway-state", "gateway", "there", "nat-0a"),
    "NAT gateway unknown": (lambda w: w.nats.clear(), "app", "internet:443", "nat-gateway-unknown", "gateway", "there", "nat-0a"),
    "inbound through a NAT gateway": (None, "internet", "app:8080", "nat-gateway-inbound", "gateway", "there", "nat-0a"),
    "IPv6 through a NAT gateway": (set_route("rtb-0private", ANY6, NatGatewayId="nat-0a"), "2001:db8:a:2::5", "[2001:4860::8]:443",
                                   "nat-gateway-ipv6", "gateway", "there", "nat-0a"),
    "internet gateway detached": (lambda w: w.igws[0]["Attachments"].clear(), "internet", "web:443", "gateway-not-attached", "gateway", "there",
                                  "igw-0a"),
    "internet gateway of another VPC": (lambda w: w.igws[0]["Attachments"][0].update(VpcId="vpc-0b"), "web", "internet:443", "gateway-not-attached",
                                        "gateway", "there", "igw-0a"),
    "egress-only inbound": (None, "2001:4860::8", "[2001:db8:a:2::5]:8080", "egress-only-inbound", "gateway", "there", "eigw-0a"),
    "egress-only for IPv4": (set_route("rtb-0private", ANY, EgressOnlyInternetGatewayId="eigw-0a"), "app", "internet:443", "egress-only-ipv4",
                             "gateway", "there", "eigw-0a"),
    "VPC not attached to the transit gateway": (lambda w: w.attachments.pop(0), "app", "c:80", "transit-gateway-no-attachment", "gateway", "there",
                                                "tgw-0"),
    "peer VPC not attached to the transit gateway": (lambda w: w.attachments.pop(1), "app", "c:80", "transit-gateway-no-attachment", "gateway",
                                                     "there", "tgw-0"),
    "attachment pending": (lambda w: w.attachments[0].update(State="pendingAcceptance"), "app", "c:80", "transit-gateway-attachment-state", "gateway",
                           "there", "tgw-0"),
    "attachment in another zone": (lambda w: w.attachments[0].update(SubnetIds=["subnet-0db"]), "app", "c:80", "transit-gateway-zone", "gateway",
                                   "there", "tgw-0"),
    "endpoint pending": (lambda w: w.endpoints[0].update(State="Pending"), "app", "52.216.0.9:443", "endpoint-state", "gateway", "there", "vpce-0s3"),
    # a transit gateway's own tables
    "attachment without a route table": (hub(lambda w: w.tgw[0].pop("Association")), "app", "c:80", "transit-gateway-not-associated", "gateway", "there",
                                         "tgw-0"),
    "gateway without a route": (hub(hub_route("10.2.0.0/16", None), hub_route(ANY, None)), "app", "c:80", "transit-gateway-no-route", "route", "there",
                                "tgw-rtb-0main"),
    "gateway without a route back": (hub(own_table), "app", "c:80", "transit-gateway-no-route", "route", "back", "tgw-rtb-0c"),
    "gateway's blackhole": (hub(hub_route("10.2.1.0/24", "")), "app", "c:80", "transit-gateway-blackhole", "route", "there", "tgw-rtb-0main"),
    "gateway's route into the VPN": (hub(hub_route("10.2.1.0/24", "v")), "app", "c:80", "transit-gateway-elsewhere", "route", "there", "tgw-attach-0v"),
    "receiver not attached, gateway's routes known": (hub(lambda w: (w.attachments.pop(1), w.tgw.pop(1)), hub_route("10.2.0.0/16", None), hub_route(ANY, None)),
                                                      "app", "c:80", "transit-gateway-no-attachment", "gateway", "there", "tgw-rtb-0main"),
    "ACL of the gateway's subnet, in": (hub(acl("acl-0tgwa", inbound=[entry(100, "deny", "all")])), "app", "c:80", "acl-deny", "network-acl", "there",
                                        "acl-0tgwa"),
    "ACL of the gateway's subnet, out": (hub(acl("acl-0tgwc", outbound=[entry(100, "deny", "all")])), "app", "c:80", "acl-deny", "network-acl", "there",
                                         "acl-0tgwc"),
    "ACL of the gateway's subnet on the way back": (hub(acl("acl-0tgwc", inbound=[entry(100, "allow", "tcp", (80, 80))])), "app", "c:80",
                                                    "acl-ephemeral-ports", "network-acl", "back", "acl-0tgwc"),
    "no tunnel up": (hub(lambda w: [t.update(Status="DOWN") for t in w.vpns[0]["VgwTelemetry"]]), "app", "172.16.0.9:80", "vpn-down", "gateway", "there",
                     "vpn-0v"),
    "VPN deleted": (hub(lambda w: w.vpns[0].update(State="deleted")), "app", "172.16.0.9:80", "vpn-down", "gateway", "there", "vpn-0v"),
    "central NAT gateway without a route back": (hub(drop_route("rtb-0public", "10.2.0.0/16")), "c", "internet:443", "private-address-to-internet", "address",
                                                 "back", "igw-0a"),
    "central NAT gateway failed": (hub(lambda w: w.nats[0].update(State="failed")), "c", "internet:443", "nat-gateway-state", "gateway", "there", "nat-0a"),
    "regional NAT gateway without a way out": (both(regional, drop_route("rtb-0nat", ANY)), "app", "internet:443", "no-route", "route", "there", "rtb-0nat"),
    # addresses
    "no public address, outbound": (no_public, "web", "internet:443", "no-public-address", "address", "there", "igw-0a"),
    "no public address, inbound": (no_public, "internet", "web:443", "no-public-address", "address", "there", "igw-0a"),
    "private address to the internet": (None, "web", "192.168.7.7:443", "private-address-to-internet", "address", "there", "igw-0a"),
    "private address from the internet": (None, "192.168.7.7", "web:443", "private-address-to-internet", "address", "there", "igw-0a"),
    "nobody has the address": (None, "app", "10.0.3.99:5432", "no-interface", "address", "there", "vpc-0a"),
    "IPv4 against IPv6": (None, "2001:db8:a:2::5", "db:5432", "no-common-family", "address", "there", ""),
    "overlapping VPCs": (lambda w: [x.update(PrivateIpAddress="10.0.3.77", PrivateIpAddresses=[{"Primary": True, "PrivateIpAddress": "10.0.3.77"}])
                                    for x in w.interfaces if x["NetworkInterfaceId"] == "eni-0c06"], "app", "c:80", "no-interface", "address", "there",
                         "vpc-0a"),
    "private NAT gateway to the internet": (lambda w: w.nats[0].update(ConnectivityType="private") or w.nats[0]["NatGatewayAddresses"][0].pop("PublicIp") or
                                            w.find("nat")["PrivateIpAddresses"][0].pop("Association"), "app", "internet:443",
                                            "nat-gateway-no-public-address", "address", "there", "igw-0a"),
    # interfaces
    "source/destination check": (both(add_route("rtb-0db", ANY, NetworkInterfaceId="eni-0box08"), members("box", SourceDestCheck=True),
                                      rules("sg-0db", permission("all", cidr=ANY), egress=True)), "db", "internet:443", "source-dest-check",
                                 "interface", "there", "eni-0box08"),
    "an appliance's security group": (both(add_route("rtb-0db", ANY, NetworkInterfaceId="eni-0box08"), rules("sg-0box", permission("tcp", (80, 80), ANY)),
                                           rules("sg-0db", permission("all", cidr=ANY), egress=True)), "db", "internet:443", "group-port",
                                      "security-group", "there", "eni-0box08"),
    "instance stopped": (lambda w: w.instances[0]["State"].update(Name="stopped"), "internet", "web:443", "instance-not-running", "interface", "there",
                         "i-0web"),
    # Block Public Access
    "public access blocked": (vpc_members(BlockPublicAccessStates={"InternetGatewayBlockMode": "block-bidirectional"}), "web", "internet:443",
                              "block-public-access", "block-public-access", "there", "vpc-0a"),
    "public access blocked inwards": (vpc_members(BlockPublicAccessStates={"InternetGatewayBlockMode": "block-ingress"}), "internet", "web:443",
                                      "block-public-access", "block-public-access", "there", "vpc-0a"),
    "answers blocked inwards": (vpc_members(BlockPublicAccessStates={"InternetGatewayBlockMode": "block-ingress"}), "web", "internet:443",
                                "block-public-access", "block-public-access", "back", "vpc-0a"),
    "excluded for what goes out": (excluded("subnet-0public", "allow-egress"), "internet", "web:443", "block-public-access", "block-public-access", "there",
                                   "vpc-0a"),
    "another subnet is excluded": (excluded("subnet-0db", "allow-bidirectional"), "web", "internet:443", "block-public-access", "block-public-access",
                                   "there", "vpc-0a"),
}

# What works, so that a cause is not found where there is none.
WORKING = {
    "web to app": (None, "web", "app:8080"), "app to db": (None, "app", "db:5432"), "ping from outside": (None, "internet", "web"),
    "HTTPS from outside": (None, "internet", "web:443"), "through the NAT gateway": (None, "app", "internet:443"),
    "over the peering connection": (None, "app", "b:80"), "a peered group's member": (None, "app", "b:81"),
    "over the transit gateway": (None, "app", "c:80"), "to S3 by the endpoint": (None, "app", "52.216.1.1:443"),
    "IPv6 outwards": (None, "2001:db8:a:2::5", "[2001:4860::8]:443"), "IPv6 inwards": (None, "2001:4860::8", "[2001:db8:a:1::5]:443"),
    "the internet has IPv6 too": (None, "internet", "[2001:db8:a:1::5]:443"),
    "prefix list": (None, "web", "db:22"), "inside the subnet the ACL is not asked": (acl("acl-0private", inbound=[], outbound=[]), "app", "app2"),
    "ephemeral ports that suffice": (acl("acl-0db", outbound=[EPHEMERAL]), "app", "db:5432"),
    "Linux's ephemeral ports alone": (acl("acl-0db", outbound=[entry(100, "allow", "tcp", (32768, 60999))]), "app", "db:5432"),
    "an earlier allow": (acl("acl-0db", inbound=[entry(90, "allow", "tcp", (5432, 5432)), entry(100, "deny", "all")]), "app", "db:5432"),
    "Amazon DNS needs no rule": (both(rules("sg-0app", egress=True), acl("acl-0private", inbound=[], outbound=[])), "app", "10.0.0.2:53/udp"),
    "blocked inwards spares the NAT gateway": (vpc_members(BlockPublicAccessStates={"InternetGatewayBlockMode": "block-ingress"}), "app", "internet:443"),
    "through the gateway's tables": (hub(), "app", "c:80"), "a central NAT gateway": (hub(), "c", "internet:443"),
    "answers pass the gateway's subnet by ephemeral ports": (hub(acl("acl-0tgwc", inbound=[EPHEMERAL]), acl("acl-0tgwa", outbound=[EPHEMERAL])), "app", "c:80"),
    "a prefix list of the gateway": (hub(hub_route("10.2.0.0/16", None), hub_route(ANY, None), entries("pl-0hub", "10.2.0.0/16"),
                                         lambda w: w.lists.append({"PrefixListId": "pl-0hub", "PrefixListName": "hub"}),
                                         lambda w: w.more.update(references={"TransitGatewayPrefixListReferences": [
                                             {"TransitGatewayRouteTableId": "tgw-rtb-0main", "PrefixListId": "pl-0hub", "State": "available", "Blackhole": False,
                                              "TransitGatewayAttachment": {"TransitGatewayAttachmentId": "tgw-attach-0c", "ResourceType": "vpc",
                                                                           "ResourceId": "vpc-0c"}}]})), "app", "c:80"),
    "a regional NAT gateway": (regional, "app", "internet:443"),
    "excluded from Block Public Access": (excluded("vpc-0a", "allow-bidirectional"), "internet", "web:443"),
    "a subnet excluded from it": (excluded("subnet-0public", "allow-bidirectional"), "web", "internet:443"),
    "by the public address": (None, "app", "198.51.100.5:443"),
    "through an appliance": (both(add_route("rtb-0db", ANY, NetworkInterfaceId="eni-0box08"), rules("sg-0db", permission("all", cidr=ANY), egress=True),
                                  lambda w: w.find("box")["PrivateIpAddresses"][0].update(Association={"PublicIp": "198.51.100.8"})), "app", "db:5432"),
}


@pytest.fixture
def why(flowlog, tmp_path):
    def ask(change, *args):
        w = World()
        if change:
            change(w)
        shutil.rmtree(tmp_path / "aws", ignore_errors=True)
        done = flowlog("why", "--inventory", w.write(tmp_path / "aws"), "--store", tmp_path / "none", *args, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done
    return ask


def test_the_library_has_every_cause():
    assert len(BROKEN) >= 60
    causes = set(re.findall(r'FL_CAUSE\(\w+, \w+, "([\w-]+)"', (ROOT / "src/policy/trace.h").read_text()))
    assert {case[3] for case in BROKEN.values()} == causes and len(causes) > 40


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_set_up_is_understood(why, name):
    change, a, b, cause, area, leg, where = BROKEN[name]
    done = why(change, a, b, "-o", "json")
    answer = json.loads(done.stdout)
    found = {"cause": answer["cause"], "area": answer["area"], "leg": answer["leg"], "verdict": answer["verdict"], "status": done.returncode}
    assert found == {"cause": cause, "area": area, "leg": leg, "verdict": "blocked", "status": 1}, done.stdout
    step = next(s for s in answer["steps"] if s["outcome"] == "blocks")
    assert where in step["at"] and step["text"]
    # It is what was broken that blocks.
    if change:
        assert json.loads(why(None, a, b, "-o", "json").stdout)["cause"] != cause


@pytest.mark.parametrize("name", WORKING)
def test_a_working_set_up_is_let_alone(why, name):
    change, a, b = WORKING[name]
    done = why(change, a, b, "-o", "json")
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["cause"], done.returncode) == ("allowed", "", 0), done.stdout


def test_what_stands_behind_a_vpn_is_not_known(why):
    answer = json.loads(why(hub(), "app", "172.16.0.9:80", "-o", "json").stdout)
    assert (answer["verdict"], answer["complete"]) == ("allowed", False)
    step = next(s for s in answer["steps"] if s["outcome"] == "not-known")
    assert "2 of 2 tunnels up" in step["text"] and "tgw-attach-0v" in step["at"]
    opened = rules("sg-0app", permission("all", cidr=ANY))
    answer = json.loads(why(hub(opened), "172.16.0.9", "app:8080", "-o", "json").stdout)
    assert "attachment tgw-attach-0v (vpn vpn-0v)" in "".join(s["text"] for s in answer["steps"])
    answer = json.loads(why(hub(opened, hub_route("10.0.0.0/16", ""), hub_route("10.0.0.0/17", "")), "172.16.0.9", "app:8080", "-o", "json").stdout)
    assert answer["cause"] == "transit-gateway-blackhole"


def test_an_exclusion_is_named(why):
    text = why(excluded("vpc-0a", "allow-bidirectional"), "internet", "web:443").stdout
    assert "vpc-0a is excluded from it by vpcbpa-exclude-01 (allow-bidirectional)" in text
    text = why(excluded("vpc-0a", "allow-egress"), "internet", "web:443").stdout
    assert "make it an exclusion of both directions" in text and "vpcbpa-exclude-01" in text


def test_what_a_table_lacks_is_said(why):
    """Nothing propagates into it, or its routes were not printed."""
    text = why(hub(hub_route("10.2.0.0/16", None), hub_route(ANY, None), lambda w: w.tgw_propagations.clear()), "app", "c:80").stdout
    assert "let tgw-attach-0c propagate into tgw-rtb-0main" not in text  # nothing was said of propagations at all
    text = why(hub(hub_route("10.2.0.0/16", None), hub_route(ANY, None), lambda w: w.tgw_propagations.update({"tgw-rtb-0main": ["a"]})), "app", "c:80").stdout
    assert "let tgw-attach-0c propagate into tgw-rtb-0main, or add a static route for 10.2.1.5" in text
    answer = json.loads(why(hub(lambda w: w.more.update(tgw={"TransitGateways": []}), lambda w: w.tgw[0]["Association"].update(
        TransitGatewayRouteTableId="tgw-rtb-0other")), "app", "c:80", "-o", "json").stdout)
    assert (answer["verdict"], answer["complete"]) == ("allowed", False)


def test_encryption_controls_leave_it_open(why):
    def enforced(w):
        w.more["encryption"] = {"VpcEncryptionControls": [{"VpcId": "vpc-0a", "Mode": "enforce", "State": "available"}]}
    answer = json.loads(why(enforced, "app", "52.216.1.1:443", "-o", "json").stdout)
    assert not answer["complete"] and "reject-reason EC" in json.dumps(answer["steps"])
    assert json.loads(why(enforced, "app", "db:5432", "-o", "json").stdout)["complete"]


def test_people_read_the_rule_and_what_to_change(why):
    text = why(None, "web -> db:5432").stdout
    assert "blocked (security-group)" in text
    assert "sg-0db allows tcp 5432 from members of sg-0app (app), and 10.0.1.5 is not one of them" in text
    assert "to change: put the peer into sg-0app, or allow tcp 5432 from 10.0.1.5" in text
    text = why(BROKEN["ACL order"][0], "app", "->", "db:5432").stdout
    assert "rule 100 denies tcp 1024-65535 from 0.0.0.0/0; rule 200 allows tcp 5432" in text
    text = why(BROKEN["half of the ephemeral ports"][0], "app", "db:5432").stdout
    assert "on the way back" in text and "32768-49151 are not allowed outbound" in text


def test_a_source_port_narrows_the_question(why):
    change = BROKEN["half of the ephemeral ports"][0]
    assert why(change, "app", "db:5432", "--sport", "50000").returncode == 0
    assert why(change, "app", "db:5432", "--sport", "40000").returncode == 1


@pytest.mark.parametrize("args, said", [
    (["app"], "two ends"), (["app", "db:x"], "port"), (["app", "db:70000"], "port"), (["app", "db/nosuch"], "not a protocol"), (["app", "db/tcp"], "needs a port"),
    (["app", "db:1/icmp"], "no ports"), (["app", "[10.0.0.1:5"], "bracket"), (["app", "nobody:80"], "nobody"), (["internet", "192.0.2.1:80"], "neither"), (["app", "db", "x"], "two ends"),
    (["app", "db:1", "--record", "x"], "no operands"), (["app", "db:1", "--sport", "70000"], "not a port"), (["app", "db:1", "--at", "noon"], "--at")])
def test_a_question_that_cannot_be_asked(flowlog, tmp_path, args, said):
    (tmp_path / "s").mkdir()
    done = flowlog("why", "--inventory", World().write(tmp_path / "aws"), "--store", tmp_path / "s", *args, check=False)
    assert done.returncode == 2 and said in done.stderr and not done.stdout


def test_an_inventory_that_is_not_there(flowlog, tmp_path):
    done = flowlog("why", "--inventory", tmp_path / "none", "a", "b:1", check=False)
    assert done.returncode == 2 and "none" in done.stderr


def test_the_rules_of_another_time(flowlog, tmp_path):
    """Imports of a store: a directory each, valid from the time in its name."""
    before = World()
    before.find("sg-0db").update(IpPermissions=[])
    before.write(tmp_path / "store/inventory/20240101T000000Z")
    World().write(tmp_path / "store/inventory/20240201T000000Z")
    ask = lambda *args: flowlog("why", "--store", tmp_path / "store", "app", "db:5432", *args, check=False)  # noqa: E731
    assert ask().returncode == 0
    assert ask("--at", "2024-01-31T23:59:59Z").returncode == 1
    assert ask("--at", "2024-02-01").returncode == 0
    done = ask("--at", "2023-12-31")
    assert done.returncode == 2 and done.stderr


V5 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status pkt-srcaddr pkt-dstaddr"


def test_the_records_stand_beside_the_answer(flowlog, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = [f"5 1 eni-0db04 10.0.2.5 10.0.3.5 {40000 + i} 5432 6 10 1000 {1700000000 + 60 * i} {1700000059 + 60 * i} {action} OK 10.0.2.5 10.0.3.5"
            for i, action in enumerate(["ACCEPT"] * 3 + ["REJECT"])]
    rows += ["5 1 eni-0db04 10.0.2.5 10.0.3.5 1 5433 6 10 1000 1800000000 1800000000 ACCEPT OK 10.0.2.5 10.0.3.5", "broken line"]
    (logs / "a.log").write_text("\n".join([V5, *rows]) + "\n")
    ask = lambda *args: json.loads(flowlog("why", "--inventory", World().write(tmp_path / "aws"), "--store", logs, "-o", "json", "app", "db:5432",  # noqa: E731
                                           *args).stdout)["records"]
    seen = ask()
    assert seen["ACCEPT"] == {"records": 3, "packets": 30, "bytes": 3000} and seen["REJECT"] == {"records": 1, "packets": 10, "bytes": 1000}
    assert (seen["last_seen"], seen["last_action"], seen["last_interface"]) == ("2023-11-14T22:17:19Z", "REJECT", "eni-0db04")
    seen = ask("--at", "2023-11-14T22:14:20Z")
    assert seen["ACCEPT"]["records"] == 2 and seen["REJECT"]["records"] == 0 and seen["last_action"] == "ACCEPT"
    text = flowlog("why", "--inventory", tmp_path / "aws", "--store", logs, "app", "db:5432").stdout
    assert "last seen 2023-11-14T22:17:19Z, REJECT at eni-0db04" in text


DEFAULT = "2 111122223333 {eni} {src} {dst} {sport} {dport} {proto} 4 336 1700000000 1700000059 {action} OK"


@pytest.mark.parametrize("eni, src, dst, sport, dport, proto, action, by, accepts, note", [
    ("eni-0db04", "10.0.2.5", "10.0.3.5", 40000, 5432, 6, "ACCEPT", "security-group", True, ""),
    ("eni-0db04", "10.0.3.5", "10.0.2.5", 5432, 40000, 6, "ACCEPT", "security-group", True, ""),  # an answer: no outbound rule
    ("eni-0db04", "10.0.1.5", "10.0.3.5", 40000, 5432, 6, "REJECT", "security-group", False, ""),
    ("eni-0db04", "10.0.1.5", "10.0.3.5", 40000, 5432, 6, "ACCEPT", "security-group", False, "accepted all the same"),
    ("eni-0db04", "10.0.2.5", "10.0.3.5", 40000, 5432, 6, "REJECT", "security-group", True, "after its connection was closed"),
    ("eni-0app02", "10.0.2.5", "10.0.0.2", 40000, 53, 17, "ACCEPT", "not-filtered", True, "")])
def test_a_recorded_flow_is_explained(flowlog, tmp_path, eni, src, dst, sport, dport, proto, action, by, accepts, note):
    line = DEFAULT.format(**locals())
    done = flowlog("why", "--inventory", World().write(tmp_path / "aws"), "-o", "json", "--record", line, check=False)
    answer = json.loads(done.stdout)
    assert (answer["by"], answer["rules"], answer["recorded"], done.returncode) == (by, "ACCEPT" if accepts else "REJECT", action, not accepts)
    assert note in answer["note"] if note else not answer["note"]
    text = flowlog("why", "--inventory", tmp_path / "aws", "--record", line, check=False).stdout
    assert f"recorded {action}" in text


def test_a_record_of_another_format(flowlog, tmp_path):
    aws = World().write(tmp_path / "aws")
    fields = "${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${action} ${tcp-flags} ${flow-direction} ${log-status} ${reject-reason}"
    late = "eni-0db04 10.0.2.5 10.0.3.5 40000 5432 6 REJECT 1 ingress OK -"
    answer = json.loads(flowlog("why", "--inventory", aws, "-o", "json", "--format", fields, "--record", late).stdout)
    assert answer["rules"] == "ACCEPT" and "no SYN" in answer["note"]
    answer = json.loads(flowlog("why", "--inventory", aws, "-o", "json", "--format", fields, "--record", late[:-1] + "BPA").stdout)
    assert "Block Public Access" in answer["note"]
    for format, line, said in ((None, late, "fields are expected"), (fields, late.replace("eni-0db04", "eni-0none"), "not in the inventory"),
                               (fields, late.replace("REJECT", "MAYBE"), "MAYBE"), ("${nosuch}", late, "nosuch"),
                               (None, "2 1 eni-0db04 - - - - - - - 1 2 - NODATA", "nothing to explain")):
        done = flowlog("why", "--inventory", aws, *(["--format", format] if format else []), "--record", line, check=False)
        assert done.returncode == 2 and said in done.stderr


ESCAPES = "\x1b[31m\x1b]0;pwn\x07\u009b5m\u202e"


@pytest.mark.parametrize("form", ["text", "json"])
def test_names_do_not_drive_the_terminal(why, form):
    """Control characters, and those that turn the direction of text, of any name, id or state of the inventory."""
    def hostile(w):
        w.find("web")["TagSet"] = [{"Key": "Name", "Value": "web\n" + ESCAPES}]
        w.find("eni-0web01")["Description"] = ESCAPES
        w.find("sg-0web")["GroupName"] = ESCAPES
        w.find("rtb-0public")["Routes"].append(route("8.0.0.0/8", GatewayId="igw-" + ESCAPES))
        w.find("rtb-0public")["Tags"] = w.find("acl-0public")["Tags"] = w.find("subnet-0public")["Tags"] = [{"Key": "Name", "Value": ESCAPES}]
        w.find("pcx-0ab")["Status"]["Code"] = w.find("i-0db")["State"]["Name"] = w.find("nat-0a")["State"] = ESCAPES
    for asked in (["10.0.1.5", "db:5432"], ["10.0.1.5", "8.8.8.8:443"], ["app", "b:80"], ["app", "internet:80"]):
        done = why(hostile, "-o", form, *asked)
        for said in (done.stdout, done.stderr):
            assert not [c for c in said if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or c == "\u202e"], said
        if form == "json":
            json.loads(done.stdout)
        else:
            assert "web?" in done.stdout or asked[0] != "10.0.1.5"


def test_what_is_quoted_of_the_question_does_not_either(flowlog, tmp_path):
    done = flowlog("why", "--inventory", World().write(tmp_path / "aws"), "a\x1b[31m", "db", check=False)
    assert done.returncode == 2 and '"a?[31m" is not an interface' in done.stderr


def test_half_an_inventory_is_said(flowlog, tmp_path):
    """An answer from what could be read names what could not."""
    path = World().write(tmp_path / "aws")
    text = (path / "network-acls.json").read_text()
    (path / "network-acls.json").write_text(text[:100])
    for args in (["why", "web", "db:5432"], ["inventory", "show"]):
        done = flowlog(*args, "--inventory", path, check=False)
        assert "inventory: network-acls.json: " in done.stderr and "the rest of the file is left out" in done.stderr
    (path / "network-acls.json").write_text(text)
    assert not flowlog("why", "app", "db:5432", "--inventory", path).stderr


def test_one_interface_does_not_talk_through_its_own_groups(flowlog, tmp_path):
    path = World().write(tmp_path / "aws")
    done = flowlog("why", "--inventory", path, "web", "10.0.1.5:22", check=False)
    assert done.returncode == 2 and "does not leave the instance" in done.stderr
    # By its public address it does.
    done = flowlog("why", "--inventory", path, "web", "198.51.100.5:22", check=False)
    assert done.returncode == 1 and "internet gateway" in done.stdout


def test_records_of_the_internet(flowlog, tmp_path):
    """internet is every public address; where there are no records, that is said."""
    path = World().write(tmp_path / "aws")
    logs = tmp_path / "logs"
    logs.mkdir()
    ask = lambda: flowlog("why", "--inventory", path, "--store", logs, "internet", "web:443").stdout  # noqa: E731
    line = "2 111122223333 eni-0web01 {} 10.0.1.5 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK\n"
    header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
    (logs / "a.log").write_text(header + line.format("192.0.2.77") + line.format("10.0.3.5"))
    said = ask()
    assert said.startswith("internet (as 203.0.113.1) -> web") and "ACCEPT: 1 records, 3 packets" in said


def test_remedies_that_can_be_carried_out(why):
    """The internet is all addresses, not the one that stands for it; nobody joins a group of another VPC."""
    said = why(None, "db", "internet:443").stdout
    assert "to change: allow tcp 443 to 0.0.0.0/0 in the outbound rules" in said and "add a route for 0.0.0.0/0 to rtb-0db" in said
    said = why(None, "c", "app:8080").stdout
    assert "to change: allow tcp 8080 from 10.2.1.5 in the inbound rules of sg-0app" in said and "put the peer" not in said
    assert "put the peer into sg-0app, or allow" in why(None, "web", "db:5432").stdout


def test_rules_and_records_that_disagree_are_not_left_side_by_side(flowlog, tmp_path):
    path, log = World().write(tmp_path / "aws"), tmp_path / "a.log"
    ask = lambda port, form="text": flowlog("why", "--inventory", path, "--store", log, "-o", form, "app", f"web:{port}", check=False).stdout  # noqa: E731
    line = "2 111122223333 eni-0web01 10.0.2.5 10.0.1.5 40000 {} 6 3 180 1700000000 1700000060 {} OK\n"
    log.write_text(line.format(443, "REJECT") + line.format(80, "ACCEPT") + line.format(81, "REJECT"))
    assert "allowed\n" in ask(443) and "rejected all the same: by the host's own packet filter" in ask(443)
    assert "blocked" in ask(80) and "accepted all the same: these rules are not enforced" in ask(80)
    assert "blocked" in ask(81) and "all the same" not in ask(81)
    assert json.loads(ask(443, "json"))["records"]["disagreement"].startswith("rejected") and not json.loads(ask(81, "json"))["records"]["disagreement"]

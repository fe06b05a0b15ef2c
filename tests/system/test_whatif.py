# SPDX-License-Identifier: Apache-2.0
"""flowlog whatif and suggest: known traffic against known changes, and the property that ties them: what suggest covers, whatif does not reject."""
import gzip
import json
import random

import pytest

from aws_inventory import ANY, ANY6, World, entry, permission, route

V2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
V5 = V2 + " tcp-flags flow-direction pkt-srcaddr pkt-dstaddr"
START = 1700000000


class Log:
    """Records of conversations, both directions, at every interface of the inventory that sees them."""

    def __init__(self, world):
        self.at = {}
        for i in world.interfaces:
            for a in [p["PrivateIpAddress"] for p in i["PrivateIpAddresses"]] + [x["Ipv6Address"] for x in i["Ipv6Addresses"]]:
                self.at[a] = i["NetworkInterfaceId"]
        self.rows = []

    def one(self, eni, src, dst, sport, dport, proto, action, flags, direction, minute=0, size=100):
        start = START + 60 * minute
        self.rows.append((eni, src, dst, sport, dport, proto, 10, size, start, start + 50, action, flags, direction))

    def talk(self, src, dst, port, proto=6, sport=40000, action="ACCEPT", minute=0, size=100, where=None):
        flags = (2, 18) if proto == 6 else (0, 0)
        sport, port = (sport, port) if proto in (6, 17) else (0, 0)
        for eni, out in ((self.at.get(src), True), (self.at.get(dst), False)):
            if not eni or where not in (None, eni):
                continue
            self.one(eni, src, dst, sport, port, proto, action, flags[0], "egress" if out else "ingress", minute, size)
            if action == "ACCEPT":
                self.one(eni, dst, src, port, sport, proto, action, flags[1], "ingress" if out else "egress", minute, size)

    def write(self, path, flags=True, split=False):
        lines = []
        for eni, src, dst, sport, dport, proto, packets, size, start, end, action, tcp, direction in self.rows:
            line = f"{5 if flags else 2} 111122223333 {eni} {src} {dst} {sport} {dport} {proto} {packets} {size} {start} {end} {action} OK"
            lines.append(line + (f" {tcp} {direction} {src} {dst}" if flags else ""))
        header = V5 if flags else V2
        path.mkdir(parents=True, exist_ok=True)
        half = len(lines) // 2 if split else len(lines)
        (path / "1.log").write_text("\n".join([header, *lines[:half]]) + "\n")
        if split:
            with gzip.open(path / "2.log.gz", "wt") as f:
                f.write("\n".join([header, *lines[half:]]) + "\n")
        return path


@pytest.fixture
def ask(flowlog, tmp_path):
    """ask(world, log, change) -> whatif's answer as JSON; change edits a copy of the world, whose edited lists become NEW."""
    def run(world, log, change, *args, flags=True, form="json", check=True, **kw):
        new = world.copy()
        change(new)
        rules = tmp_path / "new.json"
        rules.write_text("\n".join(json.dumps(d) for d in (
            {"SecurityGroups": new.groups}, {"NetworkAcls": new.acls}, {"RouteTables": new.tables})))
        done = flowlog("whatif", "--inventory", world.write(tmp_path / "aws"), "--rules", rules, "-o", form, log.write(tmp_path / "logs", flags), *args,
                       check=check, **kw)
        return done if not check else json.loads(done.stdout) if form == "json" else done.stdout
    return run


def traffic(world):
    log = Log(world)
    for i in range(5):
        log.talk(f"203.0.113.{i}", "10.0.1.5", 443, sport=50000 + i, minute=i)
    log.talk("10.0.1.5", "10.0.2.5", 8080)
    log.talk("10.0.2.5", "10.0.3.5", 5432, size=5000)
    log.talk("10.0.2.6", "10.0.3.5", 5432, sport=41000)
    log.talk("203.0.113.9", "10.0.1.5", 22, action="REJECT")
    log.talk("10.0.2.5", "10.1.1.5", 80)
    return log


@pytest.mark.parametrize("flags", [True, False])
def test_nothing_changes_when_nothing_is_changed(ask, flags):
    w = World()
    log = traffic(w)
    answer = ask(w, log, lambda new: None, flags=flags)
    accepted = sum(r[10] == "ACCEPT" for r in log.rows)
    assert answer["records"] == len(log.rows) and answer["accepted_as_before"] == accepted and answer["rejected_as_before"] == 1
    assert not answer["changes"] and answer["unexplained"] == 0


@pytest.mark.parametrize("flags", [True, False])
def test_a_rule_that_goes_rejects_its_traffic_and_answers(ask, flags):
    w = World()
    answer = ask(w, traffic(w), lambda new: new.find("sg-0db").update(IpPermissions=[]), flags=flags)
    # question and answer of two conversations, seen at the database
    assert answer["newly_rejected"] == {"records": 4, "packets": 40, "bytes": 10200} and answer["newly_accepted"]["records"] == 0
    (c,) = answer["changes"]
    assert c["before"]["text"] == "sg-0db inbound: tcp 5432 from members of sg-0app (app)" and c["after"]["by"] == "security-group"
    assert c["interface"] == "eni-0db04" and c["services"] == [{"protocol": 6, "port": 5432, "bytes": 10200}]
    assert c["direction"] == "both" and c["peers"] == [{"address": "10.0.2.5", "bytes": 10000}, {"address": "10.0.2.6", "bytes": 200}]


def test_a_rule_that_comes_accepts(ask):
    w = World()
    answer = ask(w, traffic(w), lambda new: new.find("sg-0web")["IpPermissions"].append(permission("tcp", (22, 22), "203.0.113.0/24")))
    assert answer["newly_accepted"]["records"] == 1 and answer["newly_rejected"]["records"] == 0
    (change,) = answer["changes"]
    assert change["after"]["text"] == "sg-0web inbound: tcp 22 from 203.0.113.0/24" and change["before"]["text"] == "no rule of the security groups"


def test_rules_by_their_ids_go_with_their_group(flowlog, tmp_path):
    """describe-security-group-rules of the inventory does not bring back what NEW has left out."""
    w = World()
    aws = w.write(tmp_path / "aws")
    (aws / "rules.json").write_text(json.dumps({"SecurityGroupRules": [
        {"SecurityGroupRuleId": f"sgr-0{i}", "GroupId": g, "GroupOwnerId": "111122223333", "IsEgress": False, "IpProtocol": "tcp", "FromPort": port, "ToPort": port,
         "ReferencedGroupInfo": {"GroupId": peer, "UserId": "111122223333"}} for i, (g, port, peer) in enumerate([("sg-0db", 5432, "sg-0app"), ("sg-0app", 8080, "sg-0web")])]}))
    new = w.copy()
    new.find("sg-0db").update(IpPermissions=[])
    (tmp_path / "new.json").write_text(json.dumps({"SecurityGroups": [new.find("sg-0db")]}))
    logs = traffic(w).write(tmp_path / "logs")
    (c,) = json.loads(flowlog("whatif", "--inventory", aws, "--rules", tmp_path / "new.json", "-o", "json", logs).stdout)["changes"]
    assert c["before"]["rule"] == "sgr-00" and c["records"] == 4
    # and a group that is not in NEW keeps its own
    new.find("sg-0app").update(IpPermissions=[])
    (tmp_path / "new.json").write_text(json.dumps({"SecurityGroups": [new.find("sg-0app")]}))
    (c,) = json.loads(flowlog("whatif", "--inventory", aws, "--rules", tmp_path / "new.json", "-o", "json", logs).stdout)["changes"]
    assert c["before"]["rule"] == "sgr-01"


def test_an_acl_and_its_statelessness(ask):
    w = World()

    def change(new):
        a = new.find("acl-0db")
        a["Entries"] = [e for e in a["Entries"] if not e["Egress"]] + [entry(50, "deny", "tcp", (40500, 42000), egress=True),
                                                                      entry(100, "allow", "all", egress=True)]
    answer = ask(w, traffic(w), change)
    (c,) = answer["changes"]  # the answers to 41000, and nothing else
    assert c["records"] == 1 and c["direction"] == "egress" and c["after"]["acl_rule"] == 50
    assert c["after"]["text"] == "network ACL, rule 50 denies tcp 40500-42000 to 0.0.0.0/0"


def test_a_route_that_goes(ask):
    w = World()

    def change(new):
        t = new.find("rtb-0private")
        t["Routes"] = [r for r in t["Routes"] if "10.1.0.0/16" not in r.values()] + [route("10.1.0.0/16", state="blackhole", NatGatewayId="nat-0gone")]
    (c,) = ask(w, traffic(w), change)["changes"]
    assert c["after"]["by"] == "route" and "nat-0gone is gone" in c["after"]["text"] and c["records"] == 1


def test_people_and_pipelines(ask):
    w = World()
    gone = lambda new: new.find("sg-0db").update(IpPermissions=[])  # noqa: E731
    text = ask(w, traffic(w), gone, form="text")
    assert "newly rejected: 4 records, 40 packets, 10 kB" in text and "now: no rule of the security groups" in text
    assert "services tcp 5432" in text and "peers 10.0.2.5 (10 kB), 10.0.2.6 (200 B)" in text
    assert ask(w, traffic(w), gone, "--check", check=False).returncode == 1
    assert ask(w, traffic(w), lambda new: None, "--check", check=False).returncode == 0


def test_late_packets_and_strangers_are_counted_apart(ask):
    w = World()
    log = traffic(w)
    log.one("eni-0db04", "10.0.2.5", "10.0.3.5", 40001, 5432, 6, "REJECT", 0, "ingress")
    log.one("eni-0other", "10.0.2.5", "10.0.3.5", 40001, 5432, 6, "ACCEPT", 0, "ingress")
    answer = ask(w, log, lambda new: None)
    assert (answer["unexplained"], answer["unknown_interface"]) == (1, 1) and not answer["changes"]


def test_rules_that_cannot_be_read_are_told(ask):
    w = World()

    def change(new):
        new.find("sg-0db")["IpPermissions"][0]["FromPort"] = 70000
        new.find("sg-0app")["IpPermissions"][0]["UserIdGroupPairs"] = [{"GroupId": "sg-0gone"}]
    done = ask(w, traffic(w), change, check=False)
    assert done.returncode == 0 and "70000" in done.stderr and "sg-0gone" in done.stderr and "again" not in done.stderr
    assert not ask(w, traffic(w), lambda new: None, check=False).stderr


def test_a_whole_new_inventory_against_the_recorded_actions(flowlog, tmp_path):
    w = World()
    w.find("sg-0db").update(IpPermissions=[])
    done = flowlog("whatif", "--complete", "--rules", w.write(tmp_path / "aws"), "-o", "json", traffic(w).write(tmp_path / "logs"))
    assert json.loads(done.stdout)["newly_rejected"]["records"] == 4


@pytest.mark.parametrize("args, status, said", [([], 2, "--rules"), (["--rules", "none"], 1, "none")])
def test_what_cannot_be_asked(flowlog, tmp_path, args, status, said):
    done = flowlog("whatif", "--inventory", World().write(tmp_path / "aws"), *args, *([tmp_path] if args else []), check=False)
    assert done.returncode == status and said in done.stderr


def test_an_answer_about_nothing_is_none(flowlog, tmp_path):
    """No records, records of other interfaces, a file without rules: not "nothing is rejected", with or without --check."""
    w = World()
    aws, logs, empty = w.write(tmp_path / "aws"), traffic(w).write(tmp_path / "logs"), tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other.log"
    other.write_text("2 111122223333 eni-0nobody 10.0.1.5 10.0.3.5 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK\n")
    nothing = tmp_path / "nothing.json"
    nothing.write_text("{}")
    for rules, source, said in ((aws, empty, "no record"), (aws, other, "no record"), (nothing, logs, "nothing would change")):
        done = flowlog("whatif", "--check", "--inventory", aws, "--rules", rules, source, check=False)
        assert done.returncode == 1 and said in done.stderr and not done.stdout, (said, done)


def test_a_new_group_that_nothing_has_is_said(flowlog, tmp_path):
    w = World()
    aws, logs = w.write(tmp_path / "aws"), traffic(w).write(tmp_path / "logs")
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"SecurityGroups": [{**w.find("sg-0web"), "GroupId": "sg-0new"}]}))
    done = flowlog("whatif", "--inventory", aws, "--rules", new, logs)
    assert "sg-0new is new, and no interface has it" in done.stderr


def test_problems_of_the_inventory_are_told(flowlog, tmp_path):
    w = World()
    w.find("eni-0db04")["Groups"].append({"GroupId": "sg-0gone"})
    aws, logs = w.write(tmp_path / "aws"), traffic(w).write(tmp_path / "logs")
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"SecurityGroups": [w.find("sg-0web")]}))
    done = flowlog("whatif", "--inventory", aws, "--rules", new, logs)
    assert done.stderr.count("sg-0gone is not in the inventory") == 1


# ---- suggest ----

def suggest(flowlog, world, log, tmp_path, target, *args, form="json", flags=True):
    out = flowlog("suggest", "--for", target, "--inventory", world.write(tmp_path / "aws"), "-o", form, *args, log.write(tmp_path / "logs", flags))
    return out.stdout if form in ("text", "terraform") else json.loads(out.stdout)


def flat(group, key):
    return sorted((p["IpProtocol"], p.get("FromPort"), p.get("ToPort"), x) for p in group[key]
                  for x in [r["CidrIp"] for r in p["IpRanges"]] + [r["CidrIpv6"] for r in p["Ipv6Ranges"]] + [g["GroupId"] for g in p["UserIdGroupPairs"]])


@pytest.mark.parametrize("flags", [True, False])
def test_the_least_rules(flowlog, tmp_path, flags):
    w = World()
    (g,) = suggest(flowlog, w, traffic(w), tmp_path, "sg-0db", form="aws", flags=flags)["SecurityGroups"]
    assert flat(g, "IpPermissions") == [("tcp", 5432, 5432, "sg-0app")] and not g["IpPermissionsEgress"]
    assert (g["GroupId"], g["VpcId"]) == ("sg-0db", "vpc-0a")
    (g,) = suggest(flowlog, w, traffic(w), tmp_path, "app", form="aws", flags=flags)["SecurityGroups"]
    assert flat(g, "IpPermissions") == [("tcp", 8080, 8080, "sg-0web")]
    assert flat(g, "IpPermissionsEgress") == [("tcp", 80, 80, "sg-0b"), ("tcp", 5432, 5432, "sg-0db")]


def test_peers_become_networks_and_then_everybody(flowlog, tmp_path):
    w = World()
    log = Log(w)
    for i in range(40):
        log.talk(f"203.0.{113 + i % 3}.{i}", "10.0.1.5", 443, sport=50000 + i)
    rules = lambda *args: [r[3] for r in flat(suggest(flowlog, w, log, tmp_path, "sg-0web", *args, form="aws")["SecurityGroups"][0], "IpPermissions")]  # noqa: E731
    assert rules("--networks", "1") == ["203.0.112.0/22"]
    three = rules("--networks", "3")
    assert len(three) == 3 and all(int(r.split("/")[1]) >= 26 for r in three)
    assert rules("--world", "40") == [ANY] and rules("--world", "41") != [ANY] and len(rules("--networks", "1000")) == 40


def test_ports_become_ranges(flowlog, tmp_path):
    w = World()
    w.find("sg-0web")["IpPermissions"] = [permission("tcp", (0, 65535), ANY), permission("udp", (0, 65535), ANY6)]
    log = Log(w)
    for port in (8000, 8001, 8002, 9000):
        log.talk("203.0.113.7", "10.0.1.5", port, sport=60000)
    log.talk("2001:4860::8", "2001:db8:a:1::5", 514, 17, sport=60000)
    (g,) = suggest(flowlog, w, log, tmp_path, "sg-0web", form="aws")["SecurityGroups"]
    assert flat(g, "IpPermissions") == [("tcp", 8000, 8002, "203.0.113.7/32"), ("tcp", 9000, 9000, "203.0.113.7/32"), ("udp", 514, 514, "2001:4860::8/128")]


def test_the_rules_there_are_with_evidence(flowlog, tmp_path):
    w = World()
    w.find("sg-0db")["IpPermissions"].append(permission("all", cidr="10.0.0.0/8"))
    log = traffic(w)
    log.talk("10.0.1.5", "10.0.3.5", 9999)
    answer = suggest(flowlog, w, log, tmp_path, "sg-0db")
    use = {r["text"]: r for r in answer["rules"]}
    assert use["tcp 5432 from members of sg-0app (app)"]["judgement"] == "needed"
    assert use["udp 53 from 10.0.2.0/24"]["judgement"] == "unused" and use["tcp 22 from prefix list pl-0office"]["records"] == 0
    wide = use["all traffic from 10.0.0.0/8"]
    assert wide["judgement"] == "too wide" and wide["peers"] == 3 and wide["ports"] == 2 and "3 of 17 M addresses" in wide["evidence"], wide
    text = suggest(flowlog, w, log, tmp_path, "sg-0db", form="text")
    assert "unused    sg-0db inbound, udp 53 from 10.0.2.0/24" in text and "inbound, udp 53 from 10.0.2.0/24: anything of it" in text
    assert "inbound, all traffic from 10.0.0.0/8: what the rules above do not cover" in text


def test_an_interface_by_itself(flowlog, tmp_path):
    w = World()
    text = suggest(flowlog, w, traffic(w), tmp_path, "eni-0db04", form="text")
    assert text.startswith("eni-0db04, 1 interface\n") and "for a group of its own in place of sg-0db" in text
    (g,) = suggest(flowlog, w, traffic(w), tmp_path, "eni-0db04", form="aws")["SecurityGroups"]
    assert g["GroupId"] == "sg-0db04" and flat(g, "IpPermissions") == [("tcp", 5432, 5432, "sg-0app")]
    # With the interface beside it whatif sees what it would do: the same.
    new = tmp_path / "new.json"
    for eni in ("eni-0db04", "eni-0web01"):
        answer = suggest(flowlog, w, traffic(w), tmp_path, eni, form="aws")
        (e,) = answer["NetworkInterfaces"]
        was = w.find(eni)
        assert [g["GroupId"] for g in e["Groups"]] == [answer["SecurityGroups"][0]["GroupId"]]
        assert {k: e[k] for k in ("NetworkInterfaceId", "VpcId", "SubnetId", "MacAddress", "SourceDestCheck", "TagSet")} == \
            {k: was[k] for k in ("NetworkInterfaceId", "VpcId", "SubnetId", "MacAddress", "SourceDestCheck", "TagSet")}
        assert [a["PrivateIpAddress"] for a in e["PrivateIpAddresses"]] == [a["PrivateIpAddress"] for a in was["PrivateIpAddresses"]]
        new.write_text(json.dumps(answer))
        done = flowlog("whatif", "--inventory", tmp_path / "aws", "--rules", new, "-o", "json", tmp_path / "logs")
        assert "no interface has it" not in done.stderr
        text = suggest(flowlog, w, traffic(w), tmp_path, eni, form="text")
        # The rules of others that mean it by the group it leaves do not mean it any more; that is said.
        other = eni == "eni-0web01"
        assert bool(json.loads(done.stdout)["changes"]) is other
        assert ("sg-0app has rules for members of sg-0web: it needs them for the new group too" in text) is other


def test_terraform(flowlog, tmp_path):
    w = World()
    text = suggest(flowlog, w, traffic(w), tmp_path, "sg-0app", form="terraform")
    assert text.count("resource ") == 3 and text.count("{") == text.count("}") == 3
    assert 'resource "aws_vpc_security_group_ingress_rule" "flowlog_in_1"' in text and 'referenced_security_group_id = "sg-0web"' in text
    assert "from_port         = 8080" in text


@pytest.mark.parametrize("args, status, said", [(["--for", "nobody"], 1, "nobody"), ([], 2, "--for"), (["--for", "sg-0c"], 1, "no record"),
                                                (["--for", "sg-0db", "--networks", "0"], 2, "--networks")])
def test_what_cannot_be_suggested(flowlog, tmp_path, args, status, said):
    w = World()
    log = Log(w)
    log.talk("10.0.2.5", "10.0.3.5", 5432)
    done = flowlog("suggest", "--inventory", w.write(tmp_path / "aws"), *args, log.write(tmp_path / "logs"), check=False)
    assert done.returncode == status and said in done.stderr


# ---- the property ----

def random_world(r):
    w = World()
    cidrs = [ANY, ANY6, "10.0.0.0/8", "10.0.2.0/24", "203.0.113.0/24", "203.0.113.8/29", "10.0.3.5/32", "2001:db8::/32", "10.1.1.5/32"]

    def rule():
        proto = r.choice(["tcp", "tcp", "tcp", "udp", "icmp", "all", "47"])
        port = r.choice([22, 53, 80, 443, 5432, 8080])
        ports = r.choice([(port, port), (0, 65535), (1024, 65535), (port, port + 100)]) if proto in ("tcp", "udp") else (-1, -1) if proto == "icmp" else None
        kind = r.random()
        peer = {"cidr": r.choice(cidrs)} if kind < .6 else {"group": r.choice(w.groups)["GroupId"]} if kind < .9 else {"plist": "pl-0office"}
        return permission(proto, ports, **peer)
    for g in w.groups:
        g["IpPermissions"] = [rule() for _ in range(r.randrange(6))]
        g["IpPermissionsEgress"] = [rule() for _ in range(r.randrange(6))] if r.random() < .7 else [permission("all", cidr=ANY), permission("all", cidr=ANY6)]
    for i in w.interfaces:
        if i["Groups"]:
            i["Groups"] = [{"GroupId": g["GroupId"]} for g in r.sample([g for g in w.groups if g["VpcId"] == i["VpcId"]], k=1 if i["VpcId"] != "vpc-0a" else r.randrange(1, 4))]
    return w


def random_traffic(r, w):
    log = Log(w)
    v4 = [a for a in log.at if ":" not in a] + ["203.0.113.9", "203.0.113.10", "203.0.113.200", "198.51.100.77", "192.168.1.1"]
    v6 = [a for a in log.at if ":" in a] + ["2001:db8:ffff::1", "2001:4860::8"]
    for _ in range(r.randrange(50, 300)):
        a, b = r.sample(v6 if r.random() < .2 else v4, 2)
        proto = r.choice([6, 6, 6, 17, 1, 47])
        ports = [22, 53, 80, 443, 5432, 5433, 8080, 8081, 30000, 40000, 65535]
        log.talk(a, b, r.choice(ports), proto, sport=r.choice([40000, 50000, 1024, 443, r.randrange(65536)]), action=r.choice(["ACCEPT"] * 4 + ["REJECT"]),
                 minute=r.randrange(100), size=r.randrange(40, 10000))
        if r.random() < .2:  # one record by itself, with any flags
            eni = r.choice(list(log.at.values()))
            log.one(eni, a, b, r.choice(ports), r.choice(ports), 6, r.choice(["ACCEPT", "REJECT"]), r.choice([0, 1, 2, 3, 4, 18, 19]), r.choice(["ingress", "egress"]))
    return log


@pytest.mark.parametrize("seed", range(25))
def test_what_suggest_covers_whatif_does_not_reject(flowlog, tmp_path, seed):
    r = random.Random(seed)
    w = random_world(r)
    log = random_traffic(r, w)
    aws, logs, flags = w.write(tmp_path / "aws"), log.write(tmp_path / "logs", seed % 3 != 0, split=True), []
    flags = ["--networks", str(r.choice([1, 2, 8, 1000])), "--world", str(r.choice([0, 1, 3, 100]))]
    tried = accepted = 0
    for target in [g["GroupId"] for g in w.groups] + ["eni-0web01", "eni-0app02"]:
        done = flowlog("suggest", "--for", target, "--inventory", aws, "-o", "aws", *flags, logs, check=False)
        if done.returncode:
            assert "no record" in done.stderr
            continue
        rules = tmp_path / "suggested"
        rules.mkdir(exist_ok=True)
        group = json.loads(done.stdout)
        (rules / "a.json").write_text(json.dumps(group))
        (rules / "b.json").unlink(missing_ok=True)
        source = logs
        if target.startswith("eni-"):  # a group of its own instead of what it has; its peers lose it as a member, and are not asked
            own = Log(w)
            own.rows = [row for row in log.rows if row[0] == target]
            source = own.write(tmp_path / "own", seed % 3 != 0)
            (rules / "b.json").write_text(json.dumps({"NetworkInterfaces": [
                {**w.find(target), "Groups": [{"GroupId": group["SecurityGroups"][0]["GroupId"]}]}]}))
        answer = json.loads(flowlog("whatif", "--inventory", aws, "--rules", rules, "-o", "json", source).stdout)
        assert answer["newly_rejected"]["records"] == 0, (target, answer["changes"])
        tried += 1
        accepted += answer["accepted_as_before"]
    assert tried >= 3 and accepted > 100

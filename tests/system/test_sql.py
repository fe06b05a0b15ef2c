# SPDX-License-Identifier: Apache-2.0
"""SQL over the view flows: what is lifted out of WHERE changes no answer, the functions, AWS's statements, statements of strangers."""
import gzip
import json
import os
import random
import re

import pytest

from conftest import PROGRAM

V5 = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id tcp-flags "
      "pkt-srcaddr flow-direction")
T0 = 1732492800  # 2024-11-25T00:00:00Z, a Monday
PORTS = [22, 53, 80, 443, 3389, 40000]


def record(rng, t):
    v6 = rng.random() < .1
    net = "2001:db8::" if v6 else rng.choice(["10.0.0.", "10.0.1.", "10.1.0.", "192.168.7.", "203.0.113."])
    a, b = (f"{net}{rng.randrange(1, 30):{'x' if v6 else 'd'}}" for _ in "ab")
    start = t + rng.randrange(60)
    if rng.random() < .03:
        return f"5 123456789012 eni-{rng.randrange(4)} - - - - - - - {t} {t + 59} - NODATA - - - -"
    return (f"5 123456789012 eni-{rng.randrange(4)} {a} {b} {rng.choice(PORTS)} {rng.choice(PORTS)} {rng.choice([6, 17, 1])} "
            f"{rng.randrange(1, 100)} {rng.randrange(40, 100000)} {start} {start + rng.randrange(40)} {rng.choice(['ACCEPT', 'ACCEPT', 'REJECT'])} OK "
            f"vpc-{rng.randrange(2)} {rng.choice([0, 1, 2, 3, 4, 18, 19])} {rng.choice([a, '-'])} {rng.choice(['ingress', 'egress'])}")


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """Two days in AWS's layout, an object an hour, every second hour gzip's second member."""
    root, rng = tmp_path_factory.mktemp("archive"), random.Random(5)
    for hour in range(48):
        t = T0 + hour * 3600
        day = root / "AWSLogs/123456789012/vpcflowlogs/eu-west-1/2024/11" / f"{25 + hour // 24}"
        day.mkdir(parents=True, exist_ok=True)
        lines = [V5] + [record(rng, t + 60 * rng.randrange(60)) for _ in range(200)]
        name = f"123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_202411{25 + hour // 24}T{hour % 24:02d}00Z_{hour:08x}.log.gz"
        (day / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return root


@pytest.fixture(scope="session")
def ask(flowlog):
    if "FL_DUCKDB" not in os.environ and not (PROGRAM.parent / "libduckdb.so").exists():
        pytest.skip("libduckdb.so is not beside the program: make duckdb")

    def query(sql, *args, **kw):
        done = flowlog("query", "-o", "json", sql, *args, **kw)
        return [json.loads(line) for line in done.stdout.splitlines()] if not done.returncode else done

    return query


def number(rng):
    column = rng.choice(["dstport", "srcport", "bytes", "packets", "start", '"end"', "protocol", "tcp_flags"])
    value = {"bytes": rng.randrange(100000), "packets": rng.randrange(100), "start": T0 + rng.randrange(48 * 3600),
             '"end"': T0 + rng.randrange(48 * 3600), "protocol": rng.choice([1, 6, 17]),
             "tcp_flags": rng.choice([0, 2, 18])}.get(column, rng.choice(PORTS))
    return column, value


def condition(rng, depth=0):
    pick = rng.randrange(14 if depth < 3 else 10)
    column, value = number(rng)
    address = rng.choice(["srcaddr", "dstaddr", "pkt_srcaddr"])
    if pick < 3:
        return f"{column} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {value}"
    if pick == 3:
        return f"{value} {rng.choice(['=', '<', '<=', '>', '>='])} {column}"
    if pick == 4:
        return f"{address} {rng.choice(['=', '='])} '{rng.choice(['10.0.0.', '192.168.7.'])}{rng.randrange(1, 30)}'"
    if pick == 5:
        return rng.choice([f"cidr_match({address}, '{rng.choice(['10.0.0.0/16', '10.0.1.0/24', '2001:db8::/64', '0.0.0.0/0'])}')",
                           f"{address} LIKE '{rng.choice(['10.0.%', '10.%', '192.168.7.%', '2001:%', '10.0.0.1%'])}'"])
    if pick == 6:
        return rng.choice(["action = 'REJECT'", "action <> 'REJECT'", "log_status = 'NODATA'", "vpc_id = 'vpc-1'", "flow_direction = 'egress'",
                           "action IN ('ACCEPT', 'x')", "interface_id = 'eni-2'"])
    if pick == 7:
        return f"{column} IN ({value}, {rng.choice(PORTS)})"
    if pick == 8:
        return f"{column} BETWEEN {value} AND {value + 3000}"
    if pick == 9:
        return rng.choice([f"start >= epoch(TIMESTAMP '2024-11-25 00:00:00' + INTERVAL '{rng.randrange(40)} hours')",
                           f"to_timestamp(start) < TIMESTAMP '2024-11-26 01:02:03.5'", f"start > {T0}.5 + 3600 * {rng.randrange(40)}",
                           f"{address} IS NULL", f"srcaddr < dstaddr", f"bytes / packets > 40", "start > epoch(now()) - 86400 * 10000"])
    if pick < 12:
        return f"({condition(rng, depth + 1)} AND {condition(rng, depth + 1)})"
    if pick == 12:
        return f"({condition(rng, depth + 1)} OR {condition(rng, depth + 1)})"
    return f"NOT ({condition(rng, depth + 1)})"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_lifted_changes_no_answer(ask, archive, seed):
    """Each WHERE twice: on the view itself, and on a subquery that nothing is lifted from."""
    rng = random.Random(seed)
    for where in [condition(rng) for _ in range(10)]:
        columns = "count(*) AS n, coalesce(sum(bytes), 0) AS b, count(DISTINCT srcaddr) AS s, coalesce(min(start), 0) AS f"
        plain, lifted = (ask(f"SELECT {columns} FROM {source} WHERE {where}", archive)
                         for source in ("(SELECT * FROM flows OFFSET 0)", "flows AS f"))
        assert lifted == plain, where


@pytest.mark.parametrize("sql,expected", [
    ("SELECT (SELECT count(*) FROM main.flows) AS n, (SELECT count(*) FROM flows WHERE bytes > 2500) AS m", {"n": 3, "m": 1}),
    ("SELECT (SELECT count(*) FROM flowlog_scan()) AS n, (SELECT count(*) FROM flows WHERE bytes > 2500) AS m", {"n": 3, "m": 1}),
    ("SELECT (SELECT count(*) FROM query('FROM flows')) AS n, (SELECT count(*) FROM flows WHERE bytes > 2500) AS m", {"n": 3, "m": 1}),
    ("SELECT (SELECT count(*) FROM query_table('flows')) AS n, (SELECT count(*) FROM flows WHERE bytes > 2500) AS m", {"n": 3, "m": 1}),
    ("SELECT (SELECT count(*) FROM range(7)) AS n, (SELECT count(*) FROM flows WHERE bytes > 2500) AS m", {"n": 7, "m": 1}),
    ("SELECT count(*) AS n FROM flows AS f(a, b, c, d, e, dstport, srcport) WHERE dstport = 443 AND srcport = 40000", {"n": 1}),
    ("SELECT count(*) AS n FROM flows WHERE account_id = 12345678901", {"n": 3}),
    ("SELECT count(*) AS n FROM flows WHERE bytes > 1999.5", {"n": 2}),
    ("SELECT count(*) AS n FROM flows WHERE 2000.0 = bytes", {"n": 1}),
    ("SELECT count(*) AS n FROM flows WHERE bytes BETWEEN 1999.5 AND 3000.0", {"n": 2}),
    ("SELECT count(*) AS n FROM flows WHERE bytes IN (1000.0, 2000.00)", {"n": 2}),
    ("SELECT count(*) AS n FROM flows WHERE bytes <= 2e3", {"n": 2}),
    ("SELECT count(*) AS n FROM flows WHERE account_id IN (12345678901, 5)", {"n": 3}),
    ("SELECT count(*) AS n FROM vpc_flow_logs WHERE date = '2024-11-25 11:00:00'", {"n": 3}),
    ("SELECT count(*) AS n FROM vpc_flow_logs WHERE date > '2024-11-24 11:00:00'", {"n": 3}),
    ("SELECT (SELECT count(*) FROM vpc_flow_logs AS v WHERE o.date > DATE '2030-01-01') AS n FROM (SELECT DATE '2031-01-01' AS date) AS o", {"n": 3}),
    ("SELECT (SELECT count(*) FROM flows WHERE vpc_id = 'x') AS n FROM (SELECT 'x' AS vpc_id) AS o", {"n": 3})])
def test_what_only_looks_like_a_condition_of_the_view(ask, tmp_path, sql, expected):
    lines = [(443, 40000, 1000, 1732492800, "ACCEPT"), (40000, 443, 2000, 1732492801, "REJECT"), (40001, 22, 3000, 1732536000, "ACCEPT")]
    (tmp_path / "a.log").write_text(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n" +
        "".join(f"2 012345678901 eni-1 10.0.0.1 10.0.0.2 {a} {b} 6 10 {n} {t} {t + 9} {action} OK\n" for a, b, n, t, action in lines))
    assert ask(sql, tmp_path / "a.log") == [expected]


def grouping(rng):
    """A SELECT that groups, as people write them, with FROM left open; most are what the group-by engine carries out, some are not."""
    columns = ["srcaddr", "dstaddr", "pkt_srcaddr", "dstport", "protocol", "action", "log_status", "interface_id", "vpc_id", "tcp_flags", "flow_direction"]
    keys = rng.sample(columns, rng.choice([1, 1, 2, 3]))
    measures = ["count(*)", "sum(bytes)", "sum(packets)", "min(start)", 'max("end")', "count(bytes)", "count(DISTINCT dstport)", "count(DISTINCT dstaddr)",
                "count(DISTINCT action)", "count(vpc_id)", "max(tcp_flags)", "min(DISTINCT dstport)", "sum(dstport)", "max(srcport)"]
    chosen = rng.sample(measures, rng.choice([1, 2, 3]))
    if rng.random() < .4:
        chosen[0] = rng.choice(["sum(bytes) / 1e3", "round(sum(bytes) / sum(packets), 2)", "CASE WHEN count(*) > 20 THEN 'many' ELSE 'few' END",
                                "CAST(to_timestamp(min(start)) AS VARCHAR)", "coalesce(sum(bytes), -1)", "sum(bytes) * 8 / 60", "avg(bytes)",
                                "sum(bytes) FILTER (WHERE action = 'ACCEPT')", "string_agg(DISTINCT action, ',' ORDER BY action)", "sum(bytes + packets)",
                                "count(DISTINCT (srcaddr, dstport))", f"concat({keys[0]}, '!')", "min(srcaddr)", "count_if(dstport = 22)"])
    where = f" WHERE {condition(rng)}" if rng.random() < .7 else ""
    names = [rng.choice(["", "", f" AS n{i}"]) for i in range(len(chosen))]
    shown = [*(f"f.{k}" if rng.random() < .2 else k.upper() if rng.random() < .1 else k for k in keys), *(c + n for c, n in zip(chosen, names))]
    group = rng.choice(["GROUP BY " + ", ".join(keys), "GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys))), "GROUP BY ALL"])
    if rng.random() < .15:
        return f"SELECT DISTINCT {', '.join(keys)} FROM @{where}", True
    if rng.random() < .2:
        shown[0] = f"{keys[0]} AS k"
        group = "GROUP BY k" + "".join(f", {k}" for k in keys[1:])
    having = rng.choice(["", "", f" HAVING {rng.choice(['count(*) > 3', 'sum(bytes) > 50000 OR count(DISTINCT dstport) = 2', 'sum(bytes) IS NULL', f'{keys[-1]} IS NOT NULL'])}"])
    order = ", ".join(f"{i + 1} {rng.choice(['', 'DESC', 'NULLS FIRST'])}" for i in range(len(keys)))
    lead = rng.choice(["", "", f"{len(keys) + 1} DESC, ", "count(*), ", *(f"{n.split()[-1]}, " for n in names[:1] if n)])
    limit = rng.choice(["", " LIMIT 7", " LIMIT 5 OFFSET 3"])
    return f"SELECT {', '.join(shown)} FROM @{where} {group}{having} ORDER BY {lead}{order}{limit}", False


@pytest.mark.parametrize("seed", range(4))
def test_groups_of_our_own_change_no_answer(ask, flowlog, archive, seed):
    """Each statement twice: on the view itself, and on a subquery that only DuckDB groups."""
    rng, ours = random.Random(100 + seed), 0
    for sql, unordered in [grouping(rng) for _ in range(25)]:
        plain, grouped = (ask(sql.replace("@", source), archive) for source in ("(SELECT * FROM flows OFFSET 0) AS f", "flows AS f"))
        assert isinstance(plain, list), (sql, plain.stderr)
        plain, grouped = ([list(row.items()) for row in rows] for rows in (plain, grouped))
        if unordered:
            plain, grouped = sorted(plain, key=repr), sorted(grouped, key=repr)
        assert grouped == plain, sql
        ours += "grouped by Flowlog: " in flowlog("query", "EXPLAIN " + sql.replace("@", "flows AS f"), archive).stdout
    assert ours >= 5


@pytest.mark.parametrize("sql,grouped", [
    ("SELECT srcaddr, sum(bytes) FROM flows GROUP BY 1", True),
    ("SELECT srcaddr, dstaddr, count(*) FROM vpc_flow_logs WHERE action = 'REJECT' AND dstport IN (22, 3389) GROUP BY ALL", True),
    ("SELECT DISTINCT dstport FROM flows WHERE srcaddr LIKE '10.0.%'", True),
    ("SELECT srcaddr FROM flows WHERE srcaddr = '010.0.0.1' GROUP BY 1", False),
    ("SELECT srcaddr FROM flows WHERE bytes / packets > 40 GROUP BY 1", False),
    ("SELECT srcaddr, avg(bytes) FROM flows GROUP BY 1", False),
    ("SELECT srcaddr, list(srcaddr) FROM flows GROUP BY 1", False),
    ("SELECT srcaddr, count(*) OVER () FROM flows GROUP BY 1", False),
    ("SELECT srcaddr, GROUPING(srcaddr), count(*) FROM flows GROUP BY 1", False),
    ("SELECT srcaddr, (SELECT count(*) FROM flows) FROM flows GROUP BY 1", False),
    ("SELECT srcaddr, count(*) FROM flows GROUP BY ROLLUP (srcaddr)", False),
    ("SELECT a.srcaddr, count(*) FROM flows AS a, (SELECT 1) AS b GROUP BY 1", False),
    ("SELECT srcaddr, count(*) FROM (SELECT * FROM flows) GROUP BY 1", False),
    ("SELECT start // 60, count(*) FROM flows GROUP BY 1", False)])
def test_explain_says_who_groups(ask, flowlog, archive, sql, grouped):
    assert ("grouped by Flowlog: " in flowlog("query", "EXPLAIN " + sql, archive).stdout) == grouped
    assert isinstance(ask(sql, archive), list)


def test_explain_is_of_the_first_statement_alone(ask, flowlog, archive):
    grouped = "SELECT protocol, count(*) AS n FROM flows GROUP BY protocol"
    done = flowlog("query", "-o", "csv", f"EXPLAIN {grouped}; {grouped} ORDER BY 2 DESC LIMIT 1", archive)
    assert done.returncode == 0 and done.stdout.count("physical_plan") == 1
    assert "grouped by Flowlog: protocol" in flowlog("query", f"EXPLAIN ANALYZE {grouped}", archive).stdout
    assert done.stdout.splitlines()[-2:] == ["protocol,n", ",".join(str(v) for v in ask(f"{grouped} ORDER BY 2 DESC LIMIT 1", archive)[0].values())]


@pytest.mark.parametrize("where", ["srcaddr LIKE '10.%'", "srcaddr LIKE '010.%'", "srcaddr LIKE ' 10.0.%'", "srcaddr LIKE '+10.%'",
                                   "srcaddr LIKE '10.0.00.%'", "cidr_match(srcaddr, '10.0.0.0/8')", "cidr_match(srcaddr, '::ffff:0.0.0.0/96')",
                                   "cidr_match(srcaddr, '::/0')", "srcaddr = '010.0.0.1'", "srcaddr = '::ffff:10.0.0.1'"])
def test_addresses_are_what_they_are_written_as(ask, tmp_path, where):
    """Patterns that no address has, and IPv6 addresses that only look like IPv4."""
    lines = [f"2 1 eni-1 {a} 10.0.0.9 1 2 6 1 40 {T0} {T0} ACCEPT OK\n" for a in ("10.0.0.1", "::ffff:10.0.0.1", "10.9.0.1", "2001:db8::1")]
    (tmp_path / "a.log").write_text("".join(lines))
    plain, lifted = (ask(f"SELECT srcaddr, count(*) AS n FROM {source} WHERE {where} GROUP BY srcaddr ORDER BY 1", tmp_path / "a.log")
                     for source in ("(SELECT * FROM flows OFFSET 0)", "flows"))
    assert lifted == plain


def test_names_that_differ_in_case_alone_are_columns(ask, tmp_path):
    (tmp_path / "a.log").write_text("version Bytes srcaddr Foo foo foo_1 bytes\n2 many 10.0.0.1 a b c 7\n2 few 10.0.0.2 a d c 8\n")
    assert ask("SELECT * FROM flows WHERE bytes > 7", tmp_path / "a.log") == [
        {"version": 2, "Bytes_1": "few", "srcaddr": "10.0.0.2", "Foo": "a", "foo_1": "d", "foo_1_1": "c", "bytes": 8}]
    assert ask("SELECT foo, sum(BYTES) AS n, count(DISTINCT foo_1) AS d, count(bytes_1) AS c FROM flows GROUP BY FOO", tmp_path / "a.log") == [
        {"Foo": "a", "n": 15, "d": 2, "c": 2}]


def test_a_pipe_is_not_read_twice(ask, flowlog, tmp_path):
    """What is there no more must not be answered as nothing."""
    line = f"2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 {2 ** 63 - 1} {T0} {T0} ACCEPT OK\n"
    (tmp_path / "a.log").write_text(line)
    for sql in ("SELECT (SELECT count(*) FROM flows) AS a, (SELECT count(*) FROM flows WHERE version = 2) AS b",
                "SELECT count(*) FROM flows; SELECT count(*) FROM flows WHERE bytes > 1"):
        done = flowlog("query", sql, "-", check=False, input=line)
        assert done.returncode and "- can be read only once" in done.stderr, sql
    assert ask("SELECT 1 AS n; SELECT count(*) AS n FROM flows WHERE bytes > 1", "-", input=line) == [{"n": 1}, {"n": 1}]
    assert ask("SELECT srcaddr, sum(bytes) AS n FROM flows GROUP BY srcaddr", "-", input=3 * line) == [{"srcaddr": "10.0.0.1", "n": 3 * (2 ** 63 - 1)}]
    assert "read: " in flowlog("query", "EXPLAIN ANALYZE SELECT count(*) FROM flows", "-", input=line).stdout
    with open(tmp_path / "a.log") as file:  # which a file can
        assert ask("SELECT count(*) AS n FROM flows; SELECT count(*) AS n FROM flows", "-", stdin=file) == [{"n": 1}, {"n": 1}]


def test_a_sum_beyond_64_bits_is_the_engines(ask, flowlog, tmp_path):
    most = 2**63 - 1
    (tmp_path / "a.log").write_text("srcaddr bytes action\n" + f"10.0.0.1 {most} ACCEPT\n" * 5 + "10.0.0.2 5 ACCEPT\n10.0.0.3 - REJECT\n")
    sql = "SELECT srcaddr, sum(bytes) AS s, min(bytes) AS l, max(bytes) AS m, count(bytes) AS n FROM flows GROUP BY 1 ORDER BY 1"
    assert "grouped by Flowlog: " in flowlog("query", "EXPLAIN " + sql, tmp_path).stdout
    rows = flowlog("query", "-o", "csv", sql, tmp_path).stdout.splitlines()
    assert rows == ["srcaddr,s,l,m,n", f"10.0.0.1,{5 * most},{most},{most},5", "10.0.0.2,5,5,5,1", "10.0.0.3,,,,0"]


def test_groups_beyond_memory_are_the_engines(ask, flowlog, tmp_path):
    """More groups than 16 MiB hold: not a word of it in the answer."""
    (tmp_path / "a.log").write_text("srcaddr bytes action\n" + "".join(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255} {i} ACCEPT\n" for i in range(400000)))
    sql = "SELECT srcaddr, sum(bytes) AS s FROM flows GROUP BY 1 ORDER BY 2 DESC LIMIT 2"
    for memory in "32MiB", "256MiB":
        rows = flowlog("query", "--memory", memory, "--threads", "1", "-o", "csv", sql, tmp_path)
        assert rows.stdout.splitlines() == ["srcaddr,s", "10.6.26.127,399999", "10.6.26.126,399998"] and not rows.stderr


def test_groups_are_asked_for_through_the_view(flowlog, archive, ask):
    assert "ask the view flows" in flowlog("query", "SELECT * FROM flowlog_groups()", archive, check=False).stderr
    assert ask("SELECT 1 AS a; SELECT action, count(*) > 0 AS b FROM flows WHERE action IS NOT NULL GROUP BY 1 ORDER BY 1", archive) == [
        {"a": 1}, {"action": "ACCEPT", "b": True}, {"action": "REJECT", "b": True}]


def test_explain_analyze_says_what_was_passed_over(ask, flowlog, archive, tmp_path):
    flowlog("convert", "--single", "--row-group", 4096, archive, tmp_path / "a.parquet")
    sql = "EXPLAIN ANALYZE SELECT count(*) FROM flows WHERE start < (SELECT 5)"
    assert "by statistics: 0, by Bloom filters: 0" in flowlog("query", sql, tmp_path / "a.parquet").stdout
    for where, counts in (("start < 5", r"by statistics: [1-9]\d*, by Bloom filters: 0"), ("dstaddr = '10.0.0.77'", r"by statistics: 0, by Bloom filters: [1-9]")):
        text = flowlog("query", f"EXPLAIN ANALYZE SELECT count(*) FROM flows WHERE {where}", tmp_path / "a.parquet").stdout
        assert re.search(r"^read: \d+ bytes, \d+ records; row groups passed over " + counts, text, re.M), text
    assert "row groups passed over" not in flowlog("query", "EXPLAIN SELECT count(*) FROM flows WHERE start < 5", tmp_path / "a.parquet").stdout


def test_a_sample_is_taken_before_its_condition(ask, flowlog, archive):
    assert explained(flowlog, "SELECT count(*) FROM flows TABLESAMPLE reservoir(9 ROWS) WHERE action = 'REJECT'", archive)[0] == "(every record)"


def explained(flowlog, sql, *sources):
    text = flowlog("query", f"EXPLAIN {sql}", *sources).stdout
    assert "FLOWLOG_SCAN" in text.upper()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("read by Flowlog where: "))
    return lines[at].removeprefix("read by Flowlog where: "), lines[at + 1]


@pytest.mark.parametrize("where,lifted", [
    ("dstport = 22", True), ("22 = f.dstport", True), ("action = 'REJECT' OR bytes > 5", True), ("srcaddr LIKE '10.0.%'", True),
    ("srcaddr LIKE '%.1'", False), ("dstport = 22 OR bytes / packets > 1", False), ("NOT (dstport = 22 AND bytes > 1)", False), ("x.dstport = 22", False),
    ("cidr_match(dstaddr, '10.0.0.0/8')", True), ("random() < 0.5", False), ("start > epoch(now()) - 60", True), ("bytes = -5", False), ("bytes >= 9007199254740995.0", False),
    ("start < epoch(now())", False), ("srcaddr IN ('10.0.0.1', '10.0.0.2')", True), ("srcaddr = 'x'", False)])
def test_explain_says_what_is_lifted(ask, flowlog, archive, where, lifted):
    other = ", (SELECT 22 AS dstport) AS x" if where.startswith("x.") else ""
    text, _ = explained(flowlog, f"SELECT count(*) FROM flows AS f{other} WHERE {where}", archive)
    assert (text != "(every record)") == lifted


def test_explain_counts_the_files_that_are_passed_over(ask, flowlog, archive):
    where = f"start BETWEEN {T0 + 86400} AND {T0 + 86400 + 3599}"
    _, files = explained(flowlog, f"SELECT count(*) FROM flows WHERE {where}", archive)
    read, passed = (int(part.rsplit(" ", 1)[1]) for part in files.split("; "))
    assert 1 <= read <= 4 and passed  # the day before as one directory
    assert ask(f"SELECT count(*) AS n FROM flows WHERE {where}", archive) == [{"n": 200}]


def test_fields_of_files_that_are_passed_over_are_columns(ask, flowlog, tmp_path):
    """v2 files of one day, v5 files of another: a WHERE that leaves the one day out does not make its fields unknown."""
    v2 = " ".join(V5.split()[:14])
    for day, header, rest, extra in ((25, v2, "", ""), (26, V5, " vpc-1 2 10.9.9.9 egress", " x")):
        at = T0 + (day - 25) * 86400
        place = tmp_path / f"AWSLogs/123456789012/vpcflowlogs/eu-west-1/2024/11/{day}"
        place.mkdir(parents=True)
        name = f"123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcde{day:02x}_202411{day}T0000Z_{day:08x}.log.gz"
        (place / name).write_bytes(gzip.compress((f"{header}{' my-own' if extra else ''}\n"
                                                  f"2 123456789012 eni-1 10.0.0.1 10.0.0.2 40000 22 6 5 500 {at} {at + 9} ACCEPT OK{rest}{extra}\n").encode()))
    first, second = f"start < {T0 + 3600}", f"start >= {T0 + 86400}"
    for where in (first, f"vpc_id IS NULL AND {first}", f"vpc_id IS NULL AND {first} AND f.flow_direction IS NULL"):
        assert ask(f"SELECT vpc_id, srcaddr, f.flow_direction AS d FROM flows f WHERE {where}", tmp_path) == [{"vpc_id": None, "srcaddr": "10.0.0.1", "d": None}]
    assert ask(f"SELECT count(*) AS n FROM vpc_flow_logs WHERE VPC_ID = 'vpc-1' AND {first}", tmp_path) == [{"n": 0}]
    assert ask(f"SELECT count(*) AS n FROM flows WHERE vpc_id = 'vpc-1' AND {second}", tmp_path) == [{"n": 1}]
    assert ask("SELECT count(*) AS n FROM flows WHERE vpc_id = 'vpc-1' AND start > 2000000000", tmp_path) == [{"n": 0}]
    # Also a name that is nobody's but that of a file left out; of both at once; without a source that has it; and in other statements.
    assert ask(f"SELECT my_own, vpc_id, subnet_id FROM flows WHERE {first}", tmp_path) == [{"my_own": None, "vpc_id": None, "subnet_id": None}]
    assert ask(f"SELECT max(tgw_src_vpc_id) AS a FROM flows WHERE {first}", tmp_path) == [{"a": None}]
    assert ask(f"CREATE TABLE t AS SELECT vpc_id FROM flows WHERE {first}; SELECT count(*) AS n, count(vpc_id) AS m FROM t", tmp_path)[-1] == {"n": 1, "m": 0}
    assert ask(f"SELECT a.srcaddr FROM flows a JOIN flows b USING (vpc_id) WHERE a.{first}", tmp_path) == []
    assert "vpc_id IS NULL" in flowlog("query", f"EXPLAIN SELECT count(*) FROM flows WHERE vpc_id IS NULL AND {first}", tmp_path).stdout
    assert explained(flowlog, f"SELECT count(*) FROM flows WHERE vpc_id = 'x' AND {first}", tmp_path)[0] == f"vpc_id = x and start <= {T0 + 3599}"
    assert ask("SELECT count(vpc_id) AS n FROM flows WHERE vpc_id IS NULL", "--read-only", tmp_path) == [{"n": 0}]
    # SELECT * is what sources have, and what nobody has stays unknown.
    assert list(ask(f"SELECT * FROM flows WHERE {first}", tmp_path)[0]) == [f.replace("-", "_") for f in v2.split()]
    for name in ("my_on", "vpcid", "nosuch"):
        done = ask(f"SELECT {name} FROM flows WHERE {first}", tmp_path, check=False)
        assert done.returncode == 1 and name in done.stderr
    assert ask(f"SELECT srcaddr AS vpc_id, count(*) AS n FROM flows WHERE {first} GROUP BY vpc_id", tmp_path) == [{"vpc_id": "10.0.0.1", "n": 1}]


def test_a_name_that_only_the_select_gives_is_not_a_column(ask, tmp_path):
    (tmp_path / "a.log").write_text("version srcaddr bytes\n5 10.0.0.1 5\n5 10.0.0.2 7\n")
    assert ask("SELECT srcaddr, 22 AS dstport FROM flows WHERE dstport = 22 ORDER BY ALL", tmp_path / "a.log") == [
        {"srcaddr": "10.0.0.1", "dstport": 22}, {"srcaddr": "10.0.0.2", "dstport": 22}]


def test_references_of_one_statement_keep_their_own_conditions(ask, archive):
    n = ask("SELECT count(*) AS n FROM flows WHERE dstport = 22", archive)[0]["n"]
    m = ask("SELECT count(*) AS n FROM flows WHERE dstport = 53", archive)[0]["n"]
    total = ask("SELECT count(*) AS n FROM flows", archive)[0]["n"]
    assert total == 48 * 200 and 0 < n < total
    assert ask("SELECT (SELECT count(*) FROM flows WHERE dstport = 22) AS n, (SELECT count(*) FROM flows WHERE dstport = 53) AS m", archive) == [
        {"n": n, "m": m}]
    assert ask("SELECT (SELECT count(*) FROM flows WHERE dstport = 22) AS n, (SELECT count(*) FROM flows) AS m", archive) == [
        {"n": n, "m": total}]
    assert ask("WITH flows AS (SELECT 1 AS dstport) SELECT count(*) AS n FROM flows WHERE dstport = 1", archive) == [{"n": 1}]
    assert ask("SELECT count(*) AS n FROM flows a JOIN flows b USING (interface_id, srcaddr, dstaddr, srcport, dstport, start, bytes, protocol) "
               "WHERE a.dstport = 22", archive)[0]["n"] >= n
    done = ask("SELECT count(*) AS n FROM flows WHERE dstport = 22; SELECT count(*) AS n FROM flows WHERE dstport = 53", archive)
    assert done == [{"n": n}, {"n": m}]
    assert ask("CREATE VIEW mine AS SELECT * FROM flows; SELECT count(*) AS n FROM mine WHERE dstport = 22", archive) == [{"n": n}]


def test_functions(ask, tmp_path):
    (tmp_path / "a.log").write_text("version\n2\n")

    def value(expression):
        done = ask(f"SELECT {expression} AS v", tmp_path / "a.log", check=False)
        return done[0]["v"] if isinstance(done, list) else done.stderr

    assert value("cidr_match('10.1.2.3', '10.0.0.0/8')") is True
    assert value("cidr_match('11.1.2.3', '10.0.0.0/8')") is False
    assert value("cidr_match('2001:db8::1', '2001:db8::/32')") is True
    assert value("cidr_match('10.1.2.3', '2001:db8::/32')") is False
    assert value("cidr_match('10.1.2.3', '10.1.2.3')") is True
    assert value("cidr_match('-', '10.0.0.0/8')") is None
    assert value("cidr_match(NULL, '10.0.0.0/8')") is None
    assert "no network" in value("cidr_match('10.1.2.3', 'x')")
    assert "no network" in value("cidr_match('10.1.2.3', repeat('1', 5000))")
    assert [value(f"is_private('{a}')") for a in ("10.0.0.1", "172.32.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "2001:db8::1", "x")] == [
        True, False, True, True, True, False, None]
    assert [value(f"protocol_name({n})") for n in (6, 17, 1, 58, 253, "NULL", 70000)] == ["tcp", "udp", "icmp", "icmpv6", "253", None, "70000"]
    assert [value(f"tcp_flags_text({n})") for n in (0, 2, 18, 19, 4, -1, 256)] == ["", "SYN", "SYN|ACK", "FIN|SYN|ACK", "RST", None, None]


def test_service_of(ask, tmp_path):
    (tmp_path / "a.log").write_text("version srcaddr\n2 10.0.0.1\n")
    assert ask("SELECT service_of(443, 6) AS a, service_of(53, 17) AS b, service_of(443, 1) AS c, service_of(-1, 6) AS d, service_of(NULL, 6) AS e, "
               "service_of(99999999999, 300) AS f FROM flows", tmp_path / "a.log") == [{"a": "https", "b": "dns", "c": None, "d": None, "e": None, "f": None}]


@pytest.mark.parametrize("seed", range(3))
def test_functions_take_anything(ask, tmp_path, seed):
    """Random texts and numbers: an answer, null or a sentence, never an end of the program."""
    rng = random.Random(seed)
    (tmp_path / "a.log").write_text("version srcaddr\n2 10.0.0.1\n")
    pieces = ["10.", "::", "/", "ffff", "0", "-", ".", "é", "\U0001f600", " ", "%", "256", "/33", "/129", "1" * 70, "\t"]
    texts = ["".join(rng.choice(pieces) for _ in range(rng.randrange(6))) for _ in range(40)]
    numbers = [rng.choice([0, 1, -1, 6, 2**31, -2**63, 2**63 - 1, rng.randrange(300)]) for _ in range(40)]
    values = ", ".join(f"('{t}', '{rng.choice(texts)}', {n}, {rng.choice(numbers)})" for t, n in zip(texts, numbers))
    rows = ask(f"SELECT is_private(a) AS p, cidr_match(a, '10.0.0.0/8') AS m, protocol_name(n) AS q, tcp_flags_text(k) AS t, service_of(n, k) AS s "
               f"FROM (VALUES {values}) v(a, b, n, k)", tmp_path / "a.log")
    assert len(rows) == 40
    done = ask(f"SELECT cidr_match(a, b) AS m FROM (VALUES {values}) v(a, b, n, k)", tmp_path / "a.log", check=False)
    assert isinstance(done, list) or (done.returncode == 1 and "no network" in done.stderr)


def test_columns_have_the_types_of_the_athena_table(ask, archive):
    kinds = {k["column_name"]: k["column_type"] for k in ask("SELECT column_name, column_type FROM (DESCRIBE flows)", archive)}
    assert list(kinds)[:18] == V5.replace("-", "_").split()
    assert {c for c, k in kinds.items() if k == "INTEGER"} == {"version", "srcport", "dstport", "protocol", "tcp_flags"}
    assert {c for c, k in kinds.items() if k == "BIGINT"} == {"packets", "bytes", "start", "end"}


# The statements of AWS's guide (destinations.md 6.3), as written there but for the dates.
ATHENA = [
    ("SELECT * FROM vpc_flow_logs WHERE date = DATE('2024-11-25') LIMIT 100", 100),
    ("SELECT day_of_week(date) AS day, date, interface_id, srcaddr, action, protocol FROM vpc_flow_logs "
     "WHERE action = 'REJECT' AND protocol = 6 LIMIT 100", 100),
    ("SELECT SUM(packets) AS packetcount, dstaddr FROM vpc_flow_logs WHERE dstport = 443 AND date > current_date - interval '7' day "
     "GROUP BY dstaddr ORDER BY packetcount DESC LIMIT 10", 0),
    ("SELECT * FROM vpc_flow_logs WHERE date >= DATE('2024-11-25') AND date < DATE('2024-11-26') LIMIT 100", 100),
    ("SELECT from_unixtime(start) AS start_time, from_unixtime(\"end\") AS end_time, * FROM vpc_flow_logs LIMIT 5", 5),
    ("SELECT * FROM vpc_flow_logs WHERE srcaddr LIKE '10.0.%' LIMIT 20", 20),
    ("SELECT * FROM vpc_flow_logs WHERE split_part(srcaddr, '.', 1) = '10' AND CAST(split_part(srcaddr, '.', 3) AS INTEGER) BETWEEN 0 AND 1 LIMIT 20", 20),
    ("SELECT interface_id, log_status, count(*) AS n FROM vpc_flow_logs GROUP BY interface_id, log_status ORDER BY 1, 2", 8),
    ("SELECT to_iso8601(from_unixtime(start)) AS t FROM vpc_flow_logs LIMIT 3", 3),
]


@pytest.mark.parametrize("sql,rows", ATHENA)
def test_statements_of_the_athena_guide(ask, archive, sql, rows):
    assert len(ask(sql, archive)) == rows


def test_the_date_of_athena_passes_over_days(ask, flowlog, archive):
    want = ask(f"SELECT count(*) AS n FROM flows WHERE start >= {T0 + 86400}", archive)
    assert ask("SELECT count(*) AS n FROM vpc_flow_logs WHERE date = DATE '2024-11-26'", archive) == want
    assert ask("SELECT count(*) AS n FROM vpc_flow_logs WHERE date > DATE '2024-11-25'", archive) == want
    for where in ("date = DATE '2024-11-26'", "date >= DATE '2024-11-26'"):
        _, files = explained(flowlog, f"SELECT count(*) FROM vpc_flow_logs WHERE {where}", archive)
        read, passed = (int(part.rsplit(" ", 1)[1]) for part in files.split("; "))
        assert passed and read <= 26, where


@pytest.mark.parametrize("sql", [
    "COPY (SELECT 1) TO '{0}/out.csv'", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')", "ATTACH '{0}/x.db'", "INSTALL httpfs", "LOAD '{0}/x'", "SET enable_external_access = true", "CREATE TABLE t(a INT)",
    "PRAGMA enable_profiling", "SELECT 1; EXPORT DATABASE '{0}/e'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{0}/out.csv'",
    "WITH a AS (SELECT * FROM read_blob('/etc/passwd')) SELECT * FROM a", "SELECT * FROM json_execute_serialized_sql('x')",
    "SELECT * FROM read_parquet('/etc/passwd')", "SET lock_configuration = false", "RESET enable_external_access",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')", "SELECT * FROM enable_logging(storage='file', storage_path='{0}/l')",
    "SELECT * FROM enable_profiling(save_location='{0}/p')", "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", "SELECT * FROM duckdb_settings()",
    "SELECT 1 WHERE EXISTS (SELECT * FROM enable_logging())"])
def test_statements_of_strangers_reach_nothing_else(ask, flowlog, archive, tmp_path, sql):
    done = flowlog("query", "--read-only", sql.format(tmp_path), archive, check=False)
    assert done.returncode == 1 and done.stderr and "root:" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_statements_of_strangers_are_answered(ask, flowlog, archive):
    assert ask("SELECT count(*) AS n FROM flows", "--read-only", archive) == [{"n": 48 * 200}]
    assert "read by Flowlog" in flowlog("query", "--read-only", "EXPLAIN SELECT * FROM flows WHERE dstport = 1", archive).stdout


def test_damage_is_told_and_the_rest_answered(ask, flowlog, tmp_path):
    lines = "".join(f"2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 3 {i} 5 6 ACCEPT OK\n" for i in range(20000))
    whole = gzip.compress(f"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n{lines}".encode())
    (tmp_path / "cut.log.gz").write_bytes(whole[:len(whole) // 2])
    (tmp_path / "good.log").write_text("2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 3 7 5 6 ACCEPT OK\n2 1 eni-1 short\n2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 3 8 5 6 ACCEPT OK")
    done = flowlog("query", "-o", "json", "SELECT count(*) AS n, count(DISTINCT bytes) AS d FROM flows", tmp_path, check=False)
    assert done.returncode == 1 and "cut.log.gz" in done.stderr and "good.log" in done.stderr
    n = json.loads(done.stdout)["n"]
    assert 1000 < n < 20002


def test_what_memory_does_not_hold_goes_into_a_directory_of_its_own(ask, flowlog, archive, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    sql = "SELECT count(*) AS n FROM (SELECT srcaddr, dstaddr, start, bytes, i FROM flows, range(60) t(i) ORDER BY bytes, i, srcaddr)"
    done = flowlog("query", "-o", "json", f"SET memory_limit = '60MB'; {sql}", archive, env=env, cwd=tmp_path)
    assert json.loads(done.stdout) == {"n": 48 * 200 * 60} and not list(tmp_path.iterdir())
    done = flowlog("query", "SELECT 1", archive, env={**env, "TMPDIR": str(tmp_path / "none")}, check=False)
    assert done.returncode == 1 and "TMPDIR" in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""s3:// as a SOURCE: the same answers as from files, only what is asked for is listed and fetched, and what goes wrong is said."""
import gzip
import json
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM
from s3_servers import KEY, SECRET, Bucket, Fake, Reply, error

PLACE = "AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11"
DAYS = (20, 21, 22)


def records(draw, start, n=200):
    lines = ["version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"]
    for i in range(n):
        lines.append(f"2 123456789012 eni-0a1b2c3d4e5f6071{draw.randrange(8)} 10.0.0.{draw.randrange(9)} 10.1.0.{draw.randrange(9)} {draw.randrange(1024, 65535)} "
                     f"{draw.choice([22, 80, 443])} 6 {draw.randrange(1, 50)} {draw.randrange(40, 90000)} {start + i} {start + i + 60} "
                     f"{draw.choice(['ACCEPT', 'REJECT'])} OK")
    return gzip.compress(("\n".join(lines) + "\n").encode())


@pytest.fixture(scope="module")
def objects():
    draw = random.Random(3)
    return {f"{PLACE}/{day}/123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_202611{day}T{hour:02}05Z_{draw.randrange(1 << 32):08x}.log.gz":
            records(draw, 1795132800 + (day - 20) * 86400 + hour * 3600) for day in DAYS for hour in range(0, 24, 3)}


@pytest.fixture
def fake(objects):
    f = Fake()
    f.reply = Bucket(objects, name="flows")
    yield f
    f.close()


@pytest.fixture
def ask(flowlog, fake, tmp_path):
    """ask("top", "s3://flows/") with the fake server as S3 and a home of the test's own"""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true",
           "AWS_ENDPOINT_URL": fake.url, **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}

    def run(*args, check=True, **more):
        return flowlog(*args, check=check, env={**env, **more}, cwd=tmp_path)

    run.env = env
    return run


@pytest.fixture
def files(objects, tmp_path):
    for key, data in objects.items():
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "copy"


@pytest.mark.parametrize("question", [("top", "--of", "talkers", "-o", "csv"), ("rejects", "-o", "csv"), ("conversations", "-o", "csv"), ("ports", "-o", "json")],
                         ids=lambda q: q[0])
def test_the_same_answer_as_from_files(ask, files, fake, question):
    want = ask(*question, files).stdout
    assert len(want.splitlines()) > 3 or len(want) > 300
    assert ask(*question, "s3://flows/").stdout == want
    assert ask(*question, f"s3://flows/{PLACE}/20/", files / PLACE / "21", f"s3://flows/{PLACE}/22/").stdout == want
    # and again, from the cache
    fake.seen.clear()
    assert ask(*question, "s3://flows/").stdout == want
    assert all("list-type" in q.query for q in fake.seen)


def test_only_what_is_asked_for_is_listed_and_fetched(ask, files, fake):
    when = ("top", "--of", "talkers", "-o", "csv", "--since", "2026-11-21T12:01:00Z", "--until", "2026-11-21T12:04:00Z")
    want = ask(*when, files).stdout
    fake.seen.clear()
    assert ask(*when, "s3://flows/").stdout == want
    assert not [q for q in fake.seen if "list-type" in q.query and any(f"/{day}/" in q.query["prefix"] for day in (20, 22))]
    assert len({q.key for q in fake.seen if "list-type" not in q.query}) <= 3


def test_options(ask, fake):
    ask("top", "--of", "pairs", "--anonymous", "s3://flows/")
    assert all("Authorization" not in q.headers for q in fake.seen)
    fake.seen.clear()
    ask("top", "--of", "pairs", "--requester-pays", "--region", "eu-west-3", "--endpoint-url", fake.url, "s3://flows/", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert all(q.headers["x-amz-request-payer"] == "requester" and q.signer == (KEY, "eu-west-3", "s3") for q in fake.seen)
    done = ask("top", "--of", "pairs", "--profile", "none", "s3://flows/", check=False)
    assert done.returncode == 1 and '"none"' in done.stderr


def test_what_goes_wrong_is_said(ask, fake, objects):
    good = fake.reply
    for reply, says in ((lambda q: error(403, "SignatureDoesNotMatch"), "secret access key"), (lambda q: error(404, "NoSuchBucket"), "no such bucket"),
                        (lambda q: Reply(body="<html>"), "s3://flows/")):
        fake.reply = reply
        done = ask("top", "--of", "pairs", "s3://flows/", check=False)
        assert done.returncode == 1 and says in done.stderr and SECRET not in done.stderr
    # one object that cannot be read is named, the others are
    lost = sorted(objects)[5]
    fake.reply = lambda q: error(403, "InvalidObjectState") if q.key.endswith(lost) else good(q)
    done = ask("top", "--of", "pairs", "s3://flows/", check=False)
    assert done.returncode == 1 and "archived" in done.stderr and lost in done.stderr and "10.0.0." in done.stdout


def test_stop_is_at_once(ask, fake, flowlog, tmp_path):
    good = fake.reply
    fake.reply = lambda q: good(q) if "list-type" in q.query else Reply(200, b"x" * 100, pause=30, at=10)
    process = subprocess.Popen([flowlog.path, "top", "--of", "pairs", "s3://flows/"], env=ask.env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not [q for q in fake.seen if "list-type" not in q.query]:
        time.sleep(0.01)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - began < 1.5 and process.returncode != 0
    assert not list((tmp_path / ".cache").rglob(".tmp*"))


# ---- big Parquet objects: only what is asked for is fetched ----

BIG = f"{PLACE}/20/big.log.parquet"
T0 = 1795132800
HOUR = ("--since", "2026-11-20T02:00:00Z", "--until", "2026-11-20T02:59:59Z")


@pytest.fixture(scope="module")
def big(flowlog, tmp_path_factory):
    """Eight hours of 64,000 records in the order of time, a row group an hour, addresses that come and go; as text and as Parquet."""
    where, draw = tmp_path_factory.mktemp("big"), random.Random(11)
    lines = ["version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"]
    for i in range(8 * 64000):
        start = T0 + i * 3600 // 64000
        lines.append(f"2 123456789012 eni-0a1b2c3d4e5f6071{draw.randrange(8)} 10.{i // 64000}.{draw.randrange(40)}.{draw.randrange(250)} 10.200.0.{draw.randrange(9)} "
                     f"{draw.randrange(1024, 65535)} {draw.choice([22, 80, 443])} 6 {draw.randrange(1, 50)} {draw.randrange(40, 90000000)} {start} {start + 59} "
                     f"{draw.choice(['ACCEPT', 'REJECT'])} OK")
    (where / "big.log").write_text("\n".join(lines) + "\n")
    flowlog("convert", "--single", "--row-group", "64000", where / "big.log", where / "big.parquet")
    assert (where / "big.parquet").stat().st_size > 5 << 20
    return where


@pytest.fixture
def bucket(fake, big):
    fake.reply = Bucket({BIG: (big / "big.parquet").read_bytes()}, name="flows")
    return fake.reply


@pytest.fixture
def new(tmp_path):
    """A cache that nothing is in."""
    def make():
        make.n += 1
        return str(tmp_path / f"cache-{make.n}")

    make.n = 0
    return make


def fetched(fake):
    """Bytes of objects that were asked for; every request for a part names the version."""
    got = [q for q in fake.seen if "list-type" not in q.query]
    assert all(q.range and q.headers.get("If-Match") for q in got)
    return sum(last - first + 1 for first, last in (q.range for q in got)), len(got)


def test_an_hour_of_two_columns_is_a_small_part_of_an_object(ask, fake, bucket, big, new):
    size = len(bucket.objects[BIG])
    whole = ask("top", "--of", "talkers", "-o", "csv", "--all", big / "big.log").stdout
    assert ask("top", "--of", "talkers", "-o", "csv", "--all", "s3://flows/").stdout == whole  # all of it: no column but those
    n, requests = fetched(fake)
    assert n < size * 3 // 4 and requests < 60
    for question, part in ((("top", "--of", "talkers", "-o", "csv", "--all", *HOUR), 5), (("series", "-o", "csv", *HOUR), 7),
                           (("query", "-o", "csv", f"SELECT sum(bytes), count(*) FROM flows WHERE start >= {T0 + 7200} AND start < {T0 + 10800}"), 10)):
        if question[0] == "query" and not (PROGRAM.parent / "libduckdb.so").exists():
            continue
        want = ask(*question, big / "big.log").stdout
        fake.seen.clear()
        assert ask(*question, "s3://flows/", XDG_CACHE_HOME=new()).stdout == want
        n, requests = fetched(fake)
        assert n < size / part and requests < 12, (question, n, size, requests)


def test_pieces_are_kept_and_serve_other_questions(ask, fake, bucket, big):
    want = [ask(*q, *HOUR, "-o", "csv", "--all", big / "big.log").stdout for q in (("top", "--of", "talkers"), ("top", "--of", "pairs"))]
    assert ask("top", "--of", "talkers", *HOUR, "-o", "csv", "--all", "s3://flows/").stdout == want[0]
    first, _ = fetched(fake)
    fake.seen.clear()
    assert ask("top", "--of", "talkers", *HOUR, "-o", "csv", "--all", "s3://flows/").stdout == want[0]
    assert fetched(fake) == (0, 0)
    assert ask("top", "--of", "pairs", *HOUR, "-o", "csv", "--all", "s3://flows/").stdout == want[1]  # one column more
    assert 0 < fetched(fake)[0] < first / 2


def test_an_address_that_is_in_no_row_group_costs_its_bloom_filters(ask, fake, bucket, big, new):
    for address, least in (("10.3.77.77", 0), ("10.3.7.77", 1)):
        want = ask("top", "--of", "pairs", "--src", address, "-o", "csv", "--all", big / "big.log").stdout
        assert len(want.splitlines()) > least
        fake.seen.clear()
        assert ask("top", "--of", "pairs", "--src", address, "-o", "csv", "--all", "s3://flows/", XDG_CACHE_HOME=new()).stdout == want
        assert fetched(fake)[0] < len(bucket.objects[BIG]) / 4
    found = json.loads(ask("summary", "--src", "10.3.77.77", "-o", "json", "s3://flows/").stdout)
    assert found["row_groups_pruned"] >= 7 and found["records"] == 0


def test_records_of_a_big_object_that_cannot_be_judged_are_counted(ask, fake, bucket, big):
    """The object has no vpc-id: rows that the rest of the filter lets pass are looked at, though none can match."""
    for args in ["--vpc", "vpc-1", "--src", "10.2.7.77"], ["--vpc", "vpc-1", "--src", "10.3.77.77"], ["-w", "not vpc vpc-1", *HOUR]:
        want = ask("summary", "-o", "json", *args, big / "big.log")
        done = ask("summary", "-o", "json", *args, "s3://flows/")
        assert done.stderr == want.stderr and ("no vpc-id" in done.stderr) == ("10.3.77.77" not in args), done.stderr
        assert json.loads(done.stdout)["flows"] == json.loads(want.stdout)["flows"] == 0


def test_an_object_that_is_replaced_while_it_is_read_is_an_error(ask, fake, bucket, big, flowlog):
    """Never rows of two versions. The next question finds the new one: what was kept of the listing is forgotten."""
    data, question = bucket.objects[BIG], ("top", "--of", "talkers", "-o", "csv", "--all")
    flowlog("convert", "--single", "--codec", "snappy", big / "big.log", big / "other.parquet")

    def reply(q):
        answer = bucket(q)
        if q.range and q.range[1] == len(data) - 1:  # the end is there: the next request finds another object
            bucket.objects[BIG] = (big / "other.parquet").read_bytes()
        return answer

    fake.reply = reply
    done = ask(*question, "s3://flows/", check=False)
    assert done.returncode == 1 and "replaced while it was read" in done.stderr and BIG in done.stderr
    assert "10.0." not in done.stdout and done.stderr.count("replaced") == 1
    fake.seen.clear()
    assert ask(*question, "s3://flows/").stdout == ask(*question, big / "big.log").stdout
    assert fetched(fake)[0] > 1 << 20


def test_an_object_that_was_replaced_since_it_was_listed_is_read_as_it_is(ask, fake, bucket, big, objects):
    want = ask("top", "--of", "talkers", "-o", "csv", "--all", big / "big.log").stdout
    now = bucket.objects[BIG]
    for before in (now[:-1] + b"x", now + bytes(100), now[:5 << 20]):
        old = Bucket({BIG: before}, name="flows")
        fake.reply = lambda q: old(q) if "list-type" in q.query else bucket(q)
        assert ask("top", "--of", "talkers", "-o", "csv", "--all", "s3://flows/").stdout == want
        assert any(q.method == "HEAD" for q in fake.seen)


def test_big_objects_that_are_no_parquet_are_fetched_whole(ask, fake, bucket, big, new):
    text = (big / "big.log").read_bytes()
    want = ask("top", "--of", "talkers", "-o", "csv", "--all", big / "big.log").stdout
    bucket.objects = {BIG: text}
    assert ask("top", "--of", "talkers", "-o", "csv", "--all", "s3://flows/", XDG_CACHE_HOME=new()).stdout == want
    # and what ends as Parquet does, and is none
    bucket.objects = {BIG: text + b"2 1 " + (8).to_bytes(4, "little") + b"PAR1"}
    assert ask("top", "--of", "talkers", "-o", "csv", "--all", "s3://flows/", XDG_CACHE_HOME=new()).stdout == want
    bucket.objects = {BIG: b"PAR1" + bytes(6 << 20) + (1 << 16).to_bytes(4, "little") + b"PAR1"}
    done = ask("top", "--of", "talkers", "s3://flows/", check=False, XDG_CACHE_HOME=new())
    assert done.returncode == 1 and "footer" in done.stderr and BIG in done.stderr


def test_several_big_objects_are_read_at_once_and_with_small_ones(ask, fake, bucket, big, objects, files):
    bucket.objects = {**objects, **{BIG.replace("big", f"big{i}"): (big / "big.parquet").read_bytes() for i in range(3)}}
    small = ask("top", "--of", "pairs", "-o", "json", "--all", files, big / "big.log").stdout
    assert ask("top", "--of", "pairs", "-o", "json", "--all", f"s3://flows/{PLACE}/20/big1", *[f"s3://flows/{PLACE}/{d}/1234" for d in DAYS]).stdout == small
    three = json.loads(ask("summary", "-o", "json", f"s3://flows/{PLACE}/20/big").stdout)
    assert three["records"] == 3 * 512000 and three["files"] == 3


def test_a_part_that_does_not_come_is_said(ask, fake, bucket, big):
    good = fake.reply
    fake.reply = lambda q: error(403, "InvalidObjectState") if q.range and q.range[1] < len(bucket.objects[BIG]) - 1 else good(q)
    done = ask("top", "--of", "talkers", "s3://flows/", check=False)
    assert done.returncode == 1 and "archived" in done.stderr and BIG in done.stderr

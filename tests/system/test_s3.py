# SPDX-License-Identifier: Apache-2.0
"""The client of S3 (src/aws) through tests/aws/drive_s3: against a fake server for what goes wrong, against versitygw and moto for signatures."""
import errno
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import time

import pytest

from s3_servers import BUILD, KEY, SECRET, Bucket, Fake, Reply, error, etag, free_port, get_versitygw, listing, run_server
from test_inventory import moto  # noqa: F401 (a fixture)

DRIVE = BUILD / "tests/aws/drive_s3"
SIGN = BUILD / "tests/aws/sign_s3"
PART = 8 << 20  # src/aws/read.c


class Client:
    """client("list", "s3://b/") -> its output; every run has the client's environment and nothing of ours."""

    def __init__(self, home, url):
        self.home = home
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
                    "AWS_EC2_METADATA_DISABLED": "true", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}

    def start(self, *args, **kw):
        return subprocess.Popen([DRIVE, *map(str, args)], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def run(self, *args, env=None, drop=()):
        """(exit status, output, what stands on standard error)"""
        full = {k: v for k, v in {**self.env, **(env or {})}.items() if k not in drop}
        done = subprocess.run([DRIVE, *map(str, args)], env=full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        text = done.stderr.decode()
        assert "Sanitizer" not in text and "runtime error" not in text, text
        for secret in (SECRET, "tokentoken"):
            assert secret not in text
        return done.returncode, done.stdout, text

    def __call__(self, *args, **kw):
        status, out, err = self.run(*args, **kw)
        assert status == 0, err
        return out

    def keys(self, *args, **kw):
        return [line.split("\t")[0] for line in self("list" if args[0].startswith("s3:") else args[0], *args[args[0][:3] != "s3:":], **kw).decode().splitlines()]

    def fails(self, number, *args, **kw):
        status, _, err = self.run(*args, **kw)
        assert status == number, (errno.errorcode.get(status, status), err)
        return err

    @property
    def cache(self):
        return self.home / ".cache/flowlog/s3"

    def cached(self):
        return sorted(p.name for p in self.cache.iterdir() if len(p.name) == 64)


@pytest.fixture
def fake():
    f = Fake()
    yield f
    f.close()


@pytest.fixture
def client(fake, tmp_path):
    return Client(tmp_path, fake.url)


def config(client, text, name="config"):
    (client.home / ".aws").mkdir(exist_ok=True)
    (client.home / ".aws" / name).write_text(text)


# ---- listing ----

ODD = ["a b", "plus+", "year=2026/x=1", "é日本", "%41%2B", "q'\"<>&", "~tilde", "*star!()", "a//b", "./c", "x/../y", "new\nline", "#?&=;:@,$"]


def test_pages_are_put_together(fake, client):
    fake.reply = Bucket({f"k{i:03}": b"x" * i for i in range(25)}, page=10)
    assert client.keys("s3://b/") == [f"k{i:03}" for i in range(25)]
    assert len(fake.seen) == 3
    assert client("list", "s3://b/k007").decode() == f"k007\t7\t{etag(b'x' * 7)}\t1795593600\n"
    assert client.run("--limit", 12, "list", "s3://b/")[0] == 7  # what the caller's function returned


def test_odd_keys_go_both_ways(fake, client):
    objects = {k: k.encode() for k in ODD}
    fake.reply = Bucket(objects)
    assert "\n".join(client.keys("s3://b/")).count("star") == 1
    for key in ODD:
        assert client("fetch", "s3://b/" + key) == key.encode()
        assert fake.seen[-1].key == "/b/" + key


def test_delimited_and_pruned(fake, client):
    fake.reply = Bucket({f"AWSLogs/1/vpcflowlogs/r/2026/11/{d:02}/{i}": b"" for d in range(1, 31) for i in range(3)} | {"AWSLogs/x": b""})
    assert client("--delimiter", "/", "list", "s3://b/AWSLogs/").decode().splitlines() == [
        f"AWSLogs/x\t0\t{etag(b'')}\t1795593600", "AWSLogs/1/\t0\tprefix\t0"]
    assert len(client.keys("walk", "s3://b/")) == 91
    fake.seen.clear()
    assert client.keys("--skip", "/2026/", "walk", "s3://b/") == ["AWSLogs/x"]
    assert all("/2026/" not in q.query["prefix"] for q in fake.seen)


def test_a_walk_ends_with_its_first_error(fake, client):
    bucket = Bucket({f"d{i:02}/{j}": b"x" for i in range(20) for j in range(5)} | {"top": b"x"})
    fake.reply = bucket
    assert client.keys("--take", "d", "walk", "s3://b/d07/") == [f"d07/{j}" for j in range(5)]
    assert len(client.keys("--connections", 2, "--take", "d", "walk", "s3://b/")) == 101
    assert client.run("--limit", 3, "walk", "s3://b/")[0] == 7  # what the caller's function returned
    fake.reply = lambda q: error(403, "AccessDenied") if q.query.get("prefix") == "d11/" else bucket(q)
    assert "s3://b/: access is denied" in client.fails(errno.EACCES, "walk", "s3://b/")
    fake.reply = lambda q: Reply(pause=30, body=b"x") if q.query.get("prefix") == "d11/" else bucket(q)
    process = client.start("walk", "s3://b/")
    while len(fake.seen) < 40:
        time.sleep(0.01)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - began < 1 and process.returncode == errno.EINTR


def test_a_past_listing_is_kept(fake, client):
    fake.reply = Bucket({f"d/{d}/{i}": b"x" for d in ("past", "now") for i in range(3)})
    first = client("--past", "/past/", "walk", "s3://b/d/")
    fake.seen.clear()
    assert sorted(client("--past", "/past/", "walk", "s3://b/d/").splitlines()) == sorted(first.splitlines())
    assert sorted(q.query["prefix"] for q in fake.seen) == ["d/", "d/now/"]
    # one that lost its end is asked for again, and so is one that is a day old
    for spoil in (lambda p: p.write_bytes(p.read_bytes()[:-5]), lambda p: os.utime(p, (time.time() - 90000,) * 2)):
        spoil(client.cache / client.cached()[0])
        fake.seen.clear()
        assert sorted(client("--past", "/past/", "walk", "s3://b/d/").splitlines()) == sorted(first.splitlines())
        assert "d/past/" in [q.query["prefix"] for q in fake.seen]
    fake.seen.clear()
    client("--no-cache", "--past", "/past/", "walk", "s3://b/d/")
    assert "d/past/" in [q.query["prefix"] for q in fake.seen]


def test_many_prefixes_are_listed_at_once(fake, client):
    bucket = Bucket({f"p{i:02}/{j}": b"" for i in range(32) for j in range(2)})
    fake.reply = lambda q: (lambda r: (setattr(r, "pause", 0.3), r)[1])(bucket(q))
    began = time.monotonic()
    assert len(client.keys("walk", "s3://b/")) == 64
    assert time.monotonic() - began < 5  # 33 requests of 0.3 s: 10 s one after the other


@pytest.mark.parametrize("reply, number, says", [
    (Reply(body="<ListBucketResult><Contents>"), errno.EPROTO, "XML"),
    (Reply(body="<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult>&b;</ListBucketResult>"), errno.EPROTO, "XML"),
    (Reply(body="<html><body>Hello</body></html>"), errno.EPROTO, "is this S3?"),
    (Reply(body=""), errno.EPROTO, "XML"),
    (Reply(body=b"\0" * 1000), errno.EPROTO, "XML"),
    (Reply(body=b" " * (17 << 20)), errno.EPROTO, "longer than 16 MiB"),
    (listing({"a": b""}, token="same"), errno.EPROTO, "does not end"),
    (listing({"other": b""}), errno.EPROTO, '"other"'),
    (Reply(404, "gone"), errno.ENOENT, "no such bucket"),
    (Reply(403, b"<x>" * 100000), errno.EACCES, "denied"),
    (Reply(500, b"x" * (3 << 20)), errno.EPROTO, "longer than 1 MiB"),
], ids=lambda v: "" if isinstance(v, (int, Reply)) else v)
def test_listings_that_are_none(fake, client, reply, number, says):
    fake.reply = lambda q: reply
    err = client.fails(number, "list", "s3://b/a", env={"AWS_MAX_ATTEMPTS": "1"})
    assert says in err and ("s3://b/" in err or "/b?" in err or fake.url + "/b" in err)


def test_a_listing_without_end(fake, client):
    pages = iter(range(10 ** 9))
    fake.reply = lambda q: listing({}, token=f"t{next(pages)}")
    assert "one empty page after the other" in client.fails(errno.EPROTO, "list", "s3://b/")
    assert len(fake.seen) < 150


# ---- reading ----

BIG = random.Random(5).randbytes(2 * PART + 12345)


def test_ranges_and_whole_objects(fake, client):
    fake.reply = Bucket({"big": BIG, "small": b"hello", "empty": b""})
    assert client("fetch", "s3://b/big") == BIG
    gets = [q.range for q in fake.seen if q.method == "GET"]
    assert sorted(gets) == [(0, PART - 1), (PART, 2 * PART - 1), (2 * PART, len(BIG) - 1)]
    assert client("fetch", "s3://b/small") == b"hello"
    assert client("fetch", "s3://b/empty") == b""
    assert client("read", "s3://b/small", 1, 3) == b"ell"
    assert client("read", "s3://b/big", 1000, len(BIG) - 1000) == BIG[1000:]
    assert client("head", "s3://b/small").decode() == f"5\t{etag(b'hello')}\t1795593600\n"
    assert "ends" in client.fails(errno.ERANGE, "read", "s3://b/small", 3, 10)
    assert "ends" in client.fails(errno.ERANGE, "read", "s3://b/small", 30, 10)
    assert "no such object" in client.fails(errno.ENOENT, "head", "s3://b/none")
    assert "no such object" in client.fails(errno.ENOENT, "fetch", "s3://b/none")


def test_a_body_that_is_cut_goes_on_where_it_ended(fake, client):
    data = BIG[:300000]
    bucket = fake.reply = Bucket({"k": data})
    whole = bucket.get(type("Q", (), {"headers": {}, "range": None}), data)
    fake.first(Reply(200, data, whole.headers, cut=100000))
    assert client("fetch", "s3://b/k", len(data), etag(data)) == data
    assert [q.range for q in fake.seen] == [None, (100000, len(data) - 1)]


@pytest.mark.parametrize("fault", [error(503, "SlowDown"), error(500, "InternalError"), Reply(502, "<html>"), error(400, "RequestTimeout"),
                                   Reply(200, b"hello", length=9, cut=0), error(429, "TooManyRequests", Retry_After="0")],
                         ids=["503", "500", "502", "400", "cut", "429"])
def test_what_passes_is_tried_again(fake, client, fault):
    fake.reply = Bucket({"k": b"hello"})
    fake.first(fault, fault)
    assert client("fetch", "s3://b/k", 5, etag(b"hello")) == b"hello"
    assert len(fake.seen) == 3


def test_it_is_not_tried_without_end(fake, client):
    fake.reply = lambda q: error(503, "SlowDown")
    assert "slow down" in client.fails(errno.EBUSY, "list", "s3://b/", env={"AWS_MAX_ATTEMPTS": "3"})
    assert len(fake.seen) == 3
    fake.seen.clear()
    fake.reply = lambda q: error(403, "AccessDenied")
    client.fails(errno.EACCES, "list", "s3://b/")
    assert len(fake.seen) == 1  # what does not pass is not


def test_a_stall_is_given_up(fake, client):
    fake.reply = Bucket({"k": b"hello"})
    fake.first(Reply(200, b"hello", {"ETag": etag(b"hello")}, pause=30, at=2))
    began = time.monotonic()
    assert client("--stall", 1, "fetch", "s3://b/k", 5, etag(b"hello")) == b"hello"
    assert time.monotonic() - began < 15
    fake.reply = lambda q: Reply(200, b"hello", pause=30)
    assert "too slow" in client.fails(errno.ETIMEDOUT, "--no-cache", "--stall", 1, "fetch", "s3://b/k", 5, etag(b"hello"), env={"AWS_MAX_ATTEMPTS": "1"}).lower()


def test_an_object_that_changes(fake, client):
    bucket = fake.reply = Bucket({"k": b"hello", "big": BIG})
    # since it was listed: it comes as it is now
    for size, tag in ((5, '"old"'), (6, etag(b"hello")), (4, etag(b"hello")), (5, "")):
        assert client("--no-cache", "fetch", "s3://b/k", size, tag) == b"hello"
    assert client("--no-cache", "fetch", "s3://b/big", len(BIG) + PART, etag(BIG)) == BIG
    # while it is read: not of two versions
    other = BIG[::-1]
    fake.first(bucket.get(type("Q", (), {"headers": {}, "range": (0, PART - 1)}), BIG))
    bucket.objects["big"] = other
    assert client("--connections", 1, "--no-cache", "fetch", "s3://b/big", len(BIG), etag(BIG)) == other
    # at every attempt
    numbers = iter(range(10 ** 9))
    fake.reply = lambda q: error(412, "PreconditionFailed") if q.method == "GET" else Reply(200, b"hello", {"ETag": f'"{next(numbers)}"'})
    assert "replaced" in client.fails(errno.ESTALE, "fetch", "s3://b/k", 5, '"old"')
    # a server that knows no If-Match
    bucket = Bucket({"k": b"hello"})
    fake.reply = lambda q: (q.headers.__delitem__("If-Match"), bucket(q))[1]
    assert "replaced" in client.fails(errno.ESTALE, "read", "s3://b/k", 0, 5, '"old"')
    seen = len(fake.seen)
    assert "control character" in client.fails(errno.EPROTO, "fetch", "s3://b/k", 5, '"x"\r\nX-Evil: 1')
    assert len(fake.seen) == seen
    fake.reply = lambda q: Reply(200, BIG)
    assert "ignores Range" in client.fails(errno.EPROTO, "read", "s3://b/k", 5, 5)
    fake.reply = lambda q: Reply(206, b"hello", {"Content-Range": "bytes 0-4/5"})
    assert "sends" in client.fails(errno.EPROTO, "read", "s3://b/k", 5, 5)
    fake.reply = lambda q: Reply(206, b"hello, world", {"Content-Range": "bytes 5-9/20"})
    assert "more than" in client.fails(errno.EPROTO, "read", "s3://b/k", 5, 5)


def test_a_kept_listing_that_is_wrong_is_not_kept(fake, client):
    bucket = fake.reply = Bucket({f"d/past/{i}": b"x" * i for i in range(1, 4)})
    past = ("--past", "/past/", "all", "s3://b/d/")
    client(*past)
    assert len(client.cached()) == 4  # three objects and the listing
    next(p for p in client.cache.iterdir() if p.stat().st_size == 2).unlink()
    bucket.objects["d/past/2"] = b"another"
    assert client(*past).decode().splitlines() == ["d/past/1 1", "d/past/2 7", "d/past/3 3"]
    fake.seen.clear()
    client(*past)
    assert "d/past/" in [q.query.get("prefix") for q in fake.seen]  # listed again


def test_an_error_of_one_part_is_the_reason(fake, client):
    bucket = Bucket({"big": BIG})
    fake.reply = lambda q: error(403, "InvalidObjectState") if q.range and q.range[0] == PART else bucket(q)
    assert "archived" in client.fails(errno.EACCES, "fetch", "s3://b/big")
    assert client.cached() == [] and not list(client.cache.glob(".tmp*"))


def test_stop_is_at_once_and_leaves_nothing(fake, client):
    fake.reply = lambda q: Reply(200 if q.method == "HEAD" else 206, BIG[:PART], {"ETag": '"e"', "Content-Range": f"bytes {q.range[0]}-{q.range[1]}/{len(BIG)}"}
                                 if q.range else {"ETag": '"e"'}, pause=30, at=1000)
    process = client.start("fetch", "s3://b/big", len(BIG), '"e"')
    while len(fake.seen) < 3:
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 1
    assert process.returncode == errno.EINTR and b"stopped" in err
    assert not list(client.cache.glob(".tmp*"))


def test_stop_during_a_pause_between_attempts(fake, client):
    fake.reply = lambda q: error(503, "SlowDown", Retry_After="20")
    process = client.start("list", "s3://b/")
    while not fake.seen:
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - began < 1 and process.returncode == errno.EINTR


# ---- putting ----

def test_put(fake, client):
    bucket = Bucket()
    source = client.home / "source"
    data = BIG[:1 << 20]
    source.write_bytes(data)

    def reply(q):
        if q.method != "PUT":
            return bucket(q)
        if q.headers.get("If-None-Match") == "*" and q.key[3:] in bucket.objects:
            return error(412, "PreconditionFailed")
        assert q.headers["x-amz-content-sha256"] == hashlib.sha256(q.body).hexdigest()
        bucket.objects[q.key[3:]] = q.body
        return Reply(200, "", {"ETag": etag(q.body)})

    fake.reply = reply
    fake.first(error(503, "SlowDown"), error(500, "InternalError"))
    assert client("put", "s3://b/a b=c", source, "Content-Type", "application/gzip", "x-amz-acl", "bucket-owner-full-control").decode().strip() == etag(data)
    seen = fake.seen[-1]
    assert seen.headers["Content-Type"] == "application/gzip" and "x-amz-acl" in seen.headers["Authorization"] and len(fake.seen) == 3
    assert client("fetch", "s3://b/a b=c") == data
    assert "already" in client.fails(errno.EEXIST, "put", "s3://b/a b=c", source, "If-None-Match", "*")
    source.write_bytes(b"")
    client("put", "s3://b/empty", source)
    assert bucket.objects["empty"] == b"" and "Content-Type" not in fake.seen[-1].headers
    for bad in (("a\nb", "c"), ("a", "b\r\nc"), ("a", "")):
        client.fails(errno.EINVAL, "put", "s3://b/k", source, *bad)
    client.fails(errno.EINVAL, "put", "s3://b/", source)
    client.fails(errno.E2BIG, "put", "s3://b/k", source, *["a", "b"] * 13)
    fake.reply = lambda q: error(403, "AccessDenied")
    assert "s3:PutObject" in client.fails(errno.EACCES, "put", "s3://b/k", source)


# ---- regions, endpoints, headers ----

def test_the_region_is_learned_from_s3(fake, client):
    bucket = Bucket({f"k{i}": b"x" for i in range(5)}, page=2)
    fake.reply = lambda q: bucket(q) if q.signer[1] == "eu-south-2" else error(301, "PermanentRedirect", x_amz_bucket_region="eu-south-2")
    assert len(client.keys("s3://b/")) == 5
    assert [q.signer[1] for q in fake.seen] == ["us-east-1"] + 3 * ["eu-south-2"]
    fake.reply = lambda q: bucket(q) if q.signer[1] == "mars" else error(400, "AuthorizationHeaderMalformed", "<Region>mars</Region>")
    assert len(client.keys("s3://b/")) == 5
    # a server that sends round in circles, one that sends nonsense
    regions = iter(range(10 ** 9))
    fake.reply = lambda q: error(301, "PermanentRedirect", x_amz_bucket_region=f"r{next(regions)}")
    assert "--region" in client.fails(errno.EREMOTE, "list", "s3://b/")
    fake.reply = lambda q: error(301, "PermanentRedirect", x_amz_bucket_region="evil.example.com/")
    assert "--region" in client.fails(errno.EREMOTE, "list", "s3://b/")


def test_no_redirect_to_another_host_is_followed(fake, client):
    other = Fake()
    try:
        fake.reply = lambda q: Reply(307, "", {"Location": other.url + q.url})
        client.fails(errno.EPROTO, "list", "s3://b/")
        assert not other.seen
    finally:
        other.close()


def test_endpoints_in_their_order(fake, client):
    fake.reply = Bucket({"k": b"x"})
    dead = "http://127.0.0.1:1"
    client("list", "s3://b/", env={"AWS_ENDPOINT_URL": dead, "AWS_ENDPOINT_URL_S3": fake.url + "/"})
    client("--endpoint-url", fake.url, "list", "s3://b/", env={"AWS_ENDPOINT_URL": dead, "AWS_ENDPOINT_URL_S3": dead})
    config(client, f"[default]\nservices = mine\nendpoint_url = {dead}\n[services mine]\nsts =\n  endpoint_url = {dead}\ns3 =\n  endpoint_url = {fake.url}\n")
    client("list", "s3://b/", drop=["AWS_ENDPOINT_URL"])
    config(client, f"[default]\n[profile p]\nendpoint_url = {fake.url}\nregion = eu-west-3\n")
    client("list", "s3://b/", env={"AWS_PROFILE": "p"}, drop=["AWS_ENDPOINT_URL"])
    assert fake.seen[-1].signer == (KEY, "eu-west-3", "s3")
    client("list", "s3://b/", env={"AWS_PROFILE": "p", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "x"}, drop=["AWS_ENDPOINT_URL"])
    assert fake.seen[-1].signer[1] == "eu-west-1"
    where = {("s3://b-u/k",): "https://b-u.s3.us-east-1.amazonaws.com,", ("s3://b.u/",): "https://s3.us-east-1.amazonaws.com/b.u,",
             ("--region", "cn-north-1", "s3://b-u"): "https://b-u.s3.cn-north-1.amazonaws.com.cn,"}
    for args, want in where.items():
        assert client(*args[:-1], "who", args[-1], drop=["AWS_ENDPOINT_URL"]).decode().startswith(want)
    fips = {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_REGION": "us-east-2"}
    assert client("who", "s3://b-u", env=fips, drop=["AWS_ENDPOINT_URL"]).startswith(b"https://b-u.s3-fips.dualstack.us-east-2.amazonaws.com,")
    ignore = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert client("who", "s3://b-u", env=ignore).startswith(b"https://b-u.s3.")
    config(client, "[default]\ns3 =\n  addressing_style = path\n")
    assert client("who", "s3://b-u", drop=["AWS_ENDPOINT_URL"]).startswith(b"https://s3.us-east-1.amazonaws.com/b-u,")
    for bad in ("ftp://h", "http://", "h", "http://a b", "http://u:p@h"):
        client.fails(errno.EINVAL, "--endpoint-url", bad, "list", "s3://b/")
    assert "Failed to connect" in client.fails(errno.ECONNREFUSED, "--endpoint-url", dead, "list", "s3://b/", env={"AWS_MAX_ATTEMPTS": "1"})
    assert "AWS_MAX_ATTEMPTS" in client.fails(errno.EINVAL, "list", "s3://b/", env={"AWS_MAX_ATTEMPTS": "0"})
    assert "no region" in client.fails(errno.EINVAL, "--region", "a.b/", "list", "s3://b/")


def test_anonymous_and_requester_pays(fake, client):
    fake.reply = Bucket({"k": b"x"})
    client("--anonymous", "list", "s3://b/", drop=["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    assert not [h for h in fake.seen[-1].headers if h.lower() == "authorization" or h.lower().startswith("x-amz")]
    client("--requester-pays", "fetch", "s3://b/k")
    assert fake.seen[-1].headers["x-amz-request-payer"] == "requester" and "x-amz-request-payer" in fake.seen[-1].headers["Authorization"]
    fake.reply = lambda q: error(403, "AccessDenied")
    assert "leave --anonymous away" in client.fails(errno.EACCES, "--anonymous", "list", "s3://b/")
    assert "--requester-pays" in client.fails(errno.EACCES, "list", "s3://b/")


def test_a_clock_that_is_off(fake, client):
    bucket = Bucket({"k": b"x"})
    ahead = time.strftime("%Y%m%dT", time.gmtime(time.time() + 86400 * 3))

    def reply(q):
        if q.headers["x-amz-date"].startswith(ahead):
            return bucket(q)
        return error(403, "RequestTimeTooSkewed", Date=time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 86400 * 3)))

    fake.reply = reply
    fake.server.RequestHandlerClass.date_time_string = lambda self, timestamp=None: time.strftime(
        "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 86400 * 3))
    try:
        assert client.keys("s3://b/") == ["k"]
    finally:
        del fake.server.RequestHandlerClass.date_time_string
    fake.reply = lambda q: error(403, "RequestTimeTooSkewed")
    assert "clock" in client.fails(errno.EACCES, "list", "s3://b/")


def test_tls(tmp_path):
    pem = tmp_path / "server.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", tmp_path / "cert.pem", "-days", "2", "-subj", "/CN=x",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    pem.write_bytes(pem.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    fake = Fake(tls=pem)
    try:
        client = Client(tmp_path, fake.url)
        fake.reply = Bucket({"big": BIG})
        assert "AWS_CA_BUNDLE" in client.fails(errno.EACCES, "list", "s3://b/")
        assert not fake.seen
        assert client("fetch", "s3://b/big", env={"AWS_CA_BUNDLE": str(tmp_path / "cert.pem")}) == BIG
    finally:
        fake.close()


# ---- credentials ----

def signer(fake, client, *args, **kw):
    client(*args, "list", "s3://b/", **kw)
    return [q for q in fake.seen if "list-type" in q.query][-1]


NO_KEYS = {"drop": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]}


def keys_json(key, expires="2099-01-01T00:00:00Z", token="Token"):
    return Reply(body=json.dumps({"Code": "Success", "Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", token: "tokentoken", "Expiration": expires}))


def test_environment_before_profile_but_not_before_a_named_one(fake, client):
    fake.reply = Bucket({"k": b"x"})
    config(client, "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = a=b/c\n[other]\naws_access_key_id = AKIDOTHER\n"
           "aws_secret_access_key = x\naws_session_token = tokentoken\n", "credentials")
    assert signer(fake, client).signer[0] == KEY
    assert signer(fake, client, env={"AWS_SESSION_TOKEN": "tokentoken"}).headers["x-amz-security-token"] == "tokentoken"
    assert signer(fake, client, **NO_KEYS).signer[0] == "AKIDFILE"
    assert signer(fake, client, env={"AWS_PROFILE": "other"}).signer[0] == KEY
    assert signer(fake, client, env={"AWS_PROFILE": "other"}, **NO_KEYS).signer[0] == "AKIDOTHER"
    seen = signer(fake, client, "--profile", "other")
    assert seen.signer[0] == "AKIDOTHER" and "x-amz-security-token" in seen.headers["Authorization"]
    err = client.fails(errno.ENOENT, "--profile", "nope", "list", "s3://b/")
    assert '"nope"' in err and "default, other" in err and ".aws/config" in err
    assert "AWS_SECRET_ACCESS_KEY is not" in client.fails(errno.EINVAL, "list", "s3://b/", drop=["AWS_SECRET_ACCESS_KEY"])
    config(client, "[default]\naws_access_key_id = AKIDFILE\n", "credentials")
    assert "secret access key is missing" in client.fails(errno.EPROTO, "list", "s3://b/", **NO_KEYS)
    config(client, "[default]\nthis is no setting\n", "credentials")
    assert "credentials:2:" in client.fails(errno.EINVAL, "list", "s3://b/")


def test_nothing_there_says_where_it_looked(fake, client):
    err = client.fails(errno.ENOKEY, "list", "s3://b/", **NO_KEYS)
    places = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", 'profile "default"', "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_DISABLED",
              "--anonymous"]
    assert [err.index(p) for p in places] == sorted(err.index(p) for p in places)
    assert not fake.seen


STS = ("<{0}Response xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><{0}Result><Credentials><AccessKeyId>{1}</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>"
       "<SessionToken>tokentoken</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{0}Result></{0}Response>")


def form(q):
    import urllib.parse
    return dict(urllib.parse.parse_qsl(q.body.decode()))


def with_sts(bucket, role="ASIAROLE"):
    return lambda q: Reply(body=STS.format(form(q)["Action"], role)) if q.method == "POST" else bucket(q)


def test_roles(fake, client):
    fake.reply = with_sts(Bucket({"k": b"x"}))
    config(client, "[default]\nregion = eu-west-1\n[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = x\n"
           "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/R\nsource_profile = base\nexternal_id = e x\nduration_seconds = 900\n"
           "[profile second]\nrole_arn = arn:aws:iam::123456789012:role/S\nsource_profile = role\n"
           "[profile own]\nrole_arn = arn:aws:iam::123456789012:role/O\nsource_profile = own\naws_access_key_id = AKIDOWN\naws_secret_access_key = x\n"
           "[profile env]\nrole_arn = arn:aws:iam::123456789012:role/E\ncredential_source = Environment\n"
           "[profile ec2]\nrole_arn = x\ncredential_source = Ec2InstanceMetadata\n[profile ecs]\nrole_arn = x\ncredential_source = EcsContainer\n"
           "[profile moon]\nrole_arn = x\ncredential_source = Moon\n"
           "[profile loop]\nrole_arn = arn:aws:iam::123456789012:role/L\nsource_profile = pool\n[profile pool]\nrole_arn = x\nsource_profile = loop\n"
           "[profile mfa]\nrole_arn = x\nsource_profile = base\nmfa_serial = y\n[profile lone]\nrole_arn = x\n[profile gone]\nrole_arn = x\nsource_profile = z\n")
    seen = signer(fake, client, "--profile", "role", "--region", "eu-west-1")
    assert seen.signer[0] == "ASIAROLE" and seen.headers["x-amz-security-token"] == "tokentoken"
    sts = next(q for q in fake.seen if q.method == "POST")
    assert sts.signer == ("AKIDBASE", "eu-west-1", "sts")
    assert form(sts) == {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/R", "RoleSessionName": "flowlog",
                         "ExternalId": "e x", "DurationSeconds": "900"}
    fake.seen.clear()
    signer(fake, client, env={"AWS_PROFILE": "second"}, **NO_KEYS)
    assert [q.signer[0] for q in fake.seen if q.method == "POST"] == ["AKIDBASE", "ASIAROLE"]
    fake.seen.clear()
    signer(fake, client, "--profile", "own")
    assert fake.seen[0].signer[0] == "AKIDOWN"
    fake.seen.clear()
    signer(fake, client, env={"AWS_PROFILE": "env"})
    assert fake.seen[-1].signer[0] == KEY  # the environment comes first in the chain itself
    fake.seen.clear()
    assert signer(fake, client, "--profile", "env").signer[0] == "ASIAROLE"
    assert [q.signer[0] for q in fake.seen if q.method == "POST"] == [KEY]
    assert "Environment has no" in client.fails(errno.ENOENT, "--profile", "env", "list", "s3://b/", **NO_KEYS)
    assert "Ec2InstanceMetadata has no" in client.fails(errno.ENOENT, "--profile", "ec2", "list", "s3://b/")
    assert "EcsContainer has no" in client.fails(errno.ENOENT, "--profile", "ecs", "list", "s3://b/")
    assert '"Moon"' in client.fails(errno.EINVAL, "--profile", "moon", "list", "s3://b/")
    for profile, number, says in (("loop", errno.ELOOP, "leads through"), ("mfa", errno.EOPNOTSUPP, "export-credentials"),
                                  ("lone", errno.EINVAL, "source_profile"), ("gone", errno.ENOENT, '"z"')):
        assert says in client.fails(number, "--profile", profile, "list", "s3://b/")
    fake.reply = lambda q: Reply(403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>")
    err = client.fails(errno.EACCES, "--profile", "role", "list", "s3://b/")
    assert "role/R" in err and "not you" in err and "base" in err


def test_web_identity(fake, client):
    fake.reply = with_sts(Bucket({"k": b"x"}), "ASIAWEB")
    (client.home / "token").write_text("web-tokentoken\n")
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(client.home / "token"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/W", "AWS_ROLE_SESSION_NAME": "me"}
    assert signer(fake, client, env=env, **NO_KEYS).signer[0] == "ASIAWEB"
    sts = fake.seen[0]
    assert sts.signer is None
    assert form(sts) == {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::1:role/W", "RoleSessionName": "me",
                         "WebIdentityToken": "web-tokentoken"}
    assert "AWS_ROLE_ARN is not" in client.fails(errno.EINVAL, "list", "s3://b/", env={k: env[k] for k in env if "ARN" not in k}, **NO_KEYS)
    config(client, f"[profile w]\nrole_arn = arn:aws:iam::1:role/P\nweb_identity_token_file = {client.home}/token\n")
    fake.seen.clear()
    assert signer(fake, client, "--profile", "w").signer[0] == "ASIAWEB"
    assert form(fake.seen[0])["RoleArn"].endswith("/P")


def test_process(fake, client):
    fake.reply = Bucket({"k": b"x"})
    good = {"Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "s", "SessionToken": "tokentoken", "Expiration": "2099-01-01T00:00:00Z"}
    (client.home / "out.json").write_text(json.dumps(good))
    config(client, f"[profile p]\ncredential_process = cat '{client.home}/out.json'\n[profile bad]\ncredential_process = false --password=tokentoken\n"
           "[profile junk]\ncredential_process = echo tokentoken\n[profile long]\ncredential_process = yes tokentoken\n")
    assert signer(fake, client, "--profile", "p").signer[0] == "AKIDPROC"
    assert "failed" in client.fails(errno.EIO, "--profile", "bad", "list", "s3://b/")
    assert "JSON" in client.fails(errno.EPROTO, "--profile", "junk", "list", "s3://b/")
    assert "64 KiB" in client.fails(errno.E2BIG, "--profile", "long", "list", "s3://b/")
    (client.home / "out.json").write_text(json.dumps({**good, "Expiration": "2020-01-01T00:00:00Z"}))
    assert "expired" in client.fails(errno.EKEYEXPIRED, "--profile", "p", "list", "s3://b/")
    (client.home / "out.json").write_text(json.dumps({**good, "AccessKeyId": "a\r\nX-Evil: 1"}))
    assert "control character" in client.fails(errno.EPROTO, "--profile", "p", "list", "s3://b/")


def test_sso(fake, client):
    bucket = Bucket({"k": b"x"})
    keys = {"roleCredentials": {"accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "tokentoken", "expiration": 4070908800000}}
    fake.reply = lambda q: Reply(body=json.dumps(keys)) if q.path == "/federation/credentials" else bucket(q)
    config(client, "[sso-session mine]\nsso_start_url = https://x/start\nsso_region = eu-west-1\n"
           "[profile s]\nsso_session = mine\nsso_account_id = 123456789012\nsso_role_name = Reader\n[profile half]\nsso_session = mine\n")
    assert "aws sso login --profile s" in client.fails(errno.EKEYEXPIRED, "--profile", "s", "list", "s3://b/")
    cache = client.home / ".aws/sso/cache"
    cache.mkdir(parents=True)
    (cache / "other.json").write_text("{}")
    (cache / "broken.json").write_text("{")
    (cache / "1.json").write_text(json.dumps({"startUrl": "https://x/start", "accessToken": "old", "expiresAt": "2020-01-01T00:00:00Z"}))
    assert "has expired" in client.fails(errno.EKEYEXPIRED, "--profile", "s", "list", "s3://b/")
    (cache / "2.json").write_text(json.dumps({"startUrl": "https://x/start", "accessToken": "sso-tokentoken", "expiresAt": "2099-01-01T00:00:00Z"}))
    assert signer(fake, client, "--profile", "s").signer[0] == "ASIASSO"
    asked = fake.seen[0]
    assert asked.query == {"role_name": "Reader", "account_id": "123456789012"} and asked.headers["x-amz-sso_bearer_token"] == "sso-tokentoken"
    assert "sso_role_name" in client.fails(errno.EINVAL, "--profile", "half", "list", "s3://b/")
    fake.reply = lambda q: Reply(403, "{}")
    assert "Reader" in client.fails(errno.EACCES, "--profile", "s", "list", "s3://b/")


def test_container(fake, client):
    bucket = Bucket({"k": b"x"})
    fake.reply = lambda q: keys_json("ASIABOX") if q.path == "/creds" else bucket(q)
    (client.home / "auth").write_text("Bearer tokentoken\n")
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": fake.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(client.home / "auth"),
           "http_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    assert signer(fake, client, env={**env, "http_proxy": ""}, **NO_KEYS).signer[0] == "ASIABOX"
    assert fake.seen[0].headers["Authorization"] == "Bearer tokentoken"
    # the proxy is not for what is near
    assert "127.0.0.1 port 1 " in client.fails(errno.ECONNREFUSED, "list", "s3://b/", env={**env, "AWS_MAX_ATTEMPTS": "1"}, **NO_KEYS)
    assert fake.seen[-1].path == "/creds"
    for far in ("http://example.com/x", "http://127.0.0.1.example.com/", "http://127.0.0.1@example.com/", "ftp://127.0.0.1/"):
        assert "FULL_URI" in client.fails(errno.EINVAL, "list", "s3://b/", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": far}, **NO_KEYS)
    fake.reply = lambda q: Reply(404, "")
    assert "404" in client.fails(errno.EACCES, "list", "s3://b/", env={**env, "http_proxy": ""}, **NO_KEYS)


def test_instance(fake, client):
    bucket = Bucket({"k": b"x"})

    def reply(q):
        if q.method == "PUT":
            return Reply(body="imds-tokentoken") if q.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600" else Reply(400)
        if q.path.startswith("/latest/"):
            if q.headers["x-aws-ec2-metadata-token"] != "imds-tokentoken":
                return Reply(401)
            return keys_json("ASIAEC2") if q.path.endswith("/Role") else Reply(body="Role\n")
        return bucket(q)

    fake.reply = reply
    env = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.url + "/"}
    assert signer(fake, client, env=env, **NO_KEYS).signer[0] == "ASIAEC2"
    assert client("who", "s3://b", env=env, **NO_KEYS).decode().strip().endswith("the instance's role Role")
    fake.reply = lambda q: Reply(404) if q.method == "GET" else reply(q)
    assert "it has no role" in client.fails(errno.ENOKEY, "list", "s3://b/", env=env, **NO_KEYS)
    fake.reply = lambda q: Reply(403)
    assert "403" in client.fails(errno.ENOKEY, "list", "s3://b/", env=env, **NO_KEYS)
    fake.reply = lambda q: Reply(body=b"x", pause=30)
    began = time.monotonic()
    client.fails(errno.ENOKEY, "list", "s3://b/", env=env, **NO_KEYS)
    assert time.monotonic() - began < 5


def test_expired_keys_are_renewed_once(fake, client):
    given = iter(["ASIA1", "ASIA2", "ASIA3"])
    bucket = Bucket({"k": b"x"})

    def reply(q):
        if q.path == "/creds":
            return keys_json(next(given))
        return bucket(q) if q.signer[0] == "ASIA2" else error(400, "ExpiredToken")

    fake.reply = reply
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": fake.url + "/creds"}
    assert client.keys("s3://b/", env=env, **NO_KEYS) == ["k"]
    fake.reply = lambda q: keys_json("ASIA9") if q.path == "/creds" else error(400, "ExpiredToken")
    assert "expired" in client.fails(errno.EKEYEXPIRED, "list", "s3://b/", env=env, **NO_KEYS)


def test_what_still_holds_serves_when_its_renewal_fails(fake, client):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 100))  # within the two minutes before which it is renewed
    bucket = Bucket({f"k{i}": b"x" for i in range(4)}, page=2)
    given = iter([keys_json("ASIASOON", expires=soon)] + [Reply(404, "")] * 9)
    fake.reply = lambda q: next(given) if q.path == "/creds" else bucket(q)
    assert len(client.keys("s3://b/", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": fake.url + "/creds"}, **NO_KEYS)) == 4
    assert [q.path for q in fake.seen].count("/creds") == 2


# ---- the cache ----

def network(text):
    return int(re.search(r"network (\d+) cache", text)[1])


def test_the_cache_serves_what_is_whole_and_the_same(fake, client):
    bucket = fake.reply = Bucket({"k": b"hello", "big": BIG})
    for key, data in bucket.objects.items():
        what = ("fetch", f"s3://b/{key}", len(data), etag(data))
        assert client.run(*what)[1:] == (data, f"network {len(data)} cache 0\n")
        assert client.run(*what)[1:] == (data, f"network 0 cache {len(data)}\n")
    assert stat.S_IMODE(client.cache.stat().st_mode) == 0o700
    assert all(stat.S_IMODE((client.cache / n).stat().st_mode) == 0o600 for n in client.cached())
    small = next(p for p in client.cache.iterdir() if p.stat().st_size == 5)
    what = ("fetch", "s3://b/k", 5, etag(b"hello"))
    small.write_bytes(b"hell")  # another length
    assert client.run(*what)[1:] == (b"hello", "network 5 cache 0\n")
    small.chmod(0o666)  # others could have written it
    assert client.run(*what)[1:] == (b"hello", "network 5 cache 0\n")
    small.unlink()
    (client.home / "planted").write_bytes(b"EVILL")
    small.symlink_to(client.home / "planted")
    assert client.run(*what)[1:] == (b"hello", "network 5 cache 0\n")
    assert (client.home / "planted").read_bytes() == b"EVILL"
    small.unlink()
    os.mkfifo(small)  # does not hang
    assert client.run(*what)[1:] == (b"hello", "network 5 cache 0\n")
    bucket.objects["k"] = b"HELLO"
    assert client("fetch", "s3://b/k", 5, etag(b"HELLO")) == b"HELLO"
    assert client.run("--no-cache", *what[:2], 5, etag(b"HELLO"))[1:] == (b"HELLO", "network 5 cache 0\n")
    # another place with the same names is another place
    assert network(client.run(*what[:2], 5, etag(b"HELLO"), env={"AWS_ENDPOINT_URL": fake.url.replace("127.0.0.1", "localhost")})[2]) == 5


def test_the_cache_keeps_its_ceiling(fake, client):
    bucket = fake.reply = Bucket({f"k{i}": bytes([i]) * 10000 for i in range(25)} | {"big": b"x" * 60000})
    (client.cache).mkdir(parents=True, mode=0o700)
    stale = client.cache / ".tmp-1-2"
    stale.write_bytes(b"x")
    os.utime(stale, (time.time() - 7200,) * 2)
    for i in range(25):
        data = bucket.objects[f"k{i}"]
        assert client("--cache-bytes", 200000, "fetch", f"s3://b/k{i}", len(data), etag(data)) == data
        assert sum((client.cache / n).stat().st_size for n in client.cached()) <= 200000
        # used all the time: stays
        assert i < 1 or network(client.run("--cache-bytes", 200000, "fetch", "s3://b/k0", 10000, etag(bucket.objects["k0"]))[2]) == 0
    assert not stale.exists()
    held = client.cached()
    assert 10 < len(held) <= 20
    client("--cache-bytes", 200000, "fetch", "s3://b/big", 60000, etag(bucket.objects["big"]))
    assert client.cached() == held  # more than a quarter of it: not kept


def test_no_place_for_the_cache(fake, client):
    fake.reply = Bucket({"k": b"hello", "big": BIG})
    (client.home / ".cache").write_bytes(b"a file")
    assert client("fetch", "s3://b/k", 5, etag(b"hello")) == b"hello"
    (client.home / ".cache").unlink()
    client.cache.mkdir(parents=True)
    client.cache.chmod(0o777)  # anybody may put files there: not used
    assert client("fetch", "s3://b/k", 5, etag(b"hello")) == b"hello"
    assert client.cached() == []
    xdg = client.home / "xdg"
    assert client("fetch", "s3://b/k", 5, etag(b"hello"), env={"XDG_CACHE_HOME": str(xdg)}) == b"hello"
    assert len(list((xdg / "flowlog/s3").iterdir())) >= 1
    none = {"TMPDIR": str(client.home / "none")}
    assert "TMPDIR" in client.fails(errno.ENOENT, "--no-cache", "fetch", "s3://b/big", len(BIG), etag(BIG), env=none)


def test_a_full_disk_is_said(fake, client):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    fake.reply = Bucket({"big": BIG, "k": b"hello"})
    process = client.start("fetch", "s3://b/big", len(BIG), etag(BIG), preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == errno.EFBIG and b"cannot be written" in err
    assert client.cached() == [] and not list(client.cache.glob(".tmp*"))
    assert len(fake.seen) < 8  # it is not tried again and again


def test_several_processes_share_the_cache(fake, client):
    fake.reply = Bucket({"big": BIG})
    started = [client.start("fetch", "s3://b/big", len(BIG), etag(BIG)) for _ in range(4)]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out == BIG, err
    assert len(client.cached()) == 1 and not list(client.cache.glob(".tmp*"))


# ---- others ----

def test_the_program_does_not_load_libcurl(flowlog):
    libraries = subprocess.run(["ldd", flowlog.path], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "libc.so" in libraries and "libcurl" not in libraries


def test_without_libcurl(fake, client):
    for flavour in ("", "-gnutls", "-nss"):
        (client.home / f"libcurl{flavour}.so.4").write_bytes(b"")
    env = {"LD_LIBRARY_PATH": str(client.home)}
    assert "install libcurl4" in client.fails(errno.ENOENT, "list", "s3://b/", env=env)
    client("who", "s3://b/", env=env)  # needs no network


BOTO = r"""
import json, sys
from botocore.auth import SigV4Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
import botocore.auth, datetime
for line in sys.stdin:
    r = json.loads(line)
    when = datetime.datetime.strptime(r["date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    class Signer(S3SigV4Auth if r["s3"] else SigV4Auth):
        def payload(self, request):
            return r["payload"]
    signer = Signer(Credentials(r["id"], r["secret"]), r["service"], r["region"])
    request = AWSRequest(method=r["method"], url="https://h" + r["path"], params=r["query"], headers=dict(r["headers"]))
    request.context["timestamp"] = r["date"]
    canonical = signer.canonical_request(request)
    scope = signer.string_to_sign(request, canonical)
    print(json.dumps([canonical.replace("\n", "|"), signer.signature(scope, request)]))
"""


def test_signatures_are_botocores(moto):  # noqa: F811
    draw = random.Random(11)
    letters = "abcXYZ019-._~/=+&%é日 !*'()@:,$#?"

    def text(n, but=""):
        return "".join(draw.choice([c for c in letters if c not in but]) for _ in range(draw.randrange(n)))

    from urllib.parse import quote
    requests = []
    for number in range(400):
        s3 = number % 2 == 0
        path = "/" + (quote(text(20), safe="/~") if s3 else quote(text(20, "%"), safe="/~"))
        path = path if s3 else "/" + path.lstrip("/")
        requests.append({"method": draw.choice(["GET", "PUT", "HEAD"]), "path": path, "s3": s3, "region": "eu-west-1", "service": "s3" if s3 else "sts",
                         "date": "20261125T080000Z", "id": "AKID", "secret": "s/+=" + text(draw.choice([9, 99]), "\t"), "payload": "UNSIGNED-PAYLOAD",
                         "query": {text(6) + str(i): text(12) for i in range(draw.randrange(5))},
                         "headers": [["Host", "h"], ["X-Amz-Date", "20261125T080000Z"]] + [[f"X-Amz-M{i}", "v" + text(9, "é日").strip()] for i in range(3)]})
    env = {**os.environ, "PYTHONPATH": str(moto)}
    theirs = subprocess.run([sys.executable, "-c", BOTO], input="\n".join(map(json.dumps, requests)), env=env, stdout=subprocess.PIPE, text=True, check=True)
    lines = ["\t".join([r["method"], r["path"], "s3" if r["s3"] else "general", r["region"], r["service"], r["date"], r["id"], r["secret"], r["payload"],
                        *[x for k, v in r["query"].items() for x in ("q" + k, v)], *[x for k, v in r["headers"] for x in ("h" + k, v)]]) for r in requests]
    ours = subprocess.run([SIGN], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    for request, we, they in zip(requests, ours.stdout.splitlines(), theirs.stdout.splitlines(), strict=True):
        canonical, header = we.split("\t")
        assert [canonical, header.rpartition("Signature=")[2]] == json.loads(they), request


# ---- real servers ----

FILL = r"""
import boto3, json, os, sys
from botocore.config import Config
url, key, secret, where = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
s3.create_bucket(Bucket="flows")
for name, path in json.load(open(where)).items():
    s3.put_object(Bucket="flows", Key=name, Body=open(path, "rb").read())
"""
REAL_KEYS = [k for k in ODD if "//" not in k and ".." not in k and "./" not in k and "\n" not in k]  # a file system is behind versitygw


def fill(moto_path, url, key, secret, tmp):
    files = {}
    for number, name in enumerate([f"AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/{d:02}/{i}.log.gz" for d in range(1, 4) for i in range(5)] + REAL_KEYS):
        files[name] = str(tmp / f"object{number}")
        pathlib.Path(files[name]).write_bytes(name.encode())
    files["big"] = str(tmp / "big")
    pathlib.Path(files["big"]).write_bytes(BIG)
    (tmp / "files.json").write_text(json.dumps(files))
    subprocess.run([sys.executable, "-c", FILL, url, key, secret, tmp / "files.json"], check=True, env={**os.environ, "PYTHONPATH": str(moto_path)}, timeout=120)
    return files


@pytest.fixture(scope="module")
def versitygw(moto, tmp_path_factory):  # noqa: F811
    tmp, port = tmp_path_factory.mktemp("versitygw"), free_port()
    (tmp / "root").mkdir()
    program = get_versitygw()
    process = run_server([program, "--port", f"127.0.0.1:{port}", "posix", tmp / "root"], {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}, port, tmp)
    try:
        yield f"http://127.0.0.1:{port}", fill(moto, f"http://127.0.0.1:{port}", KEY, SECRET, tmp)
    finally:
        process.terminate()
        process.wait(20)


IAM = r"""
import boto3, json, sys
url, tmp = sys.argv[1:]
kw = dict(endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
iam = boto3.client("iam", **kw)
iam.create_user(UserName="u")
key = iam.create_access_key(UserName="u")["AccessKey"]
allow = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}]})
iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=allow)
trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]})
role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]
iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=allow)
print(json.dumps([key["AccessKeyId"], key["SecretAccessKey"], role["Arn"]]))
"""


@pytest.fixture(scope="module")
def moto_s3(moto, tmp_path_factory):  # noqa: F811
    """From its sixth call on every signature is checked."""
    tmp, port = tmp_path_factory.mktemp("moto"), free_port()
    env = {"PYTHONPATH": str(moto), "INITIAL_NO_AUTH_ACTION_COUNT": "5"}
    process = run_server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], env, port, tmp)
    try:
        url = f"http://127.0.0.1:{port}"
        done = subprocess.run([sys.executable, "-c", IAM, url, tmp], check=True, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, timeout=120)
        key, secret, role = json.loads(done.stdout)
        yield url, key, secret, role, fill(moto, url, key, secret, tmp)
    finally:
        process.terminate()
        process.wait(20)


def check_contents(client, files, walk_order=True):
    lines = [line.split("\t") for line in client("list", "s3://flows/").decode().splitlines()]
    assert [line[0] for line in lines] == sorted(files, key=lambda k: k.encode())
    assert sorted(client.keys("walk", "s3://flows/")) == sorted(files)
    assert len(client.keys("s3://flows/AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/02/")) == 5
    for name, size, tag, _ in lines:
        want = pathlib.Path(files[name]).read_bytes()
        assert int(size) == len(want)
        assert client("fetch", f"s3://flows/{name}", size, tag) == want
        assert client("head", f"s3://flows/{name}").decode().split("\t")[:2] == [size, tag]
    assert client("read", "s3://flows/big", 12345, PART + 999) == BIG[12345:12345 + PART + 999]
    assert client("fetch", "s3://flows/year=2026/x=1") == b"year=2026/x=1"
    for number, data in enumerate((BIG[:1 << 20], b"", b"second")):
        name, source = f"s3://flows/put/a=b +{number}é", client.home / "source"
        source.write_bytes(data)
        assert client("put", name, source, "Content-Type", "text/plain").decode().strip() == etag(data)
        assert client("fetch", name) == data
    assert "already" in client.fails(errno.EEXIST, "put", name, source, "If-None-Match", "*")


def test_versitygw(versitygw, tmp_path):
    url, files = versitygw
    client = Client(tmp_path, url)
    check_contents(client, files)
    err = client.fails(errno.EACCES, "list", "s3://flows/", env={"AWS_SECRET_ACCESS_KEY": SECRET + "x"})
    assert "secret access key is not the one" in err and "environment" in err
    err = client.fails(errno.EACCES, "head", "s3://flows/big", env={"AWS_SECRET_ACCESS_KEY": SECRET + "x"})
    assert "secret access key is not the one" in err
    assert "not known there" in client.fails(errno.EACCES, "list", "s3://flows/", env={"AWS_ACCESS_KEY_ID": "AKIDNOBODY"})
    assert "no such bucket" in client.fails(errno.ENOENT, "list", "s3://nobucket/")
    assert "no such object" in client.fails(errno.ENOENT, "fetch", "s3://flows/none")
    assert "--anonymous" in client.fails(errno.EACCES, "--anonymous", "list", "s3://flows/")
    assert "replaced" in client.fails(errno.ESTALE, "read", "s3://flows/big", 0, 9, '"0123456789abcdef0123456789abcdef"')


def test_a_big_parquet_object_on_versitygw(versitygw, tmp_path, flowlog):
    """The program itself: parts of an object by signed requests with If-Match, the same answer as from the file."""
    url, _ = versitygw
    client, draw = Client(tmp_path, url), random.Random(5)
    lines = ["version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"]
    for i in range(150000):
        start = 1795132800 + i * 14400 // 150000
        lines.append(f"2 123456789012 eni-{draw.randrange(9)} 10.{draw.randrange(256)}.{draw.randrange(256)}.1 10.1.0.{draw.randrange(9)} {draw.randrange(65536)} 443 6 "
                     f"{draw.randrange(1 << 30)} {draw.randrange(1 << 40)} {start} {start + 59} ACCEPT OK")
    (tmp_path / "a.log").write_text("\n".join(lines) + "\n")
    flowlog("convert", "--single", "--codec", "none", "--row-group", 40000, tmp_path / "a.log", tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size > 4 << 20
    client("put", "s3://flows/parquet/a b=é+.parquet", tmp_path / "a.parquet")
    for question in (["top", "--of", "talkers", "-n", "100"], ["series", "--since", "2026-11-20T01:00:00Z", "--until", "2026-11-20T01:29:59Z"],
                     ["top", "--of", "pairs", "--src", lines[777].split()[3]]):
        want = flowlog(*question, "-o", "csv", tmp_path / "a.log").stdout
        assert len(want.splitlines()) > 1
        assert flowlog(*question, "-o", "csv", "--endpoint-url", url, "s3://flows/parquet/", env=client.env).stdout == want
    kept = [p.stat().st_size for p in (tmp_path / ".cache/flowlog/s3").iterdir()]
    assert len(kept) > 5 and max(kept) <= 256 << 10 and sum(kept) < (tmp_path / "a.parquet").stat().st_size


def test_moto_and_a_role(moto_s3, tmp_path):
    url, key, secret, role, files = moto_s3
    client = Client(tmp_path, url)
    client.env.update(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
    check_contents(client, files)
    config(client, f"[profile base]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n[profile role]\nrole_arn = {role}\nsource_profile = base\n")
    assert len(client.keys("--profile", "role", "list", "s3://flows/")) == len(files) + 3  # and those that were put
    assert "assumed with profile" in client("--profile", "role", "who", "s3://flows/").decode()
    assert "secret access key is not the one" in client.fails(errno.EACCES, "list", "s3://flows/", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    config(client, f"[profile base]\naws_access_key_id = {key}\naws_secret_access_key = wrong\n[profile role]\nrole_arn = {role}\nsource_profile = base\n")
    err = client.fails(errno.EACCES, "--profile", "role", "list", "s3://flows/")
    assert "SignatureDoesNotMatch" in err and role in err

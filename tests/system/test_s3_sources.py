# SPDX-License-Identifier: Apache-2.0
"""s3:// as a SOURCE: the same answers as from files, only what is asked for is listed and fetched, and what goes wrong is said."""
import gzip
import os
import random
import signal
import subprocess
import time

import pytest

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

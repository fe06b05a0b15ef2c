# SPDX-License-Identifier: Apache-2.0
"""Servers for test_s3.py: a fake one that does what no real one does on purpose, and versitygw and moto, which check signatures."""
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import PROGRAM

BUILD = PROGRAM.parents[2]
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
KEY, SECRET = "AKIDTESTTESTTEST", "a+secret/with=odd/characters"


class Request:
    def __init__(self, handler, body):
        self.method, self.headers, self.body = handler.command, handler.headers, body
        self.url = handler.path
        self.path, _, query = handler.path.partition("?")
        self.key = urllib.parse.unquote(self.path)
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    @property
    def signer(self):
        """(key ID, region, service) of the signature; None without one."""
        found = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, ", self.headers.get("Authorization", ""))
        return found.groups() if found else None

    @property
    def range(self):
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(found[1]), int(found[2])) if found else None


class Reply:
    """cut: bytes of the body that are sent before the connection is closed; pause: seconds before the body's byte `at`."""

    def __init__(self, status=200, body=b"", headers=(), cut=None, pause=0, at=0, length=None):
        self.status, self.body = status, body.encode() if isinstance(body, str) else body
        self.headers, self.cut, self.pause, self.at, self.length = dict(headers), cut, pause, at, length


def error(status, code, extra="", **headers):
    return Reply(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>text of {code}</Message>{extra}</Error>",
                 {k.replace("_", "-"): v for k, v in headers.items()})


def etag(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


def escape(key):
    return urllib.parse.quote(key, safe="/")


def listing(objects, prefixes=(), token=None):
    """objects: {key: bytes}"""
    inside = "".join(f"<Contents><Key>{escape(k)}</Key><LastModified>2026-11-25T08:00:00.000Z</LastModified><ETag>{etag(v).replace(chr(34), '&quot;')}</ETag>"
                     f"<Size>{len(v)}</Size></Contents>" for k, v in objects.items())
    inside += "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in prefixes)
    inside += f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return Reply(body='<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
                 f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{inside}</ListBucketResult>")


class Bucket:
    """Answers as S3 does, from a dictionary; test_s3.py puts its faults before it."""

    def __init__(self, objects=None, name="b", page=1000):
        self.objects, self.name, self.page = objects or {}, name, page

    def __call__(self, q):
        bucket, _, key = q.key.lstrip("/").partition("/")
        if bucket != self.name:
            return error(404, "NoSuchBucket")
        if "list-type" in q.query:
            return self.list(q.query)
        if key not in self.objects:
            return error(404, "NoSuchKey")
        return self.get(q, self.objects[key])

    def list(self, query):
        prefix, delimiter, after = query["prefix"], query.get("delimiter", ""), query.get("continuation-token", "")
        entries = []
        for key in sorted(self.objects):
            rest = key[len(prefix):]
            if key.startswith(prefix):
                entries.append(prefix + rest[:rest.index(delimiter) + 1] if delimiter and delimiter in rest else key)
        entries = [e for e in dict.fromkeys(entries) if e > after]
        token = entries[self.page - 1] if len(entries) > self.page else None
        entries = entries[:self.page]
        return listing({e: self.objects[e] for e in entries if e in self.objects and not (delimiter and e.endswith(delimiter))},
                       [e for e in entries if delimiter and e.endswith(delimiter)], token)

    def get(self, q, data):
        headers = {"ETag": etag(data), "Last-Modified": "Wed, 25 Nov 2026 08:00:00 GMT"}
        if q.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
            return error(412, "PreconditionFailed")
        if not q.range:
            return Reply(200, data, headers)
        first, last = q.range
        if first >= len(data):
            return error(416, "InvalidRange")
        last = min(last, len(data) - 1)
        return Reply(206, data[first:last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self):
        server = self.server.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        q = Request(self, body)
        with server.lock:
            server.seen.append(q)
            reply = server.reply(q)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        data = reply.body if reply.cut is None else reply.body[:reply.cut]
        try:
            self.wfile.write(data[:reply.at])
            self.wfile.flush()
            server.gone.wait(reply.pause)
            self.wfile.write(data[reply.at:])
        except OSError:
            self.close_connection = True
        if reply.cut is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = answer


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):  # a client that went away is what some tests are about
        pass


class Fake:
    """fake.reply(request) -> Reply; fake.seen: the requests."""

    def __init__(self, tls=None):
        self.seen, self.lock, self.gone, self.reply = [], threading.Lock(), threading.Event(), Bucket()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.fake = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def first(self, *replies):
        """These for the first requests, then as before."""
        then, left = self.reply, list(replies)
        self.reply = lambda q: left.pop(0) if left else then(q)

    def close(self):
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


# ---- the real ones ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, log):
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("no answer: " + log.read_text())


def get_versitygw():
    """The server, built once beside our build."""
    where = BUILD / "go-bin"
    mark = where / VERSITYGW.rpartition("@")[2]
    if not mark.exists():
        if not shutil.which("go"):
            pytest.skip("versitygw, an S3 server, is built with Go, which is not here")
        done = subprocess.run(["go", "install", VERSITYGW], env={**os.environ, "GOBIN": str(where)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=900)
        if done.returncode and re.search(r"(?i)dial tcp|no such host|timed? ?out|connection", done.stdout):
            pytest.skip("the Go module proxy is not reachable for versitygw: " + done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout
        mark.touch()
    return where / "versitygw"


def run_server(argv, env, port, directory):
    log = pathlib.Path(directory) / f"server-{port}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(list(map(str, argv)), env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(port, process, log)
    except BaseException:
        process.kill()
        raise
    return process

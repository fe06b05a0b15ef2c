# SPDX-License-Identifier: Apache-2.0
"""A small Trino for test_trino.py: its core and the Hive connector over a directory, one process, no container and no S3 server."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
import zipfile

import pytest

from conftest import PROGRAM
from s3_servers import free_port

VERSION = "476"
UNREACHABLE = r"(?i)connection|resolve|unknown host|proxy|timed? ?out|could not transfer"
ARTIFACTS = {"trino-server-core": "tar.gz", "trino-hive": "zip"}  # 450 MB, which Maven keeps


def java_home(least, who, *, most=99):
    """Of a Java of these versions; who needs it, for the reason when there is none."""
    homes = [os.environ.get("JAVA_HOME"), *sorted(map(str, pathlib.Path("/usr/lib/jvm").glob("*")), reverse=True)]
    for home in filter(None, homes):
        java = pathlib.Path(home) / "bin/java"
        if java.exists():
            found = re.search(r'version "(\d+)', subprocess.run([java, "-version"], stderr=subprocess.PIPE, text=True).stderr)
            if found and least <= int(found[1]) <= most:
                return home
    pytest.skip(f"{who} needs Java {least} or later, which is not here")


def installed(home):
    """Its directory beside our build, made once."""
    where = PROGRAM.parents[2] / f"trino-{VERSION}"
    if (where / "ready").exists():
        return where
    if not shutil.which("mvn"):
        pytest.skip("Maven, which fetches Trino, is not here")
    shutil.rmtree(where, ignore_errors=True)
    (where / "plugin").mkdir(parents=True)
    for name, kind in ARTIFACTS.items():
        done = subprocess.run(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact=io.trino:{name}:{VERSION}:{kind}", f"-DoutputDirectory={where}",
                               "-Dmdep.useBaseVersion=true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
        if done.returncode and re.search(UNREACHABLE, done.stdout):
            pytest.skip("Maven Central is not reachable for Trino: " + done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout
    with tarfile.open(where / f"trino-server-core-{VERSION}.tar.gz") as core:
        core.extractall(where, [m for m in core if re.match(r"[^/]+/(bin|lib)/", m.name)])
    with zipfile.ZipFile(where / f"trino-hive-{VERSION}.zip") as plugin:
        plugin.extractall(where / "plugin")
    for name, kind in ARTIFACTS.items():
        (where / f"{name}-{VERSION}.{kind}").unlink()
    (where / "ready").touch()
    return where


class Trino:
    """query(sql) -> rows. Files below self.files are "local:///files/..."."""

    def __init__(self, directory):
        home = java_home(22, "Trino")
        program = installed(home)
        core = program / f"trino-server-core-{VERSION}"
        self.directory, self.files, port = directory, directory / "files", free_port()
        self.url = f"http://127.0.0.1:{port}"
        for d in ("etc/catalog", "tmp", "data", "files", "metastore"):
            (directory / d).mkdir(parents=True)
        self.write("etc/config.properties", ["coordinator=true", "node-scheduler.include-coordinator=true", f"http-server.http.port={port}",
                                             f"discovery.uri={self.url}", "failure-detector.enabled=false"])
        self.write("etc/node.properties", ["node.environment=test", "node.id=one", "node.bind-ip=127.0.0.1", "node.internal-address=127.0.0.1",
                                           f"node.data-dir={directory}/data", f"plugin.dir={program}/plugin"])
        self.write("etc/log.properties", ["io.trino=WARN"])
        self.write("etc/jvm.config", ["-server", "-Xmx1536M", "-Duser.timezone=UTC", f"-Djava.io.tmpdir={directory}/tmp", f"-Djna.tmpdir={directory}/tmp",
                                      "-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+EnableDynamicAgentLoading",
                                      "--enable-native-access=ALL-UNNAMED", "-Djdk.attach.allowAttachSelf=true"])
        self.write("etc/catalog/hive.properties", [
            "connector.name=hive", "hive.metastore=file", "hive.metastore.catalog.dir=local:///metastore", "fs.native-local.enabled=true",
            f"local.location={directory}", "hive.non-managed-table-writes-enabled=true", "hive.recursive-directories=true",
            "hive.ignore-absent-partitions=true"])
        self.log = open(directory / "server.log", "wb")
        # `run` and not `start`: it stays our child.
        self.process = subprocess.Popen([core / "bin/launcher", "--etc-dir", directory / "etc", "--data-dir", directory / "data", "run"],
                                        env={**os.environ, "JAVA_HOME": home, "PATH": f"{home}/bin:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self.wait()
        except BaseException:
            self.close()
            raise

    def write(self, name, lines):
        (self.directory / name).write_text("\n".join(lines) + "\n")

    def wait(self):
        for _ in range(300):
            assert self.process.poll() is None, (self.directory / "server.log").read_text()[-3000:]
            try:
                if self.query("SELECT sum(x) FROM UNNEST(sequence(1, 10)) AS t(x)") == [[55]]:  # which takes a node that works
                    return
            except (OSError, AssertionError):
                pass
            time.sleep(0.3)
        raise AssertionError("Trino does not come up: " + (self.directory / "server.log").read_text()[-3000:])

    def query(self, sql, **session):
        rows, body = [], sql.encode()
        url = f"{self.url}/v1/statement"
        headers = {"X-Trino-User": "test", "X-Trino-Catalog": "hive", "X-Trino-Schema": "flow",
                   **({"X-Trino-Session": ",".join(f"hive.{k}={v}" for k, v in session.items())} if session else {})}
        while url:
            with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=60) as answer:
                told = json.load(answer)
            assert "error" not in told, told["error"]["message"]
            rows += told.get("data", [])
            url, body = told.get("nextUri"), None
        return rows

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

"""A Postgres of a test's own, of this machine's Debian package, at an address that pods reach."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.milvus_server import free_port, wait_until

BIN = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class Postgres:
    """Where it listens, and the one user of its one database `dagster`."""

    host: str
    port: int
    password: str = field(repr=False)


@contextmanager
def postgres(host: str) -> Iterator[Postgres]:
    """Started empty, removed afterwards. Skips where the package is not installed."""
    if not BIN.exists():
        pytest.skip("Debian's postgresql-15 is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pp-postgres-"))
    word = secrets.token_hex(12)
    password = folder / "password"
    password.write_text(word, encoding="utf-8")
    if os.getuid() == 0:
        for path in (folder, password):
            shutil.chown(path, "postgres", "postgres")
    data, port = folder / "data", free_port()
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    subprocess.run(
        [*as_user, str(BIN / "initdb"), "-D", str(data), "-U", "dagster", "-A", "scram-sha-256",
         f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, timeout=60, cwd=folder,
    )  # fmt: skip
    with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all 10.0.0.0/8 scram-sha-256\n")
    options = f"-c listen_addresses={host} -c fsync=off -c unix_socket_directories={folder}"
    server = subprocess.Popen(
        [*as_user, str(BIN / "postgres"), "-D", str(data), "-p", str(port), *options.split()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        environment = {**os.environ, "PGPASSWORD": word}
        connect = ["-h", host, "-p", str(port), "-U", "dagster"]
        ready = [str(BIN / "pg_isready"), *connect]
        wait_until(
            lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0,
            seconds=30,
        )
        subprocess.run(
            [str(BIN / "createdb"), *connect, "dagster"],
            check=True, capture_output=True, timeout=30, env=environment,
        )  # fmt: skip
        yield Postgres(host, port, word)
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)

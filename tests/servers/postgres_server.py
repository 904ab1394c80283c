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


@dataclass
class Postgres:
    """Where it listens, and the one user of its one database `dagster`."""

    host: str
    port: int
    password: str = field(repr=False)
    folder: Path = field(repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """Of the programs of libpq: which server, as whom."""
        words = {"HOST": self.host, "PORT": str(self.port), "USER": "dagster"}
        known = {f"PG{name}": value for name, value in words.items()}
        return {**os.environ, **known, "PGPASSWORD": self.password}

    def start(self) -> None:
        """Until it answers."""
        options = f"-c listen_addresses={self.host} -c fsync=off"
        self.process = subprocess.Popen(
            [*_as_user(), str(BIN / "postgres"), "-D", str(self.folder / "data"), "-p",
             str(self.port), *options.split(), "-c", f"unix_socket_directories={self.folder}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip
        wait_until(lambda: self._program("pg_isready").returncode == 0, seconds=30)

    def stop(self) -> None:
        """At once: every connection is cut, as when its machine is lost."""
        stop = [str(BIN / "pg_ctl"), "stop", "-D", str(self.folder / "data"), "-m", "immediate"]
        subprocess.run(
            [*_as_user(), *stop], check=True, capture_output=True, timeout=60, cwd=self.folder
        )
        if self.process is not None:
            self.process.wait(20)
            self.process = None

    def make_database(self, name: str) -> None:
        """An empty one."""
        made = self._program("createdb", name)
        assert made.returncode == 0, made.stderr

    def _program(self, name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(BIN / name), *words]
        return subprocess.run(
            command, check=False, capture_output=True, timeout=30, env=self.environment
        )


def _as_user() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


@contextmanager
def postgres(host: str, *, database: str | None = "dagster") -> Iterator[Postgres]:
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
    data = folder / "data"
    subprocess.run(
        [*_as_user(), str(BIN / "initdb"), "-D", str(data), "-U", "dagster", "-A", "scram-sha-256",
         f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, timeout=60, cwd=folder,
    )  # fmt: skip
    with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all 10.0.0.0/8 scram-sha-256\n")
    server = Postgres(host, free_port(), word, folder)
    try:
        server.start()
        if database:
            server.make_database(database)
        yield server
    finally:
        if server.process is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)

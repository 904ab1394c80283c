"""The server that runs on this machine: how the command line finds it, and asks it.

A server writes where it answers below the platform's home, and takes it away when it ends. Whoever
reads that asks it when it answers from the same store with the same model; a server that is gone,
or refuses, is none: the command line then opens the store itself, and tells what is wrong.
"""

import http.client
import json
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.serving.tenants import token_of
from platform_pipelines.settings import Settings

FOLDER = "serving"
INSTANCE_HEADER = "x-platform-instance"
LOOK_SECONDS = 1.0  # of a server of this machine that is alive


def announce(settings: Settings, url: str, instance: str) -> None:
    """Say where a server answers; only its owner may read it."""
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    record = {"url": url, "instance": instance, "of": _identity(settings)}
    beside = folder / f"{instance}.new"
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(record), encoding="utf-8")
    beside.replace(folder / f"{instance}.json")


def withdraw(settings: Settings, instance: str) -> None:
    """It ends."""
    (settings.home / FOLDER / f"{instance}.json").unlink(missing_ok=True)


def asked_here(
    settings: Settings, path: str, tenant: str, body: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The reply of a running server; None where there is none, or it does not answer this."""
    if not tenant.strip():
        return None
    for record in _announced(settings):
        found = _asked(settings, record, path, {**body, "tenant": tenant}, tenant)
        if found is not None:
            return found
    return None


def _identity(settings: Settings) -> str:
    """Two processes with it answer alike."""
    model = settings.language_model
    named = (model.url, model.model) if model else ("", "")
    return digest_parts(settings.store_url, settings.milvus_uri or "", *named)


def _announced(settings: Settings) -> list[dict[str, str]]:
    """Newest first; what cannot be read is none."""
    files = (settings.home / FOLDER).glob("*.json")
    records = [record for file in _by_age(files) if (record := _read(file))]
    return [record for record in records if record.get("of") == _identity(settings)]


def _by_age(files: Any) -> list[Path]:
    found: list[tuple[float, Path]] = []
    for file in files:
        try:
            found.append((-os.stat(file).st_mtime, file))
        except FileNotFoundError:
            continue
    return [file for _, file in sorted(found)]


def _read(file: Path) -> dict[str, str] | None:
    try:
        return cast("dict[str, str]", json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _asked(
    settings: Settings, record: Mapping[str, str], path: str, body: Mapping[str, Any], tenant: str
) -> dict[str, Any] | None:
    where = urlsplit(record["url"])
    host, port = where.hostname or "127.0.0.1", where.port or 80
    try:
        if _instance(host, port) != record["instance"]:
            return None
        token = token_of(settings.serving.tokens_file, tenant)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        seconds = settings.serving.seconds + LOOK_SECONDS
        with closing(http.client.HTTPConnection(host, port, timeout=seconds)) as connection:
            connection.request("POST", path, json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
            return json.loads(text) if reply.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, ConfigurationError):
        return None


def _instance(host: str, port: int) -> str | None:
    """Who listens there now: a port may be another program's by now."""
    with closing(http.client.HTTPConnection(host, port, timeout=LOOK_SECONDS)) as connection:
        connection.request("GET", "/readyz")
        reply = connection.getresponse()
        reply.read()
        return reply.getheader(INSTANCE_HEADER) if reply.status == 200 else None

"""A real Prometheus on 127.0.0.1 over half an hour of replayed series."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.milvus_server import free_port, wait_until

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
MINUTES = 30
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? ([^ ]+)$")


def replayed(exposition: str, target: str, now: float) -> Iterator[str]:
    """What a server's page said, as if it had been scraped every minute until now.

    `target` are the labels that the Prometheus operator gives its series.

    A counter (`_total`, `_bucket`, `_count`, `_sum`) grows to its value; a gauge keeps it.
    """
    for line in exposition.splitlines():
        found = None if line.startswith("#") else _LINE.match(line)
        if found is None or found[1].endswith("_created"):
            continue
        grows = found[1].endswith(("_total", "_bucket", "_count", "_sum"))
        labels = ",".join(filter(None, (target, (found[2] or "{}")[1:-1])))
        for minute in range(MINUTES + 1):
            share = (minute + 1) / (MINUTES + 1) if grows else 1.0
            at = now - 60 * (MINUTES - minute)
            yield f"{found[1]}{{{labels}}} {float(found[3]) * share!r} {at:.3f}"


@contextmanager
def prometheus_over(folder: Path, pages: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Its address, while it runs. `pages`: what a server said, and its target's labels."""
    now = time.time()
    lines = sorted({line for text, target in pages for line in replayed(text, target, now)})
    with prometheus_of(folder, lines) as url:
        yield url


@contextmanager
def prometheus_of(folder: Path, lines: Iterable[str]) -> Iterator[str]:
    """Its address, while it runs on these lines of OpenMetrics, which are sorted."""
    assert PROMETHEUS is not None
    assert PROMTOOL is not None
    series = folder / "series.om"
    series.write_text("\n".join([*lines, "# EOF", ""]))
    data = folder / "data"
    command = [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", str(series), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "prometheus.yml").write_text("global: {}\n")
    address = f"127.0.0.1:{free_port()}"
    log = (folder / "prometheus.log").open("w")
    process = subprocess.Popen(
        [
            PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}", f"--web.listen-address={address}",
            "--storage.tsdb.retention.time=3650d",
        ],
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_until(lambda: _ready(f"http://{address}/-/ready"), seconds=60)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def series_names(url: str) -> list[str]:
    """All names that it has."""
    with urllib.request.urlopen(f"{url}/api/v1/label/__name__/values", timeout=10) as answer:
        return list(json.load(answer)["data"])

"""A real browser without a window: Debian's Chromium, driven through its DevTools protocol."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.servers.milvus_server import wait_until

SIZE = "--window-size=1500,1100"


@dataclass
class Page:
    """One open page."""

    connection: ClientConnection
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def open(self, url: str) -> None:
        """Go there; what is shown is there when `text` says so."""
        self._ask("Page.navigate", url=url)

    def text(self) -> str:
        """What somebody who looks at the page reads."""
        found = self._ask("Runtime.evaluate", expression="document.body.innerText")
        return str(found["result"].get("value", ""))

    def click(self, words: str) -> None:
        """The button that says this, where there is one."""
        script = (
            "[...document.querySelectorAll('button')]"
            f".filter(b => b.innerText.trim() == {json.dumps(words)}).forEach(b => b.click())"
        )
        self._ask("Runtime.evaluate", expression=script)

    def picture(self, path: Path) -> None:
        """What it looks like, as a PNG."""
        shot = self._ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self.connection.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]


@contextmanager
def chromium() -> Iterator[Page]:
    """A browser of the test's own; skips where none is installed."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Debian's chromium is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pp-chromium-"))
    as_root = ["--no-sandbox"] if os.getuid() == 0 else []
    browser = subprocess.Popen(
        [program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", SIZE,
         "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", *as_root, "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "DevToolsActivePort"
        wait_until(lambda: told.exists() and bool(told.read_text(encoding="utf-8")), seconds=60)
        port = told.read_text(encoding="utf-8").splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            (page,) = [one for one in json.load(answer) if one["type"] == "page"]
        address = page["webSocketDebuggerUrl"]
        with connect(address, max_size=None, proxy=None, open_timeout=30) as connection:
            yield Page(connection)
    finally:
        browser.terminate()
        browser.wait(20)
        shutil.rmtree(folder, ignore_errors=True)

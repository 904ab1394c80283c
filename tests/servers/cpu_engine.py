"""An embedding engine for pods: the shipped model on a CPU, behind OpenAI's protocol.

Its source is given to `python -c` in the platform's image. Words after it say how it misbehaves:
`hog` takes all memory at its first request, `never` does not answer, `dies` ends at once.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def serve(port: int, *, hogs: bool) -> None:
    """Until the pod ends."""
    from platform_pipelines.gateways.e5.embedder import E5Embedder

    embedder = E5Embedder(Path(os.environ["PLATFORM_MODEL_DIR"]), threads=1, batch=2)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"status": "ok"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            held = []
            while hogs:
                held.append(b"x" * 10_000_000)
            vectors = embedder.embed_passages(body["input"]).tolist()
            data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
            self._answer({"model": body["model"], "data": data})

        def _answer(self, answer: dict[str, Any]) -> None:
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if "dies" in sys.argv:
        sys.exit("no kernel image is available for this card")
    if "never" in sys.argv:
        time.sleep(3600)
    serve(int(sys.argv[1]), hogs="hog" in sys.argv)

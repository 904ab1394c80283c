"""A small Kubernetes API server that carries Indexed Jobs: each index is a process of this machine.

Create, read, delete, and the Job's pods. The exit code decides as `podFailurePolicy` and
`backoffLimitPerIndex` say. What a pod gets of ConfigMaps and Secrets is given to the server.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.serving import kubeconfig_to

FAIL_INDEX = (2, 65, 137)


@dataclass
class JobCluster:
    """Jobs by name. `environment` is that of its pods, and all that they see."""

    environment: Mapping[str, str]
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    pods: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    logs: list[str] = field(default_factory=list[str])

    def __enter__(self) -> "JobCluster":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return kubeconfig_to(url, folder)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and object."""
        if path.endswith("/pods"):
            return 200, {"items": list(self.pods)}
        name = path.rpartition("/jobs")[2].strip("/")
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.jobs:
                return 409, {"message": f"{name} exists"}
            self.jobs[name] = {**body, "status": {"active": body["spec"]["completions"]}}
            threading.Thread(target=self._carry, args=(name,), daemon=True).start()
            return 201, self.jobs[name]
        if name not in self.jobs:
            return 404, {"message": f"{name} not found"}
        return 200, self.jobs.pop(name) if method == "DELETE" else self.jobs[name]

    def _carry(self, name: str) -> None:
        job = self.jobs[name]
        codes = {index: self._index(job, index) for index in range(job["spec"]["completions"])}
        done = [str(i) for i, code in codes.items() if code == 0]
        failed = [str(i) for i, code in codes.items() if code != 0]
        condition = {"type": "Failed" if failed else "Complete", "status": "True"}
        job["status"] = {
            "active": 0,
            "completedIndexes": ",".join(done),
            "failedIndexes": ",".join(failed),
            "conditions": [condition],
        }

    def _index(self, job: Mapping[str, Any], index: int) -> int:
        """Its last pod's exit code; what may help again is tried again."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        code = 1
        for _ in range(1 + job["spec"]["backoffLimitPerIndex"]):
            done = subprocess.run(
                [sys.executable, *container["command"][1:]],
                env={**self.environment, "JOB_COMPLETION_INDEX": str(index)},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            code = done.returncode
            self.logs.append(f"{index}: {code}\n{done.stdout}\n{done.stderr}")
            self.pods.append(_pod(f"{job['metadata']['name']}-{index}", index, code))
            if code == 0 or code in FAIL_INDEX:
                break
        return code

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, found = cluster.answer(self.command, urlsplit(self.path).path, body)
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _serve

            def log_message(self, *args: Any) -> None: ...

        return Handler


def pod_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Of a process that stands for a pod: this package is found, and nothing else is passed on."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], **variables}


def _pod(name: str, index: int, code: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "status": {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"state": {"terminated": {"exitCode": code, "reason": "Error"}}}],
        },
    }

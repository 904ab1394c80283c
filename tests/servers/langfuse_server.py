"""Langfuse on 127.0.0.1, as far as it is used: OTLP in, scores and observations out.

Every reply is held to the schema that was recorded of its SDK (`fixtures/langfuse`), so that what
is tested is read as the real one would be.
"""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator

from tests.servers.otlp_receiver import OtlpReceiver

FIXTURES = Path(__file__).parents[1] / "fixtures" / "langfuse"
KEY = "pk-lf-test:sk-lf-test"
AUTHORIZATION = f"Basic {base64.b64encode(KEY.encode()).decode()}"
_INPUT, _METADATA = "langfuse.observation.input", "langfuse.observation.metadata."
_NOW = "2026-11-27T10:00:00.000Z"


def score(trace_id: str, value: Any, kind: str, **fields: Any) -> dict[str, Any]:
    """A score as the API gives it with its details and subject."""
    return {
        "id": f"{trace_id}-{kind}-{value}", "projectId": "p", "name": "user-feedback",
        "source": "ANNOTATION", "timestamp": _NOW, "environment": "default", "createdAt": _NOW,
        "updatedAt": _NOW, "dataType": kind, "value": value, "comment": None, "metadata": {},
        "subject": {"kind": "trace", "id": trace_id}, **fields,
    }  # fmt: skip


class LangfuseServer(OtlpReceiver):
    """Started by `with`; `scores` are given in pages of `page`. `status` refuses all reading."""

    root = "/api/public/otel"

    def __init__(self, page: int = 2) -> None:
        super().__init__()
        self.scores: list[dict[str, Any]] = []
        self.page = page
        self.status = 200
        self.asked: list[dict[str, str]] = []

    def give(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """A page of scores, or the root of a trace."""
        if self.status != 200:
            return self.status, b"{}"
        if {n.lower(): v for n, v in headers.items()}.get("authorization") != AUTHORIZATION:
            return 401, b"{}"
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(query)
        if parts.path == "/api/public/v3/scores":
            return 200, _held(self._scores(query), "scores_v3")
        assert parts.path == "/api/public/v2/observations"
        return 200, _held(self._observations(query), "observations_v2")

    def _scores(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = [s for s in self.scores if s["source"] in query["source"].split(",")]
        start = int(query.get("cursor", "0"))
        end = start + min(self.page, int(query["limit"]))
        more = {"cursor": str(end)} if end < len(wanted) else {}
        return {"data": wanted[start:end], "meta": {"limit": self.page, **more}}

    def _observations(self, query: dict[str, str]) -> dict[str, Any]:
        found = [
            {
                "id": "o", "traceId": trace, "startTime": _NOW, "projectId": "p", "type": "SPAN",
                "isRootObservation": True, "name": name, "input": attributes.get(_INPUT),
                "metadata": {
                    key.removeprefix(_METADATA): value
                    for key, value in attributes.items()
                    if key.startswith(_METADATA)
                },
            }
            for trace, name, attributes in self.spans
            if trace == query["traceId"] and name.startswith("answer")
        ]  # fmt: skip
        return {"data": found, "meta": {}}


def _held(reply: dict[str, Any], schema: str) -> bytes:
    known = json.loads((FIXTURES / f"{schema}.schema.json").read_text("utf-8"))
    Draft202012Validator(known).validate(reply)
    return json.dumps(reply).encode()

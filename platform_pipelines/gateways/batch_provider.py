"""A provider's batches: started once under a token, looked at, and their results.

`find` is what keeps a killed run from paying twice: the provider is asked for the token before
anything is started again. OpenAI keeps it as the batch's metadata; Bedrock takes it as
`clientRequestToken`, under which the same request is the same job.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from platform_pipelines.core.batch_inference.provider import (
    ENDPOINT,
    Result,
    bedrock_results,
    openai_results,
)
from platform_pipelines.core.road.bridges import bedrock_batch
from platform_pipelines.errors import RequestRefusedError, UnavailableError
from platform_pipelines.gateways.aws_launch import launch
from platform_pipelines.gateways.embedding_http import JsonClient, Reply
from platform_pipelines.gateways.object_store import ObjectStore

TOKEN = "platform_batch"  # noqa: S105 - the name of a field of metadata
PAGE = 100
_WORKING = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a batch is. `ended`: there may be results; `refused`: it was not begun, `why`."""

    state: Literal["working", "ended", "refused"]
    done: int = 0
    why: str = ""


class BatchProvider(Protocol):
    """Raises UnavailableError, RateLimitedError, ConfigurationError, RequestRefusedError."""

    name: str

    def find(self, token: str) -> str | None:
        """The batch that was started under a token; None: there is none."""
        ...

    def start(self, token: str, lines: bytes) -> str:
        """Start it; its id."""
        ...

    def look(self, batch: str) -> Standing:
        """How far it is."""
        ...

    def results(self, batch: str) -> Iterator[Result]:
        """What it has; a prompt without a result was not asked."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class OpenAIBatches:
    """`/v1/files` and `/v1/batches` of OpenAI and compatible servers."""

    def __init__(self, client: JsonClient, name: str) -> None:
        self._client = client
        self.name = name

    def find(self, token: str) -> str | None:
        """The newest batches first, all pages."""
        after = ""
        while True:
            page = self._ok(self._client.get(f"/v1/batches?limit={PAGE}{after}"), "the list")
            batches = cast("list[dict[str, Any]]", page.get("data") or [])
            for one in batches:
                if _part(one, "metadata").get(TOKEN) == token:
                    return str(one["id"])
            if not page.get("has_more") or not batches:
                return None
            after = f"&after={batches[-1]['id']}"

    def start(self, token: str, lines: bytes) -> str:
        """The file, then the batch. A file without a batch costs nothing and is asked of nobody."""
        file = self._client.upload("/v1/files", f"{token}.jsonl", lines, {"purpose": "batch"})
        body = {
            "input_file_id": self._ok(file, "the file")["id"],
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {TOKEN: token},
        }
        return str(self._ok(self._client.post_once("/v1/batches", body), "the batch")["id"])

    def look(self, batch: str) -> Standing:
        """`failed` is a file that was refused; whatever else has ended may have results."""
        found = self._ok(self._client.get(f"/v1/batches/{batch}"), batch)
        status = str(found.get("status"))
        done = int(_part(found, "request_counts").get("completed") or 0)
        if status in _WORKING:
            return Standing("working", done)
        if status == "failed":
            told = cast("list[dict[str, Any]]", _part(found, "errors").get("data") or [])
            why = "; ".join(str(one.get("message")) for one in told) or "no reason is given"
            return Standing("refused", why=why[:500])
        return Standing("ended", done, "" if status == "completed" else status)

    def results(self, batch: str) -> Iterator[Result]:
        """Of both files."""
        found = self._ok(self._client.get(f"/v1/batches/{batch}"), batch)
        for name in ("output_file_id", "error_file_id"):
            if found.get(name):
                yield from openai_results(self._client.download(f"/v1/files/{found[name]}/content"))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ok(self, reply: Reply, what: str) -> dict[str, Any]:
        if not reply.ok:
            raise RequestRefusedError(
                f"the provider refuses {what}: {reply.status} {reply.message}",
                where=f"model {self.name}",
                remedy="check the declared `language_model`, and whether it takes batches",
            )
        return cast("dict[str, Any]", reply.body)


class BedrockBatches:
    """`CreateModelInvocationJob`, its files in S3. The client is given: credentials are its own."""

    def __init__(
        self, client: Any, staging: ObjectStore, *, model: str, role: str,
        name_of: Callable[[str], str] = lambda token: f"batch-{token[:40]}",
    ) -> None:  # fmt: skip
        self._client = client
        self._staging = staging
        self._role = role
        self._name_of = name_of
        self.name = model

    def find(self, token: str) -> str | None:
        """By its name, which follows from the token."""
        name = self._name_of(token)
        answer = self._call("list_model_invocation_jobs", nameContains=name)
        found = cast("list[Mapping[str, Any]]", answer.get("invocationJobSummaries") or [])
        return next((str(one["jobArn"]) for one in found if one.get("jobName") == name), None)

    def start(self, token: str, lines: bytes) -> str:
        """The records to S3, then the job; asked twice under one token it is one job."""
        self._staging.put(f"{token}/in/records.jsonl", lines)
        request = bedrock_batch(
            self._name_of(token), model=self.name, role=self._role,
            prompts=f"{self._staging.url}/{token}/in/records.jsonl",
            answers=f"{self._staging.url}/{token}/out/",
        )  # fmt: skip
        more = {"clientRequestToken": token, "modelInvocationType": "Converse"}
        return launch(self._client, "create_model_invocation_job", {**request, **more})

    def look(self, batch: str) -> Standing:
        """By its status."""
        found = self._call("get_model_invocation_job", jobIdentifier=batch)
        status, done = str(found["status"]), int(found.get("processedRecordCount") or 0)
        if status in ("Submitted", "InProgress", "Stopping", "Validating", "Scheduled"):
            return Standing("working", done)
        if status == "Failed":
            return Standing("refused", done, str(found.get("message") or "no reason is given"))
        return Standing("ended", done, "" if status == "Completed" else status)

    def results(self, batch: str) -> Iterator[Result]:
        """Bedrock writes below `out/JOB/`."""
        found = self._call("get_model_invocation_job", jobIdentifier=batch)
        token = str(found["clientRequestToken"])
        listed = (one.key for page in self._staging.list_objects(f"{token}/out") for one in page)
        for key in sorted(key for key in listed if key.endswith(".jsonl.out")):
            yield from bedrock_results(self._staging.get(key)[0])

    def close(self) -> None:
        """The client is the caller's."""

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        botocore: Any = importlib.import_module("botocore.exceptions")
        try:
            return cast("Mapping[str, Any]", getattr(self._client, operation)(**arguments))
        except botocore.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            kind = UnavailableError if "Throttl" in code else RequestRefusedError
            raise kind(f"{operation} is refused: {code}", where="AWS", stored=str(error)) from error
        except botocore.BotoCoreError as error:
            raise UnavailableError(f"AWS does not answer: {error}", where=operation) from error


def _part(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", record.get(name) or {})


def token_record(token: str, batch: str | None, keys: list[str]) -> bytes:
    """What is stored of a batch before, and after, it was started."""
    return json.dumps({"format": 1, "token": token, "batch": batch, "keys": keys}).encode()

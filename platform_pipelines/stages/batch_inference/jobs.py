"""Prompts as tasks: each batch is one index of an Indexed Job, on spot nodes or wherever declared.

The task's answers go to the inbox one by one, as those of a run here do: a node that is taken away
costs at most one answer a slot, and the index goes on elsewhere. The model is the declared server,
or the engine beside the worker where the compute profile has one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.batch_inference.answers import Answered, batch_digest, from_line
from platform_pipelines.core.batch_inference.prompts import Prompt
from platform_pipelines.errors import ConfigurationError, TransientError, UnavailableError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
from platform_pipelines.gateways.language_model import HttpLanguageModel
from platform_pipelines.gateways.network import sendable
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.batch_inference.asking import INBOX, AskedBatch, Asker, kept_in
from platform_pipelines.stages.batch_inference.workspace import ANSWERS, Workspace
from platform_pipelines.stages.road.access import open_named
from platform_pipelines.stages.road.backends import profiles

OPERATION = "prompts.answer"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Named:
    """Who answers, for messages."""

    name: str


@dataclass
class JobsAsker:
    """Asks by tasks; as `Asker` is used."""

    model: Named
    workspace: Workspace
    calls: int = 0
    found: int = 0

    def batches(self, batches: Sequence[Sequence[Prompt]]) -> Iterator[AskedBatch]:
        """Every batch, as its task ends."""
        tasks = [self._task(number, batch) for number, batch in enumerate(batches)]
        done = self.workspace.run_tasks(
            ANSWERS, tasks, doing="answering", profile=self.workspace.spec.profile
        )
        for record in done:
            yield self._landed(batches[record.shard], record.record)

    def forget(self, keys: Sequence[str]) -> None:
        """Take answers out of the inbox: they are in a file now."""
        recipe = self.workspace.spec.language_model.recipe
        self.workspace.store.delete([f"{INBOX}/{recipe}/{key}.json" for key in keys])

    def _task(self, number: int, batch: Sequence[Prompt]) -> TaskSpec:
        workspace, spec = self.workspace, self.workspace.spec
        work = f"{WORK}/{batch_digest([one.key for one in batch])}.json"
        workspace.store.put(work, json.dumps([asdict(one) for one in batch]).encode())
        profile = profiles(workspace.settings.profiles_file).get(spec.profile)
        model = spec.language_model
        return TaskSpec(
            operation=OPERATION,
            shard=number,
            store=workspace.store.url,
            arguments={
                "prompts": work,
                "recipe": model.recipe,
                "url": model.url,
                "model": model.model,
                "temperature": model.temperature,
                "max_tokens": model.max_tokens,
                "concurrency": spec.concurrency,
                "attempts": spec.attempts,
                "seconds": workspace.settings.language_model_seconds,
                "has_engine": profile is not None and profile.engine is not None,
            },
        )

    def _landed(self, batch: Sequence[Prompt], record: Mapping[str, Any]) -> AskedBatch:
        recipe = self.workspace.spec.language_model.recipe
        self.calls += record["calls"]
        self.found += record["found"]
        rejected = {one.key: one for one in map(from_line, record["rejected"])}
        waiting: dict[str, TransientError] = {
            key: UnavailableError(why, remedy="run again") for key, why in record["waiting"].items()
        }
        keys = [one.key for one in batch if one.key not in rejected and one.key not in waiting]
        store = self.workspace.store
        fetched = list(store.get_many([f"{INBOX}/{recipe}/{key}.json" for key in keys]))
        if wrong := next((one.error for one in fetched if one.error is not None), None):
            raise wrong
        by_key = {one.key: one for one in (from_line(f.data.decode()) for f in fetched)} | rejected
        ended: tuple[Answered, ...] = tuple(by_key[p.key] for p in batch if p.key in by_key)
        store.delete([f"{WORK}/{batch_digest([one.key for one in batch])}.json"])
        return AskedBatch(tuple(batch), ended, waiting)


def answer_prompts(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """Operation `prompts.answer`: the prompts of one file of work, their answers to the inbox.

    The record is `{calls, found, rejected, waiting}`: requests, answers that were there already,
    lines of prompts that the server takes never, and key -> why of those that wait.
    """
    for spec in items:
        yield _answer(access, open_named(access, spec["store"], create=True), spec["arguments"])


def _answer(
    access: Mapping[str, Any], store: ObjectStore, arguments: Mapping[str, Any]
) -> Mapping[str, Any]:
    told: list[dict[str, Any]] = json.loads(store.get(arguments["prompts"])[0])
    prompts = [
        Prompt(one["id"], one["key"], tuple((role, text) for role, text in one["messages"]))
        for one in told
    ]
    model = _model(access, arguments)
    recipe = arguments["recipe"]
    asker = Asker(
        model, store, recipe, arguments["concurrency"], SystemClock(), check=lambda: None,
        kept=kept_in(store, recipe),
    )  # fmt: skip
    try:
        (landed,) = asker.batches([prompts])
    finally:
        model.close()
    return {
        "calls": asker.calls,
        "found": asker.found,
        "rejected": [one.to_line() for one in landed.ended if str(one.state) == "rejected"],
        "waiting": {key: error.what for key, error in landed.waiting.items()},
    }


def _model(access: Mapping[str, Any], arguments: Mapping[str, Any]) -> HttpLanguageModel:
    url: str = arguments["url"]
    key: str | None = None
    if arguments["has_engine"]:
        if not access["embedder_url"]:
            raise ConfigurationError(
                "the profile has an engine, and this process none beside it",
                where=OPERATION,
                remedy="run it as a Job (PLATFORM_COMPUTE=kubernetes)",
            )
        url = access["embedder_url"]  # whatever engine this pod has
    else:
        key = sendable(access["language_model_api_key"], url, access["key_hosts"])
    endpoint = Endpoint(
        url=url, api_key=key, timeout_seconds=arguments["seconds"],
        max_attempts=arguments["attempts"], connections=arguments["concurrency"],
    )  # fmt: skip
    client = JsonClient(endpoint)
    return HttpLanguageModel(
        client, arguments["model"], arguments["temperature"], arguments["max_tokens"]
    )

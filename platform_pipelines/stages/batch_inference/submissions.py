"""Prompts as batches of a provider: each is started once, whatever is killed.

    batches/RECIPE/TOKEN.json     what is started or about to be: its prompts, and its id

The record is written before the batch is started. A run that finds it without an id asks the
provider for the token first; one that finds an id only looks. It goes when the results are stored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.batch_inference.answers import Answered, State, batch_digest
from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.core.batch_inference.prompts import Prompt
from platform_pipelines.core.batch_inference.provider import Result, bedrock_lines, openai_lines
from platform_pipelines.errors import RequestRefusedError, TransientError, UnavailableError
from platform_pipelines.gateways.batch_provider import BatchProvider, Standing, token_record
from platform_pipelines.stages.batch_inference.asking import AskedBatch
from platform_pipelines.stages.batch_inference.workspace import Workspace

BATCHES = "batches"


@dataclass(frozen=True, slots=True)
class _Started:
    """A batch that is under way."""

    token: str
    batch: str
    prompts: tuple[Prompt, ...]
    at: float  # by the run's clock


@dataclass
class ProviderAsker:
    """Asks by batches; as `Asker` is used."""

    model: BatchProvider
    workspace: Workspace
    calls: int = 0
    found: int = 0  # prompts of batches that an earlier run had started
    _open: dict[str, str] = field(init=False, repr=False)  # prompt -> the token of its batch

    def __post_init__(self) -> None:
        """What earlier runs started is looked for once."""
        records = self._records()
        self._open = {key: token for token, keys in records.items() for key in keys}

    def batches(self, batches: Sequence[Sequence[Prompt]]) -> Iterator[AskedBatch]:
        """What is under way first, then the others, some at once; as they end."""
        waiting = self._grouped(batches)
        flying: list[_Started] = []
        while waiting or flying:
            while waiting and len(flying) < self._spec.provider.at_once:
                flying.append(self._start(waiting.pop(0)))
            one = flying.pop(0)
            yield self._landed(one, self._wait(one))

    def forget(self, keys: Sequence[str]) -> None:
        """The results of these prompts are stored: their batches are over."""
        tokens = {self._open.pop(key) for key in keys if key in self._open}
        over = tokens - set(self._open.values())
        self.workspace.store.delete([self._key(token) for token in sorted(over)])

    @property
    def _spec(self) -> BatchInferenceSpec:
        return self.workspace.spec

    def _grouped(self, batches: Sequence[Sequence[Prompt]]) -> list[tuple[str, tuple[Prompt, ...]]]:
        """(token, prompts): those of stored records stay together, the rest is cut anew."""
        prompts = {one.key: one for batch in batches for one in batch}
        found: list[tuple[str, tuple[Prompt, ...]]] = []
        for token in sorted(set(self._open.values())):
            keys = [key for key, other in self._open.items() if other == token]
            mine = tuple(prompts.pop(key) for key in keys if key in prompts)
            if mine:
                self.found += len(mine)
                found.append((token, mine))
        rest = list(prompts.values())
        size = self._spec.batch
        for at in range(0, len(rest), size):
            batch = tuple(rest[at : at + size])
            found.append((self._token(batch), batch))
        return found

    def _token(self, prompts: Sequence[Prompt]) -> str:
        """Another one for every try: a batch that ended without results may be started again."""
        now = self.workspace.clock.now().isoformat()
        return batch_digest([self.workspace.settings.store_url, now, *(p.key for p in prompts)])

    def _records(self) -> Mapping[str, list[str]]:
        store, found = self.workspace.store, dict[str, list[str]]()
        listed = [one.key for page in store.list_objects(self._folder) for one in page]
        for fetched in store.get_many(sorted(listed)):
            if fetched.error is not None:
                raise fetched.error
            record = json.loads(fetched.data)
            found[record["token"]] = list(record["keys"])
        return found

    def _start(self, waiting: tuple[str, tuple[Prompt, ...]]) -> _Started:
        token, prompts = waiting
        store, key = self.workspace.store, self._key(token)
        keys = [one.key for one in prompts]
        batch: str | None = None
        if store.exists(key):
            batch = json.loads(store.get(key)[0])["batch"] or self.model.find(token)
        else:
            store.put(key, token_record(token, None, keys), if_absent=True)
        if batch is None:
            make = bedrock_lines if self._spec.through == "bedrock_batch" else openai_lines
            batch = self.model.start(token, make(prompts, self._spec.language_model))
            self.calls += len(prompts)
        store.put(key, token_record(token, batch, keys))
        self._open |= dict.fromkeys(keys, token)
        return _Started(token, batch, prompts, self.workspace.clock.monotonic())

    def _wait(self, one: _Started) -> Standing:
        workspace = self.workspace
        while True:
            workspace.deadline.check(f"batch {one.batch}")
            standing = self.model.look(one.batch)
            if standing.state != "working":
                return standing
            workspace.progress(f"batch {one.batch}: {standing.done:,} of {len(one.prompts):,}")
            workspace.clock.sleep(self._spec.provider.poll_seconds)

    def _landed(self, one: _Started, standing: Standing) -> AskedBatch:
        if standing.state == "refused":
            self.workspace.store.delete([self._key(one.token)])
            raise RequestRefusedError(
                f"the provider refuses the batch: {standing.why}",
                where=f"model {self.model.name}, batch {one.batch}",
                stored=f"{len(one.prompts)} prompts",
                remedy="check the declared `language_model`; no prompt was marked as rejected",
            )
        results = {result.key: result for result in self.model.results(one.batch)}
        seconds = self.workspace.clock.monotonic() - one.at
        ended: list[Answered] = []
        waiting: dict[str, TransientError] = {}
        for prompt in one.prompts:
            result = results.get(prompt.key)
            if result is None or (result.error and not result.rejected):
                why = result.error if result else standing.why or "it has no result"
                waiting[prompt.key] = UnavailableError(
                    f"the batch has no answer: {why}", where=prompt.id, remedy="run again"
                )
                continue
            ended.append(self._answered(prompt, result, seconds))
        self._give_up(one, waiting, has_results=any(e.state is not State.REJECTED for e in ended))
        return AskedBatch(one.prompts, tuple(ended), waiting)

    def _give_up(self, one: _Started, waiting: Mapping[str, Any], *, has_results: bool) -> None:
        """Prompts without a result belong to no batch any more: the next run asks them anew.

        So does a run after one in which the provider refused every line.
        """
        for key in waiting:
            self._open.pop(key, None)
        if not has_results:
            self.workspace.store.delete([self._key(one.token)])

    def _answered(self, prompt: Prompt, result: Result, seconds: float) -> Answered:
        state = State.ANSWERED if result.finished else State.CUT
        text = result.text
        if result.error:
            state, text = State.REJECTED, result.error
        elif result.refusal and not result.text:
            state, text = State.REFUSED, result.refusal
        return Answered(
            prompt.key, prompt.id, state, text, self.model.name, result.input_tokens,
            result.output_tokens, seconds,
            self.workspace.clock.now().isoformat(timespec="seconds"),
        )  # fmt: skip

    @property
    def _folder(self) -> str:
        return f"{BATCHES}/{self._spec.language_model.recipe}"

    def _key(self, token: str) -> str:
        return f"{self._folder}/{token}.json"

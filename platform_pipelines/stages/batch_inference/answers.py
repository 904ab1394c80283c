"""The stage `answers`: every prompt of the folder has one stored end.

A file of prompts that has not changed and is wholly answered is not read. Killed anywhere, the next
run goes on after the last stored answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from platform_pipelines.core.batch_inference.answers import Answered, State, Totals, totals
from platform_pipelines.core.batch_inference.prompts import PromptFile, parse_prompts
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import EmptyCorpusError, RequestRefusedError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.batch_inference.asking import AskedBatch
from platform_pipelines.stages.batch_inference.backends import (
    PromptAsker,
    declared_model,
    make_asker,
)
from platform_pipelines.stages.batch_inference.files import (
    answers_folder,
    note_usage,
    stored_parts,
    write_parts,
)
from platform_pipelines.stages.batch_inference.workspace import ANSWERS, Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

VERSION = "1"  # raise it when equal input would give other output
SHOWN_FAILURES = 20
OpenModel = Callable[[Workspace], Any]  # a `LanguageModel`, or a `BatchProvider`


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of prompts, as a listing tells it."""

    key: str
    version: str
    size_bytes: int


@dataclass
class _Run:
    """What this run did, over all files."""

    asker: PromptAsker
    store: ObjectStore
    ended: list[Answered] = field(default_factory=list[Answered])
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def refresh_answers(
    workspace: Workspace, *, open_model: OpenModel = declared_model
) -> StageOutcome:
    """Ask every prompt that has no stored end yet.

    Raises:
        SourceNotFoundError, EmptyCorpusError: there are no prompts.
        UnavailableError, RateLimitedError: nothing of a batch could be asked; run again.
        ConfigurationError: the server refuses the key, or everything that it was asked.
    """
    files = _prompt_files(workspace)
    head, version = workspace.head(ANSWERS)
    recipe = workspace.spec.language_model.recipe
    before = head.details["files"] if head is not None and head.settings == recipe else {}
    changed = [one for one in files if before.get(one.key, {}).get("input") != _input(one)]
    if head is not None and not changed and len(files) == len(before):
        return StageOutcome.unchanged(head)
    model = open_model(workspace)
    try:
        with workspace.writing(ANSWERS, version) as held:
            run = _Run(make_asker(held, model), held.answers)
            now = {one.key: _file(held, run, one) for one in changed}
            kept = {one.key: before[one.key] for one in files if one.key not in now}
            failures = [f for f in _failures(head) if f["file"] in kept] + run.failures
            snapshot = _snapshot(workspace, {**kept, **now}, failures)
            held.move_head(snapshot, version)
    finally:
        model.close()
    return _outcome(workspace, snapshot, head, run)


def _prompt_files(workspace: Workspace) -> list[_Source]:
    store = workspace.prompts
    listed = [one for batch in store.list_objects() for one in batch]
    files = sorted((o.key, o.version, o.size_bytes) for o in listed if o.key.endswith(".jsonl"))
    if not files:
        raise EmptyCorpusError(
            "there is no file of prompts",
            where=store.url,
            stored=f"{len(listed)} other objects",
            expected="*.jsonl",
            remedy="put JSON Lines with `id` and `prompt` there",
        )
    return [_Source(*one) for one in files]


def _file(workspace: Workspace, run: _Run, source: _Source) -> dict[str, Any]:
    """Ask what is not answered of one file; what stands of it now."""
    data, version = workspace.prompts.get(source.key)
    spec = workspace.spec
    told = parse_prompts(data.decode("utf-8", "replace"), system=spec.language_model.system)
    ended = _standing(workspace, run, source.key)
    waiting = 0
    pending = [(n, p) for n, p in enumerate(told.prompts) if p.key not in ended]
    positions = {prompt.key: position for position, prompt in pending}
    prompts = [prompt for _, prompt in pending]
    batches = [prompts[at : at + spec.batch] for at in range(0, len(prompts), spec.batch)]
    for asked in run.asker.batches(batches):
        _refuse_what_stops(run, asked)
        write_parts(workspace, run.store, source.key, positions[asked.prompts[0].key], asked.ended)
        run.asker.forget([one.key for one in asked.ended])
        bare = [_bare(one) for one in asked.ended]
        run.ended += bare
        ended |= {one.key: one for one in bare}
        waiting += len(asked.waiting)
        workspace.progress(f"{source.key}: {len(ended):,} of {len(told.prompts):,} prompts")
    mine = [ended[prompt.key] for prompt in told.prompts if prompt.key in ended]
    run.failures += _told_failures(source.key, told, mine)
    done = version == source.version and not waiting
    return _standing_record(workspace, told, mine, waiting, _input(source) if done else "")


def _standing(workspace: Workspace, run: _Run, file: str) -> dict[str, Answered]:
    """What earlier runs stored of a file, and what a kill left undone about it."""
    found: dict[str, Answered] = {}
    for part in stored_parts(workspace, run.store, file):
        note_usage(workspace, part)
        found |= {one.key: _bare(one) for one in part.ended}
    run.asker.forget(list(found))
    return found


def _bare(one: Answered) -> Answered:
    """Without its text: a file of a million answers is counted, not held."""
    return replace(one, text="") if one.state.has_answer else one


def _refuse_what_stops(run: _Run, asked: AskedBatch) -> None:
    """A server that is down, or that refuses everybody, is no property of the prompts."""
    if not asked.ended:
        raise next(iter(asked.waiting.values()))
    answered = any(one.state is not State.REJECTED for one in (*run.ended, *asked.ended))
    if not answered:
        raise RequestRefusedError(
            f"the server refuses every prompt that it was asked: {asked.ended[0].text}",
            where=f"model {run.asker.model.name}, prompt {asked.ended[0].id}",
            stored=f"{len(asked.ended)} refused, none answered",
            remedy="check the declared `language_model`; no prompt was marked as rejected",
        )


def _standing_record(
    workspace: Workspace, told: PromptFile, mine: Sequence[Answered], waiting: int, done: str
) -> dict[str, Any]:
    sums = totals(mine, workspace.spec.language_model.price)
    return {
        "input": done,
        "digest": digest_json(sorted(one.key for one in mine)),
        "prompts": len(told.prompts),
        "wrong_lines": len(told.wrong),
        "waiting": waiting,
        "states": dict(sums.states),
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "usd": str(sums.usd),
    }


def _told_failures(file: str, told: PromptFile, mine: Sequence[Answered]) -> list[dict[str, Any]]:
    wrong = [
        {"file": file, "prompt": one.id or f"line {one.line}", "state": "wrong line",
         "why": one.why}
        for one in told.wrong
    ]  # fmt: skip
    failed = [
        {"file": file, "prompt": one.id, "state": str(one.state), "why": one.text[:200]}
        for one in mine
        if not one.state.has_answer
    ]
    return (wrong + failed)[:SHOWN_FAILURES]


def _failures(head: Snapshot | None) -> list[dict[str, Any]]:
    return list(head.details["failures"]) if head is not None else []


def _snapshot(
    workspace: Workspace, files: dict[str, Any], failures: list[dict[str, Any]]
) -> Snapshot:
    ordered = sorted(files)
    shards = tuple(
        ShardRecord(
            number, files[key]["input"], files[key]["digest"], answers_folder(workspace, key),
            sum(files[key]["states"].values()),
        )
        for number, key in enumerate(ordered)
    )  # fmt: skip
    counts = {
        name: sum(files[key][name] for key in ordered)
        for name in ("prompts", "wrong_lines", "waiting", "input_tokens", "output_tokens")
    }
    states = {s: sum(files[key]["states"][s] for key in ordered) for s in map(str, State)}
    return Snapshot(
        stage=ANSWERS,
        settings=workspace.spec.language_model.recipe,
        shards=shards,
        counts={**counts, **states},
        details={
            "files": {key: files[key] for key in ordered},
            "failures": failures[:SHOWN_FAILURES],
            "url": workspace.answers_url,
        },
    )


def _outcome(
    workspace: Workspace, snapshot: Snapshot, head: Snapshot | None, run: _Run
) -> StageOutcome:
    done: Totals = totals(run.ended, workspace.spec.language_model.price)
    changes = {
        "prompts_asked": run.asker.calls,
        "answers_taken_from_a_killed_run": run.asker.found,
        "prompts_ended": len(run.ended),
    }
    facts = {"run": done, "seconds": [one.seconds for one in run.ended]}
    return StageOutcome.changed(snapshot, head, changes, facts)


def _input(source: _Source) -> str:
    return digest_json([source.key, source.version, source.size_bytes])

"""The stage `looks`: every whole day tallied once, and what all of them say.

A day is stored under the digest of its files and of the day before it. A killed analysis goes on
after the last stored day; a day whose files changed is tallied again, with all that follow.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from platform_pipelines.core.experiment.observations import DayTally, day_tally
from platform_pipelines.core.experiment.sequential import Tally
from platform_pipelines.core.experiment.verdict import Conclusion, conclude, days_to_read
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import IntegrityError
from platform_pipelines.stages.experiment.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

VERSION = "1"  # raise it when equal input would give other output
LOOKS = "looks"
Files = Mapping[str, Sequence[tuple[str, str, int]]]  # day -> key, version, bytes


def refresh_looks(workspace: Workspace) -> StageOutcome:
    """Tally the days that were not, and look.

    Raises:
        SourceNotFoundError: there is no such folder of observations.
        IntegrityError: a stored day is damaged.
    """
    spec = workspace.spec
    today = workspace.clock.now().astimezone(ZoneInfo(spec.timezone)).date()
    wanted = days_to_read(spec, today)
    files = _files(workspace)
    head, version = workspace.head(LOOKS)
    inputs = _inputs(spec.digest, wanted, files)
    known = {s.input for s in head.shards} if head is not None else set[str]()
    if head is not None and head.settings == spec.digest and known == set(inputs.values()):
        days = [_read_day(workspace, shard.path) for shard in head.shards]
        return StageOutcome(head, is_changed=False, facts={"conclusion": conclude(spec, days)})
    with workspace.writing(LOOKS, version) as held:
        days = _tallied(held, inputs, files)
        conclusion = conclude(spec, days)
        snapshot = _snapshot(workspace, inputs, days, conclusion)
        held.move_head(snapshot, version)
    before = len(head.shards) if head is not None else 0
    changes = {"days_looked_at": len(days), "days_added": max(len(days) - before, 0)}
    return StageOutcome.changed(snapshot, head, changes, {"conclusion": conclusion})


def _files(workspace: Workspace) -> Files:
    found: dict[str, list[tuple[str, str, int]]] = {}
    for batch in workspace.observations.list_objects():
        for one in batch:
            if one.key.endswith(".jsonl"):
                found.setdefault(one.key[:10], []).append((one.key, one.version, one.size_bytes))
    return {day: sorted(files) for day, files in found.items()}


def _inputs(settings: str, days: Sequence[str], files: Files) -> dict[str, str]:
    """What each day is made from, and through the day before it from all before."""
    inputs: dict[str, str] = {}
    digest = settings
    for day in days:
        digest = digest_json([digest, day, [list(one) for one in files.get(day, ())]])
        inputs[day] = digest
    return inputs


def _tallied(held: Workspace, inputs: Mapping[str, str], files: Files) -> list[DayTally]:
    former: set[str] = set()
    days: list[DayTally] = []
    for day, digest in inputs.items():
        held.deadline.check(f"tallying {day}")
        key = _day_key(day, digest)
        if held.store.exists(key):
            tallied = _read_day(held, key)
        else:
            keys = [one[0] for one in files.get(day, ())]
            tallied = day_tally(held.spec, day, _lines(held, keys), former)
            held.store.put(key, json.dumps(asdict(tallied)).encode())
            held.progress(f"{day}: {sum(tallied.keys.values()):,} new keys")
        former.update(tallied.new)
        days.append(tallied)
    return days


def _lines(workspace: Workspace, keys: Sequence[str]) -> Iterator[str]:
    for fetched in workspace.observations.get_many(keys):
        if fetched.error is not None:
            raise fetched.error
        yield from fetched.data.decode("utf-8", "replace").split("\n")


def _day_key(day: str, digest: str) -> str:
    return f"days/{day}-{digest}.json"


def _read_day(workspace: Workspace, key: str) -> DayTally:
    try:
        raw: dict[str, Any] = json.loads(workspace.store.get(key)[0])
        tallies = {
            arm: {name: Tally(**one) for name, one in by.items()}
            for arm, by in raw.pop("tallies").items()
        }
        return DayTally(**{**raw, "new": tuple(raw["new"])}, tallies=tallies)
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"a stored day is damaged: {error}",
            where=f"{workspace.store.url}/{key}",
            remedy="delete it: the day is tallied again",
        ) from error


def _snapshot(
    workspace: Workspace,
    inputs: Mapping[str, str],
    days: Sequence[DayTally],
    conclusion: Conclusion,
) -> Snapshot:
    shards = tuple(
        ShardRecord(number, inputs[one.day], inputs[one.day], _day_key(one.day, inputs[one.day]),
                    sum(one.keys.values()))
        for number, one in enumerate(days)
    )  # fmt: skip
    return Snapshot(
        stage=LOOKS,
        settings=workspace.spec.digest,
        shards=shards,
        counts={
            "days": len(days),
            "keys": sum(shard.rows for shard in shards),
            "misassigned": sum(one.misassigned for one in days),
            "wrong_lines": sum(one.wrong_lines for one in days),
        },
        details={"state": str(conclusion.state), "why": conclusion.why},
    )


def read_conclusion(workspace: Workspace) -> tuple[Snapshot, list[DayTally], Conclusion]:
    """What the last looks say, from what is stored.

    Raises:
        EvidenceError: nothing was looked at yet.
    """
    head = workspace.require_head(LOOKS)
    days = [_read_day(workspace, shard.path) for shard in head.shards]
    return head, days, conclude(workspace.spec, days)

"""The stage `ledger`: each day of the month summed once, and again when a note came late."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from platform_pipelines.core.cost.days import DaySums, day_from_record, day_sums
from platform_pipelines.core.cost.ledger import Answer, NodeTime, node_lines, token_lines
from platform_pipelines.core.cost.node_time import parse_nodes, seconds_by_use
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.cost.days import days_up_to_yesterday
from platform_pipelines.stages.cost.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.usage import FOLDER as USAGE
from platform_pipelines.stages.road.usage import read_usage

VERSION = "1"  # raise it when equal input would give other output
LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a day was made from."""

    day: date
    input: str
    node_files: tuple[str, ...]


def refresh_ledger(workspace: Workspace) -> StageOutcome:
    """Sum the days of yesterday's month up to yesterday.

    Raises:
        ConfigurationError: a model or an instance type has no price.
        IntegrityError: seconds of a node are missing or counted twice, or a note is damaged.
    """
    noted = [_noted(workspace, day) for day in days_up_to_yesterday(workspace)]
    head, version = workspace.head(LEDGER)
    wanted = {one.day.isoformat(): one.input for one in noted}
    known = {one.path: one.input for one in head.shards} if head is not None else {}
    if head is not None and known == {_key(day, made): made for day, made in wanted.items()}:
        days = [_read(workspace.store, one.path) for one in head.shards]
        return StageOutcome(head, is_changed=False, facts={"days": days})
    with workspace.writing(LEDGER, version) as held:
        days = [_summed(held, one) for one in noted]
        snapshot = _snapshot(workspace, noted, days)
        held.move_head(snapshot, version)
    changed = sum(_key(day, made) not in known for day, made in wanted.items())
    return StageOutcome.changed(snapshot, head, {"days_summed": changed}, {"days": days})


def _noted(workspace: Workspace, day: date) -> _Noted:
    usage = _listing(workspace.platform, f"{USAGE}/{day}")
    nodes = workspace.nodes
    files = _listing(nodes, "") if nodes is not None else {}
    mine = {key: version for key, version in files.items() if key.startswith(day.isoformat())}
    spec = workspace.spec
    hourly = {name: str(usd) for name, usd in workspace.hourly.items()}
    made = digest_json([spec.digest, hourly, usage, mine])
    return _Noted(day, made, tuple(sorted(mine)))


def _listing(store: ObjectStore, prefix: str) -> dict[str, str]:
    return {o.key: o.version for batch in store.list_objects(prefix) for o in batch}


def _summed(held: Workspace, noted: _Noted) -> DaySums:
    held.deadline.check(f"summing {noted.day}")
    key = _key(noted.day.isoformat(), noted.input)
    if held.store.exists(key):
        return _read(held.store, key)
    usage = read_usage(held.platform, noted.day)
    answers = [
        Answer(u.answer_id, u.tenant, u.model, u.run, u.input_tokens, u.output_tokens)
        for u in usage
    ]
    nodes = _nodes(held, noted)
    prices = {name: one.price for name, one in held.spec.models.items()}
    lines = token_lines(answers, prices) + node_lines(nodes, held.hourly)
    made = day_sums(
        noted.day.isoformat(), lines, answers=len(answers), seconds=seconds_by_use(nodes)
    )
    held.store.put(key, json.dumps(made.to_record(), ensure_ascii=False).encode())
    held.progress(f"{noted.day}: {made.total:.2f} $ of {len(answers):,} answers")
    return made


def _nodes(held: Workspace, noted: _Noted) -> list[NodeTime]:
    store = held.nodes
    found: list[NodeTime] = []
    for fetched in store.get_many(noted.node_files) if store is not None else ():
        if fetched.error is not None:
            raise fetched.error
        found += parse_nodes(fetched.data, where=fetched.key)
    return found


def _key(day: str, made: str) -> str:
    return f"days/{day}-{made}.json"


def _read(store: ObjectStore, key: str) -> DaySums:
    try:
        raw: Mapping[str, object] = json.loads(store.get(key)[0])
        return day_from_record(raw)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise IntegrityError(
            f"a stored day is damaged: {error!r}",
            where=f"{store.url}/{key}",
            remedy="delete it: the day is summed again",
        ) from error


def _snapshot(workspace: Workspace, noted: list[_Noted], days: list[DaySums]) -> Snapshot:
    shards = tuple(
        ShardRecord(one.day.day, one.input, one.input, _key(one.day.isoformat(), one.input),
                    summed.answers)
        for one, summed in zip(noted, days, strict=True)
    )  # fmt: skip
    return Snapshot(
        stage=LEDGER,
        settings=workspace.spec.digest,
        shards=shards,
        counts={"days": len(days), "answers": sum(shard.rows for shard in shards)},
        details={"month": noted[0].day.isoformat()[:7]},
    )

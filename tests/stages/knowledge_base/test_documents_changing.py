"""A document that is written while it is read: its released version stays until it can be read."""

from collections.abc import Iterable, Iterator

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import ConflictError
from platform_pipelines.gateways.object_store import Fetched, ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.documents import _Digests
from platform_pipelines.stages.knowledge_base.documents_plan import (
    ShardWork,
    plan_shard,
    write_shard,
)
from platform_pipelines.stages.knowledge_base.documents_worker import Reading
from platform_pipelines.stages.knowledge_base.tables import read_table, writing_beside
from tests.knowledge import Knowledge

EDITED, NEW = "guide1.md", "guide9.md"


class GrowingSource:
    """Every object changes while it is read."""

    def get_many(self, keys: Iterable[str]) -> Iterator[Fetched]:
        for key in keys:
            yield Fetched(key, error=ConflictError("the file changes while it is read", where=key))


def read_again(knowledge: Knowledge, listed: dict[str, str]) -> tuple[ShardWork, list[dict]]:
    """The shard after a run that listed these versions and could read none of them."""
    head, _ = knowledge.workspace().head("documents")
    assert head is not None
    (shard,) = head.shards
    digests = _Digests.of(knowledge.workspace())
    named = {"parsed": digests.parsed, "quarantined": digests.quarantined}
    sizes = {r["key"]: r["size_bytes"] for r in read_table(knowledge.store, shard.path).to_pylist()}
    given = {
        "shard": shard.shard, "path": f"documents/{shard.shard:04d}-next.parquet",
        "previous": shard.path, "again": [],
        "objects": [(key, version, sizes.get(key, 9)) for key, version in listed.items()],
    }  # fmt: skip
    work = plan_shard(knowledge.store, given, named)
    parse = knowledge.spec.parse.model_dump(mode="json")
    source: ObjectStore = GrowingSource()  # type: ignore[assignment]
    reading = Reading(source, [work], {"digests": named, "parse": parse, "people": {}})
    access = {"workers": 1, "parser_environment": knowledge.settings.parser_environment}
    (done,) = [step for step in reading.run(access) if isinstance(step, ShardWork)]
    with writing_beside(knowledge.store) as write:
        written = write_shard(knowledge.store, done, write)
    assert written is not None
    return done, read_table(knowledge.store, written["path"]).to_pylist()


def versions(knowledge: Knowledge) -> dict[str, str]:
    source = connect.open_source(knowledge.settings, knowledge.spec.source.url)
    listed: list[SourceObject] = [item for batch in source.list_objects() for item in batch]
    return {item.key: item.version for item in listed}


def test_a_live_document_keeps_its_version_and_a_new_one_waits(knowledge: Knowledge) -> None:
    """It drops out of nothing; its old version in the row has the next run read it."""
    knowledge = knowledge.declared(source={"url": "documents", "shards": 1})
    knowledge.run("documents")
    before = versions(knowledge)
    work, rows = read_again(knowledge, {**before, EDITED: "being written", NEW: "being written"})
    by_key = {row["key"]: row for row in rows}
    assert (by_key[EDITED]["state"], by_key[EDITED]["version"]) == ("parsed", before[EDITED])
    assert (by_key[NEW]["state"], by_key[NEW]["reason"]) == ("quarantined", "changing")
    assert work.counts["changing"] == 1
    assert {row["key"] for row in rows} == {*before, NEW}

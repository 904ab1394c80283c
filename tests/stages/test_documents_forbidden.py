"""Documents that could not be read for want of permission, and can be later."""

from dataclasses import replace

from platform_pipelines.core.documents import Reason
from platform_pipelines.core.snapshot import Snapshot, source_digest
from platform_pipelines.stages.documents import _Digests
from platform_pipelines.stages.tables import documents_schema, read_table, table_of, write_table
from platform_pipelines.stages.workspace import Workspace
from tests.knowledge import Knowledge, changed_stages

REFUSED = "guide1.md"


def as_if_refused(workspace: Workspace) -> Snapshot:
    """The head that a run leaves which was not allowed to read one document."""
    head, version = workspace.head("documents")
    assert head is not None
    shards = list(head.shards)
    for number, shard in enumerate(shards):
        rows = read_table(workspace.store, shard.path).to_pylist()
        for row in (r for r in rows if r["key"] == REFUSED):
            row |= {"state": "quarantined", "reason": str(Reason.FORBIDDEN), "document_digest": ""}
            row["blocks"], row["content_digest"] = "", ""
            row["parser_digest"] = _Digests.of(workspace).for_state("quarantined")
        write_table(workspace.store, shard.path, table_of(rows, documents_schema()))
        parsed = [(r["key"], r["document_digest"]) for r in rows if r["state"] == "parsed"]
        shards[number] = replace(shard, digest=source_digest(parsed))
    listed = [{"key": REFUSED, "reason": str(Reason.FORBIDDEN), "detail": "permission denied"}]
    refused = replace(head, shards=tuple(shards), details={**head.details, "quarantine": listed})
    workspace.move_head(refused, version)
    return refused


def test_a_permission_that_is_given_later_is_noticed(knowledge: Knowledge) -> None:
    """Neither the object nor its listing changes with it: only trying tells."""
    knowledge.run("documents")
    refused = as_if_refused(knowledge.workspace())
    outcome = knowledge.run("documents")
    assert outcome.changes["read_again"] == 1
    assert outcome.snapshot.details["quarantine"] == []
    assert outcome.snapshot.counts["parsed"] == 6
    assert outcome.snapshot.digest != refused.digest
    assert not knowledge.run("documents").is_changed


def test_the_run_after_it_answers_from_the_document(knowledge: Knowledge) -> None:
    """The whole job catches up, once."""
    knowledge.run("documents")
    as_if_refused(knowledge.workspace())
    knowledge.refresh()
    assert REFUSED in knowledge.found("What is the quota of pool number 1?")
    assert changed_stages(knowledge.refresh()) == []


def test_what_is_still_refused_is_no_change(knowledge: Knowledge) -> None:
    """Every scheduled run tries it: that must write nothing and wake no stage below."""
    (knowledge.documents / REFUSED).unlink()
    knowledge.run("documents")
    workspace = knowledge.workspace()
    head, version = workspace.head("documents")
    assert head is not None
    listed = [{"key": REFUSED, "reason": str(Reason.FORBIDDEN), "detail": "permission denied"}]
    workspace.move_head(replace(head, details={**head.details, "quarantine": listed}), version)
    before = knowledge.stored()
    assert not knowledge.run("documents").is_changed
    assert knowledge.stored() == before

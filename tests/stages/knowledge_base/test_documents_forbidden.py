"""Documents that could not be read for want of permission, and can be later."""

from dataclasses import replace

import pytest

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.core.road.snapshot import Snapshot, source_digest
from platform_pipelines.stages.knowledge_base.documents import _Digests
from platform_pipelines.stages.knowledge_base.documents_count import (
    MAX_LISTED_QUARANTINE,
    count_documents,
)
from platform_pipelines.stages.knowledge_base.tables import (
    documents_schema,
    read_table,
    table_of,
    write_table,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
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
            row["parser_digest"] = _Digests.of(workspace).quarantined
        write_table(workspace.store, shard.path, table_of(rows, documents_schema()))
        parsed = [(r["key"], r["document_digest"]) for r in rows if r["state"] == "parsed"]
        shards[number] = replace(shard, digest=source_digest(parsed))
    details, _ = count_documents(workspace.store, shards)
    refused = replace(head, shards=tuple(shards), details={**head.details, **details})
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


@pytest.mark.parametrize("is_old", [False, True])
def test_a_permission_is_noticed_beside_any_number_of_quarantined_documents(
    knowledge: Knowledge, is_old: bool
) -> None:
    """The list for people ends at 200: what was beyond it was never tried again."""
    knowledge = knowledge.declared(source={"url": "documents", "shards": 1})
    for number in range(MAX_LISTED_QUARANTINE):
        (knowledge.documents / f"a{number:03}.md").write_bytes(b" ")
    knowledge.run("documents")
    workspace = knowledge.workspace()
    head = as_if_refused(workspace)
    assert REFUSED not in [one["key"] for one in head.details["quarantine"]]
    if is_old:  # written before the keys were kept apart
        details = {k: v for k, v in head.details.items() if k != "forbidden"}
        workspace.move_head(replace(head, details=details), workspace.head("documents")[1])
    assert knowledge.run("documents").changes["read_again"] == 1
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
    details = {**head.details, "forbidden": [REFUSED]}
    workspace.move_head(replace(head, details=details), version)
    before = knowledge.stored()
    assert not knowledge.run("documents").is_changed
    assert knowledge.stored() == before

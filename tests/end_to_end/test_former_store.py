"""A store of a former version is refreshed, searched and rolled back by this one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_pipelines.errors import UnknownNameError
from tests.conftest import stop_local_milvus
from tests.formats import FORMATS, records, restored
from tests.knowledge import Knowledge, changed_stages, guide

pytestmark = pytest.mark.end_to_end
WRITTEN = ("heads", "revisions", "evidence", "releases")


@pytest.fixture(params=FORMATS)
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Knowledge]:
    """As the former version left it, Milvus files and all."""
    knowledge = restored(tmp_path, request.param)
    yield knowledge
    stop_local_milvus(knowledge.settings.milvus_dir)


@pytest.fixture(params=FORMATS)
def without_vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Knowledge]:
    """Its object store alone, beside an empty vector store."""
    knowledge = restored(tmp_path, request.param, milvus=False)
    yield knowledge
    stop_local_milvus(knowledge.settings.milvus_dir)


def rewritten(knowledge: Knowledge) -> list[str]:
    """Of what a digest names: what is not to the letter what the former version wrote."""
    return [
        key
        for folder in ("revisions", "evidence", "releases")
        for key, data in records(folder).items()
        if knowledge.store.get(key)[0] != data
    ]


def test_a_former_store_is_searched_refreshed_and_rolled_back(former: Knowledge) -> None:
    """Nothing is embedded for an upgrade, and nothing that was written is changed.

    Documents are read and cut by newer code since (parser and chunker 3): they are read again, and
    what says the same has its vector. So what was rolled back from is another revision now.
    """
    first, second, back = former.log()
    assert former.found("What is the quota of pool number 4?")[0] == "guide4.md"
    assert former.found("What is the quota of pool number 10?")[0] != "guide10.md"
    outcomes = former.refresh()
    assert outcomes["vectors"].changes["embedded"] == 0
    assert outcomes["index"].changes["deleted"] == 0
    assert outcomes["evidence"].snapshot.details["evaluation"] != "4"
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert changed_stages(former.refresh()) == []
    *before, upgraded = former.log()
    assert before == [first, second, back]
    assert (upgraded.previous_target, upgraded.previous_digest) == (back.target, back.digest)
    assert former.found("What is the quota of pool number 10?")[0] == "guide10.md"
    again = former.roll_back(to_revision=second.revision)
    assert (again.target, again.previous_target) == (second.target, upgraded.target)
    assert again.previous_digest == upgraded.digest
    assert former.found("What is the quota of pool number 10?")[0] == "guide10.md"
    assert former.roll_back(to_revision=first.revision).revision == first.revision
    assert former.found("What is the quota of pool number 10?")[0] != "guide10.md"
    assert rewritten(former) == []


def test_a_former_store_goes_on_with_new_documents(former: Knowledge) -> None:
    """The next release of this version follows those of the former one in one log."""
    (former.documents / "guide11.md").write_text(guide(11), encoding="utf-8")
    outcomes = former.refresh()
    assert outcomes["vectors"].changes["embedded"] == 1
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert former.found("What is the quota of pool number 11?")[0] == "guide11.md"
    log = former.log()
    assert [e.format for e in log] == [2] * 4  # as they are read
    assert [e.stored.get("format") for e in log] == [None, None, None, 2]
    assert former.roll_back().revision == log[0].revision
    assert changed_stages(former.refresh()) == []
    assert rewritten(former) == []


def test_a_former_store_without_its_vector_store_is_filled_again(
    without_vectors: Knowledge,
) -> None:
    """What is live, and the candidate, are built from the store's files; nothing is embedded.

    Rollback goes to collections that exist: to those two, and to no other revision.
    """
    former = without_vectors
    first, second, _ = former.log()
    with pytest.raises(UnknownNameError, match="none"):
        former.roll_back(to_revision=second.revision)
    outcomes = former.refresh()
    assert outcomes["vectors"].changes["embedded"] == 0
    assert former.found("What is the quota of pool number 4?")[0] == "guide4.md"
    upgraded = former.log()[-1]
    assert set(former.collections()) == {first.target, upgraded.target}
    assert former.found("What is the quota of pool number 10?")[0] == "guide10.md"
    assert former.roll_back(to_revision=first.revision).target == first.target
    assert former.found("What is the quota of pool number 10?")[0] != "guide10.md"
    with pytest.raises(UnknownNameError, match="no such revision"):
        former.roll_back(to_revision=second.revision)
    assert rewritten(former) == []


@pytest.mark.parametrize("folder", WRITTEN)
def test_the_fixture_is_what_it_was(folder: str) -> None:
    """A fixture that is made again by today's code proves nothing."""
    for key, data in records(folder).items():
        record = json.loads(data)
        record = record["entry"] if folder == "releases" else record
        assert record.get("format") == (1 if folder == "revisions" else None), key
        assert "written_by" not in record

"""A small change recycles a collection that nobody reads, and nobody can tell from the answers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.slots import SlotState
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.vector_store import CollectionSpec, Row
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.layers import base_of
from platform_pipelines.stages.knowledge_base.live import open_live
from platform_pipelines.stages.knowledge_base.slots import read_slot, read_slots
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from platform_pipelines.stages.road.outcome import StageOutcome
from tests.end_to_end.killing import AFTER, HALFWAY, killed_at
from tests.knowledge import Knowledge, changed_stages, guide, new_knowledge, settings_under
from tests.servers.milvus_server import milvus_server

pytestmark = pytest.mark.end_to_end
KEEP = 2
# So few documents, of which each change replaces some: the default would soon build afresh.
DECLARED = {"release": {"keep": KEEP}, "index": {"max_dead_share": 0.9}}
GUIDES = range(20)
SHARDED = ("documents", "chunks", "vectors")
QUESTIONS = ("quota of pool number 3", "구역4 장애 보고서", "walrus")
MOST_WRITES = 80

Make = Callable[..., Knowledge]
Content = dict[str, list[str]]


def edit(knowledge: Knowledge, number: int) -> None:
    """Two documents change, one comes and one goes."""
    for changed in (0, 1):
        text = guide(changed, note=f"Note {number} about walrus{number}.")
        (knowledge.documents / f"guide{changed}.md").write_text(text, encoding="utf-8")
    (knowledge.documents / f"new{number}.md").write_text(guide(100 + number), encoding="utf-8")
    (knowledge.documents / f"new{number - 1}.md").unlink(missing_ok=True)


def change(knowledge: Knowledge, number: int) -> StageOutcome:
    """Edit and refresh; what the index stage did."""
    edit(knowledge, number)
    return knowledge.refresh()["index"]


def results(knowledge: Knowledge) -> list[list[tuple[str, str, str, float]]]:
    found = knowledge.search(*QUESTIONS)
    return [[(h.chunk_id, h.title, h.citation, round(h.score, 5)) for h in hits] for hits in found]


def lists(knowledge: Knowledge) -> list[list[tuple[float, str, str, str]]]:
    """The nearest chunks of each question with their scores; equal scores in one order."""
    found: list[list[tuple[float, str, str, str]]] = []
    with open_live(knowledge.settings, knowledge.name, knowledge.progress.append) as live:
        store, target = live.retriever.store, live.retriever.target
        vectors = live.retriever.embed(QUESTIONS)
        both = store.search_dense(target, vectors, k=50, tenant="default", strong=True)
    for hits in both:
        rows = [(-round(h.score, 4), h.chunk_id, h.title, h.place) for h in hits]
        found.append(sorted(rows))
    return found


def words(knowledge: Knowledge) -> list[list[tuple[float, str, str, str]]]:
    """What the keywords of each question find, with scores; equal scores in one order."""
    with knowledge.vectors() as store:
        asked = [" ".join(keyword_tokens(text)) for text in QUESTIONS]
        target = knowledge.log()[-1].target
        found = store.search_keywords(target, asked, k=500, tenant="default", strong=True)
    return [sorted((-round(h.score, 4), h.chunk_id, h.title, h.place) for h in f) for f in found]


def held(knowledge: Knowledge, collections: set[str]) -> Content:
    with knowledge.vectors() as store:
        return {one: sorted(store.chunk_ids(one)) for one in sorted(collections)}


def kept(knowledge: Knowledge) -> set[str]:
    """The collections of the releases that can be rolled back to, and of the live one."""
    workspace = knowledge.workspace()
    with knowledge.vectors() as store:
        return read_slots(workspace, store).kept(knowledge.log(), KEEP)


def built_anew(knowledge: Knowledge, folder: Path) -> Knowledge:
    """The same documents, never changed."""
    fresh = new_knowledge(folder / "kb", replace_home(knowledge.settings, folder))
    for path in fresh.documents.iterdir():
        path.unlink()
    for path in knowledge.documents.iterdir():
        (fresh.documents / path.name).write_bytes(path.read_bytes())
    fresh.refresh()
    return fresh


def replace_home(settings: Settings, folder: Path) -> Settings:
    return replace(settings, home=folder / "home", store_url=(folder / "home" / "store").as_uri())


@pytest.fixture
def turning(make_knowledge: Make) -> Knowledge:
    """Recycling has begun: keep + 2 changes."""
    knowledge = make_knowledge(guides=GUIDES, **DECLARED)
    for number in range(KEEP + 2):
        change(knowledge, number)
    return knowledge


def test_after_keep_and_one_fresh_builds_each_change_recycles(make_knowledge: Make) -> None:
    """The work follows the change, and the collections do not become more."""
    knowledge = make_knowledge(guides=GUIDES, **DECLARED)
    for number in range(KEEP + 1):
        outcome = change(knowledge, number)
        assert "built afresh: no collection is spare yet" in outcome.snapshot.details["built"]
        assert outcome.changes["inserted"] == outcome.snapshot.counts["rows"]
    before = set(knowledge.collections())
    for number in range(KEEP + 1, KEEP + 5):
        outcome = change(knowledge, number)
        assert "recycled" in outcome.snapshot.details["built"]
        assert 0 < outcome.changes["inserted"] < outcome.snapshot.counts["rows"]
        assert outcome.changes["deleted"] > 0
        assert set(knowledge.collections()) == before
        assert any(
            line.startswith(f"index: {outcome.changes['inserted']} inserted")
            for line in knowledge.progress
        )
    assert changed_stages(knowledge.refresh()) == []


def test_a_recycled_index_answers_as_one_that_was_built_anew(
    turning: Knowledge, tmp_path: Path
) -> None:
    """The same ids, and by vectors and by keywords the same rows with the same scores."""
    fresh = built_anew(turning, tmp_path / "fresh")
    assert turning.chunk_ids() == fresh.chunk_ids()
    assert lists(turning) == lists(fresh)
    assert words(turning) == words(fresh)


def contents(knowledge: Knowledge) -> dict[str, list[dict[str, object]]]:
    """All that the shards of each stage hold, but for versions, which say when a file was put."""
    found: dict[str, list[dict[str, object]]] = {}
    for stage in SHARDED:
        head, _ = knowledge.workspace().head(stage)
        assert head is not None
        tables = [read_table(knowledge.store, shard.path) for shard in head.shards]
        rows = (row for table in tables for row in table.to_pylist())
        found[stage] = [{name: row[name] for name in row if name != "version"} for row in rows]
    return found


def layers(knowledge: Knowledge) -> list[str]:
    """The shard files that hold what is new, and stand on another one."""
    heads = (knowledge.workspace().head(stage)[0] for stage in SHARDED)
    return [s.path for head in heads if head for s in head.shards if base_of(s.path)]


def test_a_small_change_writes_what_is_new_and_reads_as_if_all_was_written(
    turning: Knowledge, tmp_path: Path
) -> None:
    """In every stage; what is written is the change, what is read is everything."""
    assert {path.split("/")[0] for path in layers(turning)} == set(SHARDED)
    fresh = built_anew(turning, tmp_path / "fresh")
    assert not layers(fresh)
    assert contents(turning) == contents(fresh)


def test_a_whole_file_below_new_rows_that_is_gone_is_made_again(turning: Knowledge) -> None:
    """A person deletes a damaged file, as its error says; the next run reads it no more."""
    before = contents(turning)
    for stage in SHARDED:
        path = next(path for path in layers(turning) if path.startswith(stage))
        turning.store.delete([str(base_of(path))])
        turning.refresh(end="vectors")
        assert contents(turning) == before, stage


@pytest.mark.parametrize("stage", SHARDED)
def test_a_small_change_killed_at_any_write_converges(
    turning: Knowledge, tmp_path: Path, stage: str
) -> None:
    """What was written is taken up by its name, or written again: never the half of it."""
    for at in range(1, MOST_WRITES):
        edit(turning, 100 + at)
        if stage != "documents":
            turning.refresh(end=STAGES[STAGES.index(stage) - 1])
        died = killed_at(turning, stage, at, AFTER)
        if at % 3 == 0:  # something else is wanted by now
            edit(turning, 200 + at)
        turning.refresh(end="vectors")
        if not died:
            break
    else:
        pytest.fail("it never came to its end")
    assert layers(turning)
    fresh = built_anew(turning, tmp_path / "fresh")
    assert contents(turning) == contents(fresh)
    turning.refresh()
    assert turning.chunk_ids() == fresh.chunk_ids()


def test_a_new_title_is_shown_though_no_chunk_has_another_id(
    turning: Knowledge, tmp_path: Path
) -> None:
    """An id covers the text, not its title, headings and page: such rows are changed as well."""
    path = turning.documents / "guide3.md"
    before = turning.chunk_ids()
    path.write_text(path.read_text("utf-8").replace("# Guide 3", "# Handbook 3"), "utf-8")
    outcome = turning.refresh()["index"]
    assert "recycled" in outcome.snapshot.details["built"]
    assert set(before) & set(turning.chunk_ids())
    hits = turning.search("quota of pool number 3", k=50)[0]
    titles = {h.title for h in hits if h.document_key == "guide3.md"}
    assert titles == {"Handbook 3"}
    fresh = built_anew(turning, tmp_path / "fresh")
    assert lists(turning) == lists(fresh)
    assert words(turning) == words(fresh)


def test_what_was_recycled_is_no_way_back(turning: Knowledge) -> None:
    """The log names its collection still; it holds another revision by now."""
    entries = turning.log()
    turning.roll_back()
    assert turning.log()[-1].revision == entries[-2].revision
    assert "walrus2" in str(turning.search("walrus2", k=50)[0])
    with pytest.raises(UnknownNameError):
        turning.roll_back(to_revision=entries[0].revision)
    with pytest.raises(UnknownNameError):
        turning.roll_back()


def test_the_spare_is_unloaded_and_the_kept_ones_are_not_touched(turning: Knowledge) -> None:
    """A spare takes no memory of the server."""
    stays = kept(turning)
    (spare,) = set(turning.collections()) - stays
    slot = read_slot(turning.workspace(), spare)
    assert slot is not None
    assert slot.state is SlotState.SPARE
    with turning.behind() as client:
        assert client.get_load_state(spare)["state"].name == "NotLoad"
    before = held(turning, stays)
    edit(turning, 50)
    turning.refresh(end="index")
    assert held(turning, stays) == before


def test_a_candidate_that_was_not_released_is_recycled_for_the_next_one(
    make_knowledge: Make,
) -> None:
    """It is nobody's way back, and differs least."""
    knowledge = make_knowledge(guides=GUIDES, **DECLARED)
    change(knowledge, 0)
    edit(knowledge, 1)
    first = knowledge.refresh(end="index")["index"].snapshot.details
    outcome = change(knowledge, 2)
    assert outcome.snapshot.details["built"].endswith(f"recycled {first['collection']}")
    assert knowledge.log()[-1].target == first["collection"]


def test_too_many_deleted_rows_or_another_index_build_afresh(turning: Knowledge) -> None:
    """The run says why."""
    other = turning.declared(index={"max_dead_share": 0.0})
    edit(other, 20)
    built = other.refresh()["index"].snapshot.details["built"]
    assert "deleted rows (index.max_dead_share)" in built
    other = turning.declared(index={"metric": "IP"})
    edit(other, 21)
    built = other.refresh()["index"].snapshot.details["built"]
    assert "another index, embedder, tenant or shards" in built
    assert other.found("walrus21")


def foreign_row() -> Row:
    """Of another platform's collection, whose name looks like ours."""
    vector = np.ones(4, dtype=np.float32)
    return Row("f" * 32, "theirs.md", "default", "theirs", "", "{}", "en", "markdown", "", vector)


def kill_points() -> Iterator[tuple[int | str, str]]:
    yield from (("delete", HALFWAY), ("insert", HALFWAY))
    yield from ((at, AFTER) for at in range(1, MOST_WRITES))


def test_a_recycling_build_killed_at_any_write_converges(tmp_path: Path, lite_uri: str) -> None:
    """Readers are answered, every kept revision stays as it is, and so does what is another's."""
    settings = settings_under(tmp_path / "home", lite_uri, workers=1, lease_wait_seconds=5)
    knowledge = new_knowledge(tmp_path / "kb", settings, guides=GUIDES, **DECLARED)
    for number in range(KEEP + 2):
        change(knowledge, number)
    foreign = f"kb_{knowledge.name}__foreign"
    foreign_spec = CollectionSpec(foreign, 4, "COSINE", "FLAT", keyword=False)
    with knowledge.vectors() as store:
        store.create(foreign_spec, owner="other")
        store.insert(foreign, [foreign_row()])
        store.seal(foreign_spec, timeout_seconds=60)
    recycled = 0
    for number, (at, how) in enumerate(kill_points(), start=KEEP + 2):
        point = f"{how} write {at}"
        edit(knowledge, number)
        knowledge.refresh(end="vectors")
        stays, answers = kept(knowledge), results(knowledge)
        before = held(knowledge, stays)
        died = killed_at(knowledge, "index", at, how)
        assert results(knowledge) == answers, point
        assert held(knowledge, stays) == before, point
        if number % 3 == 0:  # something else is wanted by now
            edit(knowledge, 1000 + number)
        outcome = knowledge.refresh()["index"]
        recycled += "recycled" in str(outcome.snapshot.details["built"])
        wanted = f"walrus{1000 + number if number % 3 == 0 else number}"
        assert wanted in str(knowledge.search(wanted, k=50)[0]), point
        assert len(knowledge.chunk_ids()) == outcome.snapshot.counts["rows"], point
        assert len(set(knowledge.collections())) <= KEEP + 3, point
        if not died:
            break
    else:
        pytest.fail("it never came to its end")
    assert held(knowledge, {foreign}) == {foreign: [foreign_row().chunk_id]}
    assert recycled >= 10
    assert changed_stages(knowledge.refresh()) == []


@pytest.mark.server
def test_a_milvus_server_recycles_as_well(tmp_path: Path) -> None:
    """Deletes, inserts and seals of another kind; no keywords there."""
    settings = settings_under(tmp_path / "home", milvus_server(), workers=1)
    knowledge = new_knowledge(tmp_path / "kb", settings, guides=GUIDES, **DECLARED)
    for number in range(KEEP + 1):
        change(knowledge, number)
    for number in range(KEEP + 1, KEEP + 3):
        outcome = change(knowledge, number)
        assert "recycled" in outcome.snapshot.details["built"]
        assert len(knowledge.chunk_ids()) == outcome.snapshot.counts["rows"]
    fresh = built_anew(knowledge, tmp_path / "fresh")
    assert knowledge.chunk_ids() == fresh.chunk_ids()
    assert lists(knowledge) == lists(fresh)

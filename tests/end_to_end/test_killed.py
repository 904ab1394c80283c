"""Killed at any write, the next run ends where an undisturbed one would have."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from platform_pipelines.core.knowledge_base.revision import alias_name
from platform_pipelines.errors import TransientError, UnavailableError
from platform_pipelines.gateways.vector_store import CollectionSpec
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from tests.end_to_end.killing import (
    AFTER,
    HALFWAY,
    TASKS,
    Fuse,
    fused,
    fused_stores,
    fused_vectors,
    killed_at,
)
from tests.knowledge import (
    RUN,
    Knowledge,
    changed_stages,
    copied,
    guide,
    new_knowledge,
    settings_under,
)

pytestmark = pytest.mark.end_to_end
QUESTIONS = ("quota of pool number 3", "구역4 장애 보고서", "Zanzibar council", "pool number 50")
MOST_WRITES = 60

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared:
    """A release, changed documents, and the state before each stage of the next refresh."""

    before: dict[str, Knowledge]
    live: str  # the collection of the first release
    revision: str  # what the second release is
    found: list[list[tuple[str, float]]]

    @property
    def junk(self) -> str:
        """A candidate that was never released, for the release to collect."""
        return f"{self.live.rpartition('__')[0]}__abandoned"


def results(knowledge: Knowledge) -> list[list[tuple[str, float]]]:
    found = knowledge.search(*QUESTIONS)
    return [[(hit.chunk_id, round(hit.score, 6)) for hit in hits] for hits in found]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Prepared:
    folder = tmp_path_factory.mktemp("killed")
    home = folder / "first" / "home"
    settings = settings_under(home, lite_uri, workers=1, lease_wait_seconds=5)
    knowledge = new_knowledge(folder / "first" / "kb", settings)
    knowledge.refresh()
    live = knowledge.log()[-1].target
    (knowledge.documents / "guide0.md").unlink()
    changed = guide(1).replace("committee B1", "Zanzibar council")
    (knowledge.documents / "guide1.md").write_text(changed, encoding="utf-8")
    (knowledge.documents / "guide50.md").write_text(guide(50), encoding="utf-8")
    knowledge.store.put("chunks/0000-abandoned.parquet", b"of a run that was killed long ago")
    before: dict[str, Knowledge] = {}
    for stage in STAGES:
        before[stage] = copied(knowledge, folder / f"before-{stage}")
        knowledge.run(stage)
    revision = knowledge.log()[-1].revision
    return Prepared(before, live, revision, results(knowledge))


def restored(prepared: Prepared, stage: str, folder: Path) -> Knowledge:
    """The state before a stage, in the vector store too."""
    knowledge = copied(prepared.before[stage], folder)
    candidate = STAGES.index(stage) > STAGES.index("index")
    with knowledge.vectors() as store:
        store.point_alias(alias_name(knowledge.name), prepared.live)
        for collection in knowledge.collections():
            if collection != prepared.live and not candidate:
                store.drop(collection)
        if prepared.junk not in knowledge.collections():
            store.create(CollectionSpec(prepared.junk, 4, "COSINE", "FLAT", keyword=False))
    knowledge.store.put("revisions/abandoned.json", b"{}")  # the junk is of this store
    if candidate:
        knowledge.refresh(end="index")  # unchanged, or built again after a collection was dropped
    return knowledge


@dataclass
class Flaky(Fuse):
    """Fails some writes before and some after they landed, as a network does."""

    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.failures = 0

    def burn(
        self,
        write: Callable[[], Result],
        half: Callable[[], object] | None = None,
        *,
        name: str = "",
    ) -> Result:
        chance = self._random.random()
        if chance < 0.15:
            self.failures += 1
            raise UnavailableError("the answer did not come")
        done = write()
        if chance > 0.85:
            self.failures += 1
            raise UnavailableError("the answer to a write that landed was lost")
        return done


def points() -> Iterator[tuple[int, str]]:
    yield from itertools.product(range(1, MOST_WRITES), (HALFWAY, AFTER))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_at_any_write_is_made_whole_by_the_next_run(
    prepared: Prepared, stage: str, tmp_path: Path
) -> None:
    """SIGKILL halfway through and after each write: nothing is lost, doubled, or shown half-made.

    Between the release log and the alias is one of these points, the middle of an insert another.
    """
    deaths = 0
    for at, how in points():
        point = f"{stage}, {how} write {at}"
        knowledge = restored(prepared, stage, tmp_path / f"{at}-{how}")
        if not killed_at(knowledge, stage, at, how):
            if how == AFTER:
                break
            continue  # a write that is whole or not there at all
        deaths += 1
        assert results(knowledge), point  # whoever searches meanwhile is served
        knowledge.refresh()
        assert [e.target for e in knowledge.log()][:1] == [prepared.live], point
        assert [e.revision for e in knowledge.log()][1:] == [prepared.revision], point
        assert results(knowledge) == prepared.found, point
        assert changed_stages(knowledge.refresh()) == [], point
    assert deaths >= 4, deaths


def test_what_a_killed_release_left_behind_goes_with_the_next_one(
    prepared: Prepared, tmp_path: Path
) -> None:
    """Killed after the alias moved and before old collections went: no leak that stays."""
    knowledge = restored(prepared, "release", tmp_path / "left")
    assert killed_at(knowledge, "release", "point_alias", AFTER)
    knowledge.refresh()
    (knowledge.documents / "guide60.md").write_text(guide(60), encoding="utf-8")
    knowledge.refresh()
    assert prepared.junk not in knowledge.collections()
    assert "chunks/0000-abandoned.parquet" not in knowledge.stored("chunks")


@pytest.mark.parametrize("seed", range(3))
def test_writes_that_fail_now_and_then_are_tried_until_they_land(
    prepared: Prepared, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transient error of any write, landed or not, leaves something that a retry can finish."""
    knowledge = restored(prepared, STAGES[0], tmp_path / "flaky")
    # A lease that could not be given back runs out by itself, a minute later.
    flaky = Flaky(0, "", counts_leases=False, seed=seed)
    with monkeypatch.context() as patch:
        patch.setattr(connect, "vectors_of", fused_vectors(flaky))
        for module in TASKS:
            patch.setattr(module, "open_named", fused_stores(flaky))
        for stage in STAGES:
            for _ in range(MOST_WRITES):
                try:
                    RUN[stage](fused(knowledge.workspace(), flaky))
                    break
                except TransientError:
                    continue
    assert flaky.failures >= 5
    knowledge.refresh()
    assert [entry.revision for entry in knowledge.log()][1:] == [prepared.revision]
    assert results(knowledge) == prepared.found
    assert changed_stages(knowledge.refresh()) == []


def test_a_lost_index_whose_rebuilding_was_killed_is_whole_after_the_next_run(
    tmp_path: Path, lite_uri: str
) -> None:
    """All rows are in, nothing is indexed yet: counting them does not make it an index."""
    settings = settings_under(tmp_path / "home", lite_uri, workers=1, lease_wait_seconds=5)
    knowledge = new_knowledge(tmp_path / "kb", settings)
    knowledge.refresh()
    found = results(knowledge)
    with knowledge.behind() as client:
        client.drop_alias(alias_name(knowledge.name))
        for collection in knowledge.collections():
            client.drop_collection(collection)
    assert killed_at(knowledge, "index", "insert", AFTER)
    knowledge.refresh()
    assert results(knowledge) == found
    with knowledge.behind() as client:
        assert client.list_indexes(knowledge.log()[-1].target)
    assert changed_stages(knowledge.refresh()) == []


def test_a_half_built_index_of_content_that_is_gone_is_collected(knowledge: Knowledge) -> None:
    """Its record was written last: each kill that was followed by a change left a collection."""
    knowledge.refresh()
    (knowledge.documents / "guide50.md").write_text(guide(50), encoding="utf-8")
    knowledge.refresh(end="vectors")
    assert killed_at(knowledge, "index", "insert", HALFWAY)
    assert len(knowledge.collections()) == 2
    (knowledge.documents / "guide50.md").write_text(guide(51), encoding="utf-8")
    knowledge.refresh()
    assert knowledge.collections() == sorted(entry.target for entry in knowledge.log())

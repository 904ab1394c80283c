"""Releases, rollbacks, what is kept for them, and a pointer that somebody else moved."""

from collections.abc import Callable

import pytest

from platform_pipelines.core.knowledge_base.revision import alias_name
from platform_pipelines.core.road.releases import Action
from platform_pipelines.errors import ConflictError, UnknownNameError
from platform_pipelines.stages.knowledge_base.doctor import Health, examine
from platform_pipelines.stages.knowledge_base.revisions import revision_key
from platform_pipelines.stages.road import connect as road_connect
from tests.knowledge import Knowledge, changed_stages, guide

pytestmark = pytest.mark.end_to_end


def release(knowledge: Knowledge, number: int) -> str:
    """Change the first guide and refresh; the revision that is live then."""
    text = guide(0, note=f"Note {number} about walrus{number}.")
    (knowledge.documents / "guide0.md").write_text(text, encoding="utf-8")
    knowledge.refresh()
    return knowledge.log()[-1].revision


@pytest.fixture
def released(knowledge: Knowledge) -> tuple[Knowledge, list[str]]:
    """Three releases, oldest first."""
    return knowledge, [release(knowledge, number) for number in range(3)]


def pointed(knowledge: Knowledge) -> str | None:
    with knowledge.vectors() as store:
        return store.alias(alias_name(knowledge.name))


def test_rolling_back_twice_goes_further_back(released: tuple[Knowledge, list[str]]) -> None:
    """The second rollback must not return to what the first one rolled away from."""
    knowledge, revisions = released
    assert knowledge.found("walrus2")[0] == "guide0.md"
    knowledge.roll_back(reason="first")
    assert knowledge.log()[-1].revision == revisions[1]
    knowledge.roll_back(reason="second")
    live = knowledge.log()[-1]
    assert (live.revision, live.reason, live.action) == (revisions[0], "second", Action.ROLLBACK)
    assert pointed(knowledge) == live.target
    texts = "".join(hit.text for hit in knowledge.search("walrus", k=100)[0])
    assert "walrus0" in texts
    assert "walrus2" not in texts
    with pytest.raises(UnknownNameError):
        knowledge.roll_back()
    assert knowledge.log()[-1] == live


def test_a_refresh_does_not_undo_a_rollback(released: tuple[Knowledge, list[str]]) -> None:
    """The schedule runs an hour later on the same documents: the person's word stands."""
    knowledge, revisions = released
    knowledge.roll_back()
    outcomes = knowledge.refresh()
    assert outcomes["release"].snapshot.details["status"].startswith("held")
    assert knowledge.log()[-1].revision == revisions[1]
    assert pointed(knowledge) == knowledge.log()[-1].target
    assert changed_stages(knowledge.refresh()) == []


def test_a_rollback_is_lifted_when_somebody_allows_it(
    released: tuple[Knowledge, list[str]],
) -> None:
    """By a person, on the release asset; the log says so."""
    knowledge, revisions = released
    knowledge.roll_back()
    knowledge.refresh()
    outcome = knowledge.run("release", allow_rolled_back=True)
    assert outcome.is_changed
    entry = knowledge.log()[-1]
    assert (entry.revision, entry.action) == (revisions[2], Action.RELEASE)
    assert entry.reason == "allowed again"


def test_new_content_is_released_after_a_rollback(released: tuple[Knowledge, list[str]]) -> None:
    """The documents were corrected: nobody has to lift anything."""
    knowledge, revisions = released
    knowledge.roll_back()
    corrected = release(knowledge, 9)
    assert corrected not in revisions
    assert knowledge.log()[-1].action is Action.RELEASE
    assert knowledge.found("walrus9")[0] == "guide0.md"


def test_a_rollback_to_a_named_revision(released: tuple[Knowledge, list[str]]) -> None:
    """By the beginning of its digest; an unknown one lists the choices and changes nothing."""
    knowledge, revisions = released
    with pytest.raises(UnknownNameError) as caught:
        knowledge.roll_back(to_revision="no-such-revision")
    assert revisions[0] in str(caught.value)
    assert len(knowledge.log()) == 3
    assert knowledge.roll_back(to_revision=revisions[0][:12]).revision == revisions[0]
    assert pointed(knowledge) == knowledge.log()[-1].target


def test_a_rollback_that_was_done_is_not_done_again(
    released: tuple[Knowledge, list[str]],
) -> None:
    """A killed run that is tried again must not go one further back when the target is named."""
    knowledge, revisions = released
    knowledge.roll_back(to_revision=revisions[0])
    entry = knowledge.roll_back(to_revision=revisions[0])
    assert entry.revision == revisions[0]
    assert len(knowledge.log()) == 4


def test_the_last_k_releases_are_kept_and_older_ones_collected(
    make_knowledge: Callable[..., Knowledge],
) -> None:
    """Rollback needs the last K; everything else would fill the disk."""
    knowledge = make_knowledge(release={"keep": 2})
    for number in range(4):
        release(knowledge, number)
    entries = knowledge.log()
    assert len(entries) == 4
    kept = {entry.target for entry in entries[-2:]}
    (spare,) = set(knowledge.collections()) - kept  # what the next change is made of
    stages = ("documents", "chunks", "vectors")
    stored = {key for key in knowledge.stored() if key.endswith((".parquet", ".arrow"))}
    files = {key for key in stored if key.partition("/")[0] in stages}
    derived = stored - files  # in how many chunks words stand, and what a look through chunks found
    wanted: set[str] = set()
    for stage in stages:
        head, _ = knowledge.workspace().head(stage)
        assert head is not None
        wanted |= {shard.path for shard in head.shards}
    assert wanted <= files
    # Chunks and vectors of one more revision, and chunks of the spare: one shard each; and the
    # whole files that layers lie on.
    bases = {
        key.replace(key.rpartition("/")[2].split("-", 1)[1], key.split(".on-")[1])
        for key in files
        if ".on-" in key
    }
    bases = {key.replace(".arrow", ".parquet") for key in bases}
    assert bases <= files
    assert len(files - bases) <= len(wanted) + 3
    assert len(derived) <= 2 * len(wanted)
    assert all(revision_key(entry.revision) in knowledge.stored() for entry in entries)
    knowledge.roll_back()
    assert knowledge.found("walrus2")[0] == "guide0.md"
    with pytest.raises(UnknownNameError):
        knowledge.roll_back()
    assert spare in knowledge.collections()


def test_a_retried_rollback_goes_back_once(released: tuple[Knowledge, list[str]]) -> None:
    """The alias could not be moved after the log was written: the retry ends that rollback."""
    knowledge, _ = released
    first = knowledge.roll_back(run_id="one")
    assert knowledge.roll_back(run_id="one") == first
    with knowledge.behind() as client:
        client.drop_alias(alias_name(knowledge.name))
    assert knowledge.roll_back(run_id="another, after a kill") == first
    assert pointed(knowledge) == first.target


@pytest.mark.parametrize("drift", ["elsewhere", "gone"])
def test_the_next_run_points_a_moved_alias_right(
    released: tuple[Knowledge, list[str]], drift: str
) -> None:
    """The log is the truth and the alias its projection, whoever touched it."""
    knowledge, _ = released
    entries = knowledge.log()
    with knowledge.behind() as client:
        if drift == "elsewhere":
            client.alter_alias(entries[0].target, alias_name(knowledge.name))
        else:
            client.drop_alias(alias_name(knowledge.name))
    found = {one.part: one for one in examine(knowledge.settings)}[knowledge.name]
    assert found.health is Health.BROKEN
    assert f"{knowledge.name}_refresh" in found.remedy
    assert changed_stages(knowledge.refresh()) == []
    assert "pointed" in knowledge.progress[-1]
    assert pointed(knowledge) == entries[-1].target
    assert knowledge.log() == entries
    assert changed_stages(knowledge.refresh()) == []


def test_a_vector_store_that_lost_everything_is_filled_again(
    released: tuple[Knowledge, list[str]],
) -> None:
    """A deleted Milvus volume costs one refresh: nothing is parsed or embedded again."""
    knowledge, _ = released
    entries = knowledge.log()
    with knowledge.behind() as client:
        client.drop_alias(alias_name(knowledge.name))
        for collection in knowledge.collections():
            client.drop_collection(collection)
    outcomes = knowledge.refresh()
    assert changed_stages(outcomes) == ["index", "release"]
    assert pointed(knowledge) == entries[-1].target
    assert knowledge.found("walrus2")[0] == "guide0.md"


def test_of_two_releases_at_once_one_is_recorded(released: tuple[Knowledge, list[str]]) -> None:
    """The log is append-only by compare-and-swap: the loser plans again."""
    knowledge, revisions = released
    log = road_connect.release_log(knowledge.store, knowledge.name)
    first = knowledge.roll_back(to_revision=revisions[0])
    with pytest.raises(ConflictError):
        log.append(type(first)(**{**_record(first), "revision": revisions[1]}))
    assert log.entries()[-1] == first


def _record(entry: object) -> dict[str, object]:
    from dataclasses import fields

    return {field.name: getattr(entry, field.name) for field in fields(entry)}  # type: ignore[arg-type]

"""Two platforms on one vector store: nothing of the other one is adopted, changed or dropped."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.errors import OwnershipError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.knowledge_base.doctor import Health, examine
from platform_pipelines.stages.road.ownership import known_identity, take_identity
from tests.knowledge import Knowledge, changed_stages, guide, settings_under

pytestmark = pytest.mark.end_to_end

Content = dict[str, list[str]]


def elsewhere(knowledge: Knowledge, folder: Path, *, with_store: bool) -> Knowledge:
    """The same declaration and documents in a platform of its own, on the same vector store."""
    shutil.copytree(knowledge.folder, folder / "kb")
    there = settings_under(folder / "home", knowledge.settings.milvus_uri, workers=1)
    if with_store:
        shutil.copytree(knowledge.settings.home, there.home)
    return replace(knowledge, folder=folder / "kb", settings=there)


def content(knowledge: Knowledge) -> Content:
    """Every collection of that name in the vector store, whoever made it, and the alias."""
    with knowledge.vectors() as store:
        held = {one: sorted(store.chunk_ids(one)) for one in knowledge.collections()}
        return {**held, "alias": [str(store.alias(knowledge.workspace().alias))]}


def edit(knowledge: Knowledge, number: int) -> None:
    text = guide(0, note=f"Note {number} about walrus{number}.")
    (knowledge.documents / "guide0.md").write_text(text, encoding="utf-8")


def owner(knowledge: Knowledge) -> str:
    identity = known_identity(knowledge.settings)
    assert identity is not None
    return identity.owner


@pytest.mark.parametrize("changed", [False, True], ids=["equal content", "other content"])
def test_a_platform_of_the_same_name_is_refused_at_build_with_both_owners_named(
    knowledge: Knowledge, tmp_path: Path, changed: bool
) -> None:
    """Equal content was adopted, and staging then dropped production's live collection."""
    knowledge.refresh()
    before = content(knowledge)
    other = elsewhere(knowledge, tmp_path / "other", with_store=False)
    if changed:
        edit(other, 1)
    with pytest.raises(OwnershipError) as refused:
        other.refresh()
    assert owner(knowledge) in str(refused.value)
    assert owner(other) in str(refused.value)
    assert "index.prefix" in str(refused.value)
    assert content(knowledge) == before


def test_a_collection_that_is_not_released_yet_is_not_adopted_either(
    knowledge: Knowledge, tmp_path: Path
) -> None:
    """There is no alias yet that would tell."""
    knowledge.refresh(end="index")
    other = elsewhere(knowledge, tmp_path / "other", with_store=False)
    with pytest.raises(OwnershipError) as refused:
        other.refresh()
    assert owner(knowledge) in str(refused.value)
    knowledge.refresh()
    assert knowledge.found("quota of pool number 3")[0] == "guide3.md"


def test_two_platforms_are_kept_apart_by_a_declared_prefix(
    knowledge: Knowledge, tmp_path: Path
) -> None:
    """Each has its own collections and its own alias, and each searches its own."""
    knowledge.refresh()
    before = content(knowledge)
    other = elsewhere(knowledge, tmp_path / "other", with_store=False)
    other = other.declared(index={"prefix": "staging"})
    for number in range(6):  # enough to collect and to recycle
        edit(other, number)
        other.refresh()
    assert content(knowledge) == before
    assert other.found("walrus5")[0] == "guide0.md"
    assert not any("walrus" in hit.text for hit in knowledge.search("walrus5")[0])
    assert other.log()[-1].target.startswith("staging_")
    assert changed_stages(knowledge.refresh()) == []


def test_a_restored_backup_beside_the_original_drops_and_adopts_nothing_of_it(
    knowledge: Knowledge, tmp_path: Path
) -> None:
    """Its log and its revisions name the original's collections."""
    for number in range(3):
        edit(knowledge, number)
        knowledge.refresh()
    before = content(knowledge)
    backup = elsewhere(knowledge, tmp_path / "backup", with_store=True)
    edit(backup, 9)
    with pytest.raises(OwnershipError, match="copy of another one"):
        backup.refresh()
    found = {one.part: one for one in examine(backup.settings)}["store identity"]
    assert found.health is Health.BROKEN
    assert "store identity --new" in found.remedy
    take_identity(backup.settings, SystemClock(), moved=False)
    with pytest.raises(OwnershipError, match="another platform"):
        backup.refresh()
    assert content(knowledge) == before
    apart = backup.declared(index={"prefix": "restored"})
    for number in range(9, 15):
        edit(apart, number)
        apart.refresh()
    assert content(knowledge) == before
    assert apart.found("walrus14")[0] == "guide0.md"
    assert changed_stages(knowledge.refresh()) == []


def test_a_store_of_an_earlier_version_gets_an_identity_and_keeps_its_collections(
    knowledge: Knowledge,
    make_knowledge: Callable[..., Knowledge],
) -> None:
    """What has no mark and stands in its records is its own: it is collected as before."""
    knowledge.refresh()
    first = knowledge.log()[-1].target
    with knowledge.behind() as client:
        client.drop_collection_properties(first, ["platform_pipelines.owner"])
    with knowledge.vectors() as store:
        assert store.owner(first) is None
    for number in range(6):
        edit(knowledge, number)
        knowledge.refresh()
    assert knowledge.found("walrus5")[0] == "guide0.md"
    with knowledge.vectors() as store:
        assert first not in store.collections("") or list(store.chunk_ids(first))

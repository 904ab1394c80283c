"""A rollout whose controller is killed at an external write: the next one ends as if it was not.

The store is the real local one; servers, gateway and registry are the small world's, where a write
that is killed in its middle was done and its answer lost. With real MLflow: tests/models.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from platform_pipelines.core.model_rollout.machine import Phase, Rollout
from platform_pipelines.stages.road.connect import release_log
from tests.kill_points import WHEN, Killed, KillPoints, killed_at_the_store
from tests.stages.model_rollout.fake_world import Side
from tests.stages.model_rollout.town import (
    NEW,
    RIGHT,
    Town,
    must_be_promoted,
    must_be_rolled_back,
)

MakeTown = Callable[..., Town]

# One of each kind of write, by the beginning of its name; who meets it: a good or a bad candidate.
GOOD_WRITES = (
    "start", "route", "put rollout.json", "put evidence/", "put releases/",
    "set_alias assistant champion", "delete_alias assistant candidate", "stop",
)  # fmt: skip
BAD_WRITES = ("put rollout.json", "route", "stop", "delete_alias assistant candidate")


def life(town: Town, points: KillPoints, patch: pytest.MonkeyPatch) -> Rollout | None:
    """One controller's, to the end of the rollout or to its own."""
    with killed_at_the_store(points, patch):
        try:
            return town.controller_with(points).run()
        except Killed:
            return None


def converges(
    make: MakeTown, points: KillPoints, patch: pytest.MonkeyPatch, bad: Side | None
) -> None:
    """Killed there, then run again."""
    town = make(replace(bad) if bad else None)
    assert life(town, points, patch) is None, f"no write {points.kind!r} in {points.made}"
    assert points.hit, f"no write `{points.kind}` number {points.number}: {points.made}"
    ended = town.controller().run()
    if ended is None:  # everything was written: what is stored says how it ended
        ended, _ = town.controller().read()
    (must_be_rolled_back if bad else must_be_promoted)(town, ended)
    entries = release_log(town.workspace.store, "assistant").entries()
    assert [entry.target for entry in entries] == ([] if bad else [NEW])


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("kind", GOOD_WRITES)
def test_a_promotion_that_is_killed_at_a_write_is_ended_by_the_next_run(
    make_town: MakeTown, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    """Released once, everybody on the new one, the old one ended."""
    converges(make_town, KillPoints(kind, when=when), monkeypatch, None)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("kind", BAD_WRITES)
def test_a_rollback_that_is_killed_at_a_write_is_ended_by_the_next_run(
    make_town: MakeTown, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    """Nothing released, everybody on the old one."""
    number = {"put rollout.json": 2, "route": 2}.get(kind, 0)  # those of the way back
    points = KillPoints(kind, number, when)
    converges(make_town, points, monkeypatch, Side(RIGHT, errors=0.5))


@pytest.mark.long
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("bad", [None, Side(RIGHT, errors=0.5), Side({})])
def test_a_rollout_is_killed_at_every_write(
    make_town: MakeTown, monkeypatch: pytest.MonkeyPatch, bad: Side | None, when: str
) -> None:
    """All of them, one after the other."""
    undisturbed = KillPoints()
    town = make_town(replace(bad) if bad else None)
    ended = life(town, undisturbed, monkeypatch)
    assert ended is not None
    assert ended.phase is (Phase.ROLLED_BACK if bad else Phase.PROMOTED)
    for number in range(len(undisturbed.made)):
        converges(make_town, KillPoints("", number, when), monkeypatch, bad)

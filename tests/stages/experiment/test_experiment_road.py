"""An experiment from observations to a promoted winner, or to a candidate that is taken away."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.experiment.verdict import State
from platform_pipelines.core.road.verdicts import Status
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.experiment.looks import refresh_looks
from platform_pipelines.stages.experiment.verdict import (
    ASSIGNMENT,
    refresh_verdict,
    roll_back_verdict,
)
from platform_pipelines.stages.experiment.workspace import Workspace, open_workspace
from tests.experiments import START, declared, write_days
from tests.knowledge import settings_under


class DayClock(SystemClock):
    """The morning after so many days."""

    def __init__(self, days: int) -> None:
        self._days = days

    def now(self) -> datetime:
        return datetime(START.year, START.month, START.day, 6, tzinfo=UTC) + timedelta(
            days=self._days
        )


@dataclass
class Lab:
    """A folder of observations and the platform's store beside it."""

    folder: Path

    @property
    def observations(self) -> Path:
        return self.folder / "observations"

    def workspace(self, days: int, **changes: Any) -> Workspace:
        spec = declared(self.observations.as_uri(), **changes)
        made = open_workspace(spec, settings_under(self.folder / "home", None), run_id=f"day{days}")
        return replace(made, clock=DayClock(days))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def assignment(workspace: Workspace) -> dict[str, Any]:
    return json.loads(workspace.store.get(ASSIGNMENT)[0])


def test_a_better_arm_wins_is_promoted_and_is_rolled_back(lab: Lab) -> None:
    """Daily looks; the first that tells ends it; the log can go back to what served before."""
    write_days(lab.observations, 14, effect=0.1, keys_a_day=400)
    states: list[State] = []
    for day in range(1, 15):
        workspace = lab.workspace(day, promote="winner")
        refresh_looks(workspace)
        judged = refresh_verdict(workspace)
        states.append(judged.conclusion.state)
        if day == 1:
            assert assignment(workspace)["shares"] == {"big": 20, "small": 80}
    assert states[-1] is State.WON
    assert states.index(State.WON) < 13
    assert set(states[states.index(State.WON) :]) == {State.WON}
    assert (judged.live, judged.shares) == ("big", {"big": 100, "small": 0})
    assert assignment(workspace)["live"] == "big"
    roll_back_verdict(workspace, to_revision=None, reason="dear")
    assert assignment(workspace)["shares"] == {"big": 0, "small": 100}
    assert refresh_verdict(workspace).status == "held: it was rolled back from"


def test_a_winner_is_not_promoted_by_a_policy_that_says_never(lab: Lab) -> None:
    """The verdict is there for a person; the baseline goes on."""
    write_days(lab.observations, 14, effect=0.15)
    workspace = lab.workspace(14)
    refresh_looks(workspace)
    judged = refresh_verdict(workspace)
    assert judged.verdict.status is Status.PASS
    assert (judged.live, judged.shares) == ("small", {"big": 0, "small": 100})
    assert "promote: never" in judged.status


def test_harm_takes_the_candidate_from_everybody(lab: Lab) -> None:
    """A guard that is worse by more than its margin stops it, whatever is gained elsewhere."""
    write_days(lab.observations, 14, effect=0.2, slower=0.2)
    workspace = lab.workspace(14, promote="winner")
    refresh_looks(workspace)
    judged = refresh_verdict(workspace)
    assert judged.conclusion.state is State.HARM
    assert judged.verdict.status is Status.FAIL
    assert judged.conclusion.why.startswith("seconds gains -")
    assert judged.shares == {"big": 0, "small": 100}


def test_broken_assignment_says_nothing_else(lab: Lab) -> None:
    """A router that sends a tenth of one arm to the other makes every number wrong."""
    write_days(lab.observations, 14, effect=0.3, wrong_arm=0.1)
    workspace = lab.workspace(14, promote="winner")
    refresh_looks(workspace)
    judged = refresh_verdict(workspace)
    assert judged.conclusion.state is State.BROKEN
    assert judged.verdict.status is Status.FAIL
    assert judged.live == "small"


def test_equal_arms_end_without_a_winner(lab: Lab) -> None:
    """Undecided or equal; never promoted."""
    write_days(lab.observations, 14, keys_a_day=200)
    workspace = lab.workspace(14, promote="winner")
    refresh_looks(workspace)
    judged = refresh_verdict(workspace)
    assert judged.conclusion.state in (State.EQUAL, State.UNDECIDED)
    assert judged.verdict.status is Status.UNDECIDED
    assert judged.live == "small"


def test_a_killed_analysis_goes_on_after_its_last_day(lab: Lab) -> None:
    """It dies after each day; days that are stored are not read again, and it ends the same."""
    write_days(lab.observations, 6, keys_a_day=100)
    whole = Lab(lab.folder / "whole")
    write_days(whole.observations, 6, keys_a_day=100)
    expected = refresh_looks(whole.workspace(6)).snapshot.counts
    for day in range(1, 6):
        workspace = lab.workspace(6)
        with pytest.raises(KeyboardInterrupt):
            refresh_looks(replace(workspace, progress=_die))
        stored = [one.key for batch in workspace.store.list_objects("days") for one in batch]
        assert len(stored) == day
    again = refresh_looks(lab.workspace(6))
    assert dict(again.snapshot.counts) == dict(expected)
    assert not refresh_looks(lab.workspace(6)).is_changed


def _die(message: str) -> None:
    raise KeyboardInterrupt(message)


def test_late_observations_are_looked_at_again(lab: Lab) -> None:
    """A file that changed is another day, and all that follow are made again."""
    write_days(lab.observations, 3)
    first = refresh_looks(lab.workspace(3)).snapshot
    late = lab.observations / f"{START + timedelta(days=1)}.b.jsonl"
    late.write_text('{"key": "late", "arm": "big", "metrics": {"usd": 0.1}}\nno line\n')
    second = refresh_looks(lab.workspace(3)).snapshot
    assert second.counts["wrong_lines"] == 1
    assert second.counts["keys"] == first.counts["keys"] + 1
    assert second.shards[0] == first.shards[0]
    assert second.shards[2] != first.shards[2]


def test_today_is_not_looked_at_and_no_looks_is_no_verdict(lab: Lab) -> None:
    """Half a day is another population."""
    write_days(lab.observations, 2)
    with pytest.raises(EvidenceError):
        refresh_verdict(lab.workspace(1))
    assert refresh_looks(lab.workspace(1)).snapshot.counts["days"] == 1

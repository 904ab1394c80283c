"""Killed at a write to a real MLflow: the registry's process gets SIGKILL in the middle of it.

Store and registry are real; training, servers and gateway are small (tests/stages), so that a
hundred lives take minutes. CI has one of them.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.model_rollout.machine import Phase
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.model_registry import BASE, CANDIDATE, CHAMPION, MlflowRegistry
from platform_pipelines.stages.road.models import ModelTools
from tests.kill_points import WHEN, Killed, KillPoints, killed_at_the_store
from tests.knowledge import settings_under
from tests.stages.fine_tune.small_mill import Mill, build_mill
from tests.stages.fine_tune.test_kill_points import die, left_by
from tests.stages.model_rollout.town import NEW, OLD, Town

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]
CHAMPION_WRITES = ("set_alias assistant champion", "delete_alias assistant candidate")
IN_CI = (CHAMPION_WRITES[0], "during")
MILL_WRITES = (
    "open_run", "close_run", "ensure_version", "set_alias assistant base",
    "set_alias assistant champion", "set_alias assistant candidate",
)  # fmt: skip
SECONDS_INTO_IT = 0.004


def registry_under(home: Path) -> MlflowRegistry:
    """A process of its own over the database of a home."""
    return ModelTools(settings_under(home, None), lambda _: None).registry()


def killer_of(registry: MlflowRegistry) -> Callable[[Callable[[], Any]], None]:
    """Asks, and kills the registry's process while it works on the answer."""

    def kill(work: Callable[[], Any]) -> None:
        registry.aliases("assistant")  # it runs, and has opened its database

        def ask() -> None:
            with suppress(UnavailableError):
                work()

        child = registry._child
        assert child is not None
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(SECONDS_INTO_IT)
        os.kill(child.pid, signal.SIGKILL)
        asking.join()

    return kill


def one_life(town: Town, home: Path, kind: str, when: str, patch: pytest.MonkeyPatch) -> None:
    """A controller's, that ends at its write."""
    with registry_under(home) as registry:
        points = KillPoints(kind, when=when, middle=killer_of(registry))
        with killed_at_the_store(points, patch), pytest.raises(Killed):
            town.controller_with(points, registry).run()


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        pytest.param(kind, when, marks=() if (kind, when) == IN_CI else pytest.mark.long)
        for kind in CHAMPION_WRITES
        for when in WHEN
    ],
)
def test_a_promotion_is_ended_on_the_registry_that_was_killed(
    make_town: Callable[..., Town], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kind: str, when: str,
) -> None:  # fmt: skip
    """Whatever MLflow kept of the write: the alias is where the log is, and only there."""
    town, home = make_town(), tmp_path / "mlflow"
    with registry_under(home) as registry:
        for number, digest in enumerate((OLD, NEW), start=1):
            source = f"file:///{digest}"
            assert registry.ensure_version("assistant", digest, source, None, {}) == number
        for alias, number in ((BASE, 1), (CHAMPION, 1), (CANDIDATE, 2)):
            registry.set_alias("assistant", alias, number)
    one_life(town, home, kind, when, monkeypatch)
    with registry_under(home) as registry:
        ended = town.controller_with(KillPoints(), registry).run()
        if ended is None:
            ended, _ = town.controller().read()
        assert registry.aliases("assistant") == {BASE: 1, CHAMPION: 2}
    assert ended is not None
    assert ended.phase is Phase.PROMOTED
    assert town.live() == NEW


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, object]:
    """What a run leaves when nobody is killed."""
    with pytest.MonkeyPatch.context() as patch, registry_under(tmp_path / "whole") as registry:
        mill = build_mill(tmp_path / "whole", patch, registry)
        mill.run()
        return left_by(mill)


@pytest.mark.long
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("kind", MILL_WRITES)
def test_a_registration_is_ended_on_the_registry_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, object],
    kind: str, when: str,
) -> None:  # fmt: skip
    """One run, two versions, the right aliases: nothing is made twice."""
    home = tmp_path / "killed"
    with registry_under(home) as registry:
        mill = build_mill(home, monkeypatch, registry)
        die(mill, KillPoints(kind, when=when, middle=killer_of(registry)), monkeypatch)
    with registry_under(home) as registry:
        again: Mill = mill
        again.registry = registry
        again.run()
        assert left_by(again) == undisturbed

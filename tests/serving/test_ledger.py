"""What answers took is written some at a time, and nothing is lost while the store is away."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.serving.ledger import MOST, SECONDS, Ledger
from platform_pipelines.stages.road.usage import read_usage
from tests.fakes import FakeClock

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = date(2026, 11, 27)


def took(number: int) -> Usage:
    return Usage(f"a{number}", "default", "m", "", 10, 1)


def opened(folder: Path) -> ObjectStore:
    return open_store(folder.as_uri(), create=True)


def written(folder: Path, day: date = DAY) -> list[str]:
    return sorted(one.answer_id for one in read_usage(opened(folder), day))


def test_it_is_written_by_number_by_time_and_at_the_end(tmp_path: Path) -> None:
    """A file each time, so that nothing is read to be written again."""
    clock = FakeClock(NOON)
    ledger = Ledger(lambda: opened(tmp_path), clock, "one")
    for number in range(MOST - 1):
        ledger.took(took(number))
    assert written(tmp_path) == []
    ledger.took(took(MOST))
    assert len(written(tmp_path)) == MOST
    clock.advance(SECONDS)
    ledger.took(took(MOST + 1))
    assert len(written(tmp_path)) == MOST + 1
    ledger.took(took(MOST + 2))
    ledger.close()
    assert len(written(tmp_path)) == MOST + 2
    ledger.close()
    assert len(written(tmp_path)) == MOST + 2


def test_an_answer_belongs_to_the_day_on_which_it_was_given(tmp_path: Path) -> None:
    """Also when it is written after midnight."""
    clock = FakeClock(NOON)
    ledger = Ledger(lambda: opened(tmp_path), clock, "one")
    ledger.took(took(1))
    clock.advance(86_400 / 2)
    ledger.took(took(2))
    assert written(tmp_path) == ["a1"]
    assert written(tmp_path, date(2026, 11, 28)) == ["a2"]


def test_two_servers_write_beside_each_other(tmp_path: Path) -> None:
    """And one that was started again writes nothing over."""
    for server in ("one", "two"):
        ledger = Ledger(lambda: opened(tmp_path), FakeClock(NOON), server)
        ledger.took(took(len(server) * 10 + ord(server[0])))
        ledger.close()
    assert len(written(tmp_path)) == 2


def test_a_store_that_is_away_loses_nothing(tmp_path: Path) -> None:
    """The answer was given: what it took is written when the store is back."""
    is_away = True

    def away() -> Any:
        if is_away:
            raise UnavailableError("the store does not answer")
        return opened(tmp_path)

    clock = FakeClock(NOON)
    ledger = Ledger(away, clock, "one")
    ledger.took(took(1))
    ledger.close()
    is_away = False
    clock.advance(SECONDS)
    ledger.took(took(2))
    assert written(tmp_path) == ["a1", "a2"]

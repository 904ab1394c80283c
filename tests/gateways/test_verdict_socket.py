"""Verdicts are kept in the store, whoever judged and wherever: none is paid for twice."""

import asyncio
from pathlib import Path

import pytest

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.verdict_socket import keep_verdict, kept_verdict, verdict_socket

KEY = "ab" * 32


def test_what_one_process_kept_another_finds(tmp_path: Path) -> None:
    """A pod that was lost leaves what it paid for."""
    store = open_store(tmp_path.as_uri(), create=True)
    with verdict_socket(store) as path:
        assert asyncio.run(kept_verdict(path, KEY)) is None
        asyncio.run(keep_verdict(path, KEY, '{"verdict": "예"}'))
    with verdict_socket(store) as path:
        assert asyncio.run(kept_verdict(path, KEY)) == '{"verdict": "예"}'
    assert [item.key for batch in store.list_objects("verdicts") for item in batch] == [
        f"verdicts/ab/{KEY}.json"
    ]


@pytest.mark.parametrize("key", ["../../heads/index", "ab", ""])
def test_no_other_name_is_written(tmp_path: Path, key: str) -> None:
    """What is asked comes from the process that reads a judge's words."""
    store = open_store(tmp_path.as_uri(), create=True)
    with verdict_socket(store) as path, pytest.raises(UnavailableError, match="no name"):
        asyncio.run(keep_verdict(path, key, "{}"))
    assert list(store.list_objects()) in ([], [[]])


def test_a_process_that_is_gone_is_told(tmp_path: Path) -> None:
    """The judging ends as one that may be tried again."""
    with verdict_socket(open_store(tmp_path.as_uri(), create=True)) as path:
        pass
    with pytest.raises(UnavailableError, match="does not answer"):
        asyncio.run(kept_verdict(path, KEY))

"""What tests of models share: the rollout's town, and an end for the servers of a lost run."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.servers import reaper
from tests.stages.model_rollout.conftest import make_town

__all__ = ["make_town"]


@pytest.fixture(scope="session", autouse=True)
def _no_server_outlives_a_killed_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`make test-models` that is killed from outside leaves neither vLLM nor Envoy running."""
    with watched(str(tmp_path_factory.getbasetemp())):
        yield


def watched(folder: str) -> "subprocess.Popen[bytes]":
    """The reaper of a folder, in a session of its own: what ends the run does not end it."""
    return subprocess.Popen(
        [sys.executable, reaper.__file__, folder], stdin=subprocess.PIPE, start_new_session=True
    )

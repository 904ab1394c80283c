"""Starting a worker gives everything back when it does not work."""

import contextlib
import os
import resource
from collections.abc import Iterator

import pytest

from platform_pipelines.compute.process import start_worker
from platform_pipelines.errors import UnavailableError
from tests.descriptors import open_descriptors, opened_since


@contextlib.contextmanager
def room_for(descriptors: int) -> Iterator[None]:
    """Let this process open so many files and no more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] <= highest:  # holes below the highest
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + descriptors, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in fillers:
            os.close(descriptor)


@pytest.mark.parametrize("descriptors", range(7))
def test_a_machine_without_room_for_a_worker_is_reported_and_nothing_leaks(
    descriptors: int,
) -> None:
    """Out of file descriptors at any step: a typed, transient error, and no half-made worker."""
    before = open_descriptors()
    with (
        room_for(descriptors),
        pytest.raises(UnavailableError, match="cannot be started"),
    ):
        start_worker({})
    assert opened_since(before) == {}

"""Compute profiles on one machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.compute.profiles import PROFILES, compute_profile, local_workers
from platform_pipelines.errors import ConfigurationError


def test_the_names_are_those_of_the_declaration() -> None:
    """A declaration that was valid stays valid."""
    assert list(PROFILES) == ["cpu", "gpu-inference", "gpu-training", "gpu-spot"]
    assert all(compute_profile(name).name == name for name in PROFILES)


def test_an_unknown_profile_is_refused_with_the_names_there_are() -> None:
    """A typing error is found when the declaration is read."""
    with pytest.raises(ConfigurationError) as caught:
        compute_profile("gpu")
    assert caught.value.stored == "gpu"
    assert "gpu-inference" in str(caught.value.expected)


@given(st.sampled_from(list(PROFILES)), st.integers(-1, 256))
def test_every_profile_gets_a_worker_and_never_more_than_there_are_cores(
    name: str, cores: int
) -> None:
    """Also on a machine that does not tell its cores."""
    workers = local_workers(compute_profile(name), cores)
    assert 1 <= workers <= max(1, cores)


def test_cpu_work_takes_every_core_and_a_model_is_loaded_once() -> None:
    """One process owns a device; parsing scales with cores."""
    assert local_workers(compute_profile("cpu"), 8) == 8
    assert local_workers(compute_profile("gpu-inference"), 8) == 1

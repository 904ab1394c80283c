"""Kubernetes' quantities as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.quantities import bytes_of, cores_of
from platform_pipelines.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "value"), [("500m", 0.5), ("4", 4.0), ("1.5", 1.5), ("0", 0.0), ("1701m", 1.701)]
)
def test_cores(text: str, value: float) -> None:
    """Whole cores, or thousandths."""
    assert cores_of(text) == pytest.approx(value)


@given(
    st.integers(0, 10**6), st.sampled_from([("Mi", 2**20), ("G", 10**9), ("", 1), ("Ti", 2**40)])
)
def test_bytes(number: int, unit: tuple[str, int]) -> None:
    """Powers of 1,024 with an i, of 1,000 without."""
    assert bytes_of(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("text", ["", "many", "4GiB", "-1Gi", "infGi", "iGk", "nan"])
def test_what_is_no_quantity(text: str) -> None:
    """Told with what was written."""
    with pytest.raises(ConfigurationError, match="no quantity"):
        bytes_of(text)
    with pytest.raises(ConfigurationError, match="no quantity"):
        cores_of(text)

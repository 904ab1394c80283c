"""The gateway's configuration: weights that are whole, versions that name their content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.routes import (
    Endpoint,
    bootstrap,
    clusters,
    routes,
    weights,
)
from platform_pipelines.errors import ConfigurationError


@given(st.integers(0, 100))
def test_weights_are_always_a_hundred_together(percent: int) -> None:
    """Cohorts stay where they are only while the total stays."""
    shares = weights("new", "old", percent)
    assert sum(shares.values()) == 100
    assert shares.get("new", 0) == percent
    routes(shares)


@pytest.mark.parametrize("shares", [{}, {"a": 99}, {"a": 60, "b": 60}])
def test_other_totals_are_refused(shares: dict[str, int]) -> None:
    """5/95 then 1/4 moved users back and forth."""
    with pytest.raises(ConfigurationError):
        routes(shares)
    with pytest.raises(ConfigurationError):
        weights("new", "old", 101)


def test_versions_name_the_content() -> None:
    """An update of equal content is dropped by the gateway, and its old version stays."""
    one, other = Endpoint("a", "127.0.0.1", 1), Endpoint("b", "127.0.0.1", 2)
    assert clusters([one, other]) == clusters([other, one])
    assert clusters([one])["version_info"] != clusters([other])["version_info"]
    assert routes({"a": 100})["version_info"] != routes({"a": 100}, mirror="b")["version_info"]


def test_every_endpoint_is_counted_by_itself() -> None:
    """An aggregate's numbers hide the candidate's errors."""
    (cluster,) = clusters([Endpoint("a", "127.0.0.1", 1)])["resources"]
    assert cluster["track_cluster_stats"]["per_endpoint_stats"] is True


def test_the_gateway_listens_on_this_machine_only() -> None:
    """Its admin page can stop it."""
    started = bootstrap(port=1, admin_port=2, folder="/x")
    listens = [started["admin"], *started["static_resources"]["listeners"]]
    addresses = {one["address"]["socket_address"]["address"] for one in listens}
    assert addresses == {"127.0.0.1"}

"""What is wrong with a cron, a time zone or an owner is said when the declaration is loaded."""

from zoneinfo import available_timezones

import pytest
from dagster._core.definitions.utils import is_valid_owner
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import example, given
from hypothesis import strategies as st

from platform_pipelines.core.road.refreshing import cron_problem, owner_problem, timezone_problem

WORDS = st.one_of(
    st.integers(0, 62).map(str),
    st.sampled_from(
        ["*", "mon", "FRI", "jan", "Dec", "L", "?", "L5", "1#2", "mon#1", "x", "-1", ""]
    ),
)
RANGES = st.builds("{}-{}".format, WORDS, WORDS)
STEPS = st.builds("{}/{}".format, st.one_of(WORDS, RANGES), st.integers(0, 20))
PARTS = st.one_of(WORDS, RANGES, STEPS)
LISTS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)
CRONS = st.lists(st.one_of(st.just("*"), PARTS, LISTS), min_size=5, max_size=5).map(" ".join)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "has 0 fields"),
        ("0 0 * * * *", "has 6 fields"),
        ("@often", "has 1 fields"),
        ("every hour", "has 2 fields"),
        ("H * * * *", "is drawn by lot"),
        ("0 0 * * 1,R", "is drawn by lot"),
        ("0 0 30 2 *", "no such month has a day 30"),
        ("0 0 31 4,jun *", "no such month has a day 31"),
        ("0 0 31 FEB,04 *", "no such month has a day 31"),
    ],
)
def test_a_wrong_cron_names_the_field_and_what_is_allowed(cron: str, words: str) -> None:
    """A cron that never fires is found when nobody has refreshed for a month."""
    assert words in cron_problem(cron)


@pytest.mark.parametrize(
    "cron",
    [
        "0 * * * *", "7 3 * * 1", "*/15 9-18 * * mon-fri", "0 0 1,15 * *", "5/15 * * * *",
        "0 0 31 1,4 *", "0 0 L * *", "0 0 ? * *", "0 0 * * 1#2", "0 22-3 * * *",
        "0 0 * FEB 7", "0 0 29 2 *", "0 0 31 4 1", "@daily", " 0\t* * * * ",
    ],
)  # fmt: skip
def test_what_people_write_is_allowed(cron: str) -> None:
    """A check that refuses a good schedule is worse than none."""
    assert cron_problem(cron) == ""
    assert is_valid_cron_string(cron)


@given(CRONS)
@example("0 0 31 4,6 *")
@example("0 0 31 4-6 *")
def test_a_refused_cron_is_one_that_dagster_refuses_or_one_that_never_fires(cron: str) -> None:
    """Ours comes first only because it names the field."""
    problem = cron_problem(cron)
    assert not problem or "no such month" in problem or not is_valid_cron_string(cron)


@pytest.mark.parametrize("name", ["", "Mars/Base", "Asia", "../etc/passwd", "KST"])
def test_a_wrong_time_zone_is_named(name: str) -> None:
    """A schedule in a zone that does not exist breaks the daemon, not the person who wrote it."""
    assert timezone_problem(name) == "no time zone has this name"


def test_every_time_zone_of_the_machine_is_allowed() -> None:
    """Also the ones with an odd name."""
    assert [zone for zone in available_timezones() if timezone_problem(zone)] == []


@pytest.mark.parametrize(
    "owner",
    ["team:search", "team:데이터", "team:a b", "ann@example.com", "a.b+c@x-y.co.kr"],
)
def test_teams_and_addresses_own(owner: str) -> None:
    """What Dagster's asset page shows."""
    assert owner_problem(owner) == ""
    assert is_valid_owner(owner)


@given(st.one_of(st.text(max_size=12), st.from_regex(r"(team:)?[a-z .]{0,4}@?[a-z.]{0,6}")))
@example("team:")
@example("team: ")
@example("team:\n")
def test_an_allowed_owner_is_one_that_dagster_allows(owner: str) -> None:
    """Else the error comes from deep inside, without the field."""
    assert owner_problem(owner) or is_valid_owner(owner)

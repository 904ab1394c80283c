"""Which tier a request gets, by rules and in one word, and what is told of a wrong one."""

import json

import pytest

from platform_pipelines.core.road.evidence import Evidence, make_evidence
from platform_pipelines.core.road.tier_rules import TierRules, last_of_user
from platform_pipelines.core.road.tiers import (
    COMPONENT,
    METRICS,
    confusions,
    errors_of,
    parse_samples,
    sample_row,
    tier_in,
    tier_models,
)
from platform_pipelines.errors import ConfigurationError

RULES = TierRules(
    [
        {"tier": "complex", "any_of": ["compare", "비교"]},
        {"tier": "moderate", "any_of": ["explain", "art"]},
        {"tier": "complex", "minimum_words": 8},
    ],
    "simple",
)


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("Compare A and B", "complex"),
        ("Explain it, then compare", "complex"),  # the first rule decides, not the first word
        ("두 제품을 비교해 주세요", "complex"),  # an ending is glued to the word
        ("explain a probe", "moderate"),
        ("start it", "simple"),  # `art` inside a word is none
        ("one two three four five six seven eight", "complex"),
        ("hello", "simple"),
        ("", "simple"),
    ],
)
def test_the_first_rule_that_matches_decides(text: str, tier: str) -> None:
    """Rules are read like a list."""
    assert RULES.tier_of(text) == tier


def test_the_question_is_the_last_text_of_the_user() -> None:
    """A system prompt full of `compare` must not decide."""
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url"}]
    turns = [
        {"role": "system", "content": "compare"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "compare"},
    ]
    assert last_of_user(turns) == "hello"
    assert last_of_user([]) == ""


@pytest.mark.parametrize(
    ("reply", "tier"),
    [
        ("Complex.", "complex"), ('{"tier":"simple"}', "simple"), ("simple or complex", None),
        ("I cannot", None), ("", None),
    ],
)  # fmt: skip
def test_a_reply_names_one_tier_or_none(reply: str, tier: str | None) -> None:
    """A small model says more than it was asked."""
    assert tier_in(reply) == tier


def test_a_tier_without_a_model_takes_the_next_better_and_the_cheapest_of_several() -> None:
    """A request must not fail because nobody declared a moderate model."""
    prices = {"a": 3, "b": 1, "c": 9}
    found = tier_models({"a": "simple", "b": "simple", "c": "complex"}, prices)
    assert found == {"simple": "b", "moderate": "c", "complex": "c"}
    assert set(tier_models({"b": "simple"}, prices).values()) == {"b"}


def test_the_error_rate_is_of_each_place_and_counts_a_failed_request() -> None:
    """A gateway that does not answer is wrong, and not left out."""
    text = "\n".join(json.dumps({"id": str(i), "text": "x", "tier": "simple"}) for i in range(10))
    samples = parse_samples(text, where="here")
    decided = ["simple"] * 8 + ["complex", None]
    rows = tuple(
        sample_row(one, gateway=said, serve="simple")
        for one, said in zip(samples.samples, decided, strict=True)
    )
    evidence = make_evidence(
        Evidence(COMPONENT, "r", None, samples.digest, {}, METRICS, len(rows), rows)
    )
    rates = errors_of(evidence)
    assert rates["gateway"].estimate == pytest.approx(0.2)
    assert rates["serve"].estimate == 0.0
    assert confusions(evidence)["simple", "none"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": "a", "text": "x", "tier": "hard"}', "tier"),
        ('{"id": "a", "text": "x", "tier": "simple"}\n' * 2, "one id"),
        ("no json", "no JSON"),
        ("", "no sample"),
    ],
)
def test_a_wrong_sample_is_named(text: str, told: str) -> None:
    """Evidence on half of the labels would be no evidence."""
    with pytest.raises(ConfigurationError, match=told):
        parse_samples(text, where="tiers.jsonl")

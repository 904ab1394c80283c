"""`ask` without a golden set: the shipped calibration, what made it, and what it is worth."""

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import pytest

from benchmarks import answer_calibration as made_by
from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.revision import EmbedRecipe
from platform_pipelines.stages.knowledge_base.shipped_calibration import TABLE, shipped_calibration

ROWS = made_by.read_rows()
SHIPPED = shipped_calibration(EmbedRecipe("local", "multilingual-e5-small"))
SERVED = shipped_calibration(EmbedRecipe("openai", "bge-m3", url="http://models/v1"))


def table() -> dict[str, Any]:
    text = (files("platform_pipelines") / "tables" / TABLE).read_text(encoding="utf-8")
    return json.loads(text)


def test_the_shipped_table_is_what_its_script_makes() -> None:
    """Nobody types a threshold."""
    again = made_by.made(ROWS)
    assert again["foreign"] == table()["foreign"]
    assert again["calibrations"]["any"]["threshold"] == pytest.approx(SERVED.threshold)
    fitted = again["calibrations"]["multilingual-e5-small"]
    assert fitted["weights"] == pytest.approx(SHIPPED.weights)
    assert {k: fitted[k] for k in ("false_answers", "false_refusals")} == {
        k: asdict(SHIPPED)[k] for k in ("false_answers", "false_refusals")
    }


def test_on_the_handbook_both_errors_fall() -> None:
    """Before: 50 of 109 refused, 5 of 30 answered without an answer there."""
    own = made_by.by_corpus(ROWS)["handbook"]
    assert made_by.before(own) == {"refused": "50 of 109", "answered": "5 of 30"}
    assert made_by.errors(SHIPPED, own) == {"refused": "23 of 109", "answered": "4 of 30"}


@pytest.mark.parametrize(
    ("corpus", "before", "now"),
    [("nomicon", (9, 0), (4, 0)), ("react-ko", (12, 2), (5, 2))],
)
def test_a_corpus_that_the_fit_never_saw_is_refused_less(
    corpus: str, before: tuple[int, int], now: tuple[int, int]
) -> None:
    """English and Korean guides of other projects, under the fit of the other two corpora."""
    own = made_by.by_corpus(ROWS)[corpus]
    told = ("{} of 27", "{} of 18")
    was = made_by.before(own)
    assert (was["refused"], was["answered"]) == tuple(
        t.format(n) for t, n in zip(told, before, strict=True)
    )
    found = table()["foreign"][corpus]["multilingual-e5-small"]
    assert (found["refused"], found["answered"]) == tuple(
        t.format(n) for t, n in zip(told, now, strict=True)
    )


def test_similarities_of_another_embedder_are_not_read() -> None:
    """A cosine of 0.85 means nothing elsewhere: words decide there."""
    assert SHIPPED.features == FEATURE_NAMES
    assert "sentence_similarity" not in SERVED.features
    named_alike = EmbedRecipe("openai", "multilingual-e5-small", url="http://models/v1")
    assert shipped_calibration(named_alike) == SERVED

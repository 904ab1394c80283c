"""An embedder's rows: what is one, its negatives, and what a chunk teaches."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.fine_tune.pairs import (
    PairRow,
    chunk_pair,
    pairs_of,
    parse_pairs,
    with_negatives,
)
from platform_pipelines.core.fine_tune.training_rows import make_training_set, to_jsonl


def row(question: str, positive: str, *negatives: str) -> PairRow:
    return PairRow(question, positive, negatives, licence="", tenant="default", place="x:1")


def test_lines_that_are_no_pair_are_refused_with_their_place_and_the_others_kept() -> None:
    """A passage that is blank, or a negative that is no text, teaches nothing."""
    lines = [
        '{"question": "q", "positive": "p", "negatives": ["n"], "tenant": "blue"}',
        '{"question": "q", "positive": " "}',
        "[]",
        '{"question": "q", "positive": "p", "negatives": [1]}',
    ]
    rows, refused = parse_pairs("\n".join(lines), place="f", licence="L", tenant="t")
    assert [(r.question, r.negatives, r.tenant, r.licence) for r in rows] == [
        ("q", ("n",), "blue", "L")
    ]
    assert [one.place for one in refused] == ["f:2", "f:3", "f:4"]


def test_questions_of_one_passage_are_on_one_side() -> None:
    """Else a held-out question is asked for a passage that was learnt."""
    rows = [row(f"question {n} of {p}", f"passage {p}") for p in range(40) for n in range(3)]
    made = make_training_set(rows, (), golden=(), validation_share=0.3)
    sides = [{r.positive for r in side} for side in (made.train, made.validation)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_a_question_of_the_golden_set_is_kept_out_with_its_passage() -> None:
    """Wherever it stands: as the question, or inside a passage."""
    golden = [("g1", "How many GPUs has the night pool?")]
    rows = [
        row("how many gpus has the NIGHT pool", "It has 16."),
        row("What is in the list?", "It asks: How many GPUs has the night pool? And answers."),
        row("Who approves a deploy?", "The platform team approves each deploy."),
    ]
    made = make_training_set(rows, (), golden=golden, validation_share=0.1)
    assert {kept.question for kept in made.rows} == {"Who approves a deploy?"}


def test_negatives_are_the_passages_that_are_most_alike_and_do_not_answer() -> None:
    """A near-duplicate of the passage may answer as well; an own negative comes first."""
    night = "The night pool gives a team 16 GPUs from the shared budget."
    rows = [
        row("How many GPUs gives the night pool?", night, "an own one"),
        row("And again?", night.replace("16 GPUs", "16  GPUs!")),
        row("How many gives the day pool?", "The day pool gives a team 4 GPUs, and no more."),
        row("What is for lunch?", "Rice and soup, every single weekday."),
    ]
    made, bare = with_negatives(rows, 2)
    assert made[0].negatives == ("an own one", rows[2].positive)
    assert not bare


def test_a_row_without_any_other_passage_is_told() -> None:
    """The trainer would stop at it, an hour later."""
    made, bare = with_negatives([row("q", "the only passage")], 2)
    assert (made, [one.question for one in bare]) == ([], ["q"])


@pytest.mark.parametrize(
    ("title", "heading", "text", "question"),
    [
        ("Guide", ("Limits",), "The quota of the pool is 16 GPUs.", "Guide — Limits"),
        ("Guide", ("Guide",), "The quota of the pool is 16 GPUs.", "Guide"),
        ("", (), "The pool is for training. Each team may take 16.", "The pool is for training."),
    ],
)
def test_a_chunk_is_asked_for_by_what_it_stands_under(
    title: str, heading: tuple[str, ...], text: str, question: str
) -> None:
    """Without a heading its own first sentence asks for the rest."""
    made = chunk_pair(title=title, heading=heading, text=text, licence="", tenant="t", place="k:1")
    assert made is not None
    assert made.question == question
    assert made.question not in made.positive


@pytest.mark.parametrize("text", ["short", "One sentence without any other one after it", ""])
def test_a_chunk_with_too_little_teaches_nothing(text: str) -> None:
    """A question whose passage is nothing."""
    made = chunk_pair(title="", heading=(), text=text, licence="", tenant="t", place="k:1")
    assert made is None


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5))
def test_what_the_trainer_reads_is_what_is_held_out(texts: list[tuple[str, str]]) -> None:
    """Line separators inside a text do not cut a row in two."""
    rows = [row(q, p, "n") for q, p in texts]
    back = pairs_of(to_jsonl(rows), place="v")
    assert [(r.question, r.positive, r.negatives) for r in back] == [
        (q, p, ("n",)) for q, p in texts
    ]
    assert set(json.loads(to_jsonl(rows[:1]))) == {"query", "pos_doc", "neg_doc"}

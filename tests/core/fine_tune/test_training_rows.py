"""The training set: what is a row, what is kept out, and a split that additions do not move."""

import json

from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.fine_tune.training_rows import (
    ChatRow,
    make_training_set,
    parse_rows,
    to_jsonl,
)


def row(question: str, answer: str = "yes") -> ChatRow:
    return ChatRow((("user", question), ("assistant", answer)), "", "default", "x:1")


def made(*questions: str, golden: tuple[tuple[str, str], ...] = ()):
    rows = [row(q) for q in questions]
    return make_training_set(rows, (), golden=golden, validation_share=0.3)


def test_lines_that_are_no_chat_are_refused_with_their_place_and_the_others_kept() -> None:
    """One bad line does not cost the file."""
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    lines = [
        json.dumps({**good, "licence": "MIT", "tenant": "blue"}),
        "not json",
        "[]",
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "boss", "content": "a"}]}',
    ]
    rows, refused = parse_rows("\n".join(lines), place="f.jsonl", licence="L", tenant="t")
    assert [(r.licence, r.tenant, r.place) for r in rows] == [("MIT", "blue", "f.jsonl:1")]
    assert [one.place for one in refused] == [f"f.jsonl:{n}" for n in range(2, 7)]


def test_golden_questions_are_kept_out_and_told() -> None:
    """By construction: nothing that makes a training set gets past it."""
    question = "How many GPUs may the night pool use?"
    result = made("Who owns the pool?", question, golden=(("g1", question),))
    assert [r.turns[0][1] for r in result.rows] == ["Who owns the pool?"]
    assert [(r.turns[0][1], leak.question_id) for r, leak in result.leaks] == [(question, "g1")]


def test_duplicates_are_counted_and_learnt_once() -> None:
    """What was written twice is not twice as true."""
    result = made("a?", "a?", "b?")
    assert (result.duplicates, len(result.rows)) == (1, 2)


QUESTIONS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=30, unique=True)


@given(QUESTIONS, QUESTIONS)
def test_additions_move_no_row_to_the_other_side(some: list[str], more: list[str]) -> None:
    """A validation row that becomes a training row makes every later comparison a lie."""
    before, after = made(*some), made(*some, *more)
    assert {r.digest for r in before.train} <= {r.digest for r in after.train}
    assert {r.digest for r in before.validation} <= {r.digest for r in after.validation}


@given(QUESTIONS)
def test_equal_questions_are_on_one_side_whatever_the_answer(questions: list[str]) -> None:
    """Else the model is validated with a question that it learnt."""
    rows = [row(q, answer) for q in questions for answer in ("yes", "no")]
    result = make_training_set(rows, (), golden=(), validation_share=0.5)
    sides = [{r.key for r in side} for side in (result.train, result.validation)]
    assert sides[0].isdisjoint(sides[1])


@given(QUESTIONS)
def test_the_order_of_the_rows_is_no_part_of_the_set(questions: list[str]) -> None:
    """The same rows are the same set, and the file says what the set says."""
    result = made(*questions)
    assert made(*reversed(questions)).digest == result.digest
    lines = to_jsonl(result.train).split("\n")[:-1]
    assert [json.loads(line)["messages"][0]["content"] for line in lines] == [
        r.turns[0][1] for r in result.train
    ]


def test_a_line_separator_within_a_text_ends_no_line() -> None:
    """U+2028 is JSON within a string; the row was cut in two there, and both halves refused."""
    chat = {"messages": [{"role": "user", "content": "a\u2028b"},
                         {"role": "assistant", "content": "c"}]}  # fmt: skip
    text = json.dumps(chat, ensure_ascii=False) + "\n"
    rows, refused = parse_rows(text, place="x.jsonl", licence="MIT", tenant="default")
    assert (len(rows), refused) == (1, [])

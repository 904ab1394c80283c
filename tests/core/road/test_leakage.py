"""The leakage guard: golden questions and what nearly is one stay out of training."""

from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.leakage import LeakageGuard, grams, normalised

QUESTION = "What GPU limit does the night pool have?"
KOREAN = "야간 풀에 배정된 GPU 수량이 궁금합니다."
GUARD = LeakageGuard([("night", QUESTION), ("korean", KOREAN)])


def leaking(*texts: str) -> list[str]:
    return [leak.question_id for leak in GUARD.leaks([[text] for text in texts])]


def test_a_question_and_its_near_copies_are_found() -> None:
    """Case, punctuation, width, spaces and a word more do not hide it."""
    copies = (
        QUESTION,
        "what gpu-limit does the night pool have",
        "ＷＨＡＴ GPU limit does the night pool have??",
        f"Yesterday somebody asked: {QUESTION} I said twenty.",
        KOREAN.replace(" ", ""),
    )
    assert leaking(*copies) == ["night"] * 4 + ["korean"]


def test_other_questions_about_the_same_thing_stay() -> None:
    """The guard keeps questions out, not subjects."""
    assert leaking("Who owns the night pool?", "야간 풀의 담당자는 누구인가요?", "", "GPU") == []


def test_a_leak_in_any_turn_counts() -> None:
    """Also in what the assistant says."""
    (leak,) = GUARD.leaks([["hello", f"You mean: {QUESTION}"]])
    assert (leak.position, leak.question_id) == (0, "night")


@given(st.text(min_size=1), st.text(), st.text())
def test_a_question_inside_any_text_is_always_found(question: str, before: str, after: str) -> None:
    """Containment is whole, whatever stands around it, unless there is no word in it."""
    guard = LeakageGuard([("q", question)])
    inside = f"{before} {question} {after}"
    found = guard.leaks([[inside]])
    holds = grams(question) <= grams(inside)
    assert bool(found) == bool(normalised(question)) or not holds


@given(st.text())
def test_the_normal_form_is_its_own(text: str) -> None:
    """Twice is once."""
    assert normalised(normalised(text)) == normalised(text) or text.casefold() != text.lower()

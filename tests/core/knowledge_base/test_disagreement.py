"""Documents that say different numbers of one thing, and those that say two things."""

import pytest

from platform_pipelines.core.knowledge_base.disagreement import (
    Claim,
    claims_of,
    disagreements,
    told,
)

ASKED = "What is the quota of pool number 7?"
TRUE = "The quota of pool number 7 is 52 devices, approved by committee H7."
LIE = "The quota of pool number 7 is 9999 devices."


def claim(text: str, document: str) -> Claim:
    return Claim(text, document, document)


def differ(question: str, statement: str, *others: str) -> list[dict[str, tuple[str, ...]]]:
    claims = [claim(text, f"{n}.md") for n, text in enumerate((statement, *others))]
    return [dict(one.values) for one in disagreements(question, [statement], claims)]


def test_each_number_is_named_with_who_says_it() -> None:
    """Whichever of them was answered: the reader sees both."""
    found = {"52": ("0.md",), "9999": ("1.md",)}
    assert differ(ASKED, TRUE, LIE) == [found]
    assert differ(ASKED, LIE, TRUE) == [{"9999": ("0.md",), "52": ("1.md",)}]
    claims = [claim(TRUE, "a"), claim(LIE, "b"), claim(LIE, "c")]
    (one,) = disagreements(ASKED, [TRUE, LIE], claims)
    assert dict(one.values) == {"52": ("a",), "9999": ("b", "c")}


def test_korean_statements_disagree_too() -> None:
    """Particles make no other statement."""
    asked = "구역3 담당자는 보고서를 몇 시간 안에 작성합니까?"
    one = "구역3 담당자는 장애 보고서를 5시간 안에 작성해야 합니다."
    other = "구역3의 담당자는 장애 보고서를 48시간 안에 작성해야 합니다."
    claims = [claim(one, "a.md"), claim(other, "b.md")]
    found = disagreements(asked, [one], claims)
    assert told(asked, found).startswith("문서들이 서로 다르게 말합니다: 5 (a.md), 48 (b.md)")


@pytest.mark.parametrize(
    "other",
    [
        "The quota of pool number 8 is 59 devices, approved by committee I8.",  # another pool
        "The quota of pool number 7 is 52 devices.",  # the same
        "The quota of pool number 7 is decided yearly.",  # no number
        "Pool number 7 was opened in 2019.",  # another fact
        "In 2019 pool number 7 had 12 racks in 3 rooms.",
    ],
)
def test_what_says_something_else_is_no_disagreement(other: str) -> None:
    """A note that is wrong half of the time is read by nobody."""
    assert differ(ASKED, TRUE, other) == []


def test_one_document_does_not_disagree_with_itself() -> None:
    """A table or a change log holds many numbers of one kind."""
    claims = [claim(TRUE, "a.md"), claim(LIE, "a.md")]
    assert disagreements(ASKED, [TRUE], claims) == ()


def test_questions_in_a_document_claim_nothing() -> None:
    """Nor is anything told where nothing was found."""
    found = claims_of(f"{ASKED} {LIE}", document_key="a.md", citation="a.md › Note")
    assert [(one.text, one.citation) for one in found] == [(LIE, "a.md › Note")]
    assert told(ASKED, ()) == ""

"""Golden sets: every mistake of a person who writes one is answered with the line and the field."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.golden import Reference, of_tenant, parse_golden_set
from platform_pipelines.errors import ConfigurationError

GOOD = {
    "id": "q1",
    "language": "en",
    "question": "How many GPUs has the batch pool?",
    "answerable": True,
    "references": [{"document": "ops/pools.md", "quote": "The batch pool has 100 GPUs."}],
    "answer": "100",
}
UNANSWERABLE = {
    "id": "n1",
    "language": "ko",
    "question": "화성 리전의 가격은?",
    "answerable": False,
}


def lines(*records: object) -> str:
    return "\n".join(json.dumps(r, ensure_ascii=False) for r in records)


def refusal(*records: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_golden_set(lines(*records), where="golden.jsonl")
    return str(caught.value)


def test_answerable_and_unanswerable_questions_are_told_apart() -> None:
    """Only answerable questions are scored; a mix-up would score refusals as misses."""
    golden = parse_golden_set(lines(GOOD, UNANSWERABLE), where="g")
    assert [q.id for q in golden.answerable] == ["q1"]
    assert [q.id for q in golden.unanswerable] == ["n1"]
    assert golden.answerable[0].references == (
        Reference("ops/pools.md", "The batch pool has 100 GPUs."),
    )
    assert golden.unanswerable[0].answer == ""
    assert golden.questions[0].tenant is None


def test_decomposed_korean_is_composed() -> None:
    """A file written on macOS holds decomposed jamo; it is the same golden set."""
    composed = {**GOOD, "question": "가격은?"}
    decomposed = {**GOOD, "question": "가격은?"}
    first = parse_golden_set(lines(composed), where="g")
    assert first.digest == parse_golden_set(lines(decomposed), where="g").digest
    assert first.questions[0].question == "가격은?"


def test_blank_lines_a_byte_order_mark_and_line_separators_in_strings_are_read() -> None:
    """str.splitlines() would break a JSON string at U+2028 and blame a line that is fine."""
    record = {**GOOD, "question": "first\u2028second"}
    text = "\ufeff\r\n" + json.dumps(record, ensure_ascii=False) + "\r\n\r\n"
    assert parse_golden_set(text, where="g").questions[0].question == "first\u2028second"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "`id`"),
        ({"id": 7}, "`id`"),
        ({"question": "  "}, "`question`"),
        ({"language": "English"}, "`language`"),
        ({"answerable": "yes"}, "`answerable`"),
        ({"answer": None}, "`answer`"),
        ({"references": []}, "`references`"),
        ({"references": "ops/pools.md"}, "`references`"),
        ({"references": ["ops/pools.md"]}, "`references`"),
        ({"references": [{"document": "a", "quote": " "}]}, "`quote`"),
        ({"references": [{"quote": "text"}]}, "`document`"),
        ({"references": [{"document": "a", "quote": "b", "page": 1}]}, "`page`"),
        ({"answerable": False}, "`references`"),
        ({"tenant": 3}, "`tenant`"),
        ({"reference": []}, "`reference`"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(change: dict[str, object], field: str) -> None:
    """A refusal that names neither line nor field sends a person through 80 lines."""
    message = refusal(UNANSWERABLE, {**GOOD, **change})
    assert field in message
    assert "golden.jsonl, line 2" in message


@pytest.mark.parametrize("raw", ["{", "[1]", '"text"', "7"])
def test_a_line_that_is_no_object_is_refused(raw: str) -> None:
    """Half a line (a truncated copy) must not become half a golden set."""
    with pytest.raises(ConfigurationError, match="line 1"):
        parse_golden_set(raw, where="g")


def test_an_empty_file_is_refused() -> None:
    """A gate on no question would pass everything."""
    with pytest.raises(ConfigurationError, match="no question"):
        parse_golden_set("\n \n", where="g")


def test_an_id_used_twice_is_refused() -> None:
    """Two rows of one id would be paired with each other's baseline."""
    message = refusal(GOOD, {**GOOD, "question": "Another?"})
    assert "`id` is used twice" in message
    assert "line 1" in message


def test_a_question_asked_twice_is_refused_whatever_its_case_and_spaces() -> None:
    """A copied question counts double, and narrows the interval without new knowledge."""
    again = {**GOOD, "id": "q2", "question": "how many  GPUs has the BATCH pool?"}
    assert "`question` is used twice" in refusal(GOOD, again)


def test_two_tenants_may_ask_the_same() -> None:
    """The same words have another answer in another tenant's documents."""
    golden = parse_golden_set(
        lines({**GOOD, "tenant": "a"}, {**GOOD, "id": "q2", "tenant": "b"}), where="g"
    )
    assert [q.tenant for q in golden.questions] == ["a", "b"]


@given(st.permutations(range(5)))
def test_the_version_depends_on_the_content_and_not_on_the_order(order: list[int]) -> None:
    """Sorting the file must not make all evidence foreign."""
    records = [{**GOOD, "id": f"q{i}", "question": f"Question {i}?"} for i in range(5)]
    shuffled = parse_golden_set(lines(*(records[i] for i in order)), where="g")
    assert shuffled.digest == parse_golden_set(lines(*records), where="g").digest


@pytest.mark.parametrize("field", ["question", "answer", "language", "id"])
def test_any_change_is_another_version(field: str) -> None:
    """Evidence on an edited golden set must be foreign."""
    first = parse_golden_set(lines(GOOD), where="g").digest
    assert parse_golden_set(lines({**GOOD, field: "xx"}), where="g").digest != first


def test_the_shipped_golden_set_parses() -> None:
    """The sample is what a newcomer copies; issue 4 wants 40 per language and 8 without answer."""
    folder = Path(__file__).parents[3] / "platform_pipelines" / "samples" / "golden"
    for file in sorted(folder.glob("*.jsonl")):
        golden = parse_golden_set(file.read_text("utf-8"), where=file.name)
        for language in ("ko", "en"):
            assert sum(q.language == language for q in golden.answerable) >= 40
        assert len(golden.unanswerable) >= 8


@pytest.mark.parametrize("tenant", [unicodedata.normalize("NFD", "재무"), " 재무 "])
def test_a_tenant_is_compared_as_the_golden_set_holds_it(tenant: str) -> None:
    """A declaration written on macOS was told that 재무 is another tenant than 재무."""
    golden = parse_golden_set(lines({**GOOD, "tenant": tenant}), where="g")
    assert of_tenant(golden, tenant, where="g") is golden


def test_a_question_of_another_tenant_is_refused() -> None:
    """It was asked of the wrong tenant's chunks, and counted."""
    golden = parse_golden_set(lines(GOOD, {**UNANSWERABLE, "tenant": "blue"}), where="golden.jsonl")
    assert of_tenant(golden, "blue", where="golden.jsonl") is golden
    with pytest.raises(ConfigurationError) as caught:
        of_tenant(golden, "default", where="golden.jsonl")
    assert "question n1" in str(caught.value)
    assert "'blue'" in str(caught.value)

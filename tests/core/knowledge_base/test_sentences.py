"""Sentences of Korean and English: whole numbers, versions, addresses, rows and code."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base import sentences
from platform_pipelines.core.knowledge_base.sentences import (
    sentence_spans,
    sentence_start,
    split_sentences,
)

TEXTS = st.text(alphabet="가다요.한네 A b1,。!?…\n\t|'\"-:#()e.g", max_size=300)


@settings(deadline=None)
@given(TEXTS)
def test_every_visible_character_is_in_exactly_one_sentence(text):
    """A sentence that is lost can never be quoted as an answer."""
    spans = sentence_spans(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(a < b and not text[a].isspace() for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert len(split_sentences(text)) == len(spans)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\n\t\n",
    ],
)
def test_blank_text_has_no_sentence(text):
    """A blank sentence would be embedded and found."""
    assert split_sentences(text) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Kubernetes 1.35 runs the pool.",
        "노드풀은 v1.35.2 버전에서 GPU 0.5개를 씁니다.",
        "See https://docs.example.com/a.b?c=1.2 first.",
        "Open kube-apiserver.yaml in /etc/kubernetes.",
        "Use a pool, e.g. the small one, i.e. not vs. the large.",
        "See Fig. 3 and Sec. 2 for No. 5 on p. 7.",
        "J. Kim wrote it.",
        "가격은 시간당 1,200.50원입니다.",
        "1. Drain the node.",
        "가. 노드를 비웁니다.",
        "2.1 Scaling",
        "- one item of a list",
        "| pool | price. per hour |",
        "pool: a. | price: 3. | unit: hour",
        "    x = 1. + 2. if y else 3.",
        "They use CPUs, etc. in the pool.",
    ],
)
def test_these_are_one_sentence_each(sentence):
    """Cut at the wrong full stop, a quoted answer is wrong: `Kubernetes 1.`"""
    assert split_sentences(sentence) == [" ".join(sentence.split())]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("노드를 늘립니다. 그리고 줄여요.", ["노드를 늘립니다.", "그리고 줄여요."]),
        (
            "노드를 늘립니다.그리고 줄여요!정말요?",
            ["노드를 늘립니다.", "그리고 줄여요!", "정말요?"],
        ),
        ("네. 알겠습니다.", ["네.", "알겠습니다."]),
        ("첫째。둘째！셋째", ["첫째。", "둘째！", "셋째"]),
        (
            'He said "no." Then (he left.) Really?!',
            ['He said "no."', "Then (he left.)", "Really?!"],
        ),
        ("Pools, nodes, etc. The end.", ["Pools, nodes, etc.", "The end."]),
        ("등을 씁니다, etc. 다음 절.", ["등을 씁니다, etc.", "다음 절."]),
        ("The answer is no. Then stop.", ["The answer is no.", "Then stop."]),
        ("Use it. kubectl shows it.", ["Use it.", "kubectl shows it."]),
        ("Wait... then go.", ["Wait...", "then go."]),
        ("- a. b\n- c", ["- a.", "b", "- c"]),
        ("# Title\nText here.", ["# Title", "Text here."]),
        ("a: 1 | b: 2\nc: 3 | d: 4", ["a: 1 | b: 2", "c: 3 | d: 4"]),
        ("short line\nanother line", ["short line", "another line"]),
        ("one paragraph\n\nanother", ["one paragraph", "another"]),
        ("> quoted. Twice.\n> again", ["> quoted.", "Twice.", "> again"]),
    ],
)
def test_these_are_several_sentences(text, sentences):
    """Two sentences as one make an answer longer than what was asked."""
    assert split_sentences(text) == sentences


def test_wrapped_prose_goes_on_in_the_next_line():
    """Text files and PDFs end lines at the page's width, in Korean at half as many characters."""
    english = "The node pool scales up as soon as pods are pending in\nthe queue. Then it stops."
    assert split_sentences(english) == [
        "The node pool scales up as soon as pods are pending in the queue.", "Then it stops.",
    ]  # fmt: skip
    korean = "노드 풀은 대기 중인 파드가 있으면 바로 노드를 더 늘려\n처리합니다. 끝입니다."
    assert split_sentences(korean)[0].endswith("늘려 처리합니다.")
    item = "- Drain the node before it is removed from the pool, and\n  wait for it."
    assert len(split_sentences(item)) == 1


def test_a_long_run_of_marks_costs_linear_time():
    """Dot leaders of a table of contents must not stall a worker: one run, one match."""
    text = "." * 200_000 + "x" + "!" * 200_000 + "y"
    assert split_sentences(text) == [text]


MARKED = st.text(st.sampled_from("a가다요 \n\t|`~.!?…。！？\"'”)1A"), max_size=40)


@given(MARKED, st.integers(0, 40), st.integers(0, 40))
def test_ends_are_those_that_the_pattern_alone_would_find(text: str, start: int, end: int) -> None:
    """Looking for a mark first is only faster."""
    found = [(m.span(), m.group("mark")) for m in sentences._ends(text, start, end)]
    assert found == [(m.span(), m.group("mark")) for m in sentences._END.finditer(text, start, end)]


@given(MARKED)
def test_a_row_or_code_is_told_by_one_of_its_marks(text: str) -> None:
    """A line without any of them is never looked at closely."""
    for line in text.splitlines(keepends=True):
        assert sentences._is_whole(line) == (sentences._WHOLE.match(line) is not None)


SENTENCES = st.lists(
    st.sampled_from(
        [
            "The quota is 3.5 GPUs, e.g. for Dr. Kim.", "Drain the node first!", "1. Stop it.",
            "장애를 보고했습니다.그리고 끝입니다.", "왜 그럴까요?", "| a | b |", "    code = 1.",
            "# 2.1 Heading", "- an item. And more", "Version 2.3.5 of No. 5 is live (see Fig. 2).",
        ]
    ),
    max_size=30,
)  # fmt: skip


@given(SENTENCES, st.sampled_from([" ", "\n", "\n\n"]), st.integers(0, 900))
def test_the_first_sentence_from_somewhere_on_is_found_without_splitting_all(
    parts, between, earliest
):
    """The overlap of two chunks begins where a sentence does, as splitting all of it would say."""
    text = between.join(parts)
    starts = (start for start, _ in sentence_spans(text) if start >= earliest)
    assert sentence_start(text, earliest) == next(starts, 0)

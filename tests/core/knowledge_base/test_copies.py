"""Near-duplicates: what is a copy, what only looks like one, and what is shown of them."""

from collections.abc import Sequence

import pytest

from platform_pipelines.core.knowledge_base.copied import Corpus
from platform_pipelines.core.knowledge_base.copies import Copies, Passage, find_copies

ENGLISH = (
    "Drain the node before you replace its GPU. The scheduler moves the pods within 10 minutes; "
    "those that hold a lease are asked twice, and after that they are ended. Tell the on-call "
    "engineer when a training job of more than 8 GPUs is among them, and write the ticket first."
)
KOREAN = (
    "노드를 비운 뒤에 GPU를 교체합니다. 스케줄러는 10분 안에 파드를 옮기며, 임대를 가진 파드에는 "
    "두 번 묻고 나서 끝냅니다. GPU 8개를 넘는 학습 작업이 있으면 당직 엔지니어에게 먼저 알리고 "
    "표를 작성합니다."
)
OTHER = (
    "A snapshot is taken each night at 02:00. It is kept for 35 days in another region, and "
    "restoring one takes about 40 minutes for a database of a terabyte."
)


def passage(key: str, text: str, form: str = "html", name: str = "") -> Passage:
    return Passage(name or f"{key}#1", key, form, text)


def copies(*texts: tuple[str, str, str]) -> dict[str, tuple[str, ...]]:
    """Of (key, form, text): which documents are copies of which."""
    found = find_copies([passage(key, text, form) for key, form, text in texts])
    return {
        item.removesuffix("#1"): tuple(one.removesuffix("#1") for one in kept)
        for item, kept in found.shown.items()
    }


def printed(text: str, *, columns: int = 40) -> str:
    """As a PDF's text comes: lines broken anywhere, also inside Korean words."""
    return "\n".join(text[start : start + columns] for start in range(0, len(text), columns))


COPIES = {
    "the same text": ENGLISH,
    "lines broken anywhere": printed(ENGLISH),
    "soft hyphens at line ends": ENGLISH.replace("scheduler", "sched\u00aduler"),
    "other capitals in a printed heading": "DRAIN THE NODE "
    + ENGLISH.removeprefix("Drain the node"),
    "bullets before sentences": ENGLISH.replace(". ", ".\n• "),
    "bold marks and code marks": ENGLISH.replace("node", "**node**").replace("pods", "`pods`"),
    "rows of a table with bars": ENGLISH.replace("; ", " | "),
    "decomposed letters": ENGLISH.replace("engineer", "engine\u200ber"),
    "a figure's caption at its end": f"{ENGLISH} Figure: a node.",
}


@pytest.mark.parametrize("text", COPIES.values(), ids=COPIES)
def test_a_pdf_of_a_page_is_its_copy(text: str) -> None:
    """However the printing broke, marked or framed it."""
    assert copies(("g.html", "html", ENGLISH), ("g.pdf", "pdf", text)) == {"g.pdf": ("g.html",)}


def test_korean_text_is_compared_without_its_spaces() -> None:
    """A PDF breaks Korean words over lines."""
    broken = printed(KOREAN, columns=17)
    assert copies(("g.html", "html", KOREAN), ("g.pdf", "pdf", broken)) == {"g.pdf": ("g.html",)}


NO_COPIES = {
    "another number": ENGLISH.replace("10 minutes", "30 minutes"),
    "another number with a unit": ENGLISH.replace("8 GPUs", "16 GPUs"),
    "a `not` more": ENGLISH.replace("are ended", "are not ended"),
    "a `never` more": ENGLISH.replace("are asked twice", "are never asked twice"),
    "an added sentence with a number": f"{ENGLISH} From 2027 on, 3 people decide.",
    "another text": OTHER,
}


@pytest.mark.parametrize("text", NO_COPIES.values(), ids=NO_COPIES)
def test_what_differs_in_what_matters_is_no_copy(text: str) -> None:
    """Last year's rules are not this year's."""
    assert copies(("new.html", "html", ENGLISH), ("old.pdf", "pdf", text)) == {}
    assert copies(("new.html", "html", text), ("old.pdf", "pdf", ENGLISH)).get("old.pdf") in (
        None,
        ("new.html",) if text.startswith(ENGLISH) else None,  # the new one says more
    )


def test_a_korean_negation_is_no_copy() -> None:
    """`끝냅니다` and `끝내지 않습니다`."""
    other = KOREAN.replace("끝냅니다", "끝내지 않습니다")
    assert copies(("new.html", "html", KOREAN), ("old.pdf", "pdf", other)) == {}


def test_one_long_pdf_passage_is_a_copy_of_two_pages() -> None:
    """A PDF of all pages is cut elsewhere than they are."""
    found = copies(
        ("a.html", "html", ENGLISH),
        ("b.html", "html", OTHER),
        ("all.pdf", "pdf", f"{ENGLISH}\n{OTHER}"),
    )
    assert set(found["all.pdf"]) == {"a.html", "b.html"}


def test_a_passage_that_says_more_stays_behind_the_one_that_it_holds() -> None:
    """What only the PDF says is not lost, and the page comes first."""
    more = (
        "Afterwards the rack's door is locked, and the key goes back to the porter's lodge. "
        "Whoever comes next finds it there, signs for it, and reads the thermometer above the door."
    )
    pages = [passage("g.html", ENGLISH), passage("g.pdf", f"{ENGLISH} {more}", "pdf")]
    found = find_copies(pages)
    assert found.shown == {}
    assert found.collapse(["g.pdf#1", "x", "g.html#1"]) == ["g.html#1", "g.pdf#1", "x"]


def test_passages_of_one_document_are_never_copies() -> None:
    """Overlapping chunks of a document are its own business."""
    own = [passage("g.html", ENGLISH, name="1"), passage("g.html", ENGLISH, name="2")]
    assert find_copies([*own, passage("o.html", OTHER)]) == Copies()


def test_the_form_with_more_structure_is_shown_whatever_its_rank() -> None:
    """So is, of equal forms, the shorter name: a citation does not change with the question."""
    forms = [("z.pdf", "pdf", ENGLISH), ("y.docx", "docx", ENGLISH), ("x.html", "html", ENGLISH)]
    assert set(copies(*forms)) == {"z.pdf", "y.docx"}
    twice = [("mirror/of/x.html", "html", ENGLISH), ("x.html", "html", ENGLISH)]
    assert copies(*twice) == {"mirror/of/x.html": ("x.html",)}


def test_a_short_passage_is_a_copy_only_whole() -> None:
    """A heading, a row."""
    assert copies(("a.html", "html", ENGLISH), ("a.pdf", "pdf", "Drain the node")) == {
        "a.pdf": ("a.html",)
    }
    assert copies(("a.html", "html", ENGLISH), ("a.pdf", "pdf", "Drain the pool")) == {}


def test_a_copy_gives_its_place_to_what_is_shown() -> None:
    """At rank 1 as a copy is at rank 1."""
    found = Copies(shown={"pdf": ("page",)})
    assert found.collapse(["pdf", "x", "page"]) == ["page", "x"]
    assert found.collapse(["x", "pdf"]) == ["x", "page"]


def corpus(documents: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Named copies of a corpus: each with what it is like."""
    made = Corpus()
    for key, text in documents:
        made.add(key, text)
    return {one["document"]: one["like"] for one in made.copied().named}


def pages(count: int) -> list[tuple[str, str]]:
    return [
        (
            f"p{n}.html",
            " ".join(f"Room {n} of wing {n * w} holds {w * 31 + n} shelves." for w in range(60)),
        )
        for n in range(count)
    ]


def test_a_corpus_names_its_copies() -> None:
    """A PDF of one page; the others are no copies, and neither is one alone."""
    own = pages(4)
    assert corpus([*own, ("p2.pdf", printed(own[2][1]))]) == {
        "p2.html": "p2.pdf",
        "p2.pdf": "p2.html",
    }
    assert corpus(own) == {}
    assert corpus(own[:1]) == {}


@pytest.mark.parametrize(("one", "other"), [("4", "14"), ("14", "4"), ("4", "41"), ("41", "4")])
def test_a_number_within_a_longer_one_is_another_number(one: str, other: str) -> None:
    """Pool 4 was found "also in" the document of pool 14: the characters behind agree."""
    text = (
        "What is the quota of pool number {}? Ask the committee of the pool before the first of "
        "the month, by letter, and name the devices that you give back in turn."
    )
    pages = [passage("a.md", text.format(one)), passage("b.md", text.format(other))]
    assert find_copies(pages) == Copies()

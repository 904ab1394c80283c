"""Markdown, plain text and HTML to blocks with their heading path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import Block, BlockKind
from platform_pipelines.stages.knowledge_base.parsing.draft import HEADING_CHARACTERS
from platform_pipelines.stages.knowledge_base.parsing.html import declared_charset, read_html
from platform_pipelines.stages.knowledge_base.parsing.inline import plain_inline
from platform_pipelines.stages.knowledge_base.parsing.markdown import read_markdown
from platform_pipelines.stages.knowledge_base.parsing.plain import read_plain


def _shown(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(str(block.kind), block.text) for block in blocks]


GUIDE = """---
title: "운영 가이드"
tags: [a]
---
# 노드 *풀* C# ##
first line
second **bold** line

| pool | price |
|------|:-----:|
| `a\\|b` | 1 |

Setext
------
- one
  goes on
  - nested

  still the item
- two

  ```bash
  kubectl get
  ```
1. x
2. y

> quoted
>> deeper

    indented
    code
after code
***
<!-- not
shown -->
[ref]: http://x.example
~~~
never closed
"""


def test_markdown_blocks_keep_their_kind_and_order() -> None:
    """Each construct once, as CommonMark and GitHub read it."""
    draft = read_markdown(GUIDE)
    assert draft.title == "운영 가이드"
    assert _shown(draft.blocks) == [
        ("heading", "노드 풀 C#"),
        ("paragraph", "first line second bold line"),
        ("table", "pool | price\n`a|b` | 1"),
        ("heading", "Setext"),
        ("list", "- one goes on\n  - nested still the item\n- two"),
        ("code", "kubectl get"),
        ("list", "1. x\n2. y"),
        ("paragraph", "quoted deeper"),
        ("code", "indented\ncode"),
        ("paragraph", "after code"),
        ("code", "never closed\n"),
    ]


def test_the_heading_path_is_complete_and_closes_with_its_level() -> None:
    """A citation without its chapter cannot be found again."""
    draft = read_markdown("# A\n## B\nb\n#### D\nd\n## C\nc\n# E\ne")
    paths = [b.place.heading for b in draft.blocks if b.kind is BlockKind.PARAGRAPH]
    assert paths == [("A", "B"), ("A", "B", "D"), ("A", "C"), ("E",)]
    assert draft.blocks[1].place.heading == ("A",)


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    """A document that begins with a rule lost its first paragraphs."""
    draft = read_markdown("---\ntext: of the paragraph\n\nmore")
    assert draft.title is None
    assert "more" in [b.text for b in draft.blocks]


def test_a_huge_heading_is_not_repeated_in_full() -> None:
    """A heading of a megabyte in the place of ten thousand blocks is ten gigabytes."""
    draft = read_markdown("# " + "x" * 5000 + "\ntext")
    assert len(draft.blocks[1].place.heading[0]) <= HEADING_CHARACTERS


def test_headings_without_text_are_not_blocks() -> None:
    """Blocks are never blank."""
    assert read_markdown("#\n\n##  \n\ntext").blocks[0].text == "text"


def test_a_comment_that_never_ends_hides_nothing() -> None:
    """One forgotten `-->` took the rest of the document out of the index."""
    texts = [b.text for b in read_markdown("<!-- a -->\n<!-- b --> c\n\n<!--\nrest\n\n<!--").blocks]
    assert texts == ["c", "<!-- rest", "<!--"]


def test_a_number_that_ends_a_sentence_is_not_a_list() -> None:
    """`... was founded in\\n2019. It ...` became a list item number 2019."""
    draft = read_markdown("The team was founded in\n2019. It grew.")
    assert _shown(draft.blocks) == [("paragraph", "The team was founded in 2019. It grew.")]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("**a** *b* ***c*** __d__ _e_ ~~f~~", "a b c d e f"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("`**kept** <b>` **gone**", "`**kept** <b>` gone"),
        ("[text](https://a.example/x_(y)) [rel](other.md) ![alt](i.png)", None),
        ("<https://a.example> [t][1]", "https://a.example t"),
        ("kubectl drain <node> x<br>y<b>z</b>", "kubectl drain <node> x\nyz"),
        ("a<!-- hidden -->b &amp; \\*c\\*", "ab & *c*"),
        ("plain", "plain"),
    ],
)
def test_inline_marks_go_and_words_stay(source: str, plain: str | None) -> None:
    """Placeholders in angle brackets are words, emphasis is not."""
    expected = plain or "text (https://a.example/x_(y)) rel alt"
    assert plain_inline(source) == expected


@given(st.text(alphabet="#-*+>`|= \n\ta1.가[]()<!", max_size=400))
def test_any_markdown_gives_blocks_that_are_not_blank(text: str) -> None:
    """Half-typed Markdown is the normal case; the reader must end, and invent nothing blank."""
    assert all(block.text.strip() for block in read_markdown(text).blocks)
    assert all(block.text.strip() for block in read_plain(text).blocks)


@pytest.mark.parametrize(
    "line", [">" * 200_000, "<!-- " * 100_000, "[" * 200_000, "*a" * 100_000, "`" * 200_000]
)
def test_hostile_lines_take_linear_time(line: str) -> None:
    """Backtracking patterns took minutes on these; the test's time-out is the bound."""
    assert read_markdown(line + "\n" + line) is not None


def test_plain_text_has_paragraphs_lists_and_headings() -> None:
    """Memos and reStructuredText, hard-wrapped at eighty columns."""
    wide = "a sentence that is wrapped by an editor at the eightieth column and so"
    text = f"제목입니다\n==========\n\n{wide}\ngoes on here.\n\nWHAT NEXT\n\n- one\n  more\n- two\n"
    text += "\nSub\n---\nx: 1\ny: 2"
    draft = read_plain(text)
    assert draft.title == "제목입니다"
    assert _shown(draft.blocks) == [
        ("heading", "제목입니다"),
        ("paragraph", f"{wide} goes on here."),
        ("heading", "WHAT NEXT"),
        ("list", "- one more\n- two"),
        ("heading", "Sub"),
        ("paragraph", "x: 1\ny: 2"),
    ]
    assert draft.blocks[1].place.line == 4
    assert draft.blocks[-1].place.heading == ("제목입니다", "Sub")


def test_an_overlined_heading_is_one_heading() -> None:
    """reStructuredText's chapter style."""
    draft = read_plain("=====\nTitle\n=====\n\ntext\n\nPart\n====\n\nmore")
    assert [b.place.heading for b in draft.blocks if b.kind is BlockKind.PARAGRAPH] == [
        ("Title",),
        ("Title", "Part"),
    ]


PAGE = """<html><head><title>제목 &amp; more</title><style>x{}</style></head><body>
<nav>menu</nav><h1>A <b>b</b></h1>
<p>one<br>two <a href=x>link</a>.<script>evil()</script></p>loose
<h2>B</h2><ul><li>i1<ul><li>n1<li>n2</ul><li><p>i2</p><p>more</p></ul><ol><li>x<li>y</ol>
<pre><code>a = 1
  b</code></pre><div hidden>secret</div><div style="display: none">hidden</div>
<table><caption>Prices</caption><tr><th>h1<th colspan=2>h2
<tr><td rowspan=2>v<script>no</script><td>w<td>z<tr><td>w2<td>z2</table>
<table><tr><td><h2>C</h2><p>layout</p></td></tr></table><!-- c --><p>end"""


def test_html_is_read_as_a_reader_sees_it() -> None:
    """No menus, scripts or hidden text; spanning cells are repeated in each row."""
    draft = read_html(PAGE)
    assert draft.title == "제목 & more"
    assert _shown(draft.blocks) == [
        ("heading", "A b"),
        ("paragraph", "one\ntwo link."),
        ("paragraph", "loose"),
        ("heading", "B"),
        ("list", "- i1\n  - n1\n  - n2\n- i2\n  more"),
        ("list", "1. x\n2. y"),
        ("code", "a = 1\n  b"),
        ("table", "Prices\nh1 | h2 | h2\nv | w | z\nv | w2 | z2"),
        ("heading", "C"),
        ("paragraph", "layout"),
        ("paragraph", "end"),
    ]
    assert draft.blocks[-2].place.heading == ("A b", "C")


def test_a_page_without_a_title_takes_its_first_heading() -> None:
    """The file's stem says less."""
    assert read_html("<h1>The  heading</h1><p>x").title == "The heading"


def test_a_list_item_outside_a_list_is_still_an_item() -> None:
    """Browsers show it; old pages are full of them."""
    assert _shown(read_html("<li>a<li>b").blocks) == [("list", "- a\n- b")]


def test_deeply_nested_html_is_no_problem() -> None:
    """A recursive walk ended in a RecursionError, or in a crash of the process."""
    draft = read_html("<div>" * 20_000 + "deep" + "</div>" * 20_000)
    assert [b.text for b in draft.blocks] == ["deep"]


def test_a_giant_colspan_is_bounded() -> None:
    """`colspan=1000` in each of many cells multiplied a small page to gigabytes."""
    row = "<tr>" + '<td colspan=9999 rowspan="9999">x</td>' * 100 + "</tr>"
    text = read_html(f"<table>{row * 5}</table>").blocks[0].text
    assert len(text) < 50_000


@given(st.text(alphabet='<>/ab=" 가trdhul1p!-', max_size=300))
def test_any_markup_gives_blocks_that_are_not_blank(text: str) -> None:
    """Tag soup is what the web is made of."""
    assert all(block.text.strip() for block in read_html(text).blocks)


def test_the_charset_is_read_from_meta_or_the_xml_declaration() -> None:
    """Old Korean pages say `euc-kr` and nothing else tells."""
    assert declared_charset(b'<meta http-equiv=x content="text/html; charset=euc-kr">') == "euc-kr"
    assert declared_charset(b'<?xml version="1.0" encoding="utf-8"?><html>') == "utf-8"
    assert declared_charset(b"<p>") is None


def test_raised_numbers_are_not_digits_of_the_number_before_them() -> None:
    """`10<sup>5</sup>` was 105."""
    text = (
        "<p>10<sup>5</sup> W, H<sub>2</sub>O, 3<sup>rd</sup>, fee<sup><a href='#n'>1</a></sup></p>"
    )
    assert read_html(text).blocks[0].text == "10^5 W, H2O, 3rd, fee 1"


def test_tables_of_links_to_other_pages_are_left_out_and_noted() -> None:
    """They were 15 % of one corpus' chunks."""
    links = "".join(f"<td><a href='{n}'>Page {n}</a></td>" for n in range(4))
    draft = read_html(f"<p>text</p><table><tr>{links}</tr></table>")
    assert [block.text for block in draft.blocks] == ["text"]
    assert draft.notes


def test_hidden_answers_that_a_button_shows_are_read_and_menus_are_not() -> None:
    """An accordion's answers are hidden until somebody presses."""
    draft = read_html(
        "<h2><button data-bs-target='#a'>Why?</button></h2><div id='a' hidden>Because.</div>"
        "<button aria-controls='m'>Menu</button><ul id='m' hidden><li><a href='x'>Home</a></ul>"
        "<div hidden>secret</div>"
    )
    assert [block.text for block in draft.blocks] == ["Why?", "Because."]

"""The one entry: any bytes give blocks that keep the contract, or a typed reason."""

import io
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from pptx import Presentation

from platform_pipelines.core.knowledge_base.documents import DocumentType, ParsedDocument, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.parse import (
    PARSER_VERSION,
    ParseLimits,
    parse_document,
    parser_digest,
)

HANDBOOK = Path(str(files("platform_pipelines") / "samples" / "handbook"))
SAMPLES = sorted(p for p in HANDBOOK.rglob("*") if p.is_file()) if HANDBOOK.is_dir() else []
NAMES = st.sampled_from(
    ["a.md", "a.txt", "a.html", "a.csv", "a.py", "a.jsonl", "a", "a.pdf", "a.docx"]
)


def _check(parsed: ParsedDocument) -> None:
    assert parsed.title
    assert parsed.title == parsed.title.strip()
    assert parsed.language in ("ko", "en", "und")
    assert parsed.blocks
    for block in parsed.blocks:
        assert block.text.strip()
        assert unicodedata.is_normalized("NFC", block.text)
        assert not {c for c in block.text if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
        block.text.encode("utf-8")


def _outcome(data: bytes, key: str) -> str | None:
    """The reason of the refusal; None when the document is parsed and keeps the contract."""
    try:
        parsed = parse_document(data, key=key)
    except DocumentError as error:
        return error.reason if error.where == key else f"{error.where} is not {key}"
    _check(parsed)
    return None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=400), NAMES)
@example(b"\xff\xfe\x00", "a.txt")
@example(b"<html>" + b"\x00" * 50, "a.html")
def test_random_bytes_give_blocks_or_a_reason(data: bytes, key: str) -> None:
    """Anything else that is raised kills the worker's whole batch."""
    outcome = _outcome(data, key)
    assert outcome is None or outcome in set(Reason)


@settings(deadline=None)
@given(st.text(max_size=300), NAMES, st.sampled_from(["utf-8", "utf-16"]))
def test_any_text_gives_blocks_or_a_reason(text: str, key: str, encoding: str) -> None:
    """Text formats take more paths than random bytes reach."""
    outcome = _outcome(text.encode(encoding), key)
    assert outcome is None or outcome in set(Reason)


def _office(kind: str, saved: Callable[[Any], bytes]) -> bytes:
    if kind == "docx":
        document = Document()
        document.add_paragraph("text of some length " * 20)
        return saved(document)
    if kind == "pptx":
        deck = Presentation()
        deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = "title"
        return saved(deck)
    book = Workbook()
    book.active.append(["a", "b"])
    return saved(book)


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95, 0.999])
def test_truncated_office_files_have_a_reason(
    saved: Callable[[Any], bytes], kind: str, share: float
) -> None:
    """Uploads break off; libraries raise a dozen different errors for it."""
    data = _office(kind, saved)
    with pytest.raises(DocumentError) as caught:
        parse_document(data[: int(len(data) * share)], key=f"a.{kind}")
    assert caught.value.reason in (Reason.CORRUPT, Reason.UNSUPPORTED)


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
def test_scrambled_office_parts_have_a_reason(
    saved: Callable[[Any], bytes], with_part: Callable[..., bytes], kind: str
) -> None:
    """Each part replaced by other XML: wrong roots, missing relations."""
    data = _office(kind, saved)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [n for n in archive.namelist() if n.endswith((".xml", ".rels"))]
    for name in names:
        for text in ("", "<a/>", "not xml"):
            outcome = _outcome(with_part(data, name, lambda _, t=text: t), f"a.{kind}")
            assert outcome is None or outcome in set(Reason)


def test_a_zip_bomb_is_refused_before_it_is_opened(saved: Callable[[Any], bytes]) -> None:
    """42 kB that claim gigabytes."""
    out = io.BytesIO(_office("docx", saved))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/bomb.bin", bytes(64 << 20))
    with pytest.raises(DocumentError) as caught:
        parse_document(out.getvalue(), key="a.docx")
    assert caught.value.reason == Reason.TOO_LARGE


def test_limits_are_enforced() -> None:
    """Bytes before anything is read, characters after."""
    for limits in (ParseLimits(max_bytes=3), ParseLimits(max_characters=3)):
        with pytest.raises(DocumentError) as caught:
            parse_document(b"some text", key="a.txt", limits=limits)
        assert caught.value.reason == Reason.TOO_LARGE
        assert caught.value.remedy


def test_a_scan_is_empty_and_the_remedy_is_ocr(make_pdf: Callable[..., bytes]) -> None:
    """The commonest entry of every quarantine."""
    with pytest.raises(DocumentError) as caught:
        parse_document(make_pdf([[]]), key="scan.pdf")
    assert caught.value.reason == Reason.EMPTY
    assert "OCR" in caught.value.remedy


def test_markup_without_text_is_empty() -> None:
    """An index must not hold documents that say nothing."""
    with pytest.raises(DocumentError) as caught:
        parse_document(b"<html><script>x</script></html>", key="a.html")
    assert caught.value.reason == Reason.EMPTY


def test_deeply_nested_json_is_not_an_error() -> None:
    """The JSON parser's recursion limit ended the worker."""
    assert parse_document(b"[" * 100_000, key="a.json").type is DocumentType.CODE


@pytest.mark.parametrize(
    ("data", "key", "title"),
    [
        (b"---\ntitle: T\n---\n# H\nx", "a.md", "T"),
        (b"# H\nx", "a.md", "H"),
        (b"## H\nx", "dir/a b.md", "a b"),
        (b"<title>T</title><h1>H</h1><p>x", "a.html", "T"),
        (b"words", unicodedata.normalize("NFD", "문서.txt"), "문서"),
        (b"words", ".txt", ".txt"),
    ],
)
def test_the_title_is_the_best_that_the_document_gives(data: bytes, key: str, title: str) -> None:
    """It is part of what is searched."""
    assert parse_document(data, key=key).title == title


def test_euc_kr_html_is_korean() -> None:
    """Through the whole pipeline: meta charset, NFC, language."""
    page = '<meta charset="euc-kr"><title>안내</title><p>당직은 두 명이 선다.</p>'
    parsed = parse_document(page.encode("cp949"), key="a.htm")
    assert (parsed.title, parsed.language) == ("안내", "ko")
    assert parsed.blocks[0].text == "당직은 두 명이 선다."


def test_a_long_cell_is_no_corrupt_table() -> None:
    """One log or policy text of 131,073 characters in a cell, and the whole file was refused."""
    text = "word " * 100_000
    parsed = parse_document(f'name,text\na,"{text}"\nb,short\n'.encode(), key="a.csv")
    assert parsed.blocks[0].text == f"name: a | text: {text.strip()}\nname: b | text: short"


def test_a_cell_longer_than_a_document_may_be_is_too_large() -> None:
    """The limits that are declared hold, and not the one that the csv module has."""
    limits = ParseLimits(max_characters=200_000)
    with pytest.raises(DocumentError) as caught:
        parse_document(f"name,text\na,{'x' * 200_001}\n".encode(), key="a.csv", limits=limits)
    assert caught.value.reason == Reason.TOO_LARGE


def test_parsing_is_deterministic(make_pdf: Callable[..., bytes]) -> None:
    """Equal bytes, equal blocks: the digest of the text names the chunk."""
    data = make_pdf([[(50, 700, 12, "x y z")]])
    assert parse_document(data, key="a.pdf") == parse_document(data, key="a.pdf")


def test_the_parser_digest_names_code_and_libraries() -> None:
    """A new library version parses everything again, nothing else does."""
    assert parser_digest() == parser_digest()
    assert len(parser_digest()) == 32
    assert PARSER_VERSION


def test_importing_the_parser_imports_no_heavy_library() -> None:
    """A worker that reads Markdown must start at once."""
    heavy = ("lxml", "docx", "pptx", "openpyxl", "pypdfium2", "selectolax", "charset_normalizer")
    code = (
        "import sys, platform_pipelines.stages.knowledge_base.parsing.parse;"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_every_sample_document_is_parsed(path: Path) -> None:
    """The shipped corpus is the demo: not one of its documents may end in quarantine."""
    key = path.relative_to(HANDBOOK).as_posix()
    parsed = parse_document(path.read_bytes(), key=key)
    _check(parsed)
    assert parsed.language != "und"
    assert "\ufffd" not in "".join(block.text for block in parsed.blocks)

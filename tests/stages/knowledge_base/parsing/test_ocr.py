"""Pictures of text: read where it is declared and can be, else quarantined with the remedy."""

import io
from collections.abc import Callable

import pytest

from platform_pipelines.core.knowledge_base.documents import NoteKind, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing import ocr
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import (
    ParseLimits,
    parse_document,
    parser_digest,
)
from tests.scanned import RULES, error_share, scan, skip_without_ocr


@pytest.fixture
def limits() -> ParseLimits:
    skip_without_ocr()
    return ParseLimits(ocr=OcrOptions())


@pytest.mark.parametrize("layout", [4, 6])
@pytest.mark.parametrize(
    ("kind", "type_"), [("PNG", "image"), ("JPEG", "image"), ("TIFF", "image"), ("PDF", "pdf")]
)
def test_a_scanned_korean_page_is_read(
    limits: ParseLimits, kind: str, type_: str, layout: int
) -> None:
    """At most a tenth of the characters is wrong; Tesseract's own default loses two thirds."""
    options = ParseLimits(ocr=OcrOptions(layout=layout))
    document = parse_document(scan(kind, RULES), key="규정", limits=options)
    assert document.type == type_
    assert document.language == "ko"
    assert error_share("\n".join(b.text for b in document.blocks), RULES) < 0.1
    assert document.notes == ()


@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_recognised_text_is_cited_by_its_page(limits: ParseLimits, kind: str) -> None:
    """A citation leads to the page."""
    data = scan(kind, RULES, "Second page about backups", "Third page about leave")
    document = parse_document(data, key="a", limits=limits)
    pages = {b.place.page for b in document.blocks if "Second" in b.text}
    assert pages == {2}
    assert [b.place.page for b in document.blocks] == sorted(
        b.place.page or 0 for b in document.blocks
    )


def test_pages_beyond_the_bound_are_named(limits: ParseLimits) -> None:
    """What costs a second a page is bounded, and never cut off in silence."""
    few = ParseLimits(ocr=OcrOptions(max_pages=1))
    document = parse_document(scan("PDF", RULES, RULES), key="a.pdf", limits=few)
    assert {b.place.page for b in document.blocks} == {1}
    assert any("max_pages" in note.what for note in document.notes)
    assert {note.kind for note in document.notes} == {NoteKind.PICTURE}


def test_an_empty_scan_is_not_a_document_of_noise(limits: ParseLimits) -> None:
    """Speckles became words, and words became answers."""
    with pytest.raises(DocumentError) as caught:
        parse_document(scan("PNG", " "), key="a.png", limits=limits)
    assert caught.value.reason == Reason.NEEDS_OCR


def test_a_page_between_others_is_recognised_in_its_place(
    limits: ParseLimits, make_pdf: Callable[..., bytes]
) -> None:
    """A signed page in the middle of a typed contract was named as a picture only."""
    from pypdfium2 import PdfDocument

    contract, out = PdfDocument.new(), io.BytesIO()
    for data in (
        make_pdf([[(50, 700, 12, "Article one is typed by the lawyers")]]),
        scan("PDF", "This page was signed by hand"),
        make_pdf([[(50, 700, 12, "Article three is typed by the lawyers")]]),
    ):
        contract.import_pages(PdfDocument(data))
    contract.save(out)
    document = parse_document(out.getvalue(), key="a.pdf", limits=limits)
    words = " ".join(b.text for b in document.blocks)
    assert words.index("one is typed") < words.index("signed by hand") < words.index("three is")
    assert [b.place.page for b in document.blocks] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PDF"])
def test_without_the_option_the_remedy_is_named(kind: str) -> None:
    """Unsupported it is not: it waits for an option."""
    skip_without_ocr()
    with pytest.raises(DocumentError) as caught:
        parse_document(scan(kind, RULES), key="a")
    assert caught.value.reason == Reason.NEEDS_OCR
    assert "parse.ocr" in caught.value.remedy
    assert "tesseract-ocr-kor" in caught.value.remedy


def test_a_language_that_is_not_installed_is_named() -> None:
    """Not read with another alphabet instead."""
    skip_without_ocr()
    options, page = ParseLimits(ocr=OcrOptions(languages=("kor", "xxx"))), scan("PNG", RULES)
    with pytest.raises(DocumentError) as caught:
        parse_document(page, key="a.png", limits=options)
    assert caught.value.reason == Reason.NEEDS_OCR
    assert "xxx" in caught.value.what


def test_without_tesseract_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without it refuses, and documents are tried again once it is there."""
    skip_without_ocr()
    there = parser_digest(OcrOptions())
    monkeypatch.setattr(ocr, "_library", lambda: None)
    parser_digest.cache_clear()
    ocr.open_recogniser.cache_clear()
    with pytest.raises(DocumentError) as caught:
        parse_document(scan("PDF", RULES), key="a", limits=ParseLimits(ocr=OcrOptions()))
    assert caught.value.reason == Reason.NEEDS_OCR
    assert "no Tesseract" in caught.value.what
    assert "install tesseract-ocr" in caught.value.remedy
    assert parser_digest(OcrOptions()) != there
    parser_digest.cache_clear()


def test_a_picture_that_is_cut_off_is_corrupt(limits: ParseLimits) -> None:
    """And costs itself."""
    with pytest.raises(DocumentError) as caught:
        parse_document(scan("PNG", RULES)[:2000], key="a.png", limits=limits)
    assert caught.value.reason == Reason.CORRUPT

"""PDF: the characters of each page with their boxes, by PDFium. What they mean is pdf_blocks.py.

PDFium is not thread-safe, and native code: this runs in a worker process of its own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.pdf_blocks import Page, page_blocks
from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Glyph, page_pieces

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfTextPage

_PASSWORD_ERROR: Final = 4  # FPDF_ERR_PASSWORD
_SECURITY_ERROR: Final = 5  # FPDF_ERR_SECURITY: a security scheme that PDFium does not know
_PROGRAM_TITLES: Final = ("microsoft word - ", "microsoft powerpoint - ", "untitled", "제목 없음")
_HYPHEN: Final = "\x02"  # PDFium's mark for a hyphen at a line's end


def read_pdf(data: bytes, *, key: str, max_pages: int) -> Draft:
    """Blocks of a PDF, page after page; the title is the file's own unless a program set it.

    Raises:
        DocumentError: ENCRYPTED, CORRUPT, TOO_LARGE beyond `max_pages`.
    """
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        raise _open_error(error, key) from error
    try:
        count = len(document)
        if count == 0 or count > max_pages:
            raise DocumentError(
                f"the PDF has {count:,} pages",
                reason=Reason.CORRUPT if count == 0 else Reason.TOO_LARGE,
                where=key,
                remedy=f"between 1 and {max_pages:,} are read",
            )
        draft = page_blocks(list(_pages(document)))
        draft.title = _own_title(document.get_metadata_value("Title")) or draft.title
    except PdfiumError as error:
        raise DocumentError(
            f"a page of the PDF cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    finally:
        document.close()
    return draft


def _open_error(error: Exception, key: str) -> DocumentError:
    code = getattr(error, "err_code", None)
    if code in (_PASSWORD_ERROR, _SECURITY_ERROR):
        return DocumentError(
            "the PDF is protected by a password",
            reason=Reason.ENCRYPTED,
            where=key,
            remedy="save it without a password",
        )
    return DocumentError(f"the PDF cannot be opened: {error}", reason=Reason.CORRUPT, where=key)


def _own_title(title: str) -> str:
    """The title in the file's properties, unless a program filled in a name of its own."""
    text = one_line(title)
    name = text.lower()
    machine = name.startswith(_PROGRAM_TITLES) or name.endswith(
        (".doc", ".docx", ".pdf", ".hwp", ".pptx", ".tex", ".html", ".indd", ".dvi")
    )
    return "" if machine or "://" in name else text


def _pages(document: "PdfDocument") -> Iterator[Page]:
    for number in range(len(document)):
        page = document[number]
        text = page.get_textpage()
        try:
            yield Page(number + 1, page.get_height(), page_pieces(_lines(text)))
        finally:
            text.close()
            page.close()


def _lines(page: "PdfTextPage") -> Iterator[list[Glyph]]:
    """Characters between the line ends that PDFium finds."""
    line: list[Glyph] = []
    for glyph in _glyphs(page):
        if glyph.text == "\n":
            yield line
            line = []
        else:
            line.append(glyph)
    yield line


def _glyphs(page: "PdfTextPage") -> Iterator[Glyph]:
    from pypdfium2 import raw

    box, scale, known = raw.FS_RECTF(), 1.0, -1.0
    for index in range(page.count_chars()):
        code = raw.FPDFText_GetUnicode(page, index)
        if code in (0, 0xD, 0xFFFE) or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
            continue
        text = "-" if chr(code) == _HYPHEN else chr(code)
        if text.isspace():
            yield Glyph("\n" if text == "\n" else " ", 0.0, 0.0, 0.0, 0.0, 0.0)
            continue
        size = raw.FPDFText_GetFontSize(page, index)
        if size != known:
            scale, known = _scale(page, index), size
        raw.FPDFText_GetLooseCharBox(page, index, box)
        yield Glyph(text, box.left, box.bottom, box.right, box.top, size * scale)


def _scale(page: "PdfTextPage", index: int) -> float:
    """How much the text matrix enlarges the nominal font size (many programs write size 1)."""
    from pypdfium2 import raw

    matrix = raw.FS_MATRIX()
    if not raw.FPDFText_GetMatrix(page, index, matrix):
        return 1.0
    return (matrix.c**2 + matrix.d**2) ** 0.5 or 1.0

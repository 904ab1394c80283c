"""PDF: the characters of each page with their boxes, by PDFium. What they mean is pdf_blocks.py.

PDFium is not thread-safe, and native code: this runs in a worker process of its own.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import pi
from typing import TYPE_CHECKING, Final, NamedTuple

from platform_pipelines.core.knowledge_base.documents import NoteKind, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.pdf_blocks import Page, page_blocks
from platform_pipelines.stages.knowledge_base.parsing.pdf_forms import form_pieces
from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import (
    Glyph,
    page_pieces,
    turned,
)
from platform_pipelines.stages.knowledge_base.parsing.pdf_outline import Entry
from platform_pipelines.stages.knowledge_base.parsing.pdf_scans import Scans
from platform_pipelines.stages.knowledge_base.parsing.picture import in_page_order

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

_PASSWORD_ERROR: Final = 4  # FPDF_ERR_PASSWORD
_SECURITY_ERROR: Final = 5  # FPDF_ERR_SECURITY: a security scheme that PDFium does not know
_PROGRAM_TITLES: Final = ("microsoft word - ", "microsoft powerpoint - ", "untitled", "제목 없음")
_HYPHEN: Final = "\x02"  # PDFium's mark for a hyphen at a line's end
UNNAMED: Final = "\ufffd"  # a character whose font does not say which one it is
_UNKNOWN: Final = 0xFFFD
_MOST_BOOKMARKS: Final = 20_000
_GARBAGE_SHARE: Final = 0.3
_FEW_GLYPHS: Final = 20
_SAMPLED_GLYPHS: Final = 200
_SAMPLED_OBJECTS: Final = 200
_OUTLINED_LETTERS: Final = 40  # so many shapes and no text


def read_pdf(data: bytes, *, key: str, max_pages: int, ocr: OcrOptions | None = None) -> Draft:
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
        notes, scans = Draft(), Scans(ocr)
        outline = notes.attempt("outline", lambda: _outline(document)) or []
        draft = page_blocks(list(_pages(document, notes, scans)), outline)
        in_page_order(draft, sorted(scans.texts), scans.texts)
        draft.noted = notes.noted
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


def _outline(document: "PdfDocument") -> list[Entry]:
    entries: list[Entry] = []
    for bookmark in islice(document.get_toc(), _MOST_BOOKMARKS):
        goal = bookmark.get_dest()
        page = goal.get_index() if goal is not None else None
        if page is not None:
            entries.append(Entry(bookmark.level + 1, one_line(bookmark.get_title()), page + 1))
    return entries


def _pages(document: "PdfDocument", draft: Draft, scans: Scans) -> Iterator[Page]:
    document.init_forms()
    for number in range(len(document)):
        page = document[number]
        text = page.get_textpage()
        try:
            yield _page(document, page, text, number + 1, _Found(draft, scans))
        finally:
            text.close()
            page.close()


class _Found(NamedTuple):
    """What the pages of a document gave besides their pieces."""

    draft: Draft  # its notes
    scans: Scans


def _page(
    document: "PdfDocument", page: "PdfPage", text: "PdfTextPage", number: int, found: _Found
) -> Page:
    """A page's pieces, upright: along the direction in which most of its text runs."""
    draft = found.draft
    width, height = page.get_size()
    lines = _named_lines(page, text, number, found)
    if lines is None:
        return Page(number, height, [])
    if page.get_rotation() in (90, 270):
        width, height = height, width  # of the paper as its text is laid out
    turn = _turn(text)
    upright = [[_turned_glyph(g, turn, width, height) for g in line] for line in lines]
    pieces = page_pieces(upright)
    fields = draft.attempt(f"fields of page {number}", lambda: list(form_pieces(document, page)))
    pieces += [turned(piece, turn, width, height) for piece in fields or []]
    return Page(number, width if turn % 2 else height, pieces)


def _named_lines(
    page: "PdfPage", text: "PdfTextPage", number: int, found: _Found
) -> list[list[Glyph]] | None:
    """The page's lines, of characters that have a name; None: it was recognised as a picture."""
    lines = [list(line) for line in _lines(text)]
    glyphs = sum(len(line) for line in lines)
    unnamed = sum(glyph.text == UNNAMED for line in lines for glyph in line)
    garbage = unnamed > _GARBAGE_SHARE * glyphs  # what is left of it is no text
    picture = glyphs < _FEW_GLYPHS and _has_picture(page)
    if (picture or garbage) and found.scans.read(page, number, found.draft):
        return None
    if unnamed:
        found.draft.note(NoteKind.NO_UNICODE, f"page {number}", unnamed)
        lines = [] if garbage else [[g for g in line if g.text != UNNAMED] for line in lines]
    if picture:
        found.draft.note(NoteKind.PICTURE, f"page {number}")
    return lines


def _turn(text: "PdfTextPage") -> int:
    """Quarter turns, counted clockwise, that set most of the page's text upright."""
    from pypdfium2 import raw

    count = text.count_chars()
    step = max(1, count // _SAMPLED_GLYPHS)
    turns = Counter(
        round(raw.FPDFText_GetCharAngle(text, n) / (pi / 2)) % 4 for n in range(0, count, step)
    )
    # PDFium's angles are clockwise: at three quarters the text runs up the paper.
    return {0: 0, 3: 1, 2: 2, 1: 3}[turns.most_common(1)[0][0]] if turns else 0


def _turned_glyph(glyph: Glyph, turn: int, width: float, height: float) -> Glyph:
    return turned(glyph, turn, width, height) if turn and not glyph.text.isspace() else glyph


def _has_picture(page: "PdfPage") -> bool:
    """Whether something is drawn that may be text: a picture, a form, or letters as outlines."""
    from pypdfium2 import raw

    count = min(raw.FPDFPage_CountObjects(page), _SAMPLED_OBJECTS)
    kinds = Counter(raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, n)) for n in range(count))
    drawn = kinds[raw.FPDF_PAGEOBJ_IMAGE] + kinds[raw.FPDF_PAGEOBJ_FORM]
    return bool(drawn) or kinds[raw.FPDF_PAGEOBJ_PATH] >= _OUTLINED_LETTERS


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
        unnamed = raw.FPDFText_HasUnicodeMapError(page, index) == 1 or code == _UNKNOWN
        if not unnamed and (
            code in (0, 0xD, 0xFFFE) or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF
        ):
            continue
        text = UNNAMED if unnamed else "-" if chr(code) == _HYPHEN else chr(code)
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

"""Presentations: slides in order; on a slide, shapes from top to bottom and left to right."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, NoteKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)
from platform_pipelines.stages.knowledge_base.parsing.office import (
    chart_table,
    mended,
    other_texts,
)

if TYPE_CHECKING:
    from pptx.presentation import Presentation as Deck
    from pptx.slide import Slide

_DEEPEST_GROUP: Final = 8
_ROW_SHARE: Final = 40  # shapes whose tops differ by less than 1/40 of the height are side by side
_DEFAULT_HEIGHT: Final = 6_858_000  # EMU: 7.5 inches
_FURNITURE: Final = frozenset({"DATE", "FOOTER", "SLIDE_NUMBER"})
_MACHINE_TITLES: Final = ("powerpoint presentation", "powerpoint 프레젠테이션")


def read_pptx(data: bytes, *, key: str) -> Draft:
    """Blocks of a presentation; each slide's title is its heading, its notes come last.

    Raises:
        DocumentError: CORRUPT or UNSUPPORTED for what python-pptx refuses.
    """
    draft = Draft()
    deck = _open(data, key, draft)
    band = max((deck.slide_height or _DEFAULT_HEIGHT) // _ROW_SHARE, 1)
    for number, slide in enumerate(_slides(deck, draft), start=1):
        if slide is None:
            continue
        if slide.element.get("show", "1") in ("0", "false"):
            draft.note(NoteKind.HIDDEN, f"slide {number}")
        else:
            draft.attempt(f"slide {number}", partial(_read_slide, draft, slide, number, band))
    own = one_line(deck.core_properties.title or "")
    first = next((b.text for b in draft.blocks if b.kind is BlockKind.HEADING), "")
    draft.title = first if own.lower() in ("", *_MACHINE_TITLES) else own
    return draft


def _slides(deck: "Deck", draft: Draft) -> "Iterator[Slide | None]":
    """The slides in order; None for one that cannot be opened, so that the others keep theirs."""
    for number, entry in enumerate(deck.slides._sldIdLst, start=1):
        yield draft.attempt(f"slide {number}", partial(deck.part.related_slide, entry.rId))


def _open(data: bytes, key: str, draft: Draft) -> "Deck":
    from lxml.etree import XMLSyntaxError
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    try:
        return Presentation(io.BytesIO(mended(data, draft)))
    except ValueError as error:
        foreign = "is not a" in str(error)  # the only sign: a template, or a file with macros
        raise DocumentError(
            f"this is not a plain presentation: {error}",
            reason=Reason.UNSUPPORTED if foreign else Reason.CORRUPT,
            where=key,
            remedy="save it as PPTX",
        ) from error
    except (PythonPptxError, XMLSyntaxError, KeyError, zipfile.BadZipFile) as error:
        raise DocumentError(
            f"the presentation cannot be read: {error}", reason=Reason.CORRUPT, where=key
        ) from error


def _read_slide(draft: Draft, slide: "Slide", number: int, band: int) -> None:
    outline = Outline()
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        add_heading(draft, outline, 1, title.text_frame.text, Place(slide=number))
    place = Place(slide=number, heading=outline.path)
    taken = title.shape_id if title is not None else None
    for shape in _in_reading_order(slide.shapes, band, 0):
        if shape.shape_id != taken and not _is_furniture(shape):
            what = f"{one_line(shape.name or 'shape')} on slide {number}"
            draft.attempt(what, partial(_add_shape, draft, shape, place))
    for text in other_texts(slide.element, slide.part):
        draft.add(text, BlockKind.PARAGRAPH, place)
    draft.attempt(f"notes of slide {number}", partial(_add_notes, draft, slide, place))


def _add_notes(draft: Draft, slide: "Slide", place: Place) -> None:
    frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if frame is not None:
        draft.add(frame.text, BlockKind.PARAGRAPH, place)


def _in_reading_order(shapes: Iterable[Any], band: int, depth: int) -> Iterator[Any]:
    """Shapes by position; a group stands where it stands, and its members together."""
    for shape in sorted(shapes, key=lambda s: _position(s, band)):
        members = getattr(shape, "shapes", None)
        if members is None:
            yield shape
        elif depth < _DEEPEST_GROUP:
            yield from _in_reading_order(members, band, depth + 1)


def _position(shape: Any, band: int) -> tuple[int, int]:
    try:
        return (shape.top or 0) // band, shape.left or 0
    except (AttributeError, KeyError, ValueError):  # a place that its layout does not have
        return 0, 0


def _is_furniture(shape: Any) -> bool:
    try:
        kind = shape.placeholder_format.type if shape.is_placeholder else None
    except (AttributeError, KeyError, ValueError):
        return False
    return kind is not None and kind.name in _FURNITURE


def _add_shape(draft: Draft, shape: Any, place: Place) -> None:
    if getattr(shape, "has_table", False) and shape.has_table:
        add_table(draft, _table_rows(shape.table), place)
    elif getattr(shape, "has_chart", False) and shape.has_chart:
        chart = chart_table(shape.chart.part._element)
        add_table(draft, chart.rows, place, depth=1, caption=chart.title)
    elif shape.has_text_frame:
        _add_text(draft, shape, place)
    elif shape.shape_type is not None and shape.shape_type.name == "PICTURE":
        alt = shape._element.nvPicPr.cNvPr.get("descr", "")
        if alt:
            draft.add(one_line(alt), BlockKind.PARAGRAPH, place)
        else:
            draft.note(NoteKind.PICTURE, f"slide {place.slide}")


def _add_text(draft: Draft, shape: Any, place: Place) -> None:
    """Several paragraphs in one shape are a list, one is a sentence."""
    paragraphs = [(p.level, one_line(_paragraph_text(p))) for p in shape.text_frame.paragraphs]
    filled = [(level, text) for level, text in paragraphs if text]
    if len(filled) == 1:
        draft.add(filled[0][1], BlockKind.PARAGRAPH, place)
    else:
        lines = [f"{'  ' * level}- {text}" for level, text in filled]
        draft.add("\n".join(lines), BlockKind.LIST, place)


def _paragraph_text(paragraph: Any) -> str:
    return paragraph.text.replace("\v", " ")


def _table_rows(table: Any) -> list[list[str]]:
    """The cells' text; a merged cell's text is repeated in each cell that it covers."""
    rows: list[list[str]] = []
    covered: dict[tuple[int, int], str] = {}
    for y, row in enumerate(table.rows):
        rows.append([])
        for x, cell in enumerate(row.cells):
            if cell.is_merge_origin:
                area = product(range(y, y + cell.span_height), range(x, x + cell.span_width))
                covered.update((place, cell.text) for place in area)
            rows[-1].append(covered.get((y, x), "") if cell.is_spanned else cell.text)
    return rows

"""Presentations: slides in order; on a slide, shapes from top to bottom and left to right."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
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
    deck = _open(data, key)
    draft = Draft()
    band = max((deck.slide_height or _DEFAULT_HEIGHT) // _ROW_SHARE, 1)
    for number, slide in enumerate(deck.slides, start=1):
        _read_slide(draft, slide, number, band)
    own = one_line(deck.core_properties.title or "")
    first = next((b.text for b in draft.blocks if b.kind is BlockKind.HEADING), "")
    draft.title = first if own.lower() in ("", *_MACHINE_TITLES) else own
    return draft


def _open(data: bytes, key: str) -> "Deck":
    from lxml.etree import XMLSyntaxError
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    try:
        return Presentation(io.BytesIO(data))
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
            _add_shape(draft, shape, place)
    if slide.has_notes_slide:
        frame = slide.notes_slide.notes_text_frame
        if frame is not None:
            draft.add(frame.text, BlockKind.PARAGRAPH, place)


def _in_reading_order(shapes: Iterable[Any], band: int, depth: int) -> Iterator[Any]:
    """Shapes by position; a group stands where it stands, and its members together."""
    for shape in sorted(shapes, key=lambda s: ((s.top or 0) // band, s.left or 0)):
        members = getattr(shape, "shapes", None)
        if members is None:
            yield shape
        elif depth < _DEEPEST_GROUP:
            yield from _in_reading_order(members, band, depth + 1)


def _is_furniture(shape: Any) -> bool:
    return shape.is_placeholder and shape.placeholder_format.type.name in _FURNITURE


def _add_shape(draft: Draft, shape: Any, place: Place) -> None:
    if getattr(shape, "has_table", False) and shape.has_table:
        add_table(draft, _table_rows(shape.table), place)
    elif getattr(shape, "has_chart", False) and shape.has_chart:
        add_table(draft, _chart_rows(shape.chart), place)
    elif shape.has_text_frame:
        _add_text(draft, shape, place)


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


def _chart_rows(chart: Any) -> list[list[str]]:
    """A chart as the table behind it: categories down, one column per series."""
    title = chart.chart_title.text_frame.text if chart.has_title else ""
    plots = list(chart.plots)
    if not plots:
        return [[title]]
    series = list(plots[0].series)
    rows = [[title], ["", *(one.name or "" for one in series)]] if title else []
    rows = rows or [["", *(one.name or "" for one in series)]]
    for number, category in enumerate(plots[0].categories):
        values = [list(one.values) for one in series]
        rows.append([str(category), *(_value(column, number) for column in values)])
    return rows


def _value(column: list[Any], number: int) -> str:
    value = column[number] if number < len(column) else None
    return "" if value is None else f"{value:.10g}"

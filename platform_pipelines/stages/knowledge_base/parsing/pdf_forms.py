"""What people filled into a PDF's form, and typed over its pages, as pieces at their places."""

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Piece

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_MOST_FIELDS: Final = 5_000
_MOST_BYTES: Final = 200_000
_HIDDEN: Final = 0x2 | 0x20  # annotation flags: hidden, no view
_PASSWORD: Final = 1 << 13  # field flag
_FONT_SIZE: Final = 10.0


def form_pieces(document: "PdfDocument", page: "PdfPage") -> Iterator[Piece]:
    """The values of the page's fields, lines of long ones under each other."""
    from pypdfium2 import raw

    for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MOST_FIELDS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if not raw.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
                text = _value(document.formenv, annotation)
                yield from _pieces(text, annotation)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _value(form: Any, annotation: Any) -> str:
    from pypdfium2 import raw

    subtype = raw.FPDFAnnot_GetSubtype(annotation)
    if subtype == raw.FPDF_ANNOT_FREETEXT:
        return _text(lambda *to: raw.FPDFAnnot_GetStringValue(annotation, b"Contents", *to))
    if subtype != raw.FPDF_ANNOT_WIDGET or form is None:
        return ""
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        return "[x]" if raw.FPDFAnnot_IsChecked(form, annotation) else "[ ]"
    shown = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
    if kind not in shown or raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return ""
    return _text(lambda *to: raw.FPDFAnnot_GetFormFieldValue(form, annotation, *to))


def _text(read: Any) -> str:
    """UTF-16 text of a call that tells its length first."""
    size = read(None, 0)
    if not 2 < size <= _MOST_BYTES:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    read(buffer, size)
    return bytes(buffer)[: size - 2].decode("utf-16-le", "replace")


def _pieces(text: str, annotation: Any) -> Iterator[Piece]:
    from pypdfium2 import raw

    lines = [line for line in map(one_line, text.splitlines()) if line]
    box = raw.FS_RECTF()
    if not lines or not raw.FPDFAnnot_GetRect(annotation, box):
        return
    bottom, top = min(box.bottom, box.top), max(box.bottom, box.top)
    pitch = (top - bottom) / len(lines)
    for number, line in enumerate(lines):
        high = top - number * pitch
        yield Piece(line, box.left, high - pitch, box.right, high, _FONT_SIZE, spaced=True)

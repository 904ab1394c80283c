"""Pages of a PDF whose text is a picture, or in a font that names no characters, recognised."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.documents import NoteKind
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.ocr import (
    OcrOptions,
    most_scale,
    open_recogniser,
)
from platform_pipelines.stages.knowledge_base.parsing.picture import recognised

if TYPE_CHECKING:
    from pypdfium2 import PdfPage


@dataclass(slots=True)
class Scans:
    """The recognised pages of a document, by their number; none without the option."""

    ocr: OcrOptions | None
    texts: dict[int, str] = field(default_factory=dict[int, str])
    _tried: int = 0

    def read(self, page: "PdfPage", number: int, draft: Draft) -> bool:
        """Whether the page's text was recognised; why not is noted."""
        if self.ocr is None:
            return False
        if self._tried >= self.ocr.max_pages:
            draft.note(NoteKind.PICTURE, f"pages after {self.ocr.max_pages}: parse.ocr.max_pages")
            return False
        try:
            open_recogniser(self.ocr)
        except DocumentError as error:
            draft.note(NoteKind.PICTURE, error.what)
            return False
        self._tried += 1
        width, height = page.get_size()
        scale: Any = most_scale(width, height, self.ocr.dpi)  # declared as whole, read as it is
        bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=True)
        try:
            text = recognised(draft, bitmap.to_pil(), f"page {number}", self.ocr)
        finally:
            bitmap.close()
        if text:
            self.texts[number] = text
        return bool(text)

"""Pictures (PNG, JPEG, TIFF) as documents: what Tesseract reads on each of their pages."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from platform_pipelines.core.knowledge_base.documents import NoteKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import clean_text
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.ocr import (
    LEAST_CONFIDENCE,
    OcrOptions,
    needs_ocr,
    open_recogniser,
)
from platform_pipelines.stages.knowledge_base.parsing.plain import read_plain

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_PIXELS: Final = 200_000_000  # of one picture, as its head claims
_SMALL: Final = 1_000  # pixels: a screenshot's letters are 10 high, and 20 are read well


def read_picture(data: bytes, *, key: str, ocr: OcrOptions | None) -> Draft:
    """Blocks of a picture's text.

    Raises:
        DocumentError: NEEDS_OCR without the option or Tesseract, CORRUPT, TOO_LARGE.
    """
    if ocr is None:
        what = "this is a picture; its text has to be recognised"
        raise needs_ocr(what, where=key, declared=False)
    try:
        open_recogniser(ocr)
    except DocumentError as error:
        raise needs_ocr(error.what, where=key) from error
    from PIL import Image, ImageOps, ImageSequence

    draft = Draft()
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as file:
        if file.width * file.height > _MOST_PIXELS:
            raise DocumentError(
                f"the picture has {file.width:,} x {file.height:,} points",
                reason=Reason.TOO_LARGE,
                where=key,
            )
        many = getattr(file, "n_frames", 1) > 1
        for number, frame in enumerate(ImageSequence.Iterator(file), start=1):
            if number > ocr.max_pages:
                draft.note(NoteKind.PICTURE, f"pages after {ocr.max_pages}: parse.ocr.max_pages")
                break
            text = recognised(draft, _large(ImageOps.exif_transpose(frame)), f"page {number}", ocr)
            add_recognised(draft, text, number if many else None)
    return draft


def recognised(draft: Draft, picture: "Image", what: str, ocr: OcrOptions) -> str:
    """The text of a picture; empty, and noted, where Tesseract is not sure enough to be quoted."""
    text, sure = open_recogniser(ocr).read(picture)
    if not text.strip():
        draft.note(NoteKind.PICTURE, f"{what}: no text was recognised")
        return ""
    if sure < LEAST_CONFIDENCE:
        draft.note(NoteKind.PICTURE, f"{what}: recognised with confidence {sure} of 100")
        return ""
    return clean_text(text)


def add_recognised(draft: Draft, text: str, page: int | None) -> None:
    """The blocks of one recognised page, read as a plain text is."""
    draft.blocks += [
        block._replace(place=Place(page=page)) for block in read_plain(text).blocks if block.text
    ]


def in_page_order(draft: Draft, pages: Iterable[int], texts: dict[int, str]) -> None:
    """Put recognised pages between the blocks of the others."""
    for page in pages:
        at = sum((block.place.page or 0) < page for block in draft.blocks)
        made = Draft()
        add_recognised(made, texts[page], page)
        draft.blocks[at:at] = made.blocks


def _large(picture: "Image") -> "Image":
    if max(picture.size) >= _SMALL:
        return picture
    return picture.convert("RGB").resize((picture.width * 2, picture.height * 2))

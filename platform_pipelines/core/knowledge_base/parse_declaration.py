"""What is declared of parsing: what one document may cost, and whether pictures are read."""

from typing import Annotated, Literal

from pydantic import Field

from platform_pipelines.core.knowledge_base.embed_declaration import PROFILE_PATTERN
from platform_pipelines.core.road.declarations import Spec

_LANGUAGE = r"^[a-z]{3}(_[a-z]{3,5})?$"  # as Tesseract names its data


class OcrSpec(Spec):
    """Scanned pages and pictures, read by Tesseract inside the bounded parser."""

    languages: tuple[Annotated[str, Field(pattern=_LANGUAGE)], ...] = Field(
        default=("kor", "eng"), min_length=1, max_length=5, description="Tesseract's names of them"
    )
    layout: Literal[4, 6] = Field(
        default=4, description="Tesseract's `--psm`: 4 a column of text, 6 one block of it"
    )
    dpi: int = Field(default=300, ge=100, le=600, description="of PDF pages that are rendered")
    max_pages: int = Field(
        default=40, ge=1, le=2000, description="pages read of one document, about 1 s each"
    )


class ParseSpec(Spec):
    """What one document may cost to parse."""

    seconds: float = Field(default=60, gt=0, le=3600, description="time budget of one document")
    memory_mb: int = Field(default=1024, ge=64, description="memory budget of one worker, MiB")
    max_document_mb: int = Field(default=100, ge=1, description="larger documents are quarantined")
    ocr: OcrSpec | None = Field(
        default=None,
        description="scanned PDFs and pictures (PNG, JPEG, TIFF) are read by Tesseract where "
        "`languages` (`[kor, eng]`), `layout` (4, or 6), `dpi` (300) or `max_pages` (40) is given; "
        "`{}` takes these; without it they are quarantined as `needs_ocr`",
    )
    profile: str = Field(
        default="cpu",
        pattern=PROFILE_PATTERN,
        description="the compute profile of its tasks; on one machine all are a process",
    )

"""One document's bytes to its text with structure, or a typed reason why not.

The only entry to parsing. Libraries are imported when a document of their format arrives, so that
a worker that reads Markdown starts at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Final

from platform_pipelines.core.documents import Block, DocumentType, ParsedDocument, Reason
from platform_pipelines.core.identity import digest_parts
from platform_pipelines.core.text import (
    LANGUAGE_SAMPLE_CHARACTERS,
    detect_language,
    one_line,
    tidy_block,
)
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.parsing.archive import check_archive
from platform_pipelines.stages.parsing.chat import read_chat
from platform_pipelines.stages.parsing.code import read_code
from platform_pipelines.stages.parsing.delimited import read_delimited
from platform_pipelines.stages.parsing.detect import detect_and_decode
from platform_pipelines.stages.parsing.draft import Draft
from platform_pipelines.stages.parsing.html import read_html
from platform_pipelines.stages.parsing.markdown import read_markdown
from platform_pipelines.stages.parsing.plain import read_plain

# Raised whenever the same bytes may give other blocks: documents are then parsed again.
PARSER_VERSION: Final = "1"
_LIBRARIES: Final = (
    "charset-normalizer",
    "lxml",
    "openpyxl",
    "pypdfium2",
    "python-docx",
    "python-pptx",
    "selectolax",
)
_OFFICE: Final = (DocumentType.DOCX, DocumentType.PPTX, DocumentType.XLSX)
_TITLE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds of one document; beyond them it is TOO_LARGE. Time and memory are the worker's budget."""

    max_bytes: int = 64 << 20
    max_characters: int = 20_000_000  # of extracted text
    max_expanded_bytes: int = 256 << 20  # of an office file, as its directory claims
    max_zip_ratio: int = 200  # expanded : packed, judged above 16 MiB only
    max_members: int = 10_000  # parts of an office file
    max_cells: int = 2_000_000  # of a workbook or a delimited file
    max_pages: int = 5_000


@cache
def parser_digest() -> str:
    """Digest of all code that decides what a document's blocks are: ours and the libraries'."""
    return digest_parts(PARSER_VERSION, *(f"{name}=={version(name)}" for name in _LIBRARIES))


def parse_document(
    data: bytes, *, key: str, limits: ParseLimits = ParseLimits()  # noqa: B008 (frozen)
) -> ParsedDocument:
    """The text of a document with its structure; `key` gives ties and the last resort of a title.

    Raises:
        DocumentError: with the reason; nothing else, whatever the bytes are.
    """
    if len(data) > limits.max_bytes:
        raise _too_large(f"{len(data):,} bytes are more than {limits.max_bytes:,}", key)
    try:
        return _parse(data, key, limits)
    except DocumentError:
        raise
    except MemoryError as error:
        raise DocumentError(
            "parsing needed more memory than there is", reason=Reason.MEMORY_BUDGET, where=key
        ) from error
    # Third-party parsers of hostile bytes raise whatever they like: all of it means CORRUPT.
    except Exception as error:
        raise DocumentError(
            f"the parser failed with {type(error).__name__}: {one_line(str(error), limit=300)}",
            reason=Reason.CORRUPT,
            where=key,
        ) from error


def _parse(data: bytes, key: str, limits: ParseLimits) -> ParsedDocument:
    detection, text = detect_and_decode(data, key)
    if detection.type in _OFFICE:
        check_archive(
            data,
            key=key,
            max_expanded_bytes=limits.max_expanded_bytes,
            max_ratio=limits.max_zip_ratio,
            max_members=limits.max_members,
        )
    draft = _read(detection.type, data, text, key, limits, detection.code_language)
    blocks = _finished(draft.blocks, key, limits)
    return ParsedDocument(
        type=detection.type,
        title=_title(draft.title, key),
        language=_language(blocks),
        blocks=blocks,
        code_language=detection.code_language,
    )

"""One document's bytes to its text with structure, or a typed reason why not.

The only entry to parsing. A format's reader and its libraries are imported when a document of that
format arrives, so that a worker that reads Markdown starts at once.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from platform_pipelines.core.knowledge_base.documents import (
    Block,
    DocumentType,
    NoteKind,
    ParsedDocument,
    Reason,
)
from platform_pipelines.core.knowledge_base.text import (
    LANGUAGE_SAMPLE_CHARACTERS,
    detect_language,
    one_line,
    tidy_block,
)
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.chat_exports import People
from platform_pipelines.stages.knowledge_base.parsing.detect import Detection, detect_and_decode
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.markdown import read_markdown
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions, needs_ocr
from platform_pipelines.stages.knowledge_base.parsing.plain import read_plain

# Raised whenever the same bytes may give other blocks: documents are then parsed again.
PARSER_VERSION: Final = "4"
_LIBRARIES: Final = (
    "charset-normalizer",
    "lxml",
    "pypdfium2",
    "python-pptx",
    "selectolax",
)
_OFFICE: Final = (DocumentType.DOCX, DocumentType.PPTX, DocumentType.XLSX, DocumentType.HWPX)
_BINARY: Final = (DocumentType.PDF, DocumentType.MAIL, DocumentType.IMAGE, *_OFFICE)
_DEEPEST_ATTACHMENT: Final = 3
_TITLE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds of one document, else TOO_LARGE; time and memory are bounded by the worker."""

    max_bytes: int = 64 << 20
    max_characters: int = 20_000_000  # of extracted text
    max_expanded_bytes: int = 256 << 20  # of an office file, as its directory claims
    max_zip_ratio: int = 200  # expanded : packed, judged above 16 MiB only
    max_members: int = 10_000  # parts of an office file
    max_cells: int = 2_000_000  # of a workbook or a delimited file
    max_pages: int = 5_000
    ocr: OcrOptions | None = None  # pictures of text are read


@cache
def parser_digest(ocr: OcrOptions | None = None) -> str:
    """Digest of all that decides what a document's blocks are: our code, libraries, Tesseract."""
    from importlib.metadata import version  # 60 ms, and a worker does not need it

    recognises = [ocr.identity] if ocr else []
    libraries = (f"{name}=={version(name)}" for name in _LIBRARIES)
    return digest_parts(PARSER_VERSION, *libraries, *recognises)


def parse_document(
    data: bytes,
    *,
    key: str,
    limits: ParseLimits = ParseLimits(),
    apart: bool = False,
    people: People | None = None,
) -> ParsedDocument:
    """The text of a document with its structure; `key` gives ties and the last resort of a title.

    Documents that are attached to it (of a mail) follow its own text; `apart`, they are in
    `attached` instead, as documents of their own. `people` are names that stand beside a chat.

    Raises:
        DocumentError: with the reason; nothing else, whatever the bytes are.
    """
    if len(data) > limits.max_bytes:
        raise _too_large(f"{len(data):,} bytes are more than {limits.max_bytes:,}", key)
    return _caught(data, key, _Inside(limits, apart, people))


class _Inside(NamedTuple):
    """How a document is read, and how many are around it."""

    limits: ParseLimits
    apart: bool = False
    people: People | None = None
    depth: int = 0


def _caught(data: bytes, key: str, inside: _Inside) -> ParsedDocument:
    try:
        return _parse(data, key, inside)
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


def _parse(data: bytes, key: str, inside: _Inside) -> ParsedDocument:
    limits = inside.limits
    detection, text = detect_and_decode(data, key)
    if detection.type in _OFFICE:
        from platform_pipelines.stages.knowledge_base.parsing.archive import check_archive

        check_archive(
            data,
            key=key,
            max_expanded_bytes=limits.max_expanded_bytes,
            max_ratio=limits.max_zip_ratio,
            max_members=limits.max_members,
        )
    if detection.type in _BINARY:
        if detection.type is DocumentType.MAIL:
            draft = _read_message(data, key, inside)
        else:
            draft = _read_binary(detection.type, data, key, limits)
    else:
        draft = _read_text(detection, text, key, inside)
    blocks = _finished(draft.blocks, key, limits)
    if not blocks:
        raise _no_text(draft, key, limits.ocr)
    return ParsedDocument(
        type=draft.type or detection.type,
        title=_title(draft.title, key),
        language=_language(blocks),
        blocks=blocks,
        code_language=detection.code_language,
        notes=draft.notes,
        attached=tuple(draft.attached),
    )


def _no_text(draft: Draft, key: str, ocr: OcrOptions | None) -> DocumentError:
    pictures = {NoteKind.PICTURE, NoteKind.NO_UNICODE} & {note.kind for note in draft.notes}
    if not pictures:
        remedy = "put its text there; text in pictures needs OCR (parse.ocr)"
        return DocumentError(
            "the document holds no text", reason=Reason.EMPTY, where=key, remedy=remedy
        )
    if ocr is not None:
        told = "; ".join(note.what for note in draft.notes)
        return needs_ocr(f"no text was recognised in the document's pictures ({told})", where=key)
    scanned = NoteKind.NO_UNICODE not in pictures
    what = "holds pictures, and no text" if scanned else "has a font that names no characters"
    return needs_ocr(f"the document {what}", where=key, declared=False)


def _read_text(detection: Detection, text: str, key: str, inside: _Inside) -> Draft:
    """The blocks of a text, as its format's reader gives them."""
    match detection.type:
        case DocumentType.MARKDOWN:
            return read_markdown(text)
        case DocumentType.HTML:
            from platform_pipelines.stages.knowledge_base.parsing.html import read_html

            return read_html(text)
        case DocumentType.CODE:
            from platform_pipelines.stages.knowledge_base.parsing.code import read_code

            return read_code(text, detection.code_language)
        case DocumentType.CHAT:
            from platform_pipelines.stages.knowledge_base.parsing.chat import read_chat

            return read_chat(text, key=key, people=inside.people)
        case DocumentType.CSV:
            from platform_pipelines.stages.knowledge_base.parsing.delimited import read_delimited

            # No cell has more characters than the document has bytes.
            limits = inside.limits
            cell = limits.max_bytes
            return read_delimited(
                text, key=key, max_cells=limits.max_cells, max_cell_characters=cell
            )
        case _:
            return read_plain(text)


def _read_message(data: bytes, key: str, inside: _Inside) -> Draft:
    """The blocks of a mail; its attachments are parsed as documents, mails inside mails bounded."""
    from platform_pipelines.stages.knowledge_base.parsing.mail import read_mail

    def inner(attached: bytes, name: str) -> ParsedDocument:
        if inside.depth >= _DEEPEST_ATTACHMENT:
            raise _too_large("mails are nested too deeply", name)
        return _caught(attached, name, inside._replace(depth=inside.depth + 1, people=None))

    pictures = inside.limits.ocr is not None
    return read_mail(data, key=key, parse=inner, apart=inside.apart, pictures=pictures)


def _read_binary(kind: DocumentType, data: bytes, key: str, limits: ParseLimits) -> Draft:
    """The blocks of a file that is no text, as its format's reader gives them."""
    match kind:
        case DocumentType.PDF:
            from platform_pipelines.stages.knowledge_base.parsing.pdf import read_pdf

            return read_pdf(data, key=key, max_pages=limits.max_pages, ocr=limits.ocr)
        case DocumentType.IMAGE:
            from platform_pipelines.stages.knowledge_base.parsing.picture import read_picture

            return read_picture(data, key=key, ocr=limits.ocr)
        case DocumentType.DOCX:
            from platform_pipelines.stages.knowledge_base.parsing.docx import read_docx

            return read_docx(data, key=key)
        case DocumentType.PPTX:
            from platform_pipelines.stages.knowledge_base.parsing.pptx import read_pptx

            return read_pptx(data, key=key)
        case DocumentType.HWPX:
            from platform_pipelines.stages.knowledge_base.parsing.hwpx import read_hwpx

            return read_hwpx(data, key=key)
        case _:
            from platform_pipelines.stages.knowledge_base.parsing.xlsx import read_xlsx

            return read_xlsx(data, key=key, max_cells=limits.max_cells)


def _finished(blocks: list[Block], key: str, limits: ParseLimits) -> tuple[Block, ...]:
    """Blocks as the contract wants them: NFC, no control characters, none blank, not too many."""
    out: list[Block] = []
    characters = 0
    for block in blocks:
        text = tidy_block(block.text)
        if not text:
            continue
        characters += len(text)
        header = tidy_block(block.header)
        out.append(block._replace(text=text, header=header))
    if characters > limits.max_characters:
        raise _too_large(f"{characters:,} characters are more than {limits.max_characters:,}", key)
    return tuple(out)


def _language(blocks: tuple[Block, ...]) -> str:
    """Of prose where there is some: code and its keywords look English in any document."""
    parts: list[str] = []
    characters = 0
    for block in blocks:
        parts.append(block.text)
        characters += len(block.text)
        if characters >= LANGUAGE_SAMPLE_CHARACTERS:
            break
    return detect_language("\n".join(parts))


def _title(own: str | None, key: str) -> str:
    title = one_line(own or "", limit=_TITLE_CHARACTERS)
    return title or one_line(PurePosixPath(key).stem, limit=_TITLE_CHARACTERS) or "document"


def _too_large(what: str, key: str) -> DocumentError:
    return DocumentError(
        what,
        reason=Reason.TOO_LARGE,
        where=key,
        remedy="split the document, or raise the limit in the declaration",
    )

"""A source document: its type, its blocks of text with their places, or a reason why not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class DocumentType(StrEnum):
    """What a document is, found from its content (its name only breaks ties)."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    CSV = "csv"
    CODE = "code"
    CHAT = "chat"
    MAIL = "mail"
    HWPX = "hwpx"
    IMAGE = "image"


class Reason(StrEnum):
    """Why a document is in quarantine."""

    EMPTY = "empty"  # no bytes, or no text in them
    NEEDS_OCR = "needs_ocr"  # pictures of text, or a font that does not say what it shows
    UNSUPPORTED = "unsupported"  # a format that no parser here reads
    CORRUPT = "corrupt"  # the format's own rules are broken
    ENCRYPTED = "encrypted"  # needs a password
    UNDECODABLE = "undecodable"  # no text encoding fits
    TOO_LARGE = "too_large"  # more bytes than the declaration allows
    TIME_BUDGET = "time_budget"  # parsing took longer than allowed
    MEMORY_BUDGET = "memory_budget"  # parsing needed more memory than allowed
    CRASHED = "crashed"  # the parser's process died
    FORBIDDEN = "forbidden"  # listed, but may not be read


class NoteKind(StrEnum):
    """What of a parsed document was not read."""

    PART_LEFT_OUT = "part_left_out"  # unreadable, or in a form that nobody here reads
    NO_VALUE = "no_value"  # a formula that no program computed, or that failed
    HIDDEN = "hidden"  # what its reader does not see either
    PICTURE = "picture"  # that may hold text
    NO_UNICODE = "no_unicode"  # a font whose characters nobody can name
    ATTACHMENT = "attachment"  # a file inside the file


class Note(NamedTuple):
    """Something that was not read, how often; `what` names the part."""

    kind: NoteKind
    what: str
    times: int = 1


class BlockKind(StrEnum):
    """What a block of text is in its document."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One listed object. `key` is relative to the source's root, NFC, with `/` between parts."""

    key: str
    size_bytes: int
    version: str  # the etag, or the store's version id: changes when the content may have


class Place(NamedTuple):
    """Where a text stands in its document: what a citation shows. Pages count from 1."""

    heading: tuple[str, ...] = ()
    page: int | None = None
    slide: int | None = None
    sheet: str | None = None
    line: int | None = None
    speaker: str | None = None
    time: str | None = None

    @property
    def label(self) -> str:
        """Short text for a citation, e.g. `p. 3 › Scaling`; empty when nothing is known."""
        parts: list[str] = []
        if self.page is not None:
            parts.append(f"p. {self.page}")
        if self.slide is not None:
            parts.append(f"slide {self.slide}")
        if self.sheet is not None:
            parts.append(f"sheet {self.sheet}")
        parts.extend(self.heading)
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.speaker is not None:
            parts.append(self.speaker)
        if self.time is not None:
            parts.append(self.time)
        return " › ".join(parts)


class Block(NamedTuple):
    """One run of text of one kind at one place. `text` is NFC and never blank.

    `header` is of a table: the lines that name its columns, said again wherever later rows stand
    alone. The text may begin with it; rows that name their own cells have none.
    """

    text: str
    kind: BlockKind = BlockKind.PARAGRAPH
    place: Place = Place()
    header: str = ""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text in reading order. `language` is `ko`, `en` or `und`."""

    type: DocumentType
    title: str
    language: str
    blocks: tuple[Block, ...]
    code_language: str | None = None
    notes: tuple[Note, ...] = ()  # what was not read
    attached: "tuple[Attached, ...]" = ()  # documents inside it, where they are wanted apart


@dataclass(frozen=True, slots=True)
class Attached:
    """A file inside a document: what it was parsed to, or why not."""

    name: str
    size_bytes: int
    content_digest: str
    document: ParsedDocument | None = None
    reason: Reason | None = None
    detail: str = ""


_INSIDE = "!/"


def inner_key(container: str, name: str) -> str:
    """The key of a document inside another: `mail.eml!/report.pdf`."""
    clean = name.replace("/", "_").replace("\\", "_")
    return f"{container}{_INSIDE}{clean}"


def container_of(key: str) -> str:
    """The listed document that a key stands in; of a listed one itself, unless it looks so."""
    return key.partition(_INSIDE)[0]


_KINDS = {str(kind): kind for kind in BlockKind}


def blocks_to_json(blocks: tuple[Block, ...]) -> str:
    """Blocks as one JSON text, defaults left out."""
    return json.dumps([_block_record(b) for b in blocks], ensure_ascii=False)


def blocks_from_json(text: str) -> tuple[Block, ...]:
    """The inverse of `blocks_to_json`."""
    blocks: list[Block] = []
    known, place = dict[str, Any](), Place()
    for record in json.loads(text):
        here = record.get("p", {})
        if here != known:  # blocks under one heading share a place
            known, place = here, place_from_record(here)
        blocks.append(
            Block(record["t"], _KINDS[record.get("k", "paragraph")], place, record.get("h", ""))
        )
    return tuple(blocks)


def notes_to_json(notes: tuple[Note, ...]) -> str:
    """Notes as one JSON text; empty when there is none."""
    records = [[str(n.kind), n.what, n.times] for n in notes]
    return json.dumps(records, ensure_ascii=False) if records else ""


def notes_from_json(text: str) -> tuple[Note, ...]:
    """The inverse of `notes_to_json`."""
    records: list[tuple[str, str, int]] = json.loads(text) if text else []
    return tuple(Note(NoteKind(kind), what, times) for kind, what, times in records)


def place_record(place: Place) -> dict[str, Any]:
    """A place as a JSON object, defaults left out."""
    record: dict[str, Any] = {
        name: value
        for name, value in zip(Place._fields, place, strict=True)
        if value is not None and value != ()
    }
    if place.heading:
        record["heading"] = list(place.heading)
    return record


def place_from_record(record: Mapping[str, Any]) -> Place:
    """The inverse of `place_record`."""
    values: dict[str, Any] = dict(record)
    values["heading"] = tuple(values.get("heading", ()))
    return Place(**values)


def _block_record(block: Block) -> dict[str, Any]:
    record: dict[str, Any] = {"t": block.text}
    if block.kind is not BlockKind.PARAGRAPH:
        record["k"] = str(block.kind)
    place = place_record(block.place)
    if place:
        record["p"] = place
    if block.header:
        record["h"] = block.header
    return record

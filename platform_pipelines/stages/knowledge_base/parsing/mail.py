"""Mail (`.eml`) and saved pages (MHTML): headers, body and attachments, each in its own charset."""

from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Final

from platform_pipelines.core.knowledge_base.documents import (
    BlockKind,
    DocumentType,
    NoteKind,
    ParsedDocument,
    Place,
)
from platform_pipelines.core.knowledge_base.text import clean_text, one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft, Outline, add_heading
from platform_pipelines.stages.knowledge_base.parsing.encoding import find_encoding
from platform_pipelines.stages.knowledge_base.parsing.html import read_html
from platform_pipelines.stages.knowledge_base.parsing.plain import read_plain

ParseInner = Callable[[bytes, str], ParsedDocument]

_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")
_MOST_PARTS: Final = 200


def read_mail(data: bytes, *, key: str, parse: ParseInner) -> Draft:
    """Blocks of a message: who, when and what about, the body, and each attachment's own blocks.

    `parse` reads an attachment; one that it refuses is noted with the reason, and costs itself.
    """
    head, _, rest = data.partition(b"\n")
    message = message_from_bytes(rest if head.startswith(b"From ") else data, policy=policy.default)
    draft = Draft()
    draft.title = _header(draft, message, "Subject")
    if _is_page(message, key):
        draft.type = DocumentType.HTML
    else:
        lines = [f"{n}: {v}" for n in _SHOWN if (v := _header(draft, message, n))]
        draft.add("\n".join(lines), BlockKind.PARAGRAPH, Place())
    body = _body(message)
    if body is not None:
        draft.attempt("body", partial(_add_body, draft, body))
    for part in _attachments(message, body):
        _add_attachment(draft, part, key, parse)
    return draft


def _is_page(message: EmailMessage, key: str) -> bool:
    saved = "Snapshot-Content-Location" in message or key.lower().endswith((".mht", ".mhtml"))
    return saved and message.get_content_type() in ("multipart/related", "text/html")


def _header(draft: Draft, message: EmailMessage, name: str) -> str:
    return one_line(draft.attempt(f"header {name}", lambda: str(message.get(name, ""))) or "")


def _body(message: EmailMessage) -> EmailMessage | None:
    """The plain text; the page instead where that has a table, whose cells a text cannot hold."""
    plain, page = (_part(message, kind) for kind in ("plain", "html"))
    if page is not None and (plain is None or b"<table" in _payload(page).lower()):
        return page
    return plain


def _part(message: EmailMessage, kind: str) -> EmailMessage | None:
    found = message.get_body((kind,))
    return found if isinstance(found, EmailMessage) else None


def _add_body(draft: Draft, part: EmailMessage) -> None:
    text = _text(part)
    inner = read_html(text) if part.get_content_subtype() == "html" else read_plain(text)
    draft.blocks += [b._replace(place=b.place._replace(line=None)) for b in inner.blocks]
    draft.noted.update(inner.noted)
    draft.title = draft.title or inner.title


def _text(part: EmailMessage) -> str:
    payload = _payload(part)
    hint = part.get_content_charset() or part.get_param("charset")
    return clean_text(payload.decode(find_encoding(payload, hint=str(hint or ""))))


def _payload(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachments(message: EmailMessage, body: EmailMessage | None) -> Iterator[EmailMessage]:
    """Parts that stand for themselves: not the body, its other form, or its pictures."""
    texts = [_part(message, kind) for kind in ("plain", "html")]
    for number, part in enumerate(message.walk()):
        if number > _MOST_PARTS:
            return
        if part is body or any(part is text for text in texts) or part.is_multipart():
            continue
        if isinstance(part, EmailMessage) and (part.get_filename() or part.is_attachment()):
            yield part


def _add_attachment(draft: Draft, part: EmailMessage, key: str, parse: ParseInner) -> None:
    name = one_line(part.get_filename() or part.get_content_type(), limit=150)
    if part.get_content_maintype() in ("image", "audio", "video", "font"):
        kind = NoteKind.PICTURE if part.get_content_maintype() == "image" else NoteKind.ATTACHMENT
        draft.note(kind, name)
        return
    try:
        document = parse(_payload(part), f"{key}/{name}")
    except DocumentError as error:
        draft.note(NoteKind.ATTACHMENT, f"{name}: {error.reason}")
        return
    add_heading(draft, Outline(), 1, name, Place())
    for block in document.blocks:
        place = block.place._replace(heading=(name, *block.place.heading))
        draft.blocks.append(block._replace(place=place))
    for note in document.notes:
        draft.note(note.kind, f"{name}: {note.what}", note.times)

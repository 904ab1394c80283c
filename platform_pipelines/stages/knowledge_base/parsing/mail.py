"""Mail (`.eml`) and saved pages (MHTML): headers, body and attachments, each in its own charset."""

from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from platform_pipelines.core.knowledge_base.documents import (
    Attached,
    BlockKind,
    DocumentType,
    NoteKind,
    ParsedDocument,
    Place,
    Reason,
    inner_key,
)
from platform_pipelines.core.knowledge_base.text import clean_text, one_line
from platform_pipelines.core.road.identity import digest_bytes
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft, Outline, add_heading
from platform_pipelines.stages.knowledge_base.parsing.encoding import find_encoding
from platform_pipelines.stages.knowledge_base.parsing.html import read_html
from platform_pipelines.stages.knowledge_base.parsing.plain import read_plain

ParseInner: TypeAlias = Callable[[bytes, str], ParsedDocument]

_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")
_MOST_PARTS: Final = 200
_MAIL: Final = "message/rfc822"
_SIGNATURES: Final = frozenset(
    {"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"}
)


class _To(NamedTuple):
    """Where attachments go, and how they are read."""

    key: str
    parse: ParseInner
    apart: bool
    pictures: bool


def read_mail(
    data: bytes, *, key: str, parse: ParseInner, apart: bool = False, pictures: bool = False
) -> Draft:
    """Blocks of a message: who, when and what about, the body, and each attachment's own blocks.

    `parse` reads an attachment; one that it refuses is noted with the reason, and costs itself.
    `apart`: attachments are documents beside the message, not a part of its text. `pictures`:
    attached ones are read, too.
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
    _add_parts(draft, message, body, _To(key, parse, apart, pictures))
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


def _parts(message: EmailMessage) -> Iterator[tuple[EmailMessage, str]]:
    """All parts with the type of what holds each; a mail inside the mail is one part."""
    stack: list[tuple[Any, str]] = [(message, "")]
    while stack:
        part, holder = stack.pop()
        if not isinstance(part, EmailMessage):
            continue
        yield part, holder
        kind = part.get_content_type()
        if part.is_multipart() and kind != _MAIL:
            payload: Any = part.get_payload()
            stack.extend((inner, kind) for inner in reversed(payload))


def _add_parts(draft: Draft, message: EmailMessage, body: EmailMessage | None, to: _To) -> None:
    """What stands beside the body: more text of it, and attachments."""
    texts = [_part(message, kind) for kind in ("plain", "html")]
    names: set[str] = set()
    for number, (part, holder) in enumerate(_parts(message)):
        if number > _MOST_PARTS:
            draft.note(NoteKind.ATTACHMENT, f"parts after {_MOST_PARTS}")
            return
        kind = part.get_content_type()
        if part is body or any(part is text for text in texts) or kind in _SIGNATURES:
            continue
        if kind == _MAIL or (not part.is_multipart() and _is_file(part)):
            _attach(draft, part, _name(part, names), to)
        elif holder == "multipart/mixed" and kind in ("text/plain", "text/html"):
            draft.attempt("a part of the body", partial(_add_body, draft, part))


def _is_file(part: EmailMessage) -> bool:
    return bool(part.get_filename() or part.is_attachment())


def _name(part: EmailMessage, taken: set[str]) -> str:
    """The attachment's name, unlike those before it."""
    name = part.get_filename() or ""
    if part.get_content_type() == _MAIL:
        inner = _inner(part)
        name = name or f"{(str(inner.get('Subject', '')) if inner else '') or 'message'}.eml"
    name = one_line(name or part.get_content_type(), limit=150)
    unlike, number = name, 1
    while unlike in taken:
        number += 1
        stem, dot, end = name.rpartition(".")
        unlike = f"{stem} ({number}).{end}" if dot else f"{name} ({number})"
    taken.add(unlike)
    return unlike


def _inner(part: EmailMessage) -> EmailMessage | None:
    payload: Any = part.get_payload()
    first = payload[0] if isinstance(payload, list) and payload else None
    return first if isinstance(first, EmailMessage) else None


def _attach(draft: Draft, part: EmailMessage, name: str, to: _To) -> None:
    inner = _inner(part) if part.get_content_type() == _MAIL else None
    kind = part.get_content_maintype()
    if kind in ("audio", "video", "font"):
        draft.note(NoteKind.ATTACHMENT, name)
        return
    if kind == "image" and not (to.pictures and part.is_attachment()):
        draft.note(NoteKind.PICTURE, name)  # a logo, mostly
        return
    data = inner.as_bytes() if inner is not None else _payload(part)
    document, reason, detail = None, None, ""
    try:
        document = to.parse(data, inner_key(to.key, name))
    except DocumentError as error:
        reason, detail = Reason(error.reason), "; ".join(filter(None, (error.what, error.remedy)))
    if to.apart:
        draft.attached.append(
            Attached(name, len(data), digest_bytes(data), document, reason, detail)
        )
    elif document is None:
        draft.note(NoteKind.ATTACHMENT, f"{name}: {reason}")
    else:
        _append(draft, document, name)


def _append(draft: Draft, document: ParsedDocument, name: str) -> None:
    """The attachment's own blocks below its name."""
    add_heading(draft, Outline(), 1, name, Place())
    for block in document.blocks:
        place = block.place._replace(heading=(name, *block.place.heading))
        draft.blocks.append(block._replace(place=place))
    for note in document.notes:
        draft.note(note.kind, f"{name}: {note.what}", note.times)

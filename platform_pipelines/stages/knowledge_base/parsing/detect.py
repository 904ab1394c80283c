"""What a document is, from its content; the name only breaks ties."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from platform_pipelines.core.knowledge_base.documents import DocumentType, Reason
from platform_pipelines.core.knowledge_base.text import clean_text
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.chat import is_chat
from platform_pipelines.stages.knowledge_base.parsing.delimited import find_delimiter
from platform_pipelines.stages.knowledge_base.parsing.encoding import find_encoding, looks_binary
from platform_pipelines.stages.knowledge_base.parsing.html import declared_charset
from platform_pipelines.stages.knowledge_base.parsing.languages import (
    is_json,
    language_by_content,
    language_by_name,
    language_by_shebang,
)
from platform_pipelines.stages.knowledge_base.parsing.mail_headers import is_mail
from platform_pipelines.stages.knowledge_base.parsing.signatures import sniff_binary

_MARKDOWN_NAMES: Final = frozenset({"md", "markdown", "mdown", "mkd", "mdx"})
_DELIMITED_NAMES: Final = frozenset({"csv", "tsv", "tab"})
_HTML_NAMES: Final = frozenset({"html", "htm", "xhtml"})
_HTML_START: Final = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_ANY_TAG: Final = re.compile(r"</?[a-z][a-z0-9]*[\s/>]|<!", re.IGNORECASE)
_HTML_TAG: Final = re.compile(
    r"</(?:p|div|table|ul|ol|h[1-6]|body|html|span|a|li|td|title)>", re.IGNORECASE
)
_MARKDOWN_SIGNS: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^#{1,6} \S",
        r"^(?:```|~~~)",
        r"^\|?[ \t]*:?-{3,}:?[ \t]*\|",
        r"\]\([^)\s]{1,500}\)",
        r"^[-*+] \S.*\n(?:[-*+] \S|  )",
        r"\*\*[^*\n]{1,200}\*\*",
    )
)
_ODD_LINE_ENDS: Final = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BASE64: Final = re.compile(
    r"^(?=.{0,200}[0-9+/])(?=.{0,200}[a-z])(?=.{0,200}[A-Z])[A-Za-z0-9+/=]{60,}$",
    re.MULTILINE,
)
_ENCODED_LEAST: Final = 240
_SAMPLE_CHARACTERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Detection:
    """A document's type; the codec of a text format; the language of source code."""

    type: DocumentType
    encoding: str | None = None
    code_language: str | None = None


def detect(data: bytes, key: str) -> Detection:
    """The type of a document.

    Raises:
        DocumentError: EMPTY, UNSUPPORTED, ENCRYPTED, CORRUPT or UNDECODABLE.
    """
    return detect_and_decode(data, key)[0]


def detect_and_decode(data: bytes, key: str) -> tuple[Detection, str]:
    """The type, and the text of a text format (empty for binary ones); errors as `detect`."""
    if not data or data.isspace():
        raise DocumentError("the document has no content", reason=Reason.EMPTY, where=key)
    binary = sniff_binary(data, key)
    if binary is not None:
        return Detection(binary), ""
    if is_mail(data, key):
        return Detection(DocumentType.MAIL), ""
    if looks_binary(data):
        raise DocumentError(
            "these bytes are neither text nor a known document format",
            reason=Reason.UNSUPPORTED,
            where=key,
        )
    hint = declared_charset(data) if b"<" in data[:4096] else None
    encoding = find_encoding(data, hint=hint, where=key)
    raw = data.decode(encoding)
    text = clean_text(raw)
    kind, language = classify_text(text, key)
    if _ODD_LINE_ENDS.search(raw):
        # In a cell or a JSON text they are a person's line breaks: no row and no record ends there.
        inner = clean_text(_ODD_LINE_ENDS.sub(" ", raw))
        inner_kind, inner_language = classify_text(inner, key)
        if inner_kind in (DocumentType.CSV, DocumentType.CHAT) or inner_language == "json":
            return Detection(inner_kind, encoding, inner_language), inner
    if kind is DocumentType.TEXT and _is_encoded(text):
        raise DocumentError(
            "this is base64, not text",
            reason=Reason.UNSUPPORTED,
            where=key,
            remedy="decode it, and put the file itself there",
        )
    return Detection(kind, encoding, language), text


def _is_encoded(text: str) -> bool:
    """Whether nearly all of a text are long runs that only a program reads."""
    sample = text[:_SAMPLE_CHARACTERS]
    encoded = sum(len(run) for run in _BASE64.findall(sample))
    return encoded >= _ENCODED_LEAST and encoded >= 0.9 * len(sample)


def classify_text(text: str, key: str) -> tuple[DocumentType, str | None]:
    """The type of a text, and its programming language when it is source code."""
    extension = PurePosixPath(key).suffix[1:].lower()
    head = text[:_SAMPLE_CHARACTERS]
    start = head.lstrip()[:1]
    if "<" in head and _is_html(head, extension):
        return DocumentType.HTML, None
    if start in ("{", "["):
        kind = _json_type(text)
        if kind is not None:
            return kind, None if kind is DocumentType.CHAT else "json"
    if extension in _MARKDOWN_NAMES:
        return DocumentType.MARKDOWN, None
    if extension in _DELIMITED_NAMES:
        return DocumentType.CSV, None
    language = language_by_shebang(head) or language_by_name(key) or language_by_content(text)
    if language is not None:
        return DocumentType.CODE, language
    return _prose_or_table(text, head), None


def _json_type(text: str) -> DocumentType | None:
    if is_chat(text):
        return DocumentType.CHAT
    return DocumentType.CODE if is_json(text) else None


def _prose_or_table(text: str, head: str) -> DocumentType:
    if sum(1 for sign in _MARKDOWN_SIGNS if sign.search(head)) >= 2:
        return DocumentType.MARKDOWN
    return DocumentType.CSV if find_delimiter(text, strict=True) else DocumentType.TEXT


def _is_html(head: str, extension: str) -> bool:
    """A page with its frame, or a fragment: any tag when it is named so, else closing ones."""
    if head.lstrip()[:1] == "<" and _HTML_START.match(head):
        return True
    if extension in _HTML_NAMES:
        return _ANY_TAG.search(head) is not None
    named = extension in _MARKDOWN_NAMES or language_by_name(f"a.{extension}") is not None
    return head.lstrip()[:1] == "<" and not named and len(_HTML_TAG.findall(head)) >= 3

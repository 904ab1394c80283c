"""Markdown's inline marks to plain text; what stands in code spans is left alone."""

import html
import re
from typing import Final

_CODE_SPAN: Final = re.compile(r"(`+)(?!`).{1,4000}?(?<!`)\1(?!`)", re.DOTALL)
_MARKS: Final = re.compile(r"[\[*_\\&<~!]")
# Bounded repeats: an unbounded `[^\]]*` over a megabyte of `[` takes quadratic time.
_IMAGE: Final = re.compile(r"!\[([^\[\]]{0,400})\]\([^()\s]{0,2000}(?:\s+\"[^\"]{0,400}\")?\)")
_LINK: Final = re.compile(
    r"\[([^\[\]]{1,1000})\]\(<?([^()\s<>]{0,2000}(?:\([^()\s]{0,200}\)[^()\s<>]{0,200})?)>?"
    r"(?:\s+[\"'][^\"']{0,400}[\"'])?\)"
)
_REFERENCE: Final = re.compile(r"\[([^\[\]]{1,1000})\]\[[^\[\]]{0,200}\]")
_AUTOLINK: Final = re.compile(r"<((?:https?|mailto):[^<>\s]{1,2000})>")
# Only what is HTML for certain: `kubectl drain <node>` must keep its placeholder.
_TAG: Final = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|center|code|del|details|div|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark"
    r"|nobr|ol|p|picture|pre|s|section|small|source|span|strong|sub|summary|sup|table|tbody|td|th"
    r"|thead|tr|u|ul|video)(?:\s[^<>]{0,2000})?/?>",
    re.IGNORECASE,
)
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_STRONG: Final = re.compile(r"(\*{1,3})(?=\S)([^*\n]{1,2000}?)(?<=\S)\1")
_UNDERSCORE: Final = re.compile(r"(?<![\w_])(_{1,3})(?=\S)([^_\n]{1,2000}?)(?<=\S)\1(?![\w_])")
_STRIKE: Final = re.compile(r"~~(?=\S)([^~\n]{1,2000})~~")
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")

_ESCAPED: Final = 0xF100
_HIDDEN: Final = re.compile("[\uf121-\uf17e]")


def plain_inline(text: str) -> str:
    """Text without emphasis; links as `text (url)` if the URL is absolute, images as their alt."""
    if not _MARKS.search(text):
        return text
    if "`" not in text:
        return _plain(text)
    parts: list[str] = []
    position = 0
    for span in _CODE_SPAN.finditer(text):
        parts += (_plain(text[position : span.start()]), span.group())
        position = span.end()
    parts.append(_plain(text[position:]))
    return "".join(parts)


def _plain(text: str) -> str:
    escaped = "\\" in text
    if escaped:  # out of reach of the other patterns, in the private use area
        text = _ESCAPE.sub(lambda m: chr(_ESCAPED + ord(m.group(1))), text)
    if "[" in text:
        text = _IMAGE.sub(r"\1", text)
        text = _REFERENCE.sub(r"\1", _LINK.sub(_link_text, text))
    if "<" in text:
        text = _BREAK.sub("\n", _without_comments(text))
        text = _TAG.sub("", _AUTOLINK.sub(r"\1", text))
    text = _emphasis(text)
    if "&" in text:
        text = html.unescape(text)
    return _HIDDEN.sub(lambda m: chr(ord(m.group()) - _ESCAPED), text) if escaped else text


def _without_comments(text: str) -> str:
    """By searching, not by a pattern: of a million comments that never end each would be tried."""
    parts: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break
        parts.append(text[position:start])
        position = end + 3
    return "".join([*parts, text[position:]])


def _emphasis(text: str) -> str:
    if "*" in text:
        text = _STRONG.sub(r"\2", _STRONG.sub(r"\2", text))
    if "_" in text:
        text = _UNDERSCORE.sub(r"\2", text)
    return _STRIKE.sub(r"\1", text) if "~~" in text else text


def _link_text(match: re.Match[str]) -> str:
    text, url = match.group(1), match.group(2)
    absolute = url.startswith(("http://", "https://")) and url != text
    return f"{text} ({url})" if absolute else text

"""What text is to us: NFC, free of control characters, with few rules about white space.

Everything that is stored, embedded or compared passes through `clean_text` once, so that equal
looking texts are equal (Korean file systems and macOS hand out decomposed Hangul).
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# C0 and C1 without tab and line feed, invisible formatting marks (soft hyphen, zero-width spaces,
# direction overrides, byte order marks: they hide text from a reader), and non-characters.
_REMOVED: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_LINE_ENDS: Final = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPACES: Final = re.compile("[\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f]")
_NEEDS_WORK: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\u00a0\u00ad\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f"
    "\u205f-\u2064\u2066-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_ANY_SPACE: Final = re.compile(r"\s+")
_TRAILING: Final = re.compile(r"[ \t]+$", re.MULTILINE)
_MANY_BLANK_LINES: Final = re.compile(r"\n{3,}")
_HANGUL: Final = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣ]+")
_NO_ASCII_LETTER: Final = bytes(code for code in range(128) if not chr(code).isalpha())
_OTHER_LATIN: Final = re.compile("[\u00c0-\u024f\u1e00-\u1eff]+")
_OTHER_LETTERS: Final = re.compile("[\u0370-\u10ff\u1200-\u1dff\u3040-\u30ff\u3400-\u9fff]+")
_LIST_OR_RECORD_START: Final = re.compile(
    r"[-*•·‣▪○●■□◦※+>#|\[0-9]|\(\d|\w{1,20}\s?[:=]|[①-⑳]|[가-하]\."
)

LANGUAGE_SAMPLE_CHARACTERS: Final = 20_000
KOREAN_SHARE: Final = 0.2  # of the letters
WIDE_LINE_COLUMNS: Final = 56


def clean_text(text: str) -> str:
    """NFC text with `\\n` line ends, plain spaces, and no control or invisible characters.

    Lone surrogates become U+FFFD. Idempotent; length changes only by what it removes or composes.
    """
    if not _NEEDS_WORK.search(text) and unicodedata.is_normalized("NFC", text):
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", _REMOVED.sub("", text))
    # Removing comes first: a mark between a letter and its accent would hide them from NFC.
    return unicodedata.normalize("NFC", _SURROGATES.sub(REPLACEMENT, text))


def one_line(text: str, *, limit: int | None = None) -> str:
    """Cleaned text on one line, runs of white space as one space, cut to `limit` characters."""
    line = _ANY_SPACE.sub(" ", clean_text(text)).strip()
    return line if limit is None else shortened(line, limit)


def shortened(line: str, limit: int) -> str:
    """A clean line of at most `limit` characters, the last of them `…` where it was longer."""
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def tidy_block(text: str) -> str:
    """Cleaned text of a block: no spaces at line ends, at most one blank line in a row, trimmed.

    Leading spaces of the first line stay: in code and nested lists they carry meaning.
    """
    text = clean_text(text)
    if " \n" in text or "\t\n" in text or text[-1:] in (" ", "\t"):
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _MANY_BLANK_LINES.sub("\n\n", text)
    return text.strip("\n") if text and not text.isspace() else ""


def detect_language(text: str) -> str:
    """`ko`, `en` or `und`, by the share of scripts in the first characters.

    A Hangul syllable counts as two letters, because Korean words have half as many of them: a
    Korean runbook full of commands and product names is Korean. Latin text with accents as
    often as French or German has them is `und`, and so is text without letters.
    """
    sample = text[:LANGUAGE_SAMPLE_CHARACTERS]
    latin = len(sample.encode("ascii", "ignore").translate(None, _NO_ASCII_LETTER))
    if sample.isascii():
        return "en" if latin else "und"
    hangul = 2 * _count(_HANGUL, sample)
    at_most = len(sample) + hangul // 2  # were everything else a letter, too
    if hangul / at_most >= KOREAN_SHARE:
        return "ko"
    accented = _count(_OTHER_LATIN, sample)
    total = hangul + latin + accented + _count(_OTHER_LETTERS, sample)
    if total == 0:
        return "und"
    if hangul / total >= KOREAN_SHARE:
        return "ko"
    foreign = accented >= 5 and accented / (accented + latin) > 0.015
    return "en" if latin / total >= 0.5 and not foreign else "und"


def display_width(text: str) -> int:
    """Columns that a text takes in a fixed-width face: East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def unwrap_lines(lines: Iterable[str]) -> str:
    """Hard-wrapped lines of one paragraph as running text; lines broken on purpose stay.

    A line is joined to the one before it when that one is nearly as wide as the paragraph's
    widest and the line does not start like a list item or a record.
    """
    rows = list(lines)
    widths = [display_width(row.rstrip()) for row in rows]
    full = max(WIDE_LINE_COLUMNS, int(0.75 * max(widths, default=0)))
    out: list[str] = []
    for number, row in enumerate(rows):
        joined = number > 0 and widths[number - 1] >= full
        if joined and not _LIST_OR_RECORD_START.match(row.lstrip()):
            out[-1] = f"{out[-1].rstrip()} {row.strip()}"
        else:
            out.append(row.rstrip())
    return "\n".join(out)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))

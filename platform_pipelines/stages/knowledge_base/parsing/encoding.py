"""Bytes to text. Korean first: CP949 that happens to be legal Latin-1 or GBK must stay Korean."""

import codecs
import re
from typing import Final

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.errors import DocumentError

# The longer marks first: the UTF-32-LE mark starts with the UTF-16-LE one.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What browsers mean by these labels is the larger Windows code page (encoding.spec.whatwg.org).
_LABELS: Final = {
    **dict.fromkeys(
        ("euc-kr", "euckr", "ks_c_5601-1987", "ksc5601", "ks_c_5601", "windows-949", "ms949"),
        "cp949",
    ),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "ascii", "us-ascii"), "cp1252"),
}
# Patterns are compiled when first needed: UTF-8 needs none of them, and every worker starts anew.
_HANGUL: Final = "[가-힣]"
_HANJA: Final = "[\u4e00-\u9fff\uf900-\ufaff]"
# The commonest syllables of written Korean: particles, endings, Sino-Korean stems. They make up a
# third to a half of any Korean text, and under 5 % of mojibake.
_COMMON: Final = (
    "[이다는을의가에고하지로기를은한서사시어자도리인정대해수나스아라제장보니면있그주일과]"
)
_ORDINARY: Final = (
    "[\t\n\r\f -~\u00a0-\u024f\u2010-\u203a\u20a0-\u20bf\u2190-\u22ff\u2460-\u25ff\u3000-\u303f"
    "\u3041-\u30ff\u3131-\u318e\u4e00-\u9fff가-힣\uff01-\uff5e\u1100-\u11ff]"
)
_LIKELY: Final = "[\t\n\r -~가-힣]"
_CONTROLS: Final = bytes(c for c in range(32) if c not in b"\t\n\r\f\x1b\x0b") + b"\x7f"
# What Western European languages write beyond ASCII; in another code page's text they are rare.
_WESTERN: Final = frozenset(
    "àâäãåáæçéèêëíîïñóôöõøœùûúüßÀÂÄÁÅÆÇÉÈÊËÍÎÑÓÖÔØÚÜ’‘“”–—…•°§«»€£¥©®×·\u00a0"
)
_SAMPLE_BYTES: Final = 65_536
_FOREIGN: Final = bytes(range(0x80, 0x100))
_BROKEN_SHARE: Final = 0.25  # a character that lost one of its three bytes leaves two broken ones


def find_encoding(data: bytes, *, hint: str | None = None, where: str = "") -> str:
    """The codec under which `data` decodes strictly and reads as text.

    A byte order mark decides; then strict UTF-8; then UTF-16 without a mark (with NULs, or where
    CP949 does not read as Korean); then `hint` (a charset that the document itself declares); then
    CP949 where the result reads as Korean; then charset-normalizer.

    Raises:
        DocumentError: UNDECODABLE, no encoding fits, or the bytes are UTF-8 with a few broken.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark) and _decodes(data, encoding):
            return encoding
    if b"\0" not in data and _decodes(data, "utf-8"):
        return "utf-8"
    korean = b"\0" not in data and _decodes(data, "cp949")
    korean = korean and reads_as_korean(_sample(data, "cp949"))
    if not korean and _is_broken_utf8(data):
        raise _undecodable("these bytes are UTF-8, but some of them are broken", where)
    found = _by_rules(data, hint, korean=korean) or _guessed(data)
    if found is None:
        raise _undecodable("no text encoding fits these bytes", where)
    return found


def looks_binary(data: bytes) -> bool:
    """True when the first bytes hold more control characters than any text encoding would."""
    sample = data[:8192]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls <= max(1, len(sample) // 100):
        return False
    return not any(sample.startswith(mark) for mark, _ in _MARKS) and _wide(data) is None


def reads_as_korean(text: str) -> bool:
    """Whether the non-ASCII part of a CP949 reading is Korean, not mojibake of something else."""
    hangul = "".join(re.findall(_HANGUL, text))
    foreign = sum(1 for c in text if c > "\x7f")
    if not hangul:
        return False
    pairs = hangul.encode("cp949")
    # The 2,350 syllables in daily use lie where both bytes are high; the rest are CP949's own.
    everyday = sum(pairs[n] > 0xA0 < pairs[n + 1] for n in range(0, len(pairs), 2)) / len(hangul)
    common = len(re.findall(_COMMON, hangul)) / foreign
    hanja = len(re.findall(_HANJA, text)) / foreign
    enough_hangul = len(hangul) / foreign >= 0.5
    return everyday >= 0.5 and (common >= 0.15 or (enough_hangul and hanja <= 0.1))


def _undecodable(what: str, where: str) -> DocumentError:
    return DocumentError(
        what, reason=Reason.UNDECODABLE, where=where, remedy="save the document as UTF-8"
    )


def _by_rules(data: bytes, hint: str | None, *, korean: bool) -> str | None:
    # A few EUC-KR syllables are legal UTF-16 Hangul as well, and files without a mark are EUC-KR.
    wide = None if korean else _wide(data)
    if wide is not None and _decodes(data, wide):
        return wide
    declared = _LABELS.get((hint or "").strip().lower(), (hint or "").strip().lower())
    if declared and _decodes(data, declared):
        return declared
    return "cp949" if korean else None


def _is_broken_utf8(data: bytes) -> bool:
    """UTF-8 but for a few bytes: each other codec that fits would make mojibake of all the rest.

    In other encodings most bytes beyond ASCII are no UTF-8: of Chinese, Japanese or Thai two
    thirds, of Western or Cyrillic letters nearly all. Short EUC-KR may be, and is judged before.
    """
    if b"\0" in data:
        return False
    if data.startswith(codecs.BOM_UTF8):
        return True
    foreign = len(data) - len(data.translate(None, _FOREIGN))
    broken = len(data) - len(data.decode("utf-8", "ignore").encode())
    return broken <= _BROKEN_SHARE * foreign


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: in either byte order nearly every unit is an ordinary character."""
    sample = data[: _SAMPLE_BYTES & ~1]
    if len(sample) < 4 or len(data) % 2:
        return None
    texts = {e: sample.decode(e, "replace") for e in ("utf-16-le", "utf-16-be")}
    best = max(texts, key=lambda e: len(re.findall(_LIKELY, texts[e])))
    text = texts[best]
    if len(re.findall(_ORDINARY, text)) < 0.97 * len(text):
        return None
    if b"\0" in sample:
        return best
    # Two 8-bit letters read as one Chinese character: without NULs only Korean is believed.
    korean = len(re.findall(_HANGUL, text)) >= 0.6 * len(text)
    return best if korean and len(re.findall(_COMMON, text)) >= 0.15 * len(text) else None


def _guessed(data: bytes) -> str | None:
    if looks_binary(data):
        return None
    if _reads_as_western(_sample(data, "cp1252")) and _decodes(data, "cp1252"):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE_BYTES], steps=5, chunk_size=512).best()
    if best is None or not _decodes(data, best.encoding):
        return None
    return best.encoding if _ordinary_or_letters(_sample(data, best.encoding)) else None


def _reads_as_western(text: str) -> bool:
    """Mostly ASCII, and the rest what Western languages write (siblings of CP1252 fit as well)."""
    foreign = [c for c in text if c > "\x7f"]
    return len(foreign) <= 0.3 * len(text) and all(c in _WESTERN for c in foreign)


def _ordinary_or_letters(text: str) -> bool:
    good = sum(1 for c in text if c.isalnum() or c.isspace() or " " <= c <= "~")
    return good >= 0.9 * len(text)


def _sample(data: bytes, encoding: str) -> str:
    return data[:_SAMPLE_BYTES].decode(encoding, "ignore")


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeError, LookupError, ValueError):
        return False
    return True

"""Keyword tokens: one function for documents and for queries (design.md §5).

Hangul, Han and Kana runs become character bigrams (a lone character stays), so that particles and
compounds written without spaces match; other words are lower-cased; identifiers are kept whole and
also split at `_ - . /` and at case changes. No dictionary, hence the same answer everywhere.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import chain
from operator import add

# Part of an index's identity: raise it when the same text gives other tokens.
KEYWORDS_VERSION = 1

TOKEN_MAX_CHARACTERS = 64
TEXT_MAX_BYTES = 60_000  # below a Milvus VARCHAR's limit of 65,535

_HANGUL = r"\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"
_HAN_KANA = (
    r"\u3005\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_HANGUL}{_HAN_KANA}]"  # and digits
_RUN = re.compile(
    rf"[{_HANGUL}]+|[{_HAN_KANA}]+"
    # 1,200,000 is one number however it is written.
    r"|(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])(?:\.[0-9]+)?"
    # Joiners only between letters: no full stop at a sentence's end, no dashes of an option.
    rf"|{_LETTER}(?:{_LETTER}|[_\-./]+(?={_LETTER}))*"
)
_BIGRAM_CHARACTER = re.compile(rf"[{_HANGUL}{_HAN_KANA}]")
_JOINER = re.compile(r"[_\-.]+")
_CASE = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")
_PLURAL = re.compile(r"[A-Z]{2,}s")
_FIRST_BIGRAM_SCRIPT = "\u1100"


def keyword_tokens(text: str) -> list[str]:
    """Tokens in the order of the text; none is empty, holds white space or exceeds 64 characters.

    The text is NFKC-normalised and case-folded first, so that full-width, decomposed and capital
    letters meet their plain forms.
    """
    runs = _RUN.findall(unicodedata.normalize("NFKC", text))
    return list(chain.from_iterable(map(_tokens_of, runs)))


def keyword_text(text: str, *, max_bytes: int = TEXT_MAX_BYTES) -> str:
    """`keyword_tokens` with one space between; whole tokens only, at most `max_bytes` of UTF-8."""
    joined = " ".join(keyword_tokens(text))
    data = joined.encode()
    if len(data) <= max_bytes:
        return joined
    # A token ends before a space: cut at the last one within the limit.
    return data[: max(data.rfind(b" ", 0, max_bytes + 1), 0)].decode()


def _tokens_of(run: str) -> tuple[str, ...]:
    # Words repeat, so most are a look-up; long ones are rare and would fill the memory.
    return _remembered(run) if len(run) <= TOKEN_MAX_CHARACTERS else _expand(run)


def _expand(run: str) -> tuple[str, ...]:
    if run[0] >= _FIRST_BIGRAM_SCRIPT and _BIGRAM_CHARACTER.match(run):
        return tuple(map(add, run, run[1:])) if len(run) > 1 else (run,)
    if run.isalpha() and (run.islower() or run[1:].islower()):
        return (_fold(run),)
    # The only runs with a comma are numbers with separators of thousands.
    return tuple(dict.fromkeys(map(_fold, _identifier(run.replace(",", "")))))


_remembered = lru_cache(maxsize=32_768)(_expand)


def _fold(token: str) -> str:
    return token.casefold()[:TOKEN_MAX_CHARACTERS]


def _identifier(run: str) -> list[str]:
    """The whole, the parts of a path, the parts at `_ - .`, the parts at case changes."""
    tokens = [run]
    for segment in run.split("/"):
        name = segment.strip("_-.")
        tokens.append(name)
        for part in _JOINER.split(name):
            tokens.append(part)
            tokens.extend(_case_parts(part))
    return [token for token in tokens if token]


def _case_parts(part: str) -> list[str]:
    if len(part) > TOKEN_MAX_CHARACTERS or not part.isascii() or part.islower():
        return []  # a long run without a joiner is data (base64), not a name
    parts = _CASE.findall(part)
    plurals = [p[:-1] for p in parts if _PLURAL.fullmatch(p)]  # `GPUs` also answers `GPU`
    return parts + plurals

"""What a question is about: its content words, and the identifiers and numbers it insists on."""

import re
import unicodedata
from collections.abc import Callable
from typing import TypeAlias

Tokenizer: TypeAlias = Callable[[str], list[str]]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[\w][\w.\-/:]*[\w]|\w")
_SEPARATED = re.compile(r"(?<=\d),(?=\d{3})")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.:]\d+)*(?![\dA-Za-z_]|[.:]\d)")  # not the 32 of `32B`
_ASCII_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]*[A-Za-z0-9]")
_IDENTIFIER = re.compile(r"(?=.*[A-Za-z])(?:.*[\d_/].*|.*\w\.\w.*|[A-Z]{2,}|.*[a-z][A-Z].*)")
_FUNCTION_WORDS = _words(
    """
    a an the is are was were be been am do does did doing done can could should would will shall may
    might must have has had how what which who whom whose when where why in on at of for to from by
    with without as and or not no if then than that this these those it its we our us you your i my
    me they their them there here any some all many much long often into about per please tell give
    get gets use used using need needs happen happens so
    """
)
_KOREAN_ASKING = _words(
    """
    무엇 무엇을 무엇이 뭐 뭘 무슨 어떤 어떻게 어디 어디서 어디에서 어디에 언제 언제까지 얼마 얼마나
    누가 누구 누구에게 왜 몇 어느 하려면 하면 때 것 수 이유 방법 해야 할 하는 있는 되는 하고 알려
    주세요 알려주세요
    """
)
# What makes a Korean word a question; the stem before it is what is asked: 보관하나요, 언제인가요.
_KOREAN_ENDING = re.compile(
    r"(?:하|되|했|됐|있|없|였)?"
    r"(?:나요|(?:인|은|는|한|된|던)?가요|(?:할|될|일)?까요|습니까|지요|죠|어요|해요|세요)$"
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|often|fast|big|large|old)\b|\bwhen\b"
    r"|\bwhat (?:time|date|price|share)\b|얼마|몇|언제|며칠|가격|시간당|단가",
    re.IGNORECASE,
)
_HOLDS_NUMBER = re.compile(
    r"\d|[한두세네]\s?(?:시간|번|개|명|달|주|건|배|차례)"
    r"|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|half|once|twice)\b",
    re.IGNORECASE,
)


def asked_terms(question: str, tokens: Tokenizer) -> tuple[str, ...]:
    """What is asked: the tokens without function words and Korean question endings, each once.

    Asked of the keyword index, and looked for in what it found. BM25 weighs a word by its rarity:
    in a small corpus, or one whose languages share an index, `how do I` and `하나요` are rare and
    outweigh what is asked. A question of nothing else keeps all its tokens.
    """
    stems = [stem for word in _split(question) if (stem := _asked(word))]
    found = [t for stem in stems for t in tokens(stem)]
    return tuple(dict.fromkeys(found or tokens(question)))


def sharp_terms(text: str) -> tuple[str, ...]:
    """Identifiers and numbers of a text, lower-cased: what an answer must share to the letter."""
    plain = _SEPARATED.sub("", unicodedata.normalize("NFC", text))
    names = [w.lower() for w in _ASCII_WORD.findall(plain) if _IDENTIFIER.fullmatch(w)]
    return tuple(dict.fromkeys([*names, *_NUMBER.findall(plain)]))


def missing_share(sharp: tuple[str, ...], text: str) -> float:
    """Share of identifiers and numbers that the text does not hold as whole words; 0 for none.

    A number may have leading zeros: `9월` and `3시` ask for what a log writes as 09 and 03:00.
    """
    if not sharp:
        return 0.0
    plain = _SEPARATED.sub("", unicodedata.normalize("NFC", text)).lower()
    bounded = (
        rf"(?<![a-z0-9]){'0*' if term.isdigit() else ''}{re.escape(term)}(?![a-z0-9])"
        for term in sharp
    )
    return sum(re.search(pattern, plain) is None for pattern in bounded) / len(sharp)


def asks_for_number(question: str) -> bool:
    """Whether the answer is a quantity, a price or a date, judged by the question's words."""
    return _ASKS_NUMBER.search(question) is not None


def holds_number(text: str) -> bool:
    """Whether a text holds a number, in digits or in the commonest words."""
    return _HOLDS_NUMBER.search(text) is not None


def _split(question: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", question))


def _asked(word: str) -> str:
    if word.lower() in _FUNCTION_WORDS:
        return ""
    stem = _KOREAN_ENDING.sub("", word)
    return "" if stem in _KOREAN_ASKING else stem

"""Words of a PDF that its lines cut: real hyphens, and Korean words that go on. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_CUT_WORD: Final = re.compile(r"([^\W\d_]+)[-\u00ad]$")
_FIRST_WORD: Final = re.compile(r"[^\W\d_]+")
_HANGUL_END: Final = re.compile(r"[가-힣]+$")
_HANGUL_START: Final = re.compile(r"[가-힣]+")
_LEAST_HALF: Final = 2
# Short words that begin compounds, and are no syllable at which a longer word is cut.
_FIRST_HALF_WORDS: Final = """
    on off self well built long short high low full half two three four five six one all
"""
_FIRST_HALVES: Final = frozenset(_FIRST_HALF_WORDS.split())
_SUFFIX: Final = re.compile(
    r"(?:ing|ity|i[sz]|est|er|age|ness|ful|ly|able|ed|en|ism|land|hand|gth|tion|set|line|ward|ance|ow)"
)
# Particles and endings: no word begins with them, so the one above goes on.
_ENDING_WORDS: Final = """
    을 를 은 는 의 에 에서 에게 에는 까지 부터 으로 로서 으로서 한다 하는 하고 하여 해야 하며 하면
    하지 했다 했던 하였다 된다 되는 되어 되며 되면 되지 됐다 되었다 합니다 됩니다 입니다 습니다 이다
    이며 이고 이라 이라고 시킨다 시키는 들이 들은 들을 들의
"""
_ENDINGS: Final = frozenset(_ENDING_WORDS.split())


@dataclass(frozen=True, slots=True)
class Words:
    """The words that stand whole on some line of the document."""

    known: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Words":
        """Of all lines in order; the halves of a word that a line's end cuts are not words."""
        known: set[str] = set()
        cut = False
        for line in lines:
            found = _WORD.findall(line.lower())
            first = 1 if cut else 0
            cut = line.endswith(("-", "\u00ad"))
            known.update(found[first : len(found) - cut])
        return cls(frozenset(known))

    def keeps_hyphen(self, above: str, below: str) -> bool:
        """Whether `on-` over `call` is `on-call`: said so elsewhere, or both are words."""
        left, right = _CUT_WORD.search(above), _FIRST_WORD.match(below)
        if left is None or right is None:
            return True
        a, b = left.group(1).lower(), right.group().lower()
        if f"{a}-{b}" in self.known:
            return True
        if a + b in self.known or min(len(a), len(b)) < _LEAST_HALF:
            return False
        compound = a in _FIRST_HALVES and len(b) > _LEAST_HALF and not _SUFFIX.match(b)
        return compound or (a in self.known and b in self.known)

    def goes_on(self, above: str, below: str) -> bool:
        """Whether a Korean word goes on below, where the file itself does not say."""
        left, right = _HANGUL_END.search(above), _HANGUL_START.match(below)
        if left is None or right is None:
            return False
        whole = left.group() + right.group()
        return right.group() in _ENDINGS or (whole in self.known and len(whole) > _LEAST_HALF)


def join_lines(lines: Sequence[str], breaks: Sequence[bool | None], words: Words = Words()) -> str:
    """Lines of a paragraph as running text: hyphens of cut words go, and so do Hangul breaks.

    `breaks[i]` is False where the file shows that line i ends in the middle of a Korean word, True
    where it shows that one ends, None where it shows nothing.
    """
    text = lines[0] if lines else ""
    for number, line in enumerate(lines[1:]):
        if _CUT_WORD.search(text) and line[:1].islower():
            text = (text if words.keeps_hyphen(text, line) else text[:-1]) + line
        elif _hangul_goes_on(text, line, breaks[number], words):
            text += line
        else:
            text = f"{text} {line}"
    return text


def _hangul_goes_on(text: str, line: str, ends: bool | None, words: Words) -> bool:
    if not (_HANGUL_END.search(text) and _HANGUL_START.match(line)):
        return False
    return words.goes_on(text, line) if ends is None else not ends

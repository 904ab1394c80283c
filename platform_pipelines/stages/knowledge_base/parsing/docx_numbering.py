"""Word's automatic numbers as Word shows them: `제2조`, `1.1`, `①`, `가.`, with their restarts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from platform_pipelines.stages.knowledge_base.parsing.docx_styles import Style, value_of
from platform_pipelines.stages.knowledge_base.parsing.docx_text import W

_DEEPEST_LIST: Final = 8
_LEVELS: Final = 9
_GANADA: Final = "가나다라마바사아자차카타파하"
_CHOSUNG: Final = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ"
_SINO: Final = "일이삼사오육칠팔구"
_HANJA: Final = "一二三四五六七八九"
_NATIVE: Final = ("하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉", "열")
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """One depth of a list: how it counts and what it shows."""

    format: str = "decimal"
    text: str = ""
    start: int = 1
    style: str = ""  # whose paragraphs are of this depth without saying so
    legal: bool = False  # numbers of outer levels are shown as digits
    restart: int | None = None  # only after such a level, counted from 1; 0: never


@dataclass(slots=True)
class Numbering:
    """The lists of a document, and how far each has counted."""

    levels: dict[str, dict[int, Level]] = field(default_factory=dict[str, dict[int, Level]])
    counters: dict[str, str] = field(default_factory=dict[str, str])  # lists that count together
    starts: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    counts: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])

    @classmethod
    def of(cls, root: Any) -> "Numbering":
        """From the numbering part's XML."""
        abstract: dict[str, dict[int, Level]] = {}
        for element in root.iterchildren(f"{W}abstractNum"):
            abstract[element.get(f"{W}abstractNumId", "")] = _levels(element)
        found = cls()
        for number in root.iterchildren(f"{W}num"):
            name = number.get(f"{W}numId", "")
            base = value_of(number, "abstractNumId") or ""
            found.levels[name] = dict(abstract.get(base, {}))
            found.counters[name] = base
            for change in number.iterchildren(f"{W}lvlOverride"):
                depth = _whole(change.get(f"{W}ilvl"), 0)
                found.levels[name] |= _levels(change)
                start = value_of(change, "startOverride")
                if start is not None:
                    found.starts[name, depth] = _whole(start, 1)
        return found

    def label(self, style: Style) -> str:
        """The number of a paragraph that is counted, e.g. `제2조`; empty when it is not."""
        if style.numbering is None or style.numbering[0] not in self.levels:
            return ""
        name, depth = style.numbering[0], self._depth(style)
        level = self.levels[name].get(depth, Level())
        if level.format == "bullet":
            return ""
        self._count(name, depth, level)
        return self._shown(name, depth, level)

    def marker(self, style: Style) -> str | None:
        """`- ` or `3. ` with its indentation; None for a paragraph that is no list item."""
        if style.numbering is None or style.numbering[0] not in self.levels:
            return "- " if style.is_list and style.name.lower() != "list paragraph" else None
        indent = "  " * min(self._depth(style), _DEEPEST_LIST)
        return f"{indent}{self.label(style) or '-'} "

    def _depth(self, style: Style) -> int:
        name, depth = style.numbering or ("", 0)
        if depth is not None:
            return min(depth, _LEVELS - 1)
        own = (d for d, level in self.levels[name].items() if level.style == style.id)
        return next(own, 0)

    def _count(self, name: str, depth: int, level: Level) -> None:
        counter = self.counters[name]
        again = self.starts.pop((name, depth), None)
        start = level.start if again is None else again
        before = None if again is not None else self.counts.get((counter, depth))
        self.counts[counter, depth] = start if before is None else before + 1
        for deeper in range(depth + 1, _LEVELS):
            after = self.levels[name].get(deeper, Level()).restart
            if after is None or (after and depth < after):
                self.counts.pop((counter, deeper), None)

    def _shown(self, name: str, depth: int, level: Level) -> str:
        text = level.text if level.text or level.format == "none" else f"%{depth + 1}."
        for at in range(depth + 1):
            mark = f"%{at + 1}"
            if mark not in text:
                continue
            outer = self.levels[name].get(at, Level())
            count = self.counts.get((self.counters[name], at), outer.start)
            counted_as = "decimal" if level.legal else outer.format
            text = text.replace(mark, number_in(count, counted_as))
        return text.strip()


def number_in(count: int, kind: str) -> str:
    """The number as Word writes it in a format, e.g. `ganada`; digits where we do not know it."""
    write = _FORMATS.get(kind)
    return (write(count) or str(count)) if write is not None and count > 0 else str(count)


def _levels(parent: Any) -> dict[int, Level]:
    found: dict[int, Level] = {}
    for element in parent.iterchildren(f"{W}lvl"):
        restart = value_of(element, "lvlRestart")
        legal = element.find(f"{W}isLgl")
        found[_whole(element.get(f"{W}ilvl"), 0)] = Level(
            format=value_of(element, "numFmt") or _alternate(element) or "decimal",
            text=value_of(element, "lvlText") or "",
            start=_whole(value_of(element, "start"), 1),
            style=value_of(element, "pStyle") or "",
            legal=legal is not None and legal.get(f"{W}val", "1") not in ("0", "false"),
            restart=None if restart is None else _whole(restart, 0),
        )
    return found


def _alternate(level: Any) -> str:
    """A format that newer versions of Word wrote in alternate content."""
    found = next(level.iter(f"{W}numFmt"), None)
    return "" if found is None else found.get(f"{W}val", "")


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _letters(count: int, first: str) -> str:
    """a to z, then aa to zz: Word repeats the letter."""
    return chr(ord(first) + (count - 1) % 26) * ((count - 1) // 26 + 1)


def _roman(count: int) -> str:
    out = ""
    for value, letters in _ROMAN:
        times, count = divmod(count, value)
        out += letters * min(times, 20)
    return out


def _cycled(signs: str) -> Callable[[int], str]:
    return lambda count: signs[(count - 1) % len(signs)]


def _circled(count: int) -> str:
    if count <= 20:
        return chr(0x245F + count)
    return chr(0x323C + count) if count <= 35 else ""


def _sino(digits: str, ten: str) -> Callable[[int], str]:
    def write(count: int) -> str:
        if count >= 100:
            return ""
        tens, ones = divmod(count, 10)
        first = ("" if tens == 1 else digits[tens - 1]) + ten if tens else ""
        return first + (digits[ones - 1] if ones else "")

    return write


def _native(count: int) -> str:
    return _NATIVE[count - 1] if count <= len(_NATIVE) else ""


def _ordinal(count: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{'th' if count % 100 in (11, 12, 13) else ending}"


_FORMATS: Final[dict[str, Callable[[int], str]]] = {
    "none": lambda _: " ",
    "decimalZero": lambda n: f"{n:02d}",
    "upperRoman": lambda n: _roman(n).upper(),
    "lowerRoman": _roman,
    "upperLetter": lambda n: _letters(n, "A"),
    "lowerLetter": lambda n: _letters(n, "a"),
    "ordinal": _ordinal,
    "ganada": _cycled(_GANADA),
    "chosung": _cycled(_CHOSUNG),
    "decimalEnclosedCircle": _circled,
    "decimalEnclosedCircleChinese": _circled,
    "decimalEnclosedParen": lambda n: chr(0x2473 + n) if n <= 20 else f"({n})",
    "decimalEnclosedFullstop": lambda n: chr(0x2487 + n) if n <= 20 else f"{n}.",
    "numberInDash": lambda n: f"- {n} -",
    "koreanDigital": _sino(_SINO, "십"),
    "koreanLegal": _native,
    "koreanCounting": _sino(_SINO, "십"),
    "koreanDigital2": _sino(_HANJA, "十"),
    "ideographDigital": _sino(_HANJA, "十"),
    "japaneseCounting": _sino(_HANJA, "十"),
    "chineseCounting": _sino(_HANJA, "十"),
    "taiwaneseCounting": _sino(_HANJA, "十"),
}

"""HWPX's automatic numbers as Hancom Office shows them: `제2조`, `가.`, `①`, `1.1)`, bullets."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from platform_pipelines.stages.knowledge_base.parsing.docx_numbering import number_in

_LEVEL_MARK: Final = re.compile(r"\^(\d{1,2}|n)")
_DEEPEST: Final = 10
# The file's names of forms, as Word calls them.
_FORMS: Final = {
    "CIRCLED_DIGIT": "decimalEnclosedCircle",
    "ROMAN_CAPITAL": "upperRoman",
    "ROMAN_SMALL": "lowerRoman",
    "LATIN_CAPITAL": "upperLetter",
    "LATIN_SMALL": "lowerLetter",
    "HANGUL_SYLLABLE": "ganada",
    "HANGUL_JAMO": "chosung",
    "HANGUL_PHONETIC": "koreanDigital",
    "IDEOGRAPH": "koreanDigital2",
}
_CIRCLED: Final = {"CIRCLED_HANGUL_SYLLABLE": 0x326E, "CIRCLED_HANGUL_JAMO": 0x3260}
_CIRCLED_LETTERS: Final = {"CIRCLED_LATIN_CAPITAL": 0x24B6, "CIRCLED_LATIN_SMALL": 0x24D0}


@dataclass(frozen=True, slots=True)
class _Head:
    """How one level of a list counts and what it shows: `^1` is the first level's number."""

    text: str
    form: str
    start: int


@dataclass(slots=True)
class HwpxNumbering:
    """The lists of a document, which paragraph forms are in them, and how far each has counted."""

    heads: dict[tuple[str, int], _Head] = field(default_factory=dict[tuple[str, int], _Head])
    bullets: dict[str, str] = field(default_factory=dict[str, str])
    forms: dict[str, tuple[str, str, int]] = field(default_factory=dict[str, tuple[str, str, int]])
    outline: str = ""  # the list that counts outline levels, as the section says
    counts: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])

    @classmethod
    def of(cls, root: Any) -> "HwpxNumbering":
        """From `Contents/header.xml`."""
        found = cls()
        for numbering in root.iter("{*}numbering"):
            name = numbering.get("id", "")
            for head in numbering.iterchildren("{*}paraHead"):
                level = _whole(head.get("level"), 1)
                form, start = head.get("numFormat", "DIGIT"), _whole(head.get("start"), 1)
                found.heads[name, level] = _Head(head.text or "", form, start)
        for bullet in root.iter("{*}bullet"):
            char = bullet.get("char", "")
            private = not char or "\ue000" <= char[0] <= "\uf8ff"  # a sign of a symbol font
            found.bullets[bullet.get("id", "")] = "-" if private else char
        for form in root.iter("{*}paraPr"):
            for heading in form.iterchildren("{*}heading"):
                level = _whole(heading.get("level"), 0) + 1
                kind = heading.get("type", "NONE")
                found.forms[form.get("id", "")] = (kind, heading.get("idRef", ""), level)
        return found

    def label(self, paragraph: Any) -> str:
        """The number or bullet of a paragraph; empty when it has none. Counts it."""
        kind, name, level = self.forms.get(paragraph.get("paraPrIDRef", ""), ("NONE", "", 1))
        if kind == "BULLET":
            return self.bullets.get(name, "-")
        if kind not in ("NUMBER", "OUTLINE"):
            return ""
        name = self.outline if kind == "OUTLINE" and name in ("", "0") else name
        head = self.heads.get((name, level))
        if head is None:
            return ""
        before = self.counts.get((name, level))
        self.counts[name, level] = head.start if before is None else before + 1
        for deeper in range(level + 1, _DEEPEST + 1):
            self.counts.pop((name, deeper), None)
        return _LEVEL_MARK.sub(lambda m: self._shown(m.group(1), name, level), head.text).strip()

    def _shown(self, mark: str, name: str, level: int) -> str:
        at = level if mark == "n" else int(mark)
        head = self.heads.get((name, at), _Head("", "DIGIT", 1))
        return _number(self.counts.get((name, at), head.start), head.form)


def _number(count: int, form: str) -> str:
    first = _CIRCLED.get(form)
    if first is not None and 0 < count <= 14:
        return chr(first + count - 1)
    first = _CIRCLED_LETTERS.get(form)
    if first is not None and 0 < count <= 26:
        return chr(first + count - 1)
    return number_in(count, _FORMS.get(form, "decimal"))


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default

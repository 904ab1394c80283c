"""Equations of office files (OMML) on one line: `(a+b)/(2)`, `x^(2)`, `√(y)`."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

_DEEPEST: Final = 40
_SKIPPED: Final = ("rPr", "ctrlPr", "fPr", "sSupPr", "sSubPr", "radPr", "naryPr", "dPr", "argPr")


def formula_text(element: Any, depth: int = 0) -> str:
    """The equation's text; parts that nest too deeply are read as a plain run."""
    name = _name(element)
    if depth > _DEEPEST or name == "t":
        return "".join(t.text or "" for t in element.iter("{*}t"))
    if name in _SKIPPED:
        return ""
    inner = [(_name(c), formula_text(c, depth + 1)) for c in element if isinstance(c.tag, str)]
    if name == "nary":
        return _nary(element, dict(inner))
    if name == "d":
        return f"({', '.join(text for tag, text in inner if tag == 'e')})"
    shape = _SHAPES.get(name)
    return shape(defaultdict(str, inner)) if shape else "".join(text for _, text in inner)


def _nary(element: Any, parts: Mapping[str, str]) -> str:
    low, high, inner = (parts.get(name, "") for name in ("sub", "sup", "e"))
    sign = next((c for c in element.iter("{*}chr")), None)
    value = (next(iter(sign.attrib.values()), "") or "∫") if sign is not None else "∫"
    limits = (f"_{_grouped(low)}" if low else "") + (f"^{_grouped(high)}" if high else "")
    return f"{value}{limits} {inner}"


def _grouped(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


_SHAPES: Final[dict[str, Callable[[Mapping[str, str]], str]]] = {
    "f": lambda p: f"{_grouped(p['num'])}/{_grouped(p['den'])}",
    "sSup": lambda p: f"{p['e']}^{_grouped(p['sup'])}",
    "sSub": lambda p: f"{p['e']}_{_grouped(p['sub'])}",
    "sSubSup": lambda p: f"{p['e']}_{_grouped(p['sub'])}^{_grouped(p['sup'])}",
    "rad": lambda p: f"{p['deg']}√({p['e']})",
    "func": lambda p: f"{p['fName']} {p['e']}",
}

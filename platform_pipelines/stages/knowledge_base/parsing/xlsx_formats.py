"""A number as its sheet shows it: leading zeros, thousands, currencies, hours, ISO dates."""

import datetime
import re
from functools import lru_cache
from typing import Final

# ECMA-376 part 1, 18.8.30: the formats that have a number instead of a code.
BUILT_IN: Final = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 14: "yyyy-mm-dd",
    15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm", 19: "h:mm:ss", 20: "h:mm",
    21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)",
    39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)", 41: "#,##0", 42: "#,##0",
    43: "#,##0.00", 44: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
    **dict.fromkeys((*range(27, 32), *range(50, 59), 36), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35), "h:mm:ss"),
}  # fmt: skip
_TOKENS: Final = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)(?:-[^\]]*)?\]|\[(h+|m+|s+)\]|\[[^\]]*\]'
    r"|(general)|(am/pm|a/p|오전/오후|[yYmMdDhHsSeEgGbB]+)|([0#?][0#?,.]*|\.[0#?]+)|(.)",
    re.IGNORECASE | re.DOTALL,
)
_SECTION: Final = re.compile(r'(?:"[^"]*"|\\.|\[[^\]]*\]|[^;])+|(?<=;)(?=;|$)')
_DAY_SECONDS: Final = 86_400
_EPOCH: Final = datetime.datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's clock has no zone
_EPOCH_1904: Final = datetime.datetime(1904, 1, 1)  # noqa: DTZ001
_LAST_SERIAL: Final = 2_958_466  # the year 9999

# (kind, text): `literal`, `digits`, `date`, `elapsed` or `general`.
Token = tuple[str, str]


def number_text(value: float, code: str = "", *, from_1904: bool = False) -> str:
    """The value under a format code; dates and times are ISO, whatever their code's order."""
    section, magnitude = _section(code, value)
    tokens = _tokens(section)
    kinds = {kind for kind, _ in tokens}
    if "elapsed" in kinds:
        return _elapsed(value, section)
    if "date" in kinds and 0 <= value < _LAST_SERIAL:
        return _moment(value, tokens, from_1904=from_1904)
    if section and kinds == {"literal"}:  # `"-"` for nothing
        return "".join(text for _, text in tokens).strip()
    digits = [text for kind, text in tokens if kind == "digits"]
    if not digits or "date" in kinds or "/" in section or "general" in kinds:
        return _plain(value, tokens)
    return _shown(magnitude, tokens)


def _section(code: str, value: float) -> tuple[str, float]:
    """The part of the code for the value's sign, and the value without the sign that it shows."""
    parts = _sections(code or "")
    if value < 0 and len(parts) > 1:
        return parts[1], -value
    if value == 0 and len(parts) > 2:
        return parts[2] or parts[0], value
    return parts[0], value


@lru_cache(maxsize=512)
def _sections(code: str) -> list[str]:
    return [part.group() for part in _SECTION.finditer(code)] or [""]


@lru_cache(maxsize=512)
def _tokens(section: str) -> tuple[Token, ...]:
    out: list[Token] = []
    for found in _TOKENS.finditer(section):
        quoted, escaped, currency, elapsed, general, date, digits, other = found.groups()
        literal = next((t for t in (quoted, escaped, currency, other) if t), "")
        if elapsed:
            out.append(("elapsed", elapsed.lower()))
        elif general:
            out.append(("general", ""))
        elif date and date.lower() not in ("e", "g", "b"):
            out.append(("date", date.lower()))
        elif digits:
            out.append(("digits", digits))
        elif literal:
            out.append(("literal", literal))
    return tuple(out)


def _elapsed(value: float, section: str) -> str:
    seconds = round(abs(value) * _DAY_SECONDS)
    sign = "-" if value < 0 else ""
    lower = section.lower()
    if "[h" in lower:
        text = f"{seconds // 3600}:{seconds // 60 % 60:02d}"
        return sign + text + (f":{seconds % 60:02d}" if "s" in lower else "")
    if "[m" in lower:
        return sign + str(seconds // 60) + (f":{seconds % 60:02d}" if "s" in lower else "")
    return f"{sign}{seconds}"


def _moment(value: float, tokens: tuple[Token, ...], *, from_1904: bool) -> str:
    letters = "".join(text for kind, text in tokens if kind == "date")
    moment = (_EPOCH_1904 if from_1904 else _EPOCH) + datetime.timedelta(
        seconds=round(value * _DAY_SECONDS)
    )
    clock = "h" in letters or "s" in letters
    if not any(letter in letters for letter in "yd") and clock:
        return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
    day = moment.strftime("%Y-%m-%d") if moment.year >= 1000 else moment.date().isoformat()
    if moment.time() == datetime.time(0):
        return day
    return f"{day} {moment.strftime('%H:%M')}"


def _plain(value: float, tokens: tuple[Token, ...]) -> str:
    number = str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"
    if not any(kind == "general" for kind, _ in tokens):
        return number
    return "".join(number if kind == "general" else text for kind, text in tokens).strip()


def _shown(value: float, tokens: tuple[Token, ...]) -> str:
    """The digits' places filled from the right, literals where they stand."""
    percent = any(kind == "literal" and "%" in text for kind, text in tokens)
    pattern = "".join(text for kind, text in tokens if kind == "digits")
    scale = len(pattern) - len(pattern.rstrip(","))
    whole_pattern, _, decimals = pattern.rstrip(",").partition(".")
    most = sum(c in "0#?" for c in decimals)
    least = sum(c == "0" for c in decimals)
    number = abs(value) * (100 if percent else 1) / 1000**scale
    whole, _, fraction = f"{number:.{most}f}".partition(".")
    while len(fraction) > least and fraction.endswith("0"):
        fraction = fraction[:-1]
    whole = _whole(whole, whole_pattern)
    text = whole + (f".{fraction}" if fraction else "")
    sign = "-" if value < 0 and float(number) != 0 else ""
    return sign + _around(text, tokens)


def _whole(digits: str, pattern: str) -> str:
    digits = "" if digits == "0" and "0" not in pattern else digits
    digits = digits.zfill(pattern.count("0"))
    if "," in pattern:
        return f"{int(digits or 0):,}".zfill(pattern.count("0")) if digits else digits
    return digits


def _around(text: str, tokens: tuple[Token, ...]) -> str:
    """The number between the literals; several runs of places (`000-0000`) share its digits."""
    runs = [n for n, (kind, _) in enumerate(tokens) if kind == "digits"]
    parts = [t if kind == "literal" else "" for kind, t in tokens]
    left = text
    for n in reversed(runs[1:]):
        size = len(tokens[n][1].replace(",", ""))
        parts[n], left = (left[-size:], left[:-size]) if "." not in text else ("", left)
    parts[runs[0]] = left
    return "".join(parts).strip()

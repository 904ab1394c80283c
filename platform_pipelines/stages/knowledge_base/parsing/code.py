"""Source code: a block per top-level definition, with its line and name; small files stay whole."""

import re
from collections.abc import Iterator
from typing import Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.draft import HEADING_CHARACTERS, Draft

# Where a definition starts, at the beginning of a line; group `name` is its name when it has one.
_C_LIKE: Final = (
    r"(?:export\s+|default\s+|pub(?:\([^)]*\))?\s+|public\s+|private\s+|protected\s+|static\s+|async\s+"
    r"|abstract\s+|final\s+){0,5}(?:function\*?|class|interface|enum|trait|impl|struct|type|fn|mod"
    r"|record|namespace|const|let|var)\s+(?P<name>[\w$]+)"
)
_PATTERNS: Final = {
    "python": r"(?:async\s+)?(?:def|class)\s+(?P<name>\w+)",
    "shell": r"(?:function\s+(?P<name>[\w:.-]+)|(?P<name2>[\w:.-]+)\s*\(\))",
    "javascript": _C_LIKE,
    "typescript": _C_LIKE,
    "java": _C_LIKE,
    "kotlin": r"(?:[a-z]+\s+){0,4}(?:fun|class|object|interface)\s+(?P<name>\w+)",
    "rust": _C_LIKE,
    "go": r"(?:func\s+(?:\([^)]{0,200}\)\s*)?|type\s+|var\s+|const\s+)(?P<name>\w+)",
    "c": (
        r"(?:[\w*]+\s+){1,4}\*?(?P<name>\w+)\s*\([^;]{0,500}$"
        r"|(?:struct|enum|union|typedef)\s+(?P<name2>\w+)"
    ),
    "sql": r"(?i:create|alter|insert|select|with|update|delete|drop|grant|merge)\b",
    "hcl": (
        r"(?P<name>(?:resource|data|module|variable|output|provider|locals|terraform)\b"
        r"[^{\n]{0,200})"
    ),
    "dockerfile": r"(?i:from)\s+(?P<name>[^\n]{1,200})",
    "makefile": r"(?P<name>[\w./%-]+)\s*:(?!=)",
    "toml": r"\[\[?(?P<name>[^\]\n]{1,200})\]",
    "ini": r"\[(?P<name>[^\]\n]{1,200})\]",
    "yaml": r"(?P<name>[\w./\"'-]+)\s*:(?:\s|$)",
    "proto": r"(?:message|service|enum)\s+(?P<name>\w+)",
}
_COMPILED: Final = {language: re.compile(pattern) for language, pattern in _PATTERNS.items()}
_SMALLEST_CHARACTERS: Final = 400  # of a piece of a configuration file
# Languages whose definitions have a body that ends; elsewhere one goes on to the next.
_BODIES: Final = frozenset(
    ("python", "shell", "javascript", "typescript", "java", "kotlin", "rust", "go", "c")
)
_INSIDE: Final = frozenset(")]}'\"#@/*{")  # a line that starts so closes, quotes, comments or leads
# What stands directly above a definition and belongs to it.
_LEADING: Final = re.compile(r"(?:@|#|//|/\*|\*|--|///)")
_YAML_BREAK: Final = re.compile(r"---(?:\s|$)")
_YAML_KIND: Final = re.compile(r"^kind:[ \t]*([\w.-]{1,100})", re.MULTILINE)
_YAML_NAME: Final = re.compile(
    r"^metadata:[^\n]*\n(?:[ \t]+[^\n]*\n){0,20}?[ \t]+name:[ \t]*([^\s#]{1,200})", re.MULTILINE
)
# A configuration file cut at every key loses its sense: smaller ones stay in one piece.
_WHOLE_CHARACTERS: Final = {"yaml": 4000, "toml": 2000, "ini": 2000, "makefile": 1500, "sql": 1500}


def read_code(text: str, language: str | None) -> Draft:
    """CODE blocks in the order of the file; `place.line` is the first line, `heading` the name."""
    draft = Draft()
    lines = text.split("\n")
    for start, end, name in _sections(lines, language or ""):
        body, skipped = _without_blank_edges(lines[start:end])
        if body:
            label = one_line(name, limit=HEADING_CHARACTERS)
            place = Place(heading=(label,) if label else (), line=start + skipped + 1)
            draft.add("\n".join(body), BlockKind.CODE, place)
    return draft


def _sections(lines: list[str], language: str) -> Iterator[tuple[int, int, str]]:
    """`(first, end, name)` of each piece; `end` is exclusive and the pieces cover the file."""
    if language == "yaml":
        for start, end in _yaml_documents(lines):
            name = _yaml_name("\n".join(lines[start:end]))
            for first, last, key in _definitions(lines, start, end, language):
                yield first, last, " ".join(filter(None, (name, key)))
    else:
        yield from _definitions(lines, 0, len(lines), language)


def _definitions(
    lines: list[str], start: int, end: int, language: str
) -> Iterator[tuple[int, int, str]]:
    pattern = _COMPILED.get(language)
    size = sum(map(len, lines[start:end]))
    if pattern is None or size < _WHOLE_CHARACTERS.get(language, 0):
        yield start, end, ""
        return
    smallest = _SMALLEST_CHARACTERS if language in _WHOLE_CHARACTERS else 0
    first, name, open_ended, gathered = start, "", True, 0
    for number in range(start, end):
        line = lines[number]
        gathered += len(line) + 1
        following = _definition(pattern, line)
        if following is None and (open_ended or not _ends_definition(lines, number, language)):
            continue
        cut = _with_leading(lines, number, first)
        if cut > first and gathered > smallest:
            yield first, cut, name
            first, name, gathered = cut, following or "", 0
        elif cut == first:
            name = following or ""
        else:
            name = ""  # several small definitions in one piece
        open_ended = following is None or language not in _BODIES
    yield first, end, name


def _definition(pattern: re.Pattern[str], line: str) -> str | None:
    """The name of the definition that a line starts (perhaps empty); None when it starts none."""
    found = pattern.match(line) if line[:1].strip() else None
    if found is None:
        return None
    groups = found.groupdict()
    return groups.get("name") or groups.get("name2") or ""


def _ends_definition(lines: list[str], number: int, language: str) -> bool:
    """Whether a line of top-level code stands below a finished definition, and not inside it."""
    line = lines[number]
    if not line[:1].strip() or line[0] in _INSIDE:
        return False
    if language == "python":
        return True
    before = reversed(lines[max(0, number - 20) : number])
    above = next((row for row in before if row.strip() and not _LEADING.match(row)), "")
    return above.rstrip().endswith(("}", "};", "});"))


def _with_leading(lines: list[str], number: int, floor: int) -> int:
    """The first line of the decorators and comments that touch a definition from above."""
    while number > floor and _LEADING.match(lines[number - 1]):
        number -= 1
    return number


def _yaml_documents(lines: list[str]) -> Iterator[tuple[int, int]]:
    start = 0
    for number, line in enumerate(lines):
        if _YAML_BREAK.match(line):
            yield start, number
            start = number + 1
    yield start, len(lines)


def _yaml_name(text: str) -> str:
    """`Deployment web` for a Kubernetes object, or nothing."""
    kind, name = _YAML_KIND.search(text), _YAML_NAME.search(text)
    if not kind:
        return ""
    return kind.group(1) + (" " + name.group(1).strip("\"'") if name else "")


def _without_blank_edges(lines: list[str]) -> tuple[list[str], int]:
    first, last = 0, len(lines)
    while first < last and not lines[first].strip():
        first += 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    return lines[first:last], first

"""Which programming or configuration language a text is in, from its content and then its name."""

import json
import re
from pathlib import PurePosixPath
from typing import Final

_EXTENSIONS: Final = {
    "python": "py pyi",
    "yaml": "yaml yml",
    "shell": "sh bash zsh ksh",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts tsx mts",
    "go": "go",
    "java": "java",
    "kotlin": "kt kts",
    "rust": "rs",
    "c": "c h cc cpp cxx hpp hh cs swift",
    "sql": "sql",
    "hcl": "tf hcl tfvars",
    "toml": "toml",
    "ini": "ini cfg conf properties env editorconfig service",
    "json": "json json5 ipynb jsonl ndjson",
    "dockerfile": "dockerfile containerfile",
    "makefile": "mk makefile",
    "ruby": "rb",
    "php": "php",
    "lua": "lua",
    "perl": "pl pm",
    "powershell": "ps1 psm1",
    "scala": "scala",
    "proto": "proto",
    "graphql": "graphql gql",
    "css": "css scss less",
    "xml": "xml xsd xsl svg",
    "jinja": "j2 jinja tpl",
}
_BY_EXTENSION: Final = {e: language for language, es in _EXTENSIONS.items() for e in es.split()}
_BY_NAME: Final = {
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "jenkinsfile": "java",
    "gemfile": "ruby",
    ".gitignore": "ini",
    ".bashrc": "shell",
}
_INTERPRETERS: Final = {
    **dict.fromkeys(("bash", "sh", "zsh", "ksh"), "shell"),
    **dict.fromkeys(("python", "ruby", "perl", "php", "lua"), ""),
    "node": "javascript",
}
_PYTHON: Final = re.compile(
    r"^(?:(?:async )?def \w+\(.*|class \w+.*:\s*|from [\w.]+ import .+"
    r"|import [\w.]+(?: as \w+)?\s*)$",
    re.MULTILINE,
)
_PYTHON_BODY: Final = re.compile(r"^(?:(?:async )?def \w+\(|class \w+[(:])", re.MULTILINE)
_KUBERNETES: Final = re.compile(r"^apiVersion:[ \t]*\S+[ \t]*$", re.MULTILINE)
_KIND: Final = re.compile(r"^kind:[ \t]*\w+[ \t]*$", re.MULTILINE)
_YAML_LINE: Final = re.compile(
    r"(?:[ \t]*(?:- )*[\w./\"'-]+:(?:[ \t]+\S.*)?|[ \t]*- .*|[ \t]*#.*|---|[ \t]*)$"
)
_SAMPLE_CHARACTERS: Final = 20_000


def language_by_name(key: str) -> str | None:
    """The language that a file's name stands for; None for names of documents."""
    name = PurePosixPath(key).name.lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith(("dockerfile.", "makefile.")):
        return _BY_NAME[name.split(".")[0]]
    return _BY_EXTENSION.get(name.rpartition(".")[2]) if "." in name else None


def language_by_content(text: str) -> str | None:
    """The language of a text that cannot be prose: a shebang, Python, a Kubernetes object."""
    head = text[:_SAMPLE_CHARACTERS]
    interpreter = language_by_shebang(head)
    if interpreter is not None:
        return interpreter
    if head.startswith("---\n") and _is_yaml(head):
        return "yaml"
    if _KUBERNETES.search(head) and _KIND.search(head) and _is_yaml(head):
        return "yaml"
    if _PYTHON_BODY.search(head) and len(_PYTHON.findall(head)) >= 2 and "\n    " in head:
        return "python"
    return None


def language_by_shebang(text: str) -> str | None:
    """The language of the interpreter that the first line names (`#!/usr/bin/env python3`)."""
    if not text.startswith("#!"):
        return None
    words = text[2:300].partition("\n")[0].split()
    names = [PurePosixPath(word).name for word in words if not word.startswith("-")]
    name = next((n for n in names if n != "env"), "").rstrip("0123456789.")
    return (_INTERPRETERS[name] or name) if name in _INTERPRETERS else None


def is_json(text: str) -> bool:
    """Whether the whole text is one JSON object or array."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_yaml(head: str) -> bool:
    """Nearly all lines are keys, items or comments; front matter above prose is not."""
    lines = head.split("\n")
    keys = sum(1 for line in lines if _YAML_LINE.match(line))
    return keys >= 0.9 * len(lines) and not re.search(
        r"^#{1,6} .*\n\n?[^\n:#-]+$", head, re.MULTILINE
    )

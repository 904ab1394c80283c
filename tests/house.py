"""This repository as the tests of its rules read it: its files, its modules, what imports what."""

import ast
import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "platform_pipelines"
# The sample knowledge base's own documents: read as text, imported by nobody.
DOCUMENTS = f"{PACKAGE}/samples/handbook/"

Place: TypeAlias = tuple[int, str]  # a line, and what is wrong there


@dataclass(frozen=True)
class Module:
    """One Python file of the package, parsed. `name` is dotted, as it is imported."""

    path: str
    name: str
    tree: ast.Module


@dataclass(frozen=True)
class Import:
    """One imported module, as written: `at_load` when importing the file imports it too."""

    line: int
    name: str
    at_load: bool


@cache
def files() -> tuple[Path, ...]:
    """All files of the checkout that git does not ignore, whether or not there is a git here."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    ignored.append(".git")
    return tuple(sorted(_walk(ROOT, ignored)))


def _walk(folder: Path, ignored: list[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        key = path.relative_to(ROOT).as_posix()
        if any(fnmatch.fnmatch(path.name, one) or key == one for one in ignored):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, ignored)
        elif path.is_file():
            yield path


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Path and text of every file that is text."""
    found: list[tuple[str, str]] = []
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found.append((path.relative_to(ROOT).as_posix(), data.decode("utf-8", "replace")))
    return tuple(found)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    found: list[Module] = []
    for path, text in texts():
        if not path.endswith(".py") or not path.startswith(f"{PACKAGE}/"):
            continue
        if not path.startswith(DOCUMENTS):
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found.append(Module(path, name, ast.parse(text, path)))
    return tuple(found)


@cache
def imports(module: Module) -> tuple[Import, ...]:
    """Everything that a module imports, also inside functions, also for types only."""
    lazy = {id(inner) for node in ast.walk(module.tree) for inner in _not_at_load(node)}
    return tuple(
        Import(node.lineno, name, id(node) not in lazy)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _names(node)
    )


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    above = f"{node.module or ''}." if isinstance(node, ast.ImportFrom) else ""
    return [above + alias.name for alias in node.names]


def _not_at_load(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside a function, or under `if TYPE_CHECKING:`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        yield from ast.walk(node)
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for statement in node.body:
            yield from ast.walk(statement)


def own_imports(module: Module) -> Iterator[Place]:
    """Line and name of the package's own modules that a module imports."""
    names = {one.name for one in modules()}
    for one in imports(module):
        if one.name.split(".")[0] == PACKAGE:
            # `from a.b import c`: c is a module, or a name inside a.b
            yield one.line, one.name if one.name in names else one.name.rpartition(".")[0]

"""The rules of this repository that no linter checks, each with the reason for it.

A rule yields every place that breaks it. It has no list of exceptions: a rule that needs one is a
wrong rule. Each rule is also shown an example of what it forbids, so that none is blind.
"""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.house import PACKAGE, ROOT, Module, Place, imports, modules, own_imports, texts

# From the bottom to the top; a module may import from its own layer and from those before it.
LAYERS = (
    "errors", "machine", "variables", "settings", "core", "gateways", "compute", "stages",
    "serving", "components",
)  # fmt: skip
CORE_MAY_IMPORT = {
    "bisect", "collections", "dataclasses", "datetime", "decimal", "email", "enum", "functools",
    "hashlib", "heapq", "html", "inspect", "itertools", "json", "math", "operator", "random", "re",
    "statistics", "string", "types", "typing", "unicodedata", "xml", "zoneinfo",
}  # fmt: skip
READERS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
EVALUATORS = {
    "eval", "exec", "builtins.eval", "builtins.exec", "__import__",
    "yaml.load", "yaml.full_load", "yaml.unsafe_load",
}  # fmt: skip
IMPURE = re.compile(
    r"(?:datetime\.|date\.)+(?:now|today|utcnow)|random\.(?!Random\b)\w+|open|print|input"
)
# In pieces, so that this file does not break the rules that it checks.
REGISTRIES = [
    "".join(pieces)
    for pieces in (
        ("pypi", ".org"), ("python", "hosted.org"), ("npm", "js.org"), ("npm", "js.com"),
        ("ana", "conda.org"), ("crates", ".io"), ("ruby", "gems.org"), ("proxy.go", "lang.org"),
        ("repo.", "maven"), ("yarn", "pkg.com"),
    )
]  # fmt: skip
HOMES = re.compile(r"(?<![\w.])(?:/(?:home|Users)/\w|/roo[t]/|[A-Za-z]:\\+User[s]\\)")
LATEST = re.compile(r"\w:late[s]t\b|\btag:\s*[\"']?late[s]t\b")
ELSEWHERE = re.compile(r"://|^\s*(?:-[ifer]\b|--(?:extra-)?index|--find)")

CAPABILITY_LAYERS = ("core", "stages", "components")
SHARED = ("road", "shared")  # what all capabilities use

Rule: TypeAlias = Callable[[Module], Iterable[Place]]
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def pickles(module: Module) -> Iterator[Place]:
    """Reading a pickle runs whatever it says; a store is written by many."""
    for one in imports(module):
        if PICKLES & set(one.name.split(".")):
            yield one.line, one.name
    switches = [word for call in calls(module) for word in call.keywords]
    for switch in switches:
        if switch.arg == "allow_pickle" and ast.unparse(switch.value) != "False":
            yield switch.value.lineno, "allow_pickle"


def evaluates(module: Module) -> Iterator[Place]:
    """No text from outside becomes code; YAML is data."""
    for call in calls(module):
        if ast.unparse(call.func) in EVALUATORS:
            yield call.lineno, ast.unparse(call.func)


def swallows_errors(module: Module) -> Iterator[Place]:
    """`except Exception: pass` hides the one error that explains the outage."""
    handlers = [node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)]
    for handler in handlers:
        if _is_broad(handler.type) and all(map(_does_nothing, handler.body)):
            yield handler.lineno, "swallows every error"
    for call in calls(module):
        if ast.unparse(call.func).endswith("suppress") and any(map(_is_broad, call.args)):
            yield call.lineno, "suppresses every error"


def reads_the_environment(module: Module) -> Iterator[Place]:
    """A variable that is read outside `settings.py` is in no documentation and in no test."""
    if module.name == f"{PACKAGE}.settings":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            yield node.lineno, ast.unparse(node)
    for one in imports(module):
        if one.name.startswith("os.") and one.name.removeprefix("os.") in READERS:
            yield one.line, one.name


def loads_heavy_libraries(module: Module) -> Iterator[Place]:
    """Dagster imports every module at each start; ragas alone takes seven seconds."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    heavy = set(tool["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])
    for one in imports(module):
        if one.at_load and one.name.split(".")[0] in heavy:
            yield one.line, one.name


def lacks_docstrings(module: Module) -> Iterator[Place]:
    """What it is, its units, what it raises: a reader need not open the body."""
    if module.tree.body and not ast.get_docstring(module.tree):
        yield 1, "the module"
    for definition in _public(module.tree):
        if not ast.get_docstring(definition):
            yield definition.lineno, definition.name


def imports_upward(module: Module) -> Iterator[Place]:
    """A lower layer is tested and used without a higher one.

    Entry points (`worker`, `cli`, `definitions`) stand above all layers, which import none of them.
    """
    height = _height(module.name)
    for line, name in own_imports(module):
        other = _height(name)
        if height is not None and (other is None or other > height):
            yield line, name


def knows_settings(module: Module) -> Iterator[Place]:
    """A gateway is given its url and its key: a test, or a migration, has two of them."""
    if _layer(module.name) in ("core", "gateways", "compute"):
        for line, name in own_imports(module):
            if name == f"{PACKAGE}.settings":
                yield line, name


def knows_dagster(module: Module) -> Iterator[Place]:
    """A worker pays for each import, and a stage runs without an orchestrator."""
    if _layer(module.name) not in ("components", "definitions"):
        for one in imports(module):
            if one.name.startswith("dagster"):
                yield one.line, one.name


def is_impure_core(module: Module) -> Iterator[Place]:
    """No I/O, no clock, no hidden randomness: the same input, the same output, anywhere."""
    if _layer(module.name) != "core":
        return
    for one in imports(module):
        top = one.name.split(".")[0]
        pure = top in CORE_MAY_IMPORT or one.name.startswith("urllib.parse")  # texts of URLs alone
        if top in sys.stdlib_module_names and not pure:
            yield one.line, one.name
    for call in calls(module):
        name = ast.unparse(call.func)
        if IMPURE.fullmatch(name) or (name == "random.Random" and not call.args):
            yield call.lineno, name


def imports_relatively(module: Module) -> Iterator[Place]:
    """One spelling a module, that a search finds."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level


def road_knows_a_capability(module: Module) -> Iterator[Place]:
    """The road is shared by every component; one that knows a component is shared by none.

    The package of a layer, which names all that the layer holds, is in neither.
    """
    if _capability(module.name) not in SHARED:
        return
    for line, name in own_imports(module):
        if _capability(name) not in (None, *SHARED):
            yield line, name


def imports_a_peer(module: Module) -> Iterator[Place]:
    """Capabilities do not import each other: what two of them need belongs to the road."""
    own = _capability(module.name)
    if own in (None, *SHARED):
        return
    for line, name in own_imports(module):
        if _capability(name) not in (None, own, *SHARED):
            yield line, name


# Each rule beside sources that break it, as a module of the layer named.
FORBIDDEN: dict[Rule, dict[str, str]] = {
    pickles: {
        "import pickle": "core", "from multiprocessing import pickle": "stages",
        "def f():\n    from cloudpickle import loads": "compute",
        "np.load(f, allow_pickle=True)": "gateways",
    },
    evaluates: {"eval('1')": "core", "x = exec(text)": "stages", "yaml.load(text)": "components"},
    swallows_errors: {
        "try:\n    f()\nexcept Exception:\n    pass": "core",
        "try:\n    f()\nexcept:\n    'said'": "stages",
        "try:\n    f()\nexcept (OSError, BaseException):\n    ...": "gateways",
        "for x in y:\n    try:\n        f()\n    except Exception:\n        continue": "compute",
        "with contextlib.suppress(Exception):\n    f()": "components",
    },
    reads_the_environment: {
        "import os\nos.environ['A']": "core", "def f():\n    return os.getenv('A')": "worker",
        "from os import environ": "gateways",
    },
    loads_heavy_libraries: {
        "import numpy as np": "core", "from pyarrow import parquet": "stages",
        "if x:\n    import httpx": "gateways", "class A:\n    import ragas.metrics": "compute",
    },
    lacks_docstrings: {
        "x = 1": "core", "'''D.'''\ndef f(): ...": "core", "'''D.'''\nclass A: ...": "stages",
        "'''D.'''\nclass A:\n    '''D.'''\n    async def f(self): ...": "gateways",
    },
    imports_upward: {
        f"from {PACKAGE}.gateways.clock import Clock": "core",
        f"from {PACKAGE}.compute import pool": "gateways",
        f"def f():\n    import {PACKAGE}.stages.live": "compute",
        f"if TYPE_CHECKING:\n    from {PACKAGE}.components.shared.policy import RETRIES": "stages",
        f"from {PACKAGE}.worker import main": "components",
        f"from {PACKAGE} import cli": "components",
    },
    knows_settings: {f"from {PACKAGE}.settings import Secret": "gateways"},
    knows_dagster: {"def f():\n    import dagster as dg": "stages", "import dagster_aws": "worker"},
    is_impure_core: {
        "import os": "core", "from pathlib import Path": "core", "import time": "core",
        "datetime.now(UTC)": "core", "random.random()": "core", "random.Random()": "core",
        "open('x')": "core",
    },
    imports_a_peer: {
        f"from {PACKAGE}.core.knowledge_base.golden import Question": "core.fine_tune",
        f"def f():\n    import {PACKAGE}.stages.tenant.render": "stages.agent",
    },
    road_knows_a_capability: {
        f"from {PACKAGE}.core.knowledge_base.golden import Question": "core.road",
        f"def f():\n    import {PACKAGE}.stages.knowledge_base.index": "stages.road",
        f"from {PACKAGE}.components.knowledge_base.pages import x": "components.shared",
    },
    imports_relatively: {"from . import x": "core", "from ..errors import y": "stages"},
}  # fmt: skip
ALLOWED = '''"""D."""
import random
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy as np
def f(x):
    """D."""
    import httpx
    def inner(): ...
    try:
        return np.load(x, allow_pickle=False), random.Random(7), yaml.safe_load(x)
    except Exception as error:
        raise ValueError from error
    except OSError:
        pass
class _Private:
    def method(self): ...
'''


def calls(module: Module) -> Iterator[ast.Call]:
    """Every call in a module."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def _is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or ast.unparse(one) in ("Exception", "BaseException") for one in kinds)


def _does_nothing(statement: ast.stmt) -> bool:
    told = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return told or isinstance(statement, ast.Pass | ast.Continue)


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Public functions and classes, and the public methods of public classes."""
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _layer(name: str) -> str:
    return f"{name}.".split(".")[1]


def _capability(name: str) -> str | None:
    """The package inside a layer that a module is in; None outside of all of them."""
    layer, _, rest = name.removeprefix(f"{PACKAGE}.").partition(".")
    return rest.split(".")[0] or None if layer in CAPABILITY_LAYERS else None


def _height(name: str) -> int | None:
    """Of the module's layer; None for the entry points."""
    return LAYERS.index(_layer(name)) if _layer(name) in LAYERS else None


def lines_with(rule: Callable[[str], object]) -> list[str]:
    """Every line of the tree that a rule forbids."""
    return [
        f"{path}:{number} {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if rule(line)
    ]


def test_the_rules_see_the_whole_tree() -> None:
    """A rule that reads nothing passes."""
    names = {module.name for module in modules()}
    assert {f"{PACKAGE}.{layer}" for layer in LAYERS} <= names
    assert len(names) > 100
    paths = {path for path, _ in texts()}
    assert {"pyproject.toml", "requirements/runtime.txt", "tests/test_house_rules.py"} <= paths
    assert not any(part in path for path in paths for part in (".venv/", "__pycache__", ".git/"))


@pytest.mark.parametrize("rule", FORBIDDEN, ids=lambda rule: rule.__name__)
def test_no_module(rule: Rule) -> None:
    """The reason is in the rule's docstring."""
    found = [f"{m.path}:{line} {what}" for m in modules() for line, what in rule(m)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", FORBIDDEN, ids=lambda rule: rule.__name__)
def test_each_rule_finds_what_it_forbids_and_nothing_else(rule: Rule) -> None:
    """A rule that finds nothing anywhere looks like a clean tree."""
    for source, layer in FORBIDDEN[rule].items():
        assert list(rule(Module("x.py", f"{PACKAGE}.{layer}.x", ast.parse(source)))), source
    assert list(rule(Module("x.py", f"{PACKAGE}.core.x", ast.parse(ALLOWED)))) == []


def test_no_imports_go_in_a_circle() -> None:
    """A circle loads or breaks by which module is imported first; also one inside functions."""
    graph = {
        module.name: {name for _, name in own_imports(module) if name != module.name}
        for module in modules()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert order.index(f"{PACKAGE}.errors") < order.index(f"{PACKAGE}.components.shared.policy")


def test_init_files_are_empty() -> None:
    """One import path a symbol, and no import pulls in a package that it did not name."""
    exporter = f"{PACKAGE}/components/__init__.py"  # what `dg` finds
    full = {path for path, text in texts() if path.endswith("__init__.py") and text.strip()}
    assert full == {exporter}
    (tree,) = (module.tree for module in modules() if module.path == exporter)
    assert {type(node) for node in tree.body} == {ast.Expr, ast.ImportFrom}


def test_no_image_has_the_tag_that_moves() -> None:
    """It is another image tomorrow, and nobody can roll back to yesterday's."""
    assert all(LATEST.search(text + "latest") for text in ("image: milvus:", 'tag: "', "tag: "))
    assert lines_with(LATEST.search) == []


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    """It works for one person, and shows who that is."""
    assert all(
        HOMES.search(top + "me/x") for top in ('"/home' + "/", "/roo" + "t/", "C:\\" + "Users\\")
    )
    assert lines_with(HOMES.search) == []


def test_no_package_registry_is_named_in_the_tree() -> None:
    """Where packages come from is each machine's own setting: a mirror, a proxy, a folder."""
    assert lines_with(lambda line: any(host in line for host in REGISTRIES)) == []


def test_locks_name_no_place_and_pin_every_file() -> None:
    """A hash says which file it is, wherever it came from."""
    locks = {p: text for p, text in texts() if re.fullmatch(r"requirements/\w+\.txt", p)}
    assert {"requirements/runtime.txt", "requirements/test.txt"} <= set(locks)
    for path, text in locks.items():
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        assert [line for line in lines if ELSEWHERE.search(line)] == [], path
        pins = [line for line in lines if line[:1].isalnum()]
        assert pins, path
        assert [pin for pin in pins if "==" not in pin or not pin.endswith("\\")] == [], path


def test_what_demos_and_benchmarks_take_from_the_package_is_there() -> None:
    """They are run by hand: a name that moved away was found by whoever tried the demo next."""
    missing: list[str] = []
    for folder in ("demos", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE):
                    module = importlib.import_module(str(node.module))
                    for one in node.names:
                        beside = Path(str(module.__file__)).with_name(one.name)
                        is_module = beside.is_dir() or beside.with_suffix(".py").is_file()
                        if not hasattr(module, one.name) and not is_module:
                            missing.append(f"{path.relative_to(ROOT)}: {node.module}.{one.name}")
    assert missing == []

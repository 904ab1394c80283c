"""Writes docs/declaration*.md, English and Korean, from the schemas: none can go stale.

    python docs/make_declaration.py             write all
    python docs/make_declaration.py --check     change nothing; exit code 1 when one is stale

What is said stands in the schema's descriptions and in this file. The Korean page takes every
sentence from declaration_korean.json, whose keys are the English sentences: one that changes in the
schema has no translation until somebody writes it.
"""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # run as a program, from anywhere

from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec  # noqa: E402
from platform_pipelines.core.cost.declaration import CostSpec  # noqa: E402
from platform_pipelines.core.experiment.declaration import ExperimentSpec  # noqa: E402
from platform_pipelines.core.knowledge_base.chunking import policy  # noqa: E402
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec  # noqa: E402
from platform_pipelines.core.knowledge_base.documents import DocumentType  # noqa: E402
from platform_pipelines.core.watch.declaration import WatchSpec  # noqa: E402

KOREAN = FOLDER / "declaration_korean.json"
PAGES = {"en": FOLDER / "declaration.md", "ko": FOLDER / "declaration.ko.md"}
OPERATIONS = {
    "en": FOLDER / "declaration_operations.md", "ko": FOLDER / "declaration_operations.ko.md",
}  # fmt: skip
OTHER_OPERATIONS = {
    "en": "[한국어](declaration_operations.ko.md)", "ko": "[English](declaration_operations.md)",
}  # fmt: skip
COMPONENTS = {
    "BatchInference": BatchInferenceSpec, "Experiment": ExperimentSpec, "Cost": CostSpec,
    "Watch": WatchSpec,
}  # fmt: skip
OTHER = {"en": "[한국어](declaration.ko.md)", "ko": "[English](declaration.md)"}
POLICIES = (
    policy.FixedPolicy, policy.TokensPolicy, policy.MarkdownPolicy, policy.CodePolicy,
    policy.ChatPolicy, policy.SemanticPolicy,
)  # fmt: skip
RULES = (
    "`embed.provider: openai` needs `url`, `dimension` and `window_tokens`; what is for `openai` "
    "only goes with no other provider.",
    "The shipped embedders read 512 tokens, and the vectors of `local` have 384 dimensions: "
    "another `window_tokens` or `dimension` is refused.",
    "`embed.url` holds no user and no password: `PLATFORM_EMBEDDER_API_KEY` takes the key.",
    "`index.dense_weight`, or `index.keyword_weight` with `index.keyword`, is over 0.",
    "`embed.provider: local` has the model `multilingual-e5-small` alone; serve any other model "
    "with `openai`.",
    "Paths in `source.url` and `gate.golden_set` are relative to the folder of the declaration.",
    "A value from the environment is written `{{ env.NAME }}`. Secrets have no place in a "
    "declaration: README.md lists the variables that hold them.",
    "A declared `chunk.default` stands for every document type that is not named; without it they "
    "keep the shipped policies above.",
    "A policy's size in tokens is at most the embedder's window (512 for the local model); its "
    "overlap is less than its size.",
    "An attribute that does not exist, or a value that is not allowed, fails when the declaration "
    "is loaded: the message names the field, the value and what is allowed.",
)

Tell = Callable[[str], str]  # an English sentence -> the same in the page's language


def main(arguments: list[str]) -> int:
    """Write the pages, or tell which is stale."""
    pages = {PAGES[name]: render(name) for name in PAGES} | {
        OPERATIONS[name]: render(name, operations, OTHER_OPERATIONS) for name in OPERATIONS
    }
    if "--check" in arguments:
        stale = [path for path, text in pages.items() if _read(path) != text]
        for path in stale:
            print(f"{path.name} is stale: run python docs/make_declaration.py")
        return 1 if stale else 0
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


def render(
    language: str,
    make: "Callable[[Tell, str], str] | None" = None,
    other: Mapping[str, str] | None = None,
) -> str:
    """One page. Raises KeyError with the sentence that has no translation."""
    translations = json.loads(KOREAN.read_text("utf-8"))
    tell: Tell = translations.__getitem__ if language == "ko" else str
    return (make or page)(tell, (other or OTHER)[language])


def operations(tell: Tell, other: str) -> str:
    """All attributes of what is run beside models and knowledge bases."""
    lines = [
        f"# {tell('Declaring batches, experiments, costs and what is watched: every attribute')}",
        "",
        f"{other} · {tell('Made by docs/make_declaration.py from the schema; do not edit.')}",
        "",
    ]
    for name, model in COMPONENTS.items():
        schema = model.model_json_schema()
        lines += _section(tell, name, schema)
        for attribute, value in schema["properties"].items():
            places = (value, value.get("additionalProperties"), value.get("items"),
                      *value.get("anyOf", ()))  # fmt: skip
            inner = next(filter(None, (_nested(schema, one) for one in places)), None)
            lines += _section(tell, f"{name}.{attribute}", inner) if inner else []
    return "\n".join(lines).rstrip("\n") + "\n"


def page(tell: Tell, other: str) -> str:
    """All attributes, told by `tell`; `other` links to the other language."""
    schema = KnowledgeBaseSpec.model_json_schema()
    lines = [
        f"# {tell('Declaring a knowledge base: every attribute')}",
        "",
        f"{other} · {tell('Made by docs/make_declaration.py from the schema; do not edit.')}",
        "",
        *_section(tell, "attributes", schema),
    ]
    for name, attribute in schema["properties"].items():
        nested = _nested(schema, attribute)
        lines += _section(tell, name, nested) if nested else []
    lines += [*_policies(tell), *_shipped(tell), f"## {tell('Rules')}", ""]
    return "\n".join([*lines, *(f"- {tell(rule)}" for rule in RULES)]) + "\n"


def _section(tell: Tell, name: str, model: Mapping[str, Any]) -> list[str]:
    rows = [
        [f"`{key}`", _allowed(tell, value), _default(tell, model, key), _meaning(tell, value)]
        for key, value in model["properties"].items()
    ]
    head = ["attribute", "allowed", "default", "meaning"]
    return [f"## `{name}`", "", tell(model["description"]), "", *_table(tell, head, rows)]


def _policies(tell: Tell) -> list[str]:
    lines = [f"## {tell('The kinds of `chunk` policies')}", ""]
    for kind in POLICIES:
        text = inspect.getdoc(kind) or ""
        lines += [f"### `{kind.kind}`", "", tell(" ".join(text.split())), ""]
        rows = [
            [f"`{f.name}`", _range(tell, kind.ranges.get(f.name)), f"`{json.dumps(f.default)}`"]
            for f in fields(kind)
        ]
        lines += _table(tell, ["attribute", "allowed", "default"], rows)
    return lines


def _shipped(tell: Tell) -> list[str]:
    policies = policy.ChunkPolicies()
    rows = [[f"`{kind}`", _written(policies.for_type(kind))] for kind in DocumentType]
    title = tell("The shipped policies")
    return [f"## {title}", "", *_table(tell, ["document type", "policy"], rows)]


def _written(chosen: policy.ChunkPolicy) -> str:
    given = {k: v for k, v in chosen.parameters().items() if v is not None}
    return "`{" + ", ".join(f"{k}: {v}" for k, v in {"kind": chosen.kind, **given}.items()) + "}`"


def _nested(schema: Mapping[str, Any], attribute: Any) -> Mapping[str, Any] | None:
    reference = attribute.get("$ref", "") if isinstance(attribute, dict) else ""
    return schema["$defs"][reference.rpartition("/")[2]] if reference else None


def _meaning(tell: Tell, attribute: Mapping[str, Any]) -> str:
    if "$ref" in attribute:
        return tell("see the section of that name")
    return tell(attribute["description"])


def _default(tell: Tell, model: Mapping[str, Any], key: str) -> str:
    if key in model.get("required", ()):
        return f"**{tell('required')}**"
    value = model["properties"][key].get("default")
    if value is None:
        return tell("none")
    if isinstance(value, dict):
        return tell("as below")
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _allowed(tell: Tell, attribute: Mapping[str, Any]) -> str:
    if "anyOf" in attribute:
        return _allowed(tell, attribute["anyOf"][0])
    if "enum" in attribute:
        return ", ".join(f"`{value}`" for value in attribute["enum"])
    kind = attribute.get("type", "object")
    if kind in ("integer", "number"):
        return f"{tell(kind)} {_bounds(attribute)}".strip()
    return tell({"string": "text", "boolean": "`true`, `false`", "array": "list of texts"}.get(
        kind, "mapping"
    ))  # fmt: skip


def _bounds(attribute: Mapping[str, Any]) -> str:
    low, high = attribute.get("minimum"), attribute.get("maximum")
    below = attribute.get("exclusiveMaximum")
    end = f", ≤ {high:g}" if high else f", < {below:g}" if below else ""
    if "exclusiveMinimum" in attribute:
        return f"> {attribute['exclusiveMinimum']:g}{end}"
    if below is not None:
        return f"≥ {low:g}{end}"
    if low is None:
        return f"≤ {high:g}" if high is not None else ""
    if high is None:
        return f"≥ {low:g}"
    return f"{low:g} – {high:g}"


def _range(tell: Tell, bounds: tuple[int, int] | None) -> str:
    return f"{bounds[0]:,} – {bounds[1]:,}" if bounds else tell("a language's name")


def _table(tell: Tell, head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(tell(h) for h in head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [*lines, ""]


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

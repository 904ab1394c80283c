"""Chunk policies: how a document type is cut, declared in YAML and checked at load.

A policy is a small frozen record. Sizes are targets for the text that is shown; the embedder's
window is a hard bound on the text that is searched, kept by `split.chunk_document` at any size.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, cast

from platform_pipelines.core.knowledge_base.documents import DocumentType
from platform_pipelines.core.road.identity import digest_json, digest_parts
from platform_pipelines.errors import ConfigurationError

# Part of every policy's digest: raise it when the same policy cuts the same document differently.
CHUNKER_VERSION = 3

# langchain-text-splitters' languages, and those for which it has no separators and we have.
CODE_LANGUAGES = (
    "c", "cobol", "cpp", "csharp", "elixir", "go", "haskell", "html", "java", "js", "kotlin",
    "latex", "lua", "markdown", "php", "powershell", "proto", "python", "r", "rst", "ruby",
    "rust", "scala", "sh", "sol", "swift", "ts", "visualbasic6", "yaml",
)  # fmt: skip

_TOKENS = (8, 8192)
_CHARACTERS = (40, 200_000)


@dataclass(frozen=True, slots=True)
class _Policy:
    """What all policies share. `ranges` bounds every whole-number field, both ends allowed."""

    kind: ClassVar[str]
    ranges: ClassVar[Mapping[str, tuple[int, int]]]

    def __post_init__(self) -> None:
        _check(type(self), self.parameters(), where=f"chunk policy `{self.kind}`")

    def parameters(self) -> dict[str, Any]:
        """The policy's fields, without its kind."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def digest(self) -> str:
        """Of the kind, every parameter and `CHUNKER_VERSION`."""
        return _digest_of(self)


@lru_cache(maxsize=64)
def _digest_of(policy: _Policy) -> str:
    return digest_json({"kind": policy.kind, "chunker": CHUNKER_VERSION, **policy.parameters()})


@dataclass(frozen=True, slots=True)
class FixedPolicy(_Policy):
    """About `size` characters, the last `overlap` of them repeated at the start of the next."""

    kind: ClassVar[str] = "fixed"
    ranges: ClassVar = {"size": _CHARACTERS, "overlap": (0, 100_000)}
    size: int = 1000
    overlap: int = 100


@dataclass(frozen=True, slots=True)
class TokensPolicy(_Policy):
    """About `size` tokens as the embedder counts them, `overlap` of them repeated."""

    kind: ClassVar[str] = "tokens"
    ranges: ClassVar = {"size": _TOKENS, "overlap": (0, 4096)}
    size: int = 256
    overlap: int = 32


@dataclass(frozen=True, slots=True)
class MarkdownPolicy(_Policy):
    """Along headings (also slides and sheets): a section is cut only when it is over `size` tokens.

    Sections under a quarter of `size` join a neighbour; a large top section is never mixed with
    another one. Overlap stays inside a section.
    """

    kind: ClassVar[str] = "markdown"
    ranges: ClassVar = {"size": _TOKENS, "overlap": (0, 4096)}
    size: int = 256
    overlap: int = 32


@dataclass(frozen=True, slots=True)
class CodePolicy(_Policy):
    """About `size` characters along definitions. `language` overrides what the parser found."""

    kind: ClassVar[str] = "code"
    ranges: ClassVar = {"size": _CHARACTERS, "overlap": (0, 100_000)}
    size: int = 2000
    overlap: int = 400
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ChatPolicy(_Policy):
    """Whole messages up to about `size` tokens; the last `overlap` messages are repeated.

    A message is never cut, with one exception: a message that alone exceeds the embedder's window
    is cut at sentence borders, because no vector could stand for it whole.
    """

    kind: ClassVar[str] = "chat"
    ranges: ClassVar = {"size": _TOKENS, "overlap": (0, 20)}
    size: int = 128
    overlap: int = 1


@dataclass(frozen=True, slots=True)
class SemanticPolicy(_Policy):
    """Cut where neighbouring sentences differ most: at distances over the document's `percentile`.

    Each sentence is compared together with `buffer` sentences on either side. A chunk has `minimum`
    to `size` tokens where the text allows it.
    """

    kind: ClassVar[str] = "semantic"
    ranges: ClassVar = {
        "percentile": (1, 100), "buffer": (0, 5), "minimum": (0, 8192), "size": _TOKENS,
    }  # fmt: skip
    percentile: int = 95
    buffer: int = 1
    minimum: int = 48
    size: int = 320


ChunkPolicy: TypeAlias = (
    FixedPolicy | TokensPolicy | MarkdownPolicy | CodePolicy | ChatPolicy | SemanticPolicy
)
_CLASSES: Mapping[str, type[ChunkPolicy]] = MappingProxyType(
    {
        c.kind: c
        for c in (
            FixedPolicy, TokensPolicy, MarkdownPolicy, CodePolicy, ChatPolicy, SemanticPolicy,
        )
    }
)  # fmt: skip
KINDS = tuple(_CLASSES)


def policy_from_mapping(mapping: object, *, where: str) -> ChunkPolicy:
    """The policy that a declaration's mapping says, e.g. `{kind: tokens, size: 512, overlap: 50}`.

    Raises:
        ConfigurationError: names the field under `where`, its value and what is allowed.
    """
    if not isinstance(mapping, Mapping):
        raise _wrong(where, mapping, f"a mapping with `kind` ({', '.join(KINDS)})")
    given = {str(k): v for k, v in cast("Mapping[object, Any]", mapping).items()}
    kind = given.get("kind")
    policy_class = _CLASSES.get(kind) if isinstance(kind, str) else None
    if policy_class is None:
        raise _wrong(f"{where}.kind", kind, f"one of {', '.join(KINDS)}")
    values = {k: v for k, v in given.items() if k != "kind"}
    names = [f.name for f in fields(policy_class)]
    for name, value in values.items():
        if name not in names:
            raise _wrong(f"{where}.{name}", value, f"one of {', '.join(['kind', *names])}")
    _check(policy_class, {**_defaults(policy_class), **values}, where=where)
    return policy_class(**values)


def policy_digest(policy: ChunkPolicy, splitter_version: str) -> str:
    """Of the policy and of the splitting library's version: another digest means chunk again."""
    return digest_parts(policy.digest, splitter_version)


def _defaults(policy_class: type[ChunkPolicy]) -> dict[str, Any]:
    return {f.name: f.default for f in fields(policy_class)}


def _check(policy_class: type[_Policy], values: Mapping[str, Any], *, where: str) -> None:
    for name, (low, high) in policy_class.ranges.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(f"{where}.{name}", value, f"a whole number from {low} to {high}")
    size = values["size"]
    if policy_class is not ChatPolicy and values.get("overlap", 0) >= size:
        raise _wrong(f"{where}.overlap", values["overlap"], f"less than size ({size})")
    if values.get("minimum", 0) > size:
        raise _wrong(f"{where}.minimum", values["minimum"], f"at most size ({size})")
    language = values.get("language")
    if language is not None and language not in CODE_LANGUAGES:
        raise _wrong(f"{where}.language", language, f"one of {', '.join(CODE_LANGUAGES)}")


def _wrong(where: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where} = {value!r} is not allowed; allowed: {allowed}",
        where=where,
        stored=repr(value),
        expected=allowed,
        remedy="correct the field in the declaration",
    )


def _shipped() -> dict[DocumentType, ChunkPolicy]:
    """Small chunks: on the sample corpus e5 finds 256 tokens more surely than 512."""
    headed = MarkdownPolicy()
    rows = TokensPolicy(size=128, overlap=0)  # a row is whole and repeats its header's names
    return {
        DocumentType.MARKDOWN: headed,
        DocumentType.HTML: headed,
        DocumentType.PDF: headed,
        DocumentType.DOCX: headed,
        DocumentType.PPTX: headed,
        DocumentType.HWPX: headed,
        DocumentType.MAIL: headed,
        DocumentType.IMAGE: headed,
        DocumentType.XLSX: rows,
        DocumentType.CSV: rows,
        DocumentType.CODE: CodePolicy(),
        DocumentType.CHAT: ChatPolicy(),
    }


@dataclass(frozen=True)
class ChunkPolicies:
    """A policy for every document type: its own, else `default`."""

    default: ChunkPolicy = field(default_factory=TokensPolicy)
    by_type: Mapping[DocumentType, ChunkPolicy] = field(default_factory=_shipped)

    def for_type(self, document_type: DocumentType) -> ChunkPolicy:
        """The policy that cuts documents of this type."""
        return self.by_type.get(document_type, self.default)

    @property
    def digest(self) -> str:
        """Of what every document type gets; two ways of declaring the same have one digest."""
        return digest_json({str(t): self.for_type(t).digest for t in DocumentType})

    def check_window(self, window_tokens: int, *, where: str = "chunk") -> None:
        """Refuse sizes in tokens that no chunk could reach.

        Raises:
            ConfigurationError: a policy's size is over the embedder's window.
        """
        for name, policy in self._named():
            counts_tokens = not isinstance(policy, FixedPolicy | CodePolicy)
            if counts_tokens and policy.size > window_tokens:
                allowed = f"at most the embedder's window, {window_tokens} tokens"
                raise _wrong(f"{where}.{name}.size", policy.size, allowed)

    def _named(self) -> Iterable[tuple[str, ChunkPolicy]]:
        yield "default", self.default
        yield from ((str(t), p) for t, p in self.by_type.items())


def policies_from_mapping(mapping: Mapping[str, Any], *, where: str = "chunk") -> ChunkPolicies:
    """The declaration's `chunk`: document type (or `default`) -> policy.

    What is not named keeps its shipped policy, except that a declared `default` stands for every
    type that is not named: who writes only `default` means all documents.

    Raises:
        ConfigurationError: names the field under `where`, its value and what is allowed.
    """
    allowed = ["default", *map(str, DocumentType)]
    declared: dict[str, ChunkPolicy] = {}
    for name, value in mapping.items():
        if name not in allowed:
            raise _wrong(f"{where}.{name}", value, f"one of {', '.join(allowed)}")
        declared[name] = policy_from_mapping(value, where=f"{where}.{name}")
    default = declared.pop("default", None)
    by_type = {DocumentType(name): policy for name, policy in declared.items()}
    if default is not None:
        return ChunkPolicies(default=default, by_type=by_type)
    return ChunkPolicies(by_type={**_shipped(), **by_type})

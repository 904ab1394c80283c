"""The hard bounds: heads that leave room for text, search texts that never exceed the window, texts
that a vector store can hold.

Packing works with estimates. Here every search text is counted as it will be embedded, in one
batch, and only those that exceed the window are cut again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from platform_pipelines.core.knowledge_base.chunking.pieces import CountTokens
from platform_pipelines.core.knowledge_base.chunking.splitters import split_prose, split_row
from platform_pipelines.core.knowledge_base.chunks import TEXT_MAX_BYTES, ChunkDraft, search_text
from platform_pipelines.errors import ConfigurationError

HEAD_SHARE = 4  # title and headings take at most a quarter of the window
_CAUTION = 0.9  # a part is cut a little shorter than the count says: borders move
_CHARACTER_MAX_BYTES = 4  # of UTF-8
_SHORT_CHARACTERS = 16  # a text this short gives up its head before it is cut further

Heads: TypeAlias = Mapping[tuple[str, ...], "Head"]


class Head(NamedTuple):
    """What is searched before a chunk's text, perhaps shortened; `tokens` without the overhead."""

    title: str
    heading: tuple[str, ...]
    tokens: int


class Fitted(NamedTuple):
    """A chunk's text and place with the text that is searched and its exact count."""

    draft: ChunkDraft
    search: str
    tokens: int


_NO_HEAD = Head("", (), 0)


def head_text(title: str, heading: tuple[str, ...]) -> str:
    """What `search_text` puts before a text, for counting."""
    return search_text(*_spoken(title, heading), "").rstrip("\n")


def make_heads(
    title: str, headings: Iterable[tuple[str, ...]], tokens: Sequence[int], window_tokens: int
) -> dict[tuple[str, ...], Head]:
    """A head for each heading path; `tokens` are the counts of their `head_text`s."""
    allowed = max(1, window_tokens // HEAD_SHARE)
    return {
        heading: _head(title, heading, count, allowed)
        for heading, count in zip(headings, tokens, strict=True)
    }


def fit(
    drafts: Sequence[ChunkDraft], heads: Heads, *, count: CountTokens, window_tokens: int
) -> list[Fitted]:
    """Drafts with search texts of at most `window_tokens`, in order; long ones cut in parts.

    A text of few tokens may be long: to a tokenizer 70,000 spaces are nothing, and 60,000
    characters that it does not know are one.

    Raises:
        ConfigurationError: the window does not hold one character.
    """
    todo = [(draft, heads[draft.place.heading]) for draft in drafts]
    return _fit(todo, count, window_tokens)


def _fit(todo: Sequence[tuple[ChunkDraft, Head]], count: CountTokens, window: int) -> list[Fitted]:
    searches = [search_text(head.title, head.heading, draft.text) for draft, head in todo]
    fitted: list[Fitted] = []
    for (draft, head), search, tokens in zip(todo, searches, count(searches), strict=True):
        if tokens > window:
            fitted.extend(_fit(_shorter(draft, head, tokens, window), count, window))
        elif _is_too_long(draft.text):
            parts = _parts(draft, head, TEXT_MAX_BYTES // _CHARACTER_MAX_BYTES)
            fitted.extend(_fit(parts, count, window))
        else:
            fitted.append(Fitted(draft, search, tokens))
    return fitted


def _is_too_long(text: str) -> bool:
    if len(text) * _CHARACTER_MAX_BYTES <= TEXT_MAX_BYTES:
        return False
    return len(text.encode("utf-8", "surrogatepass")) > TEXT_MAX_BYTES


def _shorter(
    draft: ChunkDraft, head: Head, tokens: int, window: int
) -> list[tuple[ChunkDraft, Head]]:
    length = len(draft.text)
    if length <= _SHORT_CHARACTERS and head != _NO_HEAD:
        return [(draft, _NO_HEAD)]
    if length == 1:
        raise ConfigurationError(
            "the embedder's window does not hold one character",
            stored=f"{tokens} tokens",
            expected=f"at most {window} tokens",
            remedy="declare the embedder's real window_tokens",
        )
    # What the head and the counter's own marks cost does not shrink with the text.
    room = max(1, window - head.tokens)
    characters = max(1, min(length // 2, int(length * room / tokens * _CAUTION)))
    return _parts(draft, head, characters)


def _parts(draft: ChunkDraft, head: Head, characters: int) -> list[tuple[ChunkDraft, Head]]:
    header = draft.header
    if header and draft.text.startswith(header) and len(header) * 2 < characters:
        rows = split_row(draft.text[len(header) :].lstrip("\n"), characters - len(header) - 1)
        parts = [f"{header}\n{row.strip()}" for row in rows if not row.isspace()]
    else:
        header = ""
        parts = [p.strip() for p in split_prose(draft.text, characters) if not p.isspace()]
    return [(ChunkDraft(part, draft.place, header), head) for part in parts]


def _spoken(title: str, heading: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The title is said once: most documents repeat it as their outermost heading."""
    return title, heading[1:] if heading[:1] == (title,) else heading


def _head(title: str, heading: tuple[str, ...], tokens: int, allowed: int) -> Head:
    title, heading = _spoken(title, heading)
    if tokens <= allowed:
        return Head(title, heading, tokens)
    characters = len(title) + sum(map(len, heading))
    # The innermost heading says most of where a text stands; the title comes next.
    inner = heading[-1:]
    budget = max(1, characters * allowed // max(1, tokens))
    own = min(len("".join(inner)), max(budget // 2, budget - len(title)))
    cut = tuple(_cut(part, own) for part in inner)
    return Head(_cut(title, budget - own), cut, min(tokens, allowed))


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: max(0, characters - 1)].rstrip()

"""A parsed document into named chunks by its policy.

Blocks are counted in one batch, packed by their counts, and the resulting search texts verified in
a second batch: a document costs two calls of the tokenizer, whatever its length.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from platform_pipelines.core.knowledge_base.chunking.fit import (
    HEAD_SHARE,
    Fitted,
    fit,
    head_text,
    make_heads,
)
from platform_pipelines.core.knowledge_base.chunking.pack import (
    Carry,
    Unit,
    last_messages,
    pack,
    tail,
    units_of,
)
from platform_pipelines.core.knowledge_base.chunking.pieces import (
    CountTokens,
    Piece,
    Room,
    block_pieces,
    said_header,
)
from platform_pipelines.core.knowledge_base.chunking.policy import (
    ChatPolicy,
    ChunkPolicy,
    CodePolicy,
    FixedPolicy,
    MarkdownPolicy,
    SemanticPolicy,
)
from platform_pipelines.core.knowledge_base.chunking.sections import sections_of
from platform_pipelines.core.knowledge_base.chunking.semantic import (
    EmbedSentences,
    semantic_groups,
    sentence_pieces,
)
from platform_pipelines.core.knowledge_base.chunks import Chunk, ChunkDraft, chunk_id
from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, ParsedDocument, Place
from platform_pipelines.errors import ConfigurationError

_CLOSE = frozenset({BlockKind.LIST, BlockKind.TABLE, BlockKind.MESSAGE})  # one line break between
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_SLACK = 64  # one token in this many is left for what joins cost


def chunk_document(
    document: ParsedDocument,
    *,
    key: str,
    policy: ChunkPolicy,
    count_tokens: CountTokens,
    window_tokens: int,
    embed_sentences: EmbedSentences | None = None,
) -> list[Chunk]:
    """Chunks in document order, ordinals from 0; the same input gives the same chunks.

    Each has the place of its first block, a text that is not blank, and a search text of at most
    `window_tokens` as `count_tokens` counts it. Without overlap the texts hold every character of
    the document once, white space aside; later rows of a table repeat its header. `count_tokens` is
    called twice, on lists, and again only for texts over the window. Only the semantic policy calls
    `embed_sentences` ([n, dimension] for n texts), at most once.

    Raises:
        ConfigurationError: the window does not hold one character, or the semantic policy has no
            embedder.
        DimensionError: the embedder gave another number of vectors than of sentences.
    """
    blocks = [_attributed(block) for block in document.blocks if not block.text.isspace()]
    if not blocks:
        return []
    headings = list(dict.fromkeys(block.place.heading for block in blocks))
    lines = [head_text(document.title, heading) for heading in headings]
    overhead, *counts = count_tokens(["", *lines, *(block.text for block in blocks)])
    own = [max(1, n - overhead) for n in counts]
    head_tokens, block_tokens = own[: len(lines)], own[len(lines) :]
    room = _room(document, policy, head_tokens, window_tokens, overhead)
    pieces = [
        piece
        for block, tokens in zip(blocks, block_tokens, strict=True)
        for piece in block_pieces(block, tokens, room)
    ]
    drafts = [_draft(group) for group in _groups(pieces, policy, room, embed_sentences)]
    heads = make_heads(document.title, headings, head_tokens, window_tokens)
    fitted = fit(drafts, heads, count=count_tokens, window_tokens=window_tokens)
    return _named(fitted, key, policy.digest)


def _named(fitted: Sequence[Fitted], key: str, policy_digest: str) -> list[Chunk]:
    return [
        Chunk(
            chunk_id=chunk_id(key, policy_digest, ordinal, found.draft.text),
            document_key=key,
            ordinal=ordinal,
            text=found.draft.text,
            search_text=found.search,
            place=found.draft.place,
            tokens=found.tokens,
        )
        for ordinal, found in enumerate(fitted)
    ]


def _attributed(block: Block) -> Block:
    """A message with its speaker: in a chunk of several, the text alone would not say who spoke."""
    speaker = block.place.speaker
    if block.kind is not BlockKind.MESSAGE or not speaker:
        return block
    said = block.text.startswith(speaker) or f"{speaker}:" in block.text[: len(speaker) + 40]
    return block if said else block._replace(text=f"{speaker}: {block.text}")


def _room(
    document: ParsedDocument, policy: ChunkPolicy, heads: Sequence[int], window: int, overhead: int
) -> Room:
    """What one chunk may hold: the policy's size, and the window less the longest head."""
    head = min(max(heads), window // HEAD_SHARE)
    bound = window - overhead - head
    bound = max(1, bound - bound // _SLACK - 1)
    in_characters = isinstance(policy, FixedPolicy | CodePolicy)
    own_language = policy.language if isinstance(policy, CodePolicy) else None
    size = policy.size if in_characters else min(policy.size, bound)
    in_messages = isinstance(policy, ChatPolicy | SemanticPolicy)  # or none at all
    return Room(
        size=size,
        tokens=bound,
        in_characters=in_characters,
        whole_messages=isinstance(policy, ChatPolicy),
        code_language=own_language or document.code_language,
        overlap=0 if in_messages else min(policy.overlap, size // 2),
    )


def _groups(
    pieces: Sequence[Piece], policy: ChunkPolicy, room: Room, embed: EmbedSentences | None
) -> list[list[Piece]]:
    if isinstance(policy, SemanticPolicy):
        if embed is None:
            raise ConfigurationError(
                "the chunk policy `semantic` needs an embedder for its sentences",
                remedy="declare an embedder, or another kind of chunk policy",
            )
        units = units_of(sentence_pieces(pieces, room), room)
        return semantic_groups(units, policy, room, embed=embed)
    units = units_of(pieces, room)
    runs = _runs(units, policy, room)
    carry = _carry(policy, room)
    return [group for run in runs for group in pack(run, room, carry=carry)]


def _runs(units: list[Unit], policy: ChunkPolicy, room: Room) -> list[list[Unit]]:
    if isinstance(policy, MarkdownPolicy | ChatPolicy):
        return sections_of(units, room)
    return [units]


def _carry(policy: ChunkPolicy, room: Room) -> Carry:
    if isinstance(policy, SemanticPolicy) or policy.overlap == 0:
        return lambda _: []
    if isinstance(policy, ChatPolicy):
        return lambda pieces: last_messages(pieces, policy.overlap)
    return lambda pieces: tail(pieces, room)


def _draft(pieces: Sequence[Piece]) -> ChunkDraft:
    parts = [pieces[0].text]
    for before, piece in pairwise(pieces):
        if piece.starts_block:
            header = said_header(before, piece)
            parts.append(_between(before, piece) + (f"{header}\n" if header else ""))
        parts.append(piece.text)
    text = "".join(parts).rstrip()
    if blank := _BLANK_LINES.match(text):
        text = text[blank.end() :]
    if pieces[0].kind is not BlockKind.CODE:  # the indentation of code is part of it
        text = text.lstrip()
    header = said_header(None, pieces[0])
    if header:
        text = f"{header}\n{text}"
    return ChunkDraft(text, _place(pieces), header or pieces[0].header)


def _between(before: Piece, piece: Piece) -> str:
    if before.kind is BlockKind.HEADING or (before.kind is piece.kind and piece.kind in _CLOSE):
        return "\n"
    return "\n\n"


def _place(pieces: Sequence[Piece]) -> Place:
    """Of the first block; one that begins with a heading stands under the last of its headings."""
    first = pieces[0].place
    if pieces[0].kind is not BlockKind.HEADING:
        return first
    for piece in pieces:
        inner = piece.place.heading
        if inner[: len(first.heading)] != first.heading:
            break
        if piece.kind is not BlockKind.HEADING:
            return first._replace(heading=inner)
    return first

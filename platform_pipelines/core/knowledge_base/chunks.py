"""What a chunk is, how it is named, and what of it is searched and what is shown."""

from typing import NamedTuple

from platform_pipelines.core.knowledge_base.documents import Place
from platform_pipelines.core.road.identity import digest_parts, digest_text

TEXT_MAX_BYTES = 65_535  # of UTF-8: what a vector store holds of one text (Milvus' VARCHAR)


class ChunkDraft(NamedTuple):
    """What a chunk policy makes: the text to show and its place, in document order."""

    text: str
    place: Place
    header: str = ""  # of the table that it begins with: said in each part, should it be cut


class Chunk(NamedTuple):
    """One named chunk. `text` is shown; `search_text` is embedded and read by the keyword index."""

    chunk_id: str
    document_key: str
    ordinal: int
    text: str
    search_text: str
    place: Place
    tokens: int  # of `search_text`, with the embedder's own tokenizer and prefixes


def chunk_id(document_key: str, policy_digest: str, ordinal: int, text: str) -> str:
    """Equal text twice is two chunks: the ordinal is part of the name (design.md §4)."""
    return digest_parts(document_key, policy_digest, str(ordinal), digest_text(text))


def search_text(title: str, heading: tuple[str, ...], text: str) -> str:
    """Title, heading path and text together: what is searched is not what is shown."""
    head = [part for part in (title, " › ".join(heading)) if part and part != text]
    return "\n".join([*dict.fromkeys(head), text])

"""Passages that speak to a language model instead of to a reader.

A document may say what it wants of its readers; what it says to whoever answers from it is an
attack, or is about one. Such a passage is found by a search and shown there; no answer is made
from it. What is recognised are the known shapes, in English and Korean: it is one wall of several,
and the check of each statement against what it cites stands behind it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NAMED = 20  # in evidence; all are counted


class Suspicion(StrEnum):
    """What a passage does."""

    ORDERS = "gives orders to a language model"
    POSES_AS_CHAT = "poses as a message of a chat"
    POSES_AS_PASSAGE = "poses as another passage"


# Without look-around, so that RE2 reads them too: whole shards are searched in Arrow's own code.
PATTERNS: dict[Suspicion, str] = {
    Suspicion.ORDERS: (
        r"\b(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+|every\s+)?(?:of\s+)?(?:the\s+|"
        r"your\s+|these\s+|my\s+)?(?:previous|prior|preceding|above|earlier|other|system|original)"
        r"(?:ly\s+given)?\s+(?:instruction|prompt|rule|direction|message|passage|context|text)"
        r"|\b(?:ignore|disregard)\s+(?:everything|all)\s+(?:above|before|else)"
        r"|\byou\s+are\s+(?:now|no\s+longer)\s+(?:a|an|the|in|bound)\b[^.\n]{0,40}\b(?:assistant|"
        r"model|chatbot|mode|ai)\b"
        r"|\b(?:reveal|print|repeat|show)\s+(?:me\s+)?your\s+(?:system\s+)?(?:prompt|instructions)"
        r"|\b(?:reply|respond|answer)\s+(?:only\s+|exactly\s+|solely\s+)+(?:with|by)\b"
        r"|(?:이전|앞선|앞의|위의?|기존|모든)\s*(?:모든\s*)?(?:지시|명령|지침|프롬프트|규칙)"
        r"(?:\s*사항)?(?:을|를|은|는)?\s*(?:모두\s*|전부\s*)?(?:무시|잊|따르지)"
        r"|(?:라고|으로|로)만\s*(?:답|대답|응답|출력)(?:하|해)"
        r"|시스템\s*프롬프트(?:를|을)?\s*(?:출력|공개|알려|보여)"
    ),
    Suspicion.POSES_AS_CHAT: (
        r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id)\|>"
        r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
        r"|(?:^|\n)\s*#{2,}\s*(?:system|assistant|instruction)s?\s*:"
    ),
    Suspicion.POSES_AS_PASSAGE: (
        r"<<<\s*passage\s*[0-9]|\bpassage\s+[0-9]+\s+\w*\s*>>>|(?:^|\n)\s*Question\s*:[^\n]*\n+\s*"
        r"Answer\s*:"
    ),
}
ANY = "|".join(f"(?:{pattern})" for pattern in PATTERNS.values())
_COMPILED = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in PATTERNS.items()}


@dataclass(frozen=True, slots=True)
class Suspicious:
    """Of a revision: chunks that speak to a model, their documents, and the first of them."""

    chunks: int
    documents: int
    named: tuple[dict[str, Any], ...]  # document, why, text


def suspicions(text: str) -> tuple[Suspicion, ...]:
    """What a text does that is meant for a model; nothing for an ordinary one."""
    return tuple(kind for kind, pattern in _COMPILED.items() if pattern.search(text))


def excerpt(text: str, *, characters: int = 160) -> str:
    """The place where it does, on one line."""
    found = next((m for p in _COMPILED.values() if (m := p.search(text))), None)
    start = max(0, found.start() - characters // 4) if found else 0
    return " ".join(text[start : start + characters].split())

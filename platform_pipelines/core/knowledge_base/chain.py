"""The answer chain's pure parts: the prompt, and what of a model's reply may be shown.

Passages are delimited by a nonce that nobody who wrote a document can know, so that a document
cannot pass for another passage. A reply is checked statement by statement: one that cites no
passage, or none that it shares words and all its numbers with, is not shown.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.questions import (
    asked_terms,
    missing_share,
    sharp_terms,
)
from platform_pipelines.core.knowledge_base.text import detect_language

MODEL_DOES_NOT_KNOW = "NO_ANSWER"
UNKNOWN = {"ko": "정보가 없습니다.", "en": "I do not know: the documents do not hold the answer."}
# Citations in a row: [1][2], [1, 3]. What stands between backticks is code, e.g. `a[0]`.
_GROUP = re.compile(r"`[^`]*`|(?:[ \t]*\[[0-9]{1,4}(?:[ \t]*,[ \t]*[0-9]{1,4})*\])+[.。!?]*")
_DOES_NOT_KNOW = re.compile(
    r"\s*(?:I do not know|I don't know|I am not sure|정보가 없습니다|모르겠습니다)\b", re.IGNORECASE
)
# Share of a statement's words that the cited passage holds: a quote has 1, a paraphrase keeps its
# nouns.
MINIMUM_OVERLAP = 0.3


class Dropped(StrEnum):
    """Why a statement of a reply is not shown."""

    UNCITED = "cites no passage"
    FOREIGN = "cites a passage that it was not given"
    UNSUPPORTED = "does not agree with the passage that it cites"


@dataclass(frozen=True, slots=True)
class Passage:
    """What a model is given. `where` is the citation, for people."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class CheckedReply:
    """What may be shown, the numbers that it cites (sorted), and what was dropped and why."""

    text: str
    cited: tuple[int, ...]
    dropped: tuple[tuple[str, Dropped], ...] = ()
    knows: bool = True


def system_prompt(template: str, nonce: str) -> str:
    """The rules, with the nonce in them."""
    return template.replace("$nonce", nonce).strip()


def user_prompt(question: str, passages: Sequence[Passage], nonce: str) -> str:
    """Numbered passages between lines that only this request knows, and the question.

    Where a passage is from stands inside: a file's name is foreign text too.
    """
    blocks = [
        f"<<<passage {n} {nonce}\n({p.where})\n{_without(p.text, nonce)}\npassage {n} {nonce}>>>"
        for n, p in enumerate(passages, start=1)
    ]
    return "\n\n".join([*blocks, f"Question: {_without(question, nonce)}"])


def unknown_text(question: str) -> str:
    """That it is not known, in the question's language."""
    return UNKNOWN.get(detect_language(question), UNKNOWN["en"])


def check_reply(reply: str, passages: Sequence[str]) -> CheckedReply:
    """What of a reply is shown. Passages are numbered from 1.

    A citation speaks for everything since the one before it; it stays where it agrees.
    """
    if MODEL_DOES_NOT_KNOW in reply or _DOES_NOT_KNOW.match(reply):
        return CheckedReply("", (), knows=False)
    kept: list[str] = []
    cited: set[int] = set()
    dropped: list[tuple[str, Dropped]] = []
    start = 0
    for found in _GROUP.finditer(reply):
        if found[0].startswith("`"):
            continue
        statement = reply[start : found.start()]
        start = found.end()
        numbers = _numbers(found[0])
        valid = [n for n in numbers if 1 <= n <= len(passages)]
        agreed = [n for n in valid if agrees(statement, passages[n - 1])]
        if agreed:
            tail = found[0][found[0].rindex("]") + 1 :]
            kept.append(statement.rstrip() + "".join(f" [{n}]" for n in agreed) + tail)
            cited.update(agreed)
        elif _says_something(statement):
            reason = Dropped.UNSUPPORTED if valid else Dropped.FOREIGN
            dropped.append((statement.strip(), reason))
    if _says_something(reply[start:]):
        dropped.append((reply[start:].strip(), Dropped.UNCITED))
    return CheckedReply("".join(kept).strip(), tuple(sorted(cited)), tuple(dropped))


def agrees(statement: str, passage: str) -> bool:
    """Whether a statement could rest on a passage: its numbers and identifiers, and enough words.

    A test of overlap and no proof: it stops what a passage does not hold at all.
    """
    sharp = sharp_terms(statement)
    numbers = tuple(term for term in sharp if term[0].isdigit())
    held = passage.casefold()
    if missing_share(numbers, passage) > 0 or any(t not in held for t in set(sharp) - {*numbers}):
        return False  # a name may have an ending there: GPU and GPUs
    if detect_language(statement) != detect_language(passage):
        return True  # words of two languages never overlap; numbers and names were looked for
    return _shared(statement, passage) >= MINIMUM_OVERLAP


def mmr(
    relevance: Sequence[float], similarity: Sequence[Sequence[float]], *, k: int, diversity: float
) -> list[int]:
    """The order of maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), at most `k`.

    `relevance` [n] is each passage's to the question, `similarity` [n][n] between passages.
    """
    left, chosen = list(range(len(relevance))), list[int]()
    while left and len(chosen) < k:
        best = max(
            left,
            key=lambda i: (
                (1.0 - diversity) * relevance[i]
                - diversity * max((similarity[i][j] for j in chosen), default=0.0)
            ),
        )
        left.remove(best)
        chosen.append(best)
    return chosen


def _shared(statement: str, passage: str) -> float:
    terms = asked_terms(statement, keyword_tokens)
    held = frozenset(keyword_tokens(passage))
    return sum(t in held for t in terms) / len(terms) if terms else 0.0


def _numbers(group: str) -> list[int]:
    found = re.findall(r"[0-9]{1,4}", group)
    return list(dict.fromkeys(int(n) for n in found))


def _says_something(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _without(text: str, nonce: str) -> str:
    return text.replace(nonce, "")

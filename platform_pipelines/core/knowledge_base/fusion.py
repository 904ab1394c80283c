"""Several rankings into one, by rank alone: scores of different searches are not comparable."""

import math
from collections.abc import Sequence

from platform_pipelines.errors import ConfigurationError

_BACKGROUND = 20  # place in a language's own list
_FEWEST = 5
_LEVELLED = 0.75


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]],
    *,
    limit: int,
    weights: Sequence[float] | None = None,
    k: int = 60,
) -> list[tuple[str, float]]:
    """The first `limit` ids with their scores, best first: score = sum of weight / (k + rank).

    Cormack, Clarke & Büttcher, Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods, SIGIR 2009 (k = 60 there). Ties go to the better best rank, then to the
    smaller id. An id that a ranking repeats counts once; weight 0 leaves a ranking out.

    Raises:
        ConfigurationError: weights that do not fit the rankings, k or limit below 1.
    """
    used = _checked_weights(weights, rankings=len(rankings))
    if k < 1 or limit < 1:
        raise ConfigurationError(
            "k and limit are at least 1", where="fusion", stored={"k": k, "limit": limit}
        )
    scores: dict[str, list[float]] = {}
    best: dict[str, int] = {}
    for ranking, weight in zip(rankings, used, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking) if weight else (), start=1):
            scores.setdefault(item, []).append(weight / (k + rank))
            best[item] = min(rank, best.get(item, rank))
    # fsum, so that equal scores are equal whatever the order of the rankings.
    fused = [(item, math.fsum(parts)) for item, parts in scores.items()]
    return sorted(fused, key=lambda pair: (-pair[1], best[pair[0]], pair[0]))[:limit]


def _checked_weights(weights: Sequence[float] | None, *, rankings: int) -> Sequence[float]:
    if weights is None:
        return [1.0] * rankings
    if len(weights) != rankings or not all(math.isfinite(w) and w >= 0 for w in weights):
        raise ConfigurationError(
            "weights do not fit the rankings",
            where="fusion",
            stored=list(weights),
            expected=f"{rankings} finite numbers, none negative",
        )
    return weights


def level_languages(
    hits: Sequence[tuple[str, float, str]], language: str
) -> list[tuple[str, float]]:
    """Ids with their similarities, best first, the bias towards the question's language reduced.

    `hits` are (id, similarity, language), best first. A multilingual embedder puts all texts of the
    question's language nearer than those of another one, the answer among them. What is about
    `_BACKGROUND` places down each language's own list answers nothing: the difference there is the
    language's and not the answer's. Other languages are raised by `_LEVELLED` of it: not by all,
    because an answer in the question's language is preferred. On the sample, English questions
    whose answer is Korean went from 2 to 6 of 9 first hits, while no answerable question of the
    same language left the first ten. Too few hits of a language to judge it by: it stays.
    """
    own = [score for _, score, spoken in hits if spoken == language]
    raised: dict[str, float] = {}
    for spoken in {spoken for _, _, spoken in hits} - {language}:
        other = [score for _, score, found in hits if found == spoken]
        place = min(_BACKGROUND, len(own), len(other))
        if place >= _FEWEST:
            raised[spoken] = _LEVELLED * max(0.0, own[place - 1] - other[place - 1])
    levelled = [(item, score + raised.get(spoken, 0.0)) for item, score, spoken in hits]
    return sorted(levelled, key=lambda pair: -pair[1])

"""Evidence: a report about one revision, against one baseline, on one golden set, named by digest.

Rows per sample are the truth; means and slices are computed from them. The JSON holds those too,
for its readers, and reading it back checks that they are what the rows say. What a component knows
beside its metrics (counts, calibrations, costs) stands in `facts`, under names of its own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.identity import canonical_json, digest_json
from platform_pipelines.core.road.metrics import (
    MeanScore,
    Metric,
    by_name,
    check_metrics,
    mean_score,
)
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)
from platform_pipelines.errors import ConfigurationError, EvidenceError, IntegrityError

FORMAT = 2  # 1 was the knowledge base's own, see core/knowledge_base/evidence.py


# Of the facts: how many times one comparison was looked at, this time included.
LOOKS = "times_looked_at"


class Failure(StrEnum):
    """Why a sample has no score on a revision."""

    UNRESOLVED = "unresolved"  # the revision rightly lacks what the sample asks for
    NOT_FINITE = "not_finite"  # a metric came out as NaN or infinite
    ERROR = "error"  # what was asked, or the metric, failed


@dataclass(frozen=True, config=CONFIG)
class Outcome:
    """One sample on one revision. A score of None is undefined; its metric says what that means.

    `details` is of the component: what was retrieved, what was answered.
    """

    scores: Mapping[str, float | None]
    failure: Failure | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, config=CONFIG)
class SampleRow:
    """One sample: a golden question, a request. `slices`, e.g. {"language": "ko"}."""

    sample_id: str
    slices: Mapping[str, str]
    candidate: Outcome
    baseline: Outcome | None = None


@dataclass(frozen=True, config=CONFIG)
class Evidence:
    """Made by `make_evidence` or `evidence_from_json`, which keep the rows sorted and unique.

    `conditions` are what both sides were measured under, e.g. {"k": 5}: under others it is foreign.
    """

    component: str
    revision: str
    baseline: str | None
    golden_digest: str | None  # None: evidence without labels
    conditions: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    samples: int  # that there should be
    rows: tuple[SampleRow, ...]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def means(self) -> dict[str, MeanScore]:
        """Means over all samples of the candidate."""
        return self._means([r.candidate for r in self.rows])

    @property
    def baseline_means(self) -> dict[str, MeanScore]:
        """Means over the samples that the baseline was asked too."""
        return self._means([r.baseline for r in self.rows if r.baseline is not None])

    @property
    def slices(self) -> dict[str, tuple[SampleRow, ...]]:
        """Rows by slice; the names are `dimension=value`, sorted."""
        groups: dict[str, list[SampleRow]] = {}
        for row in self.rows:
            for dimension, value in row.slices.items():
                groups.setdefault(f"{dimension}={value}", []).append(row)
        return {name: tuple(groups[name]) for name in sorted(groups)}

    @property
    def slice_means(self) -> dict[str, dict[str, MeanScore]]:
        """Means of the candidate by slice."""
        return {n: self._means([r.candidate for r in rows]) for n, rows in self.slices.items()}

    @property
    def judged(self) -> int:
        """Samples with a row that has no failure."""
        return sum(r.candidate.failure is None for r in self.rows)

    @property
    def judged_share(self) -> float:
        """Judged samples of those that there should be; 0 of 0 is 0."""
        return self.judged / self.samples if self.samples else 0.0

    def metric(self, name: str) -> Metric:
        """A declared metric.

        Raises:
            EvidenceError: this evidence has none of that name.
        """
        found = by_name(self.metrics).get(name)
        if found is None:
            raise EvidenceError(
                "the evidence has no such metric",
                where=f"revision {self.revision}",
                stored=", ".join(m.name for m in self.metrics),
                expected=name,
            )
        return found

    def value(self, outcome: Outcome, name: str) -> float | None:
        """An outcome's score as it counts, None when the sample is left out of the metric."""
        return self.metric(name).value(outcome.scores.get(name))

    @property
    def digest(self) -> str:
        """Digest of the whole record as it is stored: the name of this evidence.

        Raises:
            EvidenceError: a number in it is not finite.
        """
        return digest_json(self._record())

    def to_json(self) -> str:
        """One JSON text with the digest of everything else in it.

        Raises:
            EvidenceError: a number is not finite (write None and a `Failure` instead).
        """
        record = self._record()
        return canonical_json({**record, "digest": digest_json(record)})

    @property
    def summary(self) -> dict[str, Any]:
        """What the rows say, for readers of the JSON."""
        return {
            "metrics": _means_record(self.means),
            "baseline_metrics": _means_record(self.baseline_means),
            "slices": {n: _means_record(m) for n, m in self.slice_means.items()},
            "judged": self.judged,
        }

    def _means(self, outcomes: Sequence[Outcome]) -> dict[str, MeanScore]:
        return {
            m.name: mean_score(m, [o.scores.get(m.name) for o in outcomes]) for m in self.metrics
        }

    def _record(self) -> Raw:
        record = self.stored or {**plain(self), "summary": self.summary}
        try:
            canonical_json(record)
        except ValueError as error:
            raise EvidenceError(
                "evidence holds a number that is not finite",
                where=f"revision {self.revision}",
                remedy="record None and the failure `not_finite`",
            ) from error
        return record


def finite_outcome(outcome: Outcome) -> Outcome:
    """The same with scores that are not finite undefined, and that said."""
    clean = {m: s if s is None or math.isfinite(s) else None for m, s in outcome.scores.items()}
    if clean == dict(outcome.scores):
        return outcome
    return replace(outcome, scores=clean, failure=outcome.failure or Failure.NOT_FINITE)


def make_evidence(evidence: Evidence) -> Evidence:
    """The same evidence with its rows in order of their ids.

    Raises:
        EvidenceError: a sample has two rows, or there are more rows than samples, or a finite score
            is outside its metric's range.
        ConfigurationError: the metrics are refused by `check_metrics`.
    """
    check_metrics(evidence.metrics)
    ids = [row.sample_id for row in evidence.rows]
    where = f"revision {evidence.revision}"
    if len(set(ids)) != len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        raise EvidenceError("a sample has two rows", where=where, stored=twice)
    if len(ids) > evidence.samples or (ids and evidence.golden_digest is None):
        raise EvidenceError(
            "more rows than the golden set has samples",
            where=where,
            stored=len(ids),
            expected=evidence.samples if evidence.golden_digest else 0,
        )
    _check_ranges(evidence)
    return replace(evidence, rows=tuple(sorted(evidence.rows, key=lambda row: row.sample_id)))


def evidence_from_json(
    text: str | bytes, *, where: str = "", upgrade: Callable[[Raw], Raw] | None = None
) -> Evidence:
    """Read evidence back and certify it. `upgrade` makes a component's format 1 into format 2.

    Raises:
        IntegrityError: not evidence, another format, or content that is not what its digest says.
    """
    kind = _FORMAT if upgrade is None else replace(_FORMAT, upgrades={1: upgrade})
    raw = kind.parse(text, where=where)
    stated = raw.pop("digest", None)
    kind.must_equal("digest", stated, digest_json(raw), where=where)
    evidence = kind.read(raw, where=where)
    try:
        made = make_evidence(evidence)
    except (ConfigurationError, EvidenceError) as error:
        raise IntegrityError("not evidence", where=where, stored=str(error)) from error
    if evidence.stored.get("format") == FORMAT:
        kind.must_equal("rows", raw.get("summary"), made.summary, where=where)
    object.__setattr__(made, "stored", raw)
    return made


def _check_ranges(evidence: Evidence) -> None:
    metrics = by_name(evidence.metrics)
    for row in evidence.rows:
        for outcome in (row.candidate, row.baseline):
            for name, score in outcome.scores.items() if outcome else ():
                metric = metrics.get(name)
                if metric is None or score is None or not math.isfinite(score):
                    continue
                if not metric.fits(score):
                    raise EvidenceError(
                        "a score is outside its metric's range",
                        where=f"revision {evidence.revision}, sample {row.sample_id}",
                        stored=f"{name} {score}",
                        expected=f"{metric.low} to {metric.high}",
                    )


def _means_record(means: Mapping[str, MeanScore]) -> Raw:
    return {m: [s.mean, s.samples, s.failures, s.left_out] for m, s in means.items()}


_FORMAT = Format(
    kind="evidence",
    model=Evidence,
    current=FORMAT,
    remedy="evaluate the revision again; do not edit evidence",
)

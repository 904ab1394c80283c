"""Makes the shipped calibration of `ask`: `python -m benchmarks.answer_calibration`.

`answer_samples.jsonl` holds what was measured of each question of three corpora with
multilingual-e5-small: the features, and whether the corpus answers it; `retrieved_coverage` is what
decided before. The corpora: this product's handbook with its golden set, The Rustonomicon (English,
83 pages) and React's guide in Korean (53 pages), the latter two with questions of ours. The table
says what becomes of each corpus' questions (`seen`), what did before, and what does under the fit
of the others alone (`foreign`); the counts of a calibration are of questions unseen by its fit. One
question's words are written without a registry's name; what was measured is of the name's.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    CalibrationSample,
    calibrate,
    calibration_record,
)

HERE = Path(__file__).parent
SAMPLES = HERE / "answer_samples.jsonl"
TABLE = HERE.parent / "platform_pipelines" / "tables" / "answer_calibration.json"
WITHOUT_SIMILARITY = ("word_coverage", "passages_coverage", "sharp_missing")
FALSE_ANSWER_COST = 3.0  # in false refusals; a golden set's own fit knows its corpus, and takes 2
FITS = {"multilingual-e5-small": FEATURE_NAMES, "any": WITHOUT_SIMILARITY}


@dataclass(frozen=True)
class Row:
    """A question of a corpus, as it was measured."""

    corpus: str
    answerable: bool
    supported: bool | None
    values: dict[str, float]
    retrieved_coverage: float

    def sample(self, names: tuple[str, ...]) -> CalibrationSample:
        """What is fitted."""
        return CalibrationSample(
            tuple(self.values[n] for n in names), self.answerable, self.supported
        )


def read_rows(path: Path = SAMPLES) -> list[Row]:
    """All measured questions."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Row(
            r["corpus"],
            r["answerable"],
            r["supported"],
            {n: r[n] for n in FEATURE_NAMES},
            r["retrieved_coverage"],
        )
        for r in records
    ]


def fit(rows: list[Row], names: tuple[str, ...]) -> Calibration:
    """One calibration of some corpora."""
    samples = [row.sample(names) for row in rows]
    made = calibrate(samples, names=names, false_answer_cost=FALSE_ANSWER_COST).calibration
    assert made is not None, "too few questions"
    return made


def errors(calibration: Calibration, rows: list[Row]) -> dict[str, str]:
    """What the fit does with some questions: those refused wrongly, and those answered wrongly."""
    names = calibration.features

    def answers(row: Row) -> bool:
        return calibration.probability(row.sample(names).features) >= calibration.threshold

    return _counted(answers, rows)


def before(rows: list[Row]) -> dict[str, str]:
    """The rule until 0.1.0: 0.35 of the words, weighed by the retrieved chunks alone."""
    return _counted(
        lambda row: row.retrieved_coverage >= 0.35 and row.values["sharp_missing"] <= 0, rows
    )


def _counted(answers: Callable[[Row], bool], rows: list[Row]) -> dict[str, str]:
    to_answer = [row for row in rows if row.sample(()).should_answer]
    unanswerable = [row for row in rows if not row.answerable]
    return {
        "refused": f"{sum(not answers(row) for row in to_answer)} of {len(to_answer)}",
        "answered": f"{sum(answers(row) for row in unanswerable)} of {len(unanswerable)}",
    }


def foreign(rows: list[Row]) -> dict[str, dict[str, dict[str, str]]]:
    """Each corpus under the fit of the others."""
    return {
        corpus: {
            embedder: errors(
                fit([r for r in rows if r.corpus != corpus], names),
                [r for r in rows if r.corpus == corpus],
            )
            for embedder, names in FITS.items()
        }
        for corpus in sorted({row.corpus for row in rows})
    }


def by_corpus(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each corpus."""
    return {c: [r for r in rows if r.corpus == c] for c in sorted({r.corpus for r in rows})}


def made(rows: list[Row]) -> dict[str, Any]:
    """The table."""
    return {
        "source": "benchmarks/answer_calibration.py on benchmarks/answer_samples.jsonl",
        "questions": {
            c: sum(r.corpus == c for r in rows) for c in sorted({r.corpus for r in rows})
        },
        "before": {c: before(own) for c, own in by_corpus(rows).items()},
        "seen": {
            c: {e: errors(fit(rows, names), own) for e, names in FITS.items()}
            for c, own in by_corpus(rows).items()
        },
        "foreign": foreign(rows),
        "calibrations": {e: calibration_record(fit(rows, names)) for e, names in FITS.items()},
    }


if __name__ == "__main__":
    table = made(read_rows())
    if "--foreign" in sys.argv:
        sys.stdout.write(json.dumps(table["foreign"], indent=1) + "\n")
    else:
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

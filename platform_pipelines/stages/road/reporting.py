"""A verdict for people and for CI: JSON, Markdown, JUnit and one self-contained HTML page.

The verdict comes first, then why, then the numbers, then the samples that got worse and better.
English and Korean.
"""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow
from platform_pipelines.core.road.gate import Status, Verdict
from platform_pipelines.core.road.statistics import bootstrap_interval

SHOWN_SAMPLES = 10
_RESAMPLES = 2000
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "pass": "PASS", "fail": "FAIL", "undecided": "UNDECIDED", "why": "Why",
        "no_reasons": "Every floor is kept, and nothing is worse than live.",
        "metrics": "Metrics", "metric": "metric", "candidate": "candidate", "live": "live",
        "difference": "difference [95 %]", "n": "n", "worse": "Got worse", "better": "Got better",
        "sample": "question", "more": "About {} more samples would decide it.",
        "revision": "revision", "baseline": "compared with", "golden": "golden set",
        "evidence": "evidence", "answer": "answer", "contexts": "contexts", "none": "none",
        "failures": "failures",
    },
    "ko": {
        "pass": "통과", "fail": "실패", "undecided": "판정 불가", "why": "이유",
        "no_reasons": "모든 하한을 지켰고, 운영 중인 것보다 나빠진 것이 없습니다.",
        "metrics": "지표", "metric": "지표", "candidate": "후보", "live": "운영 중",
        "difference": "차이 [95 %]", "n": "n", "worse": "나빠진 질문", "better": "좋아진 질문",
        "sample": "질문", "more": "판정하려면 약 {}개의 질문이 더 필요합니다.",
        "revision": "리비전", "baseline": "비교 대상", "golden": "골든 세트",
        "evidence": "증거", "answer": "답변", "contexts": "문맥", "none": "없음",
        "failures": "실패 수",
    },
}  # fmt: skip


def report_record(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """The report as JSON: everything that the other forms show."""
    return {
        "verdict": str(verdict.status),
        "proven": verdict.proven,
        "more_samples": verdict.more_samples,
        "detects_with": dict(verdict.detects),
        "component": evidence.component,
        "revision": evidence.revision,
        "baseline": evidence.baseline,
        "golden_set": evidence.golden_digest,
        "evidence": evidence.digest,
        "conditions": dict(evidence.conditions),
        "samples": evidence.samples,
        "judged": evidence.judged,
        "reasons": [
            {
                "status": str(r.status), "code": str(r.code), "message": r.message,
                "metric": r.metric, "slice": r.slice,
            }
            for r in verdict.reasons
        ],
        "metrics": metric_rows(evidence),
    }  # fmt: skip


def json_report(evidence: Evidence, verdict: Verdict) -> str:
    """One JSON object."""
    return json.dumps(report_record(evidence, verdict), ensure_ascii=False, indent=2)


def metric_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Each metric's means, and the paired difference with its interval where there is a pair."""
    rows: list[dict[str, Any]] = []
    before = evidence.baseline_means
    for metric in evidence.metrics:
        mean = evidence.means[metric.name]
        gains = [g for r in evidence.rows if (g := _gain(evidence, r, metric.name)) is not None]
        interval = bootstrap_interval(gains, confidence=0.95, resamples=_RESAMPLES, seed=0) if (
            len(gains) > 1
        ) else None  # fmt: skip
        rows.append(
            {
                "metric": metric.name,
                "candidate": mean.mean,
                "samples": mean.samples,
                "failures": mean.failures,
                "left_out": mean.left_out,
                "live": before[metric.name].mean if evidence.baseline else None,
                "gain": [interval.estimate, interval.low, interval.high] if interval else None,
            }
        )
    return rows


def moved(evidence: Evidence, metric: str) -> tuple[list[SampleRow], list[SampleRow]]:
    """The samples that lost and that gained most, worst and best first."""
    gains = [(g, r) for r in evidence.rows if (g := _gain(evidence, r, metric)) is not None]
    ordered = sorted(gains, key=lambda pair: (pair[0], pair[1].sample_id))
    worse = [r for g, r in ordered if g < 0][:SHOWN_SAMPLES]
    better = [r for g, r in reversed(ordered) if g > 0][:SHOWN_SAMPLES]
    return worse, better


def markdown_report(evidence: Evidence, verdict: Verdict, language: str = "en") -> str:
    """For a comment on a pull request."""
    words = WORDS[language]
    lines = [
        f"# {words[str(verdict.status)]}",
        "",
        *_facts(evidence, words),
        "",
        f"## {words['why']}",
    ]
    lines += [f"- **{r.status}** `{r.code}` {r.message}" for r in verdict.reasons] or [
        words["no_reasons"]
    ]
    if verdict.more_samples:
        lines.append(words["more"].format(verdict.more_samples))
    heads = [words[n] for n in ("metric", "candidate", "live", "difference", "n", "failures")]
    lines += ["", f"## {words['metrics']}", "", f"| {' | '.join(heads)} |", "|---" * 6 + "|"]
    for row in metric_rows(evidence):
        cells = _cells(row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def junit_report(evidence: Evidence, verdict: Verdict) -> str:
    """A test case for each metric and each other reason; undecided is skipped, not passed."""
    cases: dict[str, list[tuple[Status, str]]] = {m.name: [] for m in evidence.metrics}
    for reason in verdict.reasons:
        name = reason.metric or str(reason.code)
        cases.setdefault(name, []).append((reason.status, reason.message))
    failures = sum(any(s is Status.FAIL for s, _ in found) for found in cases.values())
    skipped = sum(_is_skipped(found) for found in cases.values())
    name = quoteattr(f"gate of {evidence.component} {evidence.revision[:12]}")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={name} tests="{len(cases)}" failures="{failures}" skipped="{skipped}">',
    ]
    for case, found in cases.items():
        lines.append(
            f"  <testcase classname={quoteattr(evidence.component)} name={quoteattr(case)}>"
        )
        text = "; ".join(message for _, message in found)
        if any(s is Status.FAIL for s, _ in found):
            lines.append(f"    <failure message={quoteattr(text)}>{escape(text)}</failure>")
        elif _is_skipped(found):
            lines.append(f"    <skipped message={quoteattr(text)}/>")
        lines.append("  </testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def html_report(evidence: Evidence, verdict: Verdict, language: str = "en") -> str:
    """One file without references to others."""
    words = WORDS[language]
    status = str(verdict.status)
    reasons = "".join(
        f"<li><b>{r.status}</b> <code>{html.escape(str(r.code))}</code> "
        f"{html.escape(r.message)}</li>"
        for r in verdict.reasons
    )
    heads = [words[n] for n in ("metric", "candidate", "live", "difference", "n", "failures")]
    table = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in _cells(row)) + "</tr>"
        for row in metric_rows(evidence)
    )
    shown = next(
        (m.name for m in evidence.metrics if m.name == "answer_relevancy"),
        evidence.metrics[0].name if evidence.metrics else "",
    )
    worse, better = moved(evidence, shown) if shown else ([], [])
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{words[status]}'
        f"</title><style>{_STYLE}</style><h1 class={status}>{words[status]}</h1>"
        f"<p>{'<br>'.join(html.escape(f) for f in _facts(evidence, words))}</p>"
        f"<h2>{words['why']}</h2><ul>{reasons or '<li>' + words['no_reasons'] + '</li>'}</ul>"
        f"<h2>{words['metrics']}</h2><table><tr>"
        + "".join(f"<th>{h}</th>" for h in heads)
        + f"</tr>{table}</table>"
        + _samples(words["worse"], worse, words)
        + _samples(words["better"], better, words)
        + "</html>\n"
    )


_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left}"
    "h1.pass{color:#17663a}h1.fail{color:#a11}h1.undecided{color:#8a6100}"
    "details{margin:.4em 0}pre{white-space:pre-wrap;background:#f4f4f4;padding:.6em}"
)


def _samples(title: str, rows: Sequence[SampleRow], words: Mapping[str, str]) -> str:
    if not rows:
        return ""
    blocks = "".join(
        f"<details><summary>{html.escape(row.sample_id)}</summary>"
        + _side(words["candidate"], row.candidate, words)
        + (_side(words["live"], row.baseline, words) if row.baseline else "")
        + "</details>"
        for row in rows
    )
    return f"<h2>{title}</h2>{blocks}"


def _side(title: str, outcome: Outcome, words: Mapping[str, str]) -> str:
    details = outcome.details
    scores = ", ".join(f"{n} {_shown(s)}" for n, s in outcome.scores.items())
    parts = [f"<h3>{title}</h3><p>{html.escape(scores)}</p>"]
    if "answer" in details:
        parts.append(f"<p>{words['answer']}</p><pre>{html.escape(str(details['answer']))}</pre>")
    passages = details.get("passages") or ()
    if passages:
        text = "\n\n".join(str(p) for p in passages)
        parts.append(f"<p>{words['contexts']}</p><pre>{html.escape(text)}</pre>")
    return "".join(parts)


def _facts(evidence: Evidence, words: Mapping[str, str]) -> list[str]:
    return [
        f"{words['revision']}: {evidence.revision}",
        f"{words['baseline']}: {evidence.baseline or words['none']}",
        f"{words['golden']}: {evidence.golden_digest or words['none']}",
        f"{words['evidence']}: {evidence.digest}",
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    gain = row["gain"]
    difference = f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]" if gain else "–"
    return [
        str(row["metric"]), _shown(row["candidate"]), _shown(row["live"]), difference,
        str(row["samples"]), str(row["failures"]),
    ]  # fmt: skip


def _gain(evidence: Evidence, row: SampleRow, name: str) -> float | None:
    if row.baseline is None:
        return None
    now, then = evidence.value(row.candidate, name), evidence.value(row.baseline, name)
    return None if now is None or then is None else evidence.metric(name).gain(now, then)


def _is_skipped(found: Sequence[tuple[Status, str]]) -> bool:
    statuses = {status for status, _ in found}
    return Status.UNDECIDED in statuses and Status.FAIL not in statuses


def _shown(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}"

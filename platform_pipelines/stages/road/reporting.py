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
from platform_pipelines.core.road.statistics import bootstrap_interval
from platform_pipelines.core.road.verdicts import Status, Verdict

SHOWN_SAMPLES = 10
_RESAMPLES = 2000
Cost = Mapping[str, Any] | None  # what the judging took, by name
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "pass": "PASS", "fail": "FAIL", "undecided": "UNDECIDED", "why": "Why",
        "no_reasons": "Every floor is kept, and nothing is worse than live.",
        "metrics": "Metrics", "metric": "metric", "candidate": "candidate", "live": "live",
        "difference": "difference [95 %]", "n": "n", "worse": "Got worse", "better": "Got better",
        "sample": "question", "more": "About {} more samples would decide it.",
        "revision": "revision", "baseline": "compared with", "golden": "golden set",
        "evidence": "evidence", "answer": "answer", "contexts": "contexts", "none": "none",
        "failures": "failures", "cost": "Cost and time", "calls": "judge's calls",
        "cached": "verdicts that were kept", "input_tokens": "tokens read",
        "output_tokens": "tokens written", "seconds": "seconds", "money": "money",
        "call_seconds": "seconds of calls",
        "noise": "judged twice, the same answer differs by {} (mean)",
        "detects": "A loss of twice the minimum effect in {} is found with 90 % at {} samples.",
    },
    "ko": {
        "pass": "통과", "fail": "실패", "undecided": "판정 불가", "why": "이유",
        "no_reasons": "모든 하한을 지켰고, 운영 중인 것보다 나빠진 것이 없습니다.",
        "metrics": "지표", "metric": "지표", "candidate": "후보", "live": "운영 중",
        "difference": "차이 [95 %]", "n": "n", "worse": "나빠진 질문", "better": "좋아진 질문",
        "sample": "질문", "more": "판정하려면 약 {}개의 질문이 더 필요합니다.",
        "revision": "리비전", "baseline": "비교 대상", "golden": "골든 세트",
        "evidence": "증거", "answer": "답변", "contexts": "문맥", "none": "없음",
        "failures": "실패 수", "cost": "비용과 시간", "calls": "심판 호출",
        "cached": "보관된 판정", "input_tokens": "읽은 토큰", "output_tokens": "쓴 토큰",
        "seconds": "초", "money": "금액", "call_seconds": "호출에 걸린 초",
        "noise": "같은 답변을 두 번 심판하면 평균 {}만큼 다릅니다",
        "detects": "{} 지표에서 최소 효과의 두 배가 나빠지면 질문 {}개로 90 % 확률로 발견합니다.",
    },
}  # fmt: skip


def report_record(evidence: Evidence, verdict: Verdict, cost: Cost = None) -> dict[str, Any]:
    """The report as JSON: everything that the other forms show."""
    worse, better = moved(evidence, shown_metric(evidence))
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
        "judge_noise": judge_noise(evidence),
        "cost": dict(cost) if cost else None,
        "worse": [_sample_record(row) for row in worse],
        "better": [_sample_record(row) for row in better],
    }  # fmt: skip


def json_report(evidence: Evidence, verdict: Verdict, cost: Cost = None) -> str:
    """One JSON object."""
    return json.dumps(report_record(evidence, verdict, cost), ensure_ascii=False, indent=2)


def judge_noise(evidence: Evidence) -> dict[str, float]:
    """Mean absolute difference of two judgements of one answer (A/A), by metric."""
    return dict((evidence.facts.get("judge") or {}).get("noise") or {})


def shown_metric(evidence: Evidence) -> str:
    """By which the samples that moved most are chosen."""
    names = [m.name for m in evidence.metrics]
    return next((n for n in ("answer_relevancy", "ndcg") if n in names), names[0] if names else "")


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
    if not metric:
        return [], []
    gains = [(g, r) for r in evidence.rows if (g := _gain(evidence, r, metric)) is not None]
    ordered = sorted(gains, key=lambda pair: (pair[0], pair[1].sample_id))
    worse = [r for g, r in ordered if g < 0][:SHOWN_SAMPLES]
    better = [r for g, r in reversed(ordered) if g > 0][:SHOWN_SAMPLES]
    return worse, better


def markdown_report(
    evidence: Evidence, verdict: Verdict, language: str = "en", *, cost: Cost = None
) -> str:
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
    lines += ["", *_sizes(verdict, words)]
    heads = [words[n] for n in ("metric", "candidate", "live", "difference", "n", "failures")]
    lines += ["", f"## {words['metrics']}", "", f"| {' | '.join(heads)} |", "|---" * 6 + "|"]
    for row in metric_rows(evidence):
        cells = _cells(row)
        lines.append(f"| {' | '.join(cells)} |")
    lines += _cost_lines(evidence, cost, words)
    worse, better = moved(evidence, shown_metric(evidence))
    lines += [*_told(words["worse"], worse, words), *_told(words["better"], better, words)]
    return "\n".join(lines) + "\n"


def _sizes(verdict: Verdict, words: Mapping[str, str]) -> list[str]:
    """How many more samples would decide, and what the size of this evaluation can find."""
    more = [words["more"].format(verdict.more_samples)] if verdict.more_samples else []
    return more + [words["detects"].format(name, n) for name, n in verdict.detects.items()]


def _cost_lines(evidence: Evidence, cost: Cost, words: Mapping[str, str]) -> list[str]:
    noise = [
        f"- {name}: {words['noise'].format(f'{value:.3f}')}"
        for name, value in judge_noise(evidence).items()
    ]
    spent = [f"- {words[name]}: {value:g}" for name, value in (cost or {}).items()]
    return ["", f"## {words['cost']}", "", *spent, *noise] if spent or noise else []


def _told(title: str, rows: Sequence[SampleRow], words: Mapping[str, str]) -> list[str]:
    """Samples for Markdown: what was asked, and both answers with their contexts folded away."""
    lines = ["", f"## {title}"] if rows else []
    for row in rows:
        lines += ["", f"### {question_of(row)}"]
        for name, side in (("candidate", row.candidate), ("live", row.baseline)):
            if side is not None:
                answer = str(side.details.get("answer", "–"))
                lines += ["", f"**{words[name]}**", "", *_quote(answer)]
                contexts = "\n\n".join(str(p) for p in side.details.get("passages") or ())
                if contexts:
                    opened = f"<details><summary>{words['contexts']}</summary>"
                    lines += ["", opened, "", *_quote(contexts), "", "</details>"]
    return lines


def _quote(text: str) -> list[str]:
    """Quoted line by line: what a document says cannot end the quotation."""
    return [f"> {html.escape(line, quote=False)}" for line in text.splitlines() or [""]]


def question_of(row: SampleRow) -> str:
    """What was asked, where the evidence holds it, else its id."""
    return " ".join(str(row.candidate.details.get("question") or row.sample_id).split())


def _sample_record(row: SampleRow) -> dict[str, Any]:
    def side(outcome: Outcome | None) -> dict[str, Any] | None:
        if outcome is None:
            return None
        details = outcome.details
        return {
            "scores": dict(outcome.scores),
            "answer": details.get("answer"),
            "contexts": list(details.get("passages") or ()),
        }

    return {
        "sample": row.sample_id,
        "question": question_of(row),
        "candidate": side(row.candidate),
        "live": side(row.baseline),
    }


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


def html_report(
    evidence: Evidence, verdict: Verdict, language: str = "en", *, cost: Cost = None
) -> str:
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
    worse, better = moved(evidence, shown_metric(evidence))
    sizes = "".join(f"<p>{html.escape(line)}</p>" for line in _sizes(verdict, words))
    spent = _cost_lines(evidence, cost, words)[3:]
    listed = "".join(f"<li>{html.escape(line.removeprefix('- '))}</li>" for line in spent)
    costs = f"<h2>{words['cost']}</h2><ul>{listed}</ul>" if listed else ""
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{words[status]}'
        f"</title><style>{_STYLE}</style><h1 class={status}>{words[status]}</h1>"
        f"<p>{'<br>'.join(html.escape(f) for f in _facts(evidence, words))}</p>"
        f"<h2>{words['why']}</h2><ul>{reasons or '<li>' + words['no_reasons'] + '</li>'}</ul>"
        f"{sizes}"
        f"<h2>{words['metrics']}</h2><table><tr>"
        + "".join(f"<th>{h}</th>" for h in heads)
        + f"</tr>{table}</table>{costs}"
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
        f"<details><summary>{html.escape(question_of(row))}</summary>"
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

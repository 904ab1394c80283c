"""The verdict as Markdown, JSON, JUnit and HTML: complete, escaped, in both languages."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.core.road.verdicts import GatePolicy, Verdict
from platform_pipelines.stages.road.reporting import (
    SHOWN_SAMPLES,
    WORDS,
    html_report,
    json_report,
    junit_report,
    markdown_report,
)
from tests.core.road.judging import judge

COST = {"calls": 120, "cached": 40, "input_tokens": 9000, "output_tokens": 800, "seconds": 31.5,
        "call_seconds": 200.0, "money": 0.12}  # fmt: skip
EVIL = "<script>alert(1)</script>\n</details>\n# PASS"


def side(score: float, answer: str) -> Outcome:
    details = {"question": f"Why is {answer}?", "answer": answer, "passages": [f"{answer}: {EVIL}"]}
    return Outcome({"answer_relevancy": score, "ndcg": 0.9}, details=details)


def evidence() -> Evidence:
    """Fifteen questions that got worse, fifteen that got better, ten that stayed."""
    change = [-0.02 * (i + 1) for i in range(15)] + [0.01 * (i + 1) for i in range(15)] + [0.0] * 10
    rows = tuple(
        SampleRow(f"q{i:02}", {"language": "en"}, side(0.5 + c, f"new{i}"), side(0.5, f"old{i}"))
        for i, c in enumerate(change)
    )
    facts = {"judge": {"noise": {"answer_relevancy": 0.0125}}}
    metrics = (Metric("answer_relevancy"), Metric("ndcg"))
    return Evidence("toy", "new", "live", "gold", {"k": 10}, metrics, 40, rows, facts)


POLICY = GatePolicy(compared=("answer_relevancy",), minimum_effect=0.05, floors={"ndcg": 0.95})
MADE = evidence()


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return judge(MADE, POLICY)


@pytest.mark.parametrize("language", WORDS)
def test_markdown_begins_with_the_verdict_and_holds_all_of_it(
    verdict: Verdict, language: str
) -> None:
    """Why, numbers with intervals, what moved most on both sides, cost, noise, power."""
    words = WORDS[language]
    text = markdown_report(MADE, verdict, language, cost=COST)
    assert text.splitlines()[0] == f"# {words['fail']}"
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    named = ("why", "metrics", "cost", "worse", "better")
    assert heads == [f"## {words[name]}" for name in named]
    assert text.count("\n### ") == 2 * SHOWN_SAMPLES
    assert "> new14" in text
    assert "> old14" in text
    assert "> new14: &lt;script" in text
    assert "\n# PASS" not in text[1:]
    assert f"{words['calls']}: 120" in text
    assert "0.013" in text or "0.012" in text
    assert words["detects"].split("{}")[-1] in text


@pytest.mark.parametrize("language", WORDS)
def test_html_is_one_file_whose_contents_cannot_act(verdict: Verdict, language: str) -> None:
    """Nothing is loaded from elsewhere, and a document's words stay words."""
    text = html_report(MADE, verdict, language, cost=COST)
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Reader().feed(text)
    tags = [tag for tag, _ in seen]
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert not [a for _, a in seen if {"src", "href"} & set(a)]
    assert tags.count("details") == 2 * SHOWN_SAMPLES
    assert text.index(WORDS[language]["fail"]) < text.index(WORDS[language]["why"])
    assert "Why is new14?" in text
    assert WORDS[language]["cost"] in text


def test_json_has_what_the_others_show(verdict: Verdict) -> None:
    """For programs: the ten that moved most with both answers and their contexts."""
    record = json.loads(json_report(MADE, verdict, COST))
    assert record["verdict"] == "fail"
    assert record["cost"] == COST
    assert record["judge_noise"] == {"answer_relevancy": 0.0125}
    assert record["detects_with"]["answer_relevancy"] > 10
    assert [one["sample"] for one in record["worse"]][:2] == ["q14", "q13"]
    assert len(record["worse"]) == len(record["better"]) == SHOWN_SAMPLES
    first = record["worse"][0]
    assert (first["candidate"]["answer"], first["live"]["answer"]) == ("new14", "old14")
    assert first["live"]["contexts"] == [f"old14: {EVIL}"]


def test_junit_has_a_case_a_metric_and_no_pass_for_undecided(verdict: Verdict) -> None:
    """CI counts failures; what could not be decided is skipped."""
    suite = ElementTree.fromstring(junit_report(MADE, verdict))
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["ndcg"] == ["failure"]
    assert suite.get("failures") == "1"
    few = judge(MADE, replace(POLICY, floors={}, minimum_samples=100))
    skipped = ElementTree.fromstring(junit_report(MADE, few))
    assert int(skipped.get("skipped") or 0) >= 1
    assert skipped.get("failures") == "0"


def test_evidence_without_pairs_or_metrics_is_reported_too() -> None:
    """A first release has nothing to be compared with."""
    first = replace(MADE, baseline=None, rows=tuple(replace(r, baseline=None) for r in MADE.rows))
    verdict = judge(first, POLICY)
    assert "–" in markdown_report(first, verdict)
    assert json.loads(json_report(first, verdict))["worse"] == []
    assert "<details" not in html_report(first, verdict)

"""Whole answers in the evidence: judged through Ragas, alike on both sides, never half."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from platform_pipelines import cli
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.errors import GateFailedError, UnavailableError
from platform_pipelines.stages.knowledge_base.gating import gate_now
from platform_pipelines.stages.knowledge_base.live_evaluation import evaluate_live
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.road.workspace import head_key
from tests.declared import use_settings
from tests.knowledge import ENVIRONMENTS, Knowledge, golden_lines, new_knowledge
from tests.servers.chat_server import ChatServer
from tests.servers.judge_server import JudgeServer

pytestmark = pytest.mark.answers
GUIDES = range(12)
FLOORS = {"faithfulness": 0.85, "answer_relevancy": 0.05}


def obedient(body: dict[str, Any]) -> str:
    """Words its answer from the first passage: its line about what is asked."""
    user = body["messages"][-1]["content"]
    found = re.search(r"<<<passage 1 (\w+)\n(.*?)\npassage 1 \1>>>", user, re.DOTALL)
    assert found
    word = "구역" if "구역" in user.rsplit("Question:", 1)[1] else "quota"
    line = next((one for one in found[2].splitlines() if word in one), "")
    return f"{line.strip(' .')} [1]." if line else "NO_ANSWER"


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        yield server


@pytest.fixture
def model() -> Iterator[ChatServer]:
    with ChatServer(obedient) as server:
        yield server


@pytest.fixture
def judged(tmp_path: Any, settings: Any, judge: JudgeServer, model: ChatServer) -> Knowledge:
    """Twelve guides, answered by a model, judged by the overlap of words; nothing made yet."""
    (tmp_path / "golden.jsonl").write_text(golden_lines(GUIDES, unanswerable=8), "utf-8")
    return new_knowledge(
        tmp_path / "kb",
        replace(settings, environments_dir=ENVIRONMENTS),
        guides=GUIDES,
        gate={"golden_set": str((tmp_path / "golden.jsonl").as_uri()), "floors": FLOORS},
        answer={"model": "obedient", "url": model.url},
        judge={"model": "overlap", "url": judge.url, "repeats": 2, "attempts": 2},
        evaluation={},
    )


def evidence_of(knowledge: Knowledge) -> Evidence:
    head, _ = knowledge.workspace().head("evidence")
    assert head is not None
    found = read_evidence(knowledge.store, head.details["evidence"])
    assert found is not None
    return found


def test_judged_answers_gate_a_release_and_a_worse_model_is_stopped(
    judged: Knowledge, judge: JudgeServer, model: ChatServer, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A changed model takes the road like a changed document; what is live stays live."""
    judged.refresh()
    evidence = evidence_of(judged)
    means = {name: mean.mean for name, mean in evidence.means.items()}
    assert means["faithfulness"] >= 0.95
    assert means["judged_context_recall"] >= 0.8
    assert set(JUDGED_NAMES) <= set(means)
    assert evidence.facts["judge"]["unanswerable"] == 8
    assert evidence.facts["judge"]["noise"] == dict.fromkeys(JUDGED_NAMES, 0.0)
    first = judged.log()[-1].revision

    asked = len(judge.requests)
    worse = judged.declared(answer={**judged.attributes["answer"], "temperature": 0.3})
    model.script = lambda body: "NO_ANSWER"
    with pytest.raises(GateFailedError, match="answer_relevancy"):
        worse.refresh()
    assert worse.log()[-1].revision == first
    assert evidence_of(worse).baseline == first
    before = {row.sample_id: row.candidate.scores for row in evidence.rows}
    again = {row.sample_id: row.baseline.scores for row in evidence_of(worse).rows if row.baseline}
    assert {i: s["faithfulness"] for i, s in again.items()} == {
        i: s["faithfulness"] for i, s in before.items()
    }
    kinds = judge.kinds()[asked:]
    assert "StatementGeneratorOutput" not in kinds  # live is not paid twice

    use_settings(monkeypatch, judged.settings)
    codes = [cli.run(lambda f=f: cli.app(["gate", judged.name, "--format", f])) for f in FORMATS]
    assert codes == [10] * len(FORMATS)
    said = capsys.readouterr().out
    assert "# FAIL" in said
    assert "<failure" in said
    assert "<!doctype html>" in said


JUDGED_NAMES = (
    "faithfulness", "answer_relevancy", "judged_context_precision", "judged_context_recall",
)  # fmt: skip
FORMATS = ("markdown", "json", "junit", "html")


def test_a_judge_that_is_down_leaves_no_evidence_and_is_resumed_for_the_rest(
    judged: Knowledge, judge: JudgeServer
) -> None:
    """Half a judging is none; what was judged is not judged twice; the report is the same.

    Without repeats, which judge the same prompts again on purpose.
    """
    judged = judged.declared(judge={**judged.attributes["judge"], "repeats": 0})
    judge.fault = lambda number, _: (503, {"error": {"message": "down"}}) if number > 40 else None
    judged.refresh(end="index")
    with pytest.raises(UnavailableError, match="judge did not answer"):
        judged.run("evidence")
    head, _ = judged.workspace().head("evidence")
    assert head is None
    judge.fault = None
    paid = [r["messages"][0]["content"] for r in judge.requests[:40]]
    start = len(judge.requests)
    judged.run("evidence")
    after = [r["messages"][0]["content"] for r in judge.requests[start:]]
    once = {p for p in paid if paid.count(p) == 1}  # answer relevancy draws three times
    assert [p for p in after if p in once and "AnswerRelevance" not in p] == []
    resumed = evidence_of(judged).digest
    judged.store.delete([head_key("evidence")])
    judged.run("evidence")
    assert evidence_of(judged).digest == resumed


def test_a_spent_budget_is_undecided_and_the_next_run_goes_on(judged: Knowledge) -> None:
    """Never a partial pass, whichever budget it is; with enough of it the rest is judged."""
    judge = {**judged.attributes["judge"], "repeats": 0}
    judged.declared(judge=judge).refresh(end="index")
    budgets = ({"minutes": 1e-4}, {"tokens": 900}, {"money": 1e-3, "price_in": 1}, {"calls": 20})
    for budget in budgets:
        poor = judged.declared(judge={**judge, **budget})
        poor.run("evidence")
        verdict = gate_now(poor.settings, poor.name).verdict
        assert (str(verdict.status), [r.code for r in verdict.reasons]) == (
            "undecided", ["judge_budget"],
        ), budget  # fmt: skip
        assert evidence_of(poor).facts["judge"]["stopped_by"] == next(iter(budget))
        with pytest.raises(GateFailedError):
            poor.run("release")
    rich = judged.declared(judge=judge)
    rich.run("evidence")
    assert str(gate_now(rich.settings, rich.name).verdict.status) == "pass"
    assert not rich.run("evidence").is_changed


def test_what_is_live_is_judged_anew_and_a_loss_rolls_back(
    judged: Knowledge, model: ChatServer
) -> None:
    """A model that was changed behind its name shows on the next morning."""
    watched = judged.declared(evaluation={"roll_back": True})
    watched.refresh()
    first = watched.log()[-1].revision
    found = evaluate_live(watched.workspace(run_id="morning"))
    assert (str(found.verdict.status), found.rolled_back_to) == ("pass", "")
    (watched.documents / "guide77.md").write_text("# New\n\nPool 77 is here.\n", "utf-8")
    watched.refresh()
    assert watched.log()[-1].revision != first
    model.script = lambda body: "NO_ANSWER"
    found = evaluate_live(watched.workspace(run_id="evening"))
    assert str(found.verdict.status) == "fail"
    assert found.rolled_back_to == first == watched.log()[-1].revision

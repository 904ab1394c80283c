"""The judge through the real Ragas: apart, cached, bounded, and never silently wrong."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platform_pipelines.compute import small_model as small_model_program
from platform_pipelines.compute.environments import ensure, interpreter
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.process import Interpreter
from platform_pipelines.compute.protocol import Budget, ItemDone, Task
from platform_pipelines.core.knowledge_base.metrics import JUDGED
from platform_pipelines.gateways.embedding_socket import embedding_socket
from platform_pipelines.gateways.hash_embedder import HashEmbedder
from platform_pipelines.gateways.local_program import free_port, running
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.verdict_socket import verdict_socket
from platform_pipelines.variables import WORKER_ENVIRONMENT
from tests.knowledge import ENVIRONMENTS
from tests.servers.chat_server import reply
from tests.servers.judge_server import JudgeServer

pytestmark = pytest.mark.answers
CONTEXT = "The batch pool has 100 GPUs and queues its work at night. The committee approved it."
KOREAN = "배치 풀에는 GPU 100개가 있고 밤에 작업을 대기열에 넣습니다."
QUESTION = "How many GPUs has the batch pool?"
FAITHFUL = "The batch pool has 100 GPUs."
INVENTED = "Seven purple elephants dance upon Saturn every Tuesday."

Row = dict[str, dict[str, Any]]


def sample(answer: str = FAITHFUL, **fields: Any) -> dict[str, Any]:
    base = {"id": "q", "question": QUESTION, "answer": answer, "contexts": [CONTEXT]}
    return {**base, "reference": FAITHFUL, **fields}


@pytest.fixture(scope="session")
def evaluation() -> Interpreter:
    return interpreter("evaluation", ENVIRONMENTS, print)


@pytest.fixture(scope="module")
def pool(evaluation: Interpreter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """One worker for all: importing Ragas takes seconds."""
    tmp_path = tmp_path_factory.mktemp("worker")
    budget = Budget(seconds_per_item=300, memory_bytes=4 << 30, limit_address_space=False)
    environment = {**WORKER_ENVIRONMENT, "XDG_DATA_HOME": str(tmp_path)}
    with WorkerPool(
        workers=1, budget=budget, environment=environment, interpreter=evaluation
    ) as made:
        yield made


@pytest.fixture
def judged(pool: WorkerPool, tmp_path: Path) -> Any:
    """Scores of samples by a server, and what was spent."""

    def judge(
        server: JudgeServer,
        samples: Sequence[dict[str, Any]],
        metrics: Sequence[str] = ("faithfulness",),
        **options: Any,
    ) -> tuple[list[Row], dict[str, Any]]:
        given = {
            "url": server.url, "model": "overlap", "version": "0.4.3", "seconds": 20.0,
            "attempts": 2, **options,
        }  # fmt: skip
        verdicts = open_store((tmp_path / "judge").as_uri(), create=True)
        with embedding_socket(HashEmbedder()) as path, verdict_socket(verdicts) as cache:
            given["cache"] = str(cache)
            shared = {"options": given, "metrics": list(metrics), "embed": str(path)}
            task = Task("t", ({"samples": list(samples)},))
            for outcome in pool.run("evidence.judge", [task], shared=shared):
                assert not hasattr(outcome, "detail"), outcome
                if isinstance(outcome, ItemDone):
                    result: Any = outcome.result
                    return result["scores"], result["spent"]
        raise AssertionError("no result")

    return judge


def test_faithful_and_invented_answers_come_apart(judged: Any) -> None:
    """In English and in Korean, by every metric that reads the answer; no call is made twice."""
    samples = [
        sample(),
        sample(INVENTED),
        sample("배치 풀에는 GPU 100개가 있습니다.", contexts=[KOREAN], reference=KOREAN),
        sample(
            "화성에는 보라색 코끼리가 일곱 마리 살았습니다.", contexts=[KOREAN], reference=KOREAN
        ),
    ]
    with JudgeServer() as server:
        rows, spent = judged(server, samples, JUDGED)
        assert all(score["trouble"] == "" for row in rows for score in row.values()), rows
        for good, bad in (rows[:2], rows[2:]):
            for metric in ("faithfulness", "answer_correctness"):
                assert good[metric]["score"] - bad[metric]["score"] >= 0.3, (metric, good, bad)
        apart = rows[0]["answer_relevancy"]["score"] - rows[1]["answer_relevancy"]["score"]
        assert apart >= 0.3
        assert [row["judged_context_recall"]["score"] for row in rows[:2]] == [1.0, 1.0]
        assert rows[0]["judged_context_precision"]["score"] == pytest.approx(1.0)
        assert spent["calls"] == len(server.requests)
        again, then = judged(server, samples, JUDGED)
        assert again == rows
        assert (then["calls"], len(server.requests)) == (0, spent["calls"])


def test_calls_are_bounded_and_a_repeat_is_drawn_again(judged: Any) -> None:
    """A judge that many ask at once loses requests; noise is measured by new draws."""
    with JudgeServer() as server:
        judged(server, [sample(question=f"{QUESTION} {n}") for n in range(12)], concurrency=3)
        assert server.most_at_once <= 3
        before = len(server.requests)
        judged(server, [sample(question=f"{QUESTION} 1", repeat=1)])
        assert len(server.requests) == before + 2
        judged(server, [sample(question=f"{QUESTION} 1")], model="another")
        assert len(server.requests) == before + 4


def content(text: str, **fields: Any) -> Any:
    body = reply(text)
    body["choices"][0].update(fields)
    return 200, body


def nli(*verdicts: Any) -> str:
    found = [{"statement": "s", "reason": "r", "verdict": v} for v in verdicts]
    return json.dumps({"statements": found})


@pytest.mark.parametrize(
    ("wrong", "trouble"),
    [
        ("no JSON at all", "malformed"),
        ("{}", "malformed"),
        (nli(7), "malformed"),
        (nli(), "malformed"),
        (nli(1, 1, 1), "malformed"),
        (content("", finish_reason="length"), "length"),
        (content("", message={"role": "assistant", "content": None, "refusal": "no"}), "refused"),
        (content("", finish_reason="content_filter"), "refused"),
        ((429, {"error": {"message": "slow down"}}), "rate_limited"),
        ((503, {"error": {"message": "loading"}}), "unavailable"),
        ((401, {"error": {"message": "wrong key"}}), "configuration"),
        ((404, {"error": {"message": "no such model"}}), "configuration"),
    ],
)
def test_what_is_no_verdict_is_no_score(judged: Any, wrong: Any, trouble: str) -> None:
    """Each kind is told, and nothing of it is kept: the next evaluation asks again."""

    def fault(_: int, body: Any) -> Any:
        kind = body["response_format"]["json_schema"]["name"]
        return wrong if kind == "NLIStatementOutput" else None

    with JudgeServer(fault) as server:
        (row,), _ = judged(server, [sample()])
        assert (row["faithfulness"]["score"], row["faithfulness"]["trouble"]) == (None, trouble)
        server.fault = None
        (row,), _ = judged(server, [sample()])
        assert row["faithfulness"]["score"] == 1.0


@pytest.mark.parametrize(
    "shape", ["```json\n{}\n```", '<think>Hm, {{"a": 1}}</think>\n{}', "\n {} \n"]
)
def test_fences_and_thoughts_around_a_verdict_are_read(judged: Any, shape: str) -> None:
    """Models wrap JSON; that costs no further call."""

    def fault(_: int, body: Any) -> Any:
        kind = body["response_format"]["json_schema"]["name"]
        verdict = nli(1) if kind == "NLIStatementOutput" else json.dumps({"statements": ["s"]})
        return shape.replace("{{", "{").replace("}}", "}").replace("{}", verdict)

    with JudgeServer(fault) as server:
        (row,), spent = judged(server, [sample()])
        assert (row["faithfulness"]["score"], spent["calls"]) == (1.0, 2)


def test_a_judge_that_asks_for_a_pause_gets_it(judged: Any) -> None:
    """Who comes again at once after a 429 is sent away for longer."""
    at: list[float] = []

    def busy(number: int, _: Any) -> Any:
        at.append(time.monotonic())
        return (429, {"error": {"message": "slow down"}}) if number == 1 else None

    with JudgeServer(busy) as server:
        server.retry_after = "2"
        (row,), spent = judged(server, [sample()])
    assert (row["faithfulness"]["score"], spent["calls"]) == (1.0, 3)
    assert at[1] - at[0] >= 2.0


def test_a_judge_that_wants_an_hour_is_not_waited_for(judged: Any) -> None:
    """It is told; the evaluation is run again when the judge may be asked again."""
    with JudgeServer(lambda *_: (429, {"error": {"message": "quota"}})) as server:
        server.retry_after = "3600"
        (row,), spent = judged(server, [sample()], attempts=4)
    assert (row["faithfulness"]["trouble"], spent["calls"]) == ("rate_limited", 1)


def test_a_judge_that_is_too_slow_is_no_verdict(judged: Any) -> None:
    """A call ends at its time-out, and each attempt is counted."""
    ended = threading.Event()

    def asleep(*_: Any) -> None:
        ended.wait(30)

    with JudgeServer(asleep) as server:
        (row,), spent = judged(server, [sample()], seconds=0.2)
        ended.set()
    assert row["faithfulness"]["score"] is None
    assert (row["faithfulness"]["trouble"], spent["calls"]) == ("unavailable", 2)


@pytest.mark.parametrize(
    "budget",
    [{"calls": 3}, {"tokens": 250}, {"money": 1e-4, "price_in": 1}, {"minutes": 1e-4}],
    ids=["calls", "tokens", "money", "minutes"],
)
def test_a_spent_budget_ends_the_judging_and_is_told(judged: Any, budget: dict[str, Any]) -> None:
    """What was judged is kept: with a new budget the rest is paid for, and no more."""
    samples = [sample(question=f"{QUESTION} {n}") for n in range(6)]
    with JudgeServer() as server:
        rows, spent = judged(server, samples, concurrency=1, **budget)
        troubles = {row["faithfulness"]["trouble"] for row in rows}
        assert "budget" in troubles
        assert spent["budget"] == next(iter(budget))
        rows, then = judged(server, samples)
        assert {row["faithfulness"]["score"] for row in rows} == {1.0}
        assert spent["calls"] + then["calls"] == 7


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of a real model of 135 million parameters; its `/v1`."""
    home, port = tmp_path_factory.mktemp("small"), free_port()
    python = ensure("small_model", ENVIRONMENTS, print)
    command = [str(python), small_model_program.__file__, str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(
        command, environment=WORKER_ENVIRONMENT, log=home / "log", ready_url=f"{url}/health",
        seconds=120,
    ):  # fmt: skip
        yield f"{url}/v1"


@pytest.mark.long  # a model on a processor: seconds on a quiet machine, minutes on a busy one
@pytest.mark.timeout(600)
def test_a_real_server_is_asked_by_schema_and_never_gives_an_odd_score(
    judged: Any, small_model: str
) -> None:
    """Its verdicts are noise and gate nothing: what is looked at is that each comes out as a share
    or as a named trouble, that its tokens are counted, and that nothing is asked twice."""
    server: Any = SimpleNamespace(url=small_model)
    options = {
        "model": "small",
        "concurrency": 1,
        "seconds": 250.0,
        "max_tokens": 120,
        "attempts": 1,
    }
    metrics = ("judged_context_recall",)
    (row,), spent = judged(server, [sample()], metrics, **options)
    for score in row.values():
        if score["score"] is None:
            assert score["trouble"] in {"malformed", "length"}, score
        else:
            assert 0.0 <= score["score"] <= 1.0
    assert spent["calls"] >= 1
    assert spent["input_tokens"] > 300
    assert spent["output_tokens"] > 10
    (again,), then = judged(server, [sample()], metrics, **options)
    known = {name for name, score in row.items() if score["score"] is not None}
    assert {name: again[name] for name in known} == {name: row[name] for name in known}
    assert then["cached"] >= len(known)


@pytest.mark.long  # a ratio of times: for a machine that does nothing else
def test_the_wall_of_an_evaluation_is_the_judges_latency(
    judged: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls times the judge's own fixed latency over the concurrency, and at most a tenth more:
    by all metrics with their embeddings. The start of the worker and of Ragas is told apart."""
    latency, concurrency = 1.0, 8
    busy = threading.Event()

    def slow(_: int, body: Any) -> None:
        busy.wait(latency)  # nobody sets it

    samples = [
        sample(question=f"{QUESTION} {n}", contexts=[f"{CONTEXT} Note {n}.", f"Else {n}."])
        for n in range(60)
    ]
    with JudgeServer(slow) as server:
        start = time.monotonic()
        _, warm = judged(server, samples[:1], salt="warm")  # the worker imports Ragas once
        starting = time.monotonic() - start - warm["seconds"]
        _, spent = judged(server, samples, JUDGED, concurrency=concurrency)
        assert server.most_at_once == concurrency
    ratio = spent["seconds"] / (latency * spent["calls"] / concurrency)
    with capsys.disabled():
        print(
            f"\nevaluation wall / (latency x calls / concurrency) = {ratio:.3f}: "
            f"{spent['seconds']:.1f} s, {spent['calls']} calls of {latency:g} s by {concurrency}; "
            f"start of the worker apart: {starting:.1f} s; a call as its caller saw it: "
            f"{spent['call_seconds'] / spent['calls']:.3f} s",
            end=" ",
        )
    assert ratio <= 1.1

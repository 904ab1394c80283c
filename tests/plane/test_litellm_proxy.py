"""What LiteLLM's own loader and router make of the configuration, against a scripted server."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import proxy_config
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.stages.model_catalogue.rehearsal import Gateway, gateway_of
from tests.knowledge import settings_under
from tests.plane.test_rehearsal import home_with_environments

pytestmark = [pytest.mark.plane, pytest.mark.timeout(280)]
PRICE = {"input_per_million": "1.00", "output_per_million": "2.00"}


class Scripted:
    """An OpenAI-compatible server that does what its path says, and counts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.failures = 0  # of `/flaky`, before it answers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.split("/")[1]
                script.asked[name] += 1
                if name == "hanging":
                    script.hang.wait(30)
                broken = name == "broken" or (name == "flaky" and script.failures > 0)
                script.failures -= name == "flaky"
                self._answer(503 if broken else 200)

            def _answer(self, status: int) -> None:
                usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
                message = {"role": "assistant", "content": "hello"}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                body: dict[str, Any] = {"error": {"message": "scripted", "code": status}}
                if status == 200:
                    body = {
                        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
                        "choices": [choice], "usage": usage,
                    }  # fmt: skip
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None: ...

        return Handler

    hang = threading.Event()


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.hang.set()
    server.close()


@pytest.fixture(scope="module")
def gateway(scripted: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A catalogue whose deployments behave and misbehave."""

    def place(name: str, **more: Any) -> dict[str, Any]:
        url = f"{scripted.url}/{name}/v1"
        return {"provider": "openai_compatible", "model": "m", "url": url, **more}

    def model(*places: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"price": PRICE, "deployments": list(places), **more}

    models = {
        "shared": model(place("heavy", weight=80), place("light", weight=20)),
        "falls": model(place("broken"), fallbacks=["good"]),
        "good": model(place("good")),
        "flaky": model(place("flaky")),
        "slow": model(place("hanging")),
        "cached": model(place("cached")),
    }
    spec = parse_spec(
        ModelCatalogueSpec,
        {
            "name": "scripted",
            "models": models,
            "gateway": {"timeout_seconds": 2, "cache": {"host": "redis"}},
            "rehearsal": {"upstream": "declared"},
        },
        where="test",
        noun="models",
    )
    folder: Path = tmp_path_factory.mktemp("gateway")
    settings = settings_under(home_with_environments(folder), None)
    with gateway_of(settings, spec, proxy_config(spec), progress=print) as running:
        yield running


def ask(gateway: Gateway, model: str, prompt: str) -> Any:
    return gateway.ask(model, prompt, maximum_tokens=8)


def test_weights_share_the_requests(gateway: Gateway, scripted: Scripted) -> None:
    """80 : 20 of 100 requests; a weight that is ignored shares them evenly."""
    for number in range(100):
        assert ask(gateway, "shared", f"question {number}").status_code == 200
    assert scripted.asked["heavy"] + scripted.asked["light"] == 100
    assert 65 <= scripted.asked["heavy"] <= 93  # 4 standard deviations


def test_a_failing_model_falls_back_and_the_answer_names_who_gave_it(
    gateway: Gateway, scripted: Scripted
) -> None:
    """The caller sees an answer; the trace and the cost are of the model that gave it."""
    answer = ask(gateway, "falls", "fall back")
    assert answer.status_code == 200
    assert answer.headers["x-litellm-model-id"] == "good-0"
    assert scripted.asked["broken"] >= 1


def test_a_request_is_tried_again_as_often_as_declared(
    gateway: Gateway, scripted: Scripted
) -> None:
    """Three retries: the fourth attempt answers."""
    scripted.failures = 3
    answer = ask(gateway, "flaky", "retry")
    assert answer.status_code == 200
    assert scripted.asked["flaky"] == 4


def test_a_request_ends_at_its_time_out(gateway: Gateway) -> None:
    """A server that never answers must not hold a caller for ever."""
    answer = ask(gateway, "slow", "never")
    assert answer.status_code in (408, 504, 500)
    assert "imeout" in answer.text


def test_an_equal_prompt_is_answered_from_the_cache(gateway: Gateway, scripted: Scripted) -> None:
    """The second is free, and the model is not asked."""
    for _ in range(2):
        assert ask(gateway, "cached", "the same prompt").status_code == 200
    assert scripted.asked["cached"] == 1


def test_the_callback_sends_a_trace_with_tokens_and_cost(gateway: Gateway) -> None:
    """100 tokens at 1 $ and 50 at 2 $ a million are 0.0002 $."""
    gateway.ask("good", "trace me", maximum_tokens=8, trace="a-trace")
    span = gateway.trace("a-trace")
    assert span.attributes["llm.cost.total"] == pytest.approx(0.0002)
    assert span.attributes["llm.token_count.prompt"] == 100


def test_an_unknown_model_and_a_wrong_key_are_refused(gateway: Gateway) -> None:
    """A catalogue is also a list of what is not served."""
    assert ask(gateway, "gpt-unknown", "x").status_code in (400, 404)
    stranger = Gateway(gateway.url, "sk-wrong", gateway.receiver)
    assert ask(stranger, "good", "x").status_code in (400, 401, 403)

"""The language model against servers that answer well, badly, late and not at all."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from platform_pipelines.errors import ConfigurationError, RateLimitedError, UnavailableError
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
from platform_pipelines.gateways.language_model import (
    MAX_TOKENS,
    TEMPERATURE,
    FallbackModels,
    HttpLanguageModel,
    LanguageModel,
    Message,
)

KEY = "sk-test-0123456789"
ATTEMPTS = 3
MESSAGES = [Message("system", "Answer from the passages."), Message("user", "청크란?")]
ANSWER = {"choices": [{"message": {"role": "assistant", "content": " 조각입니다.\n"}}]}

Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers in the order given, the last one for ever, and records what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.requests[-1].content)


class Models:
    """Makes models on a server, whose waits are only recorded, and closes them at the end."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.made: list[LanguageModel] = []

    def __call__(self, server: Handler, *, key: str | None = KEY) -> LanguageModel:
        endpoint = Endpoint(
            url="http://model.example/v1",
            api_key=key,
            timeout_seconds=5.0,
            max_attempts=ATTEMPTS,
            connections=1,
        )
        client = JsonClient(
            endpoint,
            transport=httpx.MockTransport(server),
            sleep=self.waits.append,
            now=lambda: 0.0,
        )
        self.made.append(HttpLanguageModel(client, name="served"))
        return self.made[-1]


@pytest.fixture
def models() -> Iterator[Models]:
    """A factory of language models."""
    factory = Models()
    yield factory
    for model in factory.made:
        model.close()


def ok(body: Any = ANSWER) -> httpx.Response:
    return httpx.Response(200, json=body)


def test_the_reply_is_the_content_without_blank_ends(models: Models) -> None:
    """Servers often begin with a newline; an answer is shown in one line."""
    assert models(Server(ok())).complete(MESSAGES).text == "조각입니다."


def test_the_request_is_calm_bounded_and_names_the_model(models: Models) -> None:
    """A low temperature: an evaluation of answers must not be a lottery."""
    server = Server(ok())
    models(server).complete(MESSAGES)
    assert str(server.requests[0].url) == "http://model.example/v1/chat/completions"
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert server.body == {
        "model": "served",
        "messages": [
            {"role": "system", "content": "Answer from the passages."},
            {"role": "user", "content": "청크란?"},
        ],
        "temperature": TEMPERATURE,
        "max_tokens": MAX_TOKENS,
    }


def test_without_a_key_none_is_sent(models: Models) -> None:
    """A server in the cluster has none; `Bearer None` is refused by some."""
    server = Server(ok())
    models(server, key=None).complete(MESSAGES)
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_a_model_that_says_nothing_gives_an_empty_reply(models: Models, content: Any) -> None:
    """A refusal has null content; the caller then quotes the documents."""
    server = Server(ok({"choices": [{"message": {"content": content}}]}))
    assert models(server).complete(MESSAGES).text == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"text": "the old protocol"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"role": "assistant"}}]},
    ],
)
def test_a_reply_without_a_message_is_told(models: Models, body: Any) -> None:
    """A proxy's login page has status 200 too; no KeyError reaches the caller."""
    with pytest.raises(UnavailableError, match="has no message") as caught:
        models(Server(ok(body))).complete(MESSAGES)
    assert caught.value.where == "model served"
    assert "OpenAI-compatible" in caught.value.remedy


def test_a_page_that_is_no_json_is_told_shortly(models: Models) -> None:
    """The error quotes what was found, and not all of it."""
    page = httpx.Response(200, text="<html>" + "x" * 10_000)
    with pytest.raises(UnavailableError) as caught:
        models(Server(page)).complete(MESSAGES)
    assert len(str(caught.value)) < 500
    long = ok({"choices": [], "usage": "x" * 10_000})
    with pytest.raises(UnavailableError) as caught:
        models(Server(long)).complete(MESSAGES)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [302, 400, 404, 422])
def test_a_refused_request_is_not_asked_again(models: Models, status: int) -> None:
    """A wrong model's name stays wrong; the server's words and the variables are told."""
    refusal = httpx.Response(status, json={"error": {"message": "no model `served`"}})
    server = Server(refusal)
    with pytest.raises(ConfigurationError, match=f"{status} no model `served`") as caught:
        models(server).complete(MESSAGES)
    assert len(server.requests) == 1
    assert caught.value.where == "model served"
    assert "PLATFORM_LANGUAGE_MODEL_URL" in caught.value.remedy


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_shown(models: Models, status: int) -> None:
    """Some servers quote the key that they refuse."""
    server = Server(httpx.Response(status, json={"error": f"wrong key {KEY}"}))
    with pytest.raises(ConfigurationError, match=str(status)) as caught:
        models(server).complete(MESSAGES)
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500, text="oops"),
        httpx.Response(503, text="loading the model"),
        httpx.Response(429, text="slow down"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("cut off"),
    ],
)
def test_trouble_that_passes_is_not_seen(
    models: Models, trouble: httpx.Response | Exception
) -> None:
    """A model server that restarts is asked again, after a wait."""
    server = Server(trouble, ok())
    assert models(server).complete(MESSAGES).text == "조각입니다."
    assert len(server.requests) == 2
    assert len(models.waits) == 1


@pytest.mark.parametrize("trouble", [httpx.Response(503), httpx.ConnectError("refused")])
def test_trouble_that_stays_is_an_unavailable_server(
    models: Models, trouble: httpx.Response | Exception
) -> None:
    """Attempts are bounded: a person waits for the answer."""
    server = Server(trouble)
    with pytest.raises(UnavailableError) as caught:
        models(server).complete(MESSAGES)
    assert len(server.requests) == ATTEMPTS
    assert "http://model.example" in caught.value.where


def test_a_rate_limit_that_stays_carries_the_wish_of_the_server(models: Models) -> None:
    """The caller may wait longer than a call may."""
    server = Server(httpx.Response(429, headers={"Retry-After": "3"}))
    with pytest.raises(RateLimitedError) as caught:
        models(server).complete(MESSAGES)
    assert caught.value.retry_after_seconds == 3
    assert all(wait >= 3 for wait in models.waits)


def test_a_closed_model_may_be_closed_and_used_again(models: Models) -> None:
    """`ask` closes in a `finally`, and so may its caller."""
    model = models(Server(ok()))
    model.close()
    assert model.complete(MESSAGES).text == "조각입니다."
    model.close()
    model.close()
    assert model.complete(MESSAGES).text == "조각입니다."


def test_a_message_is_a_value() -> None:
    """Prompts are compared in tests and digested in evidence."""
    assert Message("user", "a") == Message("user", "a")
    assert Message("user", "a") != Message("system", "a")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>Is it 50? No.</think>\n100 [1]", "100 [1]"),
        ("<think>it never ends", ""),
        ([{"type": "text", "text": "100"}, {"type": "text", "text": " [1]"}], "100 [1]"),
        ([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "100 [1]"}], "100 [1]"),
        ([{"type": "image_url"}, None, "x"], ""),
    ],
)
def test_reasoning_and_parts_are_read(models: Models, content: Any, text: str) -> None:
    """What a model thinks aloud is no answer."""
    server = Server(ok({"choices": [{"message": {"content": content, "reasoning_content": "x"}}]}))
    assert models(server).complete(MESSAGES).text == text


def test_tokens_cut_offs_and_refusals_are_told(models: Models) -> None:
    """The trace counts tokens; an answer that was cut off says so."""
    message = {"content": None, "refusal": "I must not."}
    choice = {"message": message, "finish_reason": "length"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7}
    reply = models(Server(ok({"choices": [choice], "usage": usage}))).complete(MESSAGES)
    assert (reply.input_tokens, reply.output_tokens, reply.finished) == (11, 7, False)
    assert (reply.text, reply.refusal) == ("", "I must not.")


def test_a_refused_parameter_is_left_out_from_then_on(models: Models) -> None:
    """Reasoning models refuse `max_tokens` and any temperature."""
    refusals = [
        httpx.Response(400, json={"error": {"message": f"Unsupported parameter: '{name}'"}})
        for name in ("max_tokens", "temperature")
    ]
    server = Server(*refusals, ok())
    model = models(server)
    assert model.complete(MESSAGES).text == "조각입니다."
    assert set(server.body) == {"model", "messages", "max_completion_tokens"}
    model.complete(MESSAGES)
    assert len(server.requests) == 4


def test_the_next_model_is_asked_when_one_does_not_answer(models: Models) -> None:
    """And the last one's error is told when none does."""
    down = models(Server(httpx.Response(503)))
    assert FallbackModels([down, models(Server(ok()))]).complete(MESSAGES).text == "조각입니다."
    with pytest.raises(UnavailableError):
        FallbackModels([down, down]).complete(MESSAGES)

"""A provider's batch: the lines that are sent, and what its files of results say.

OpenAI's Batch API (also of vLLM, Azure and others): requests of `/v1/chat/completions` with a
`custom_id`. Bedrock: records in the shape of its Converse API (`modelInvocationType`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.core.batch_inference.declaration import BatchModelSpec
from platform_pipelines.core.batch_inference.prompts import Prompt

ENDPOINT = "/v1/chat/completions"
_OF_THE_REQUEST = (400, 404, 413, 422)
_FILTERED = ("content_filter", "content_filtered", "guardrail_intervened")
_CUT = ("length", "max_tokens")


@dataclass(frozen=True, slots=True)
class Result:
    """One prompt's result. `rejected`: it would be the next time too; else `error` may pass."""

    key: str
    text: str = ""
    refusal: str = ""
    finished: bool = True
    input_tokens: int = 0
    output_tokens: int = 0
    error: str = ""
    rejected: bool = False


def openai_lines(prompts: Sequence[Prompt], model: BatchModelSpec) -> bytes:
    """The input file of a batch."""
    return _lines(
        {
            "custom_id": prompt.key,
            "method": "POST",
            "url": ENDPOINT,
            "body": {
                "model": model.model,
                "messages": [{"role": role, "content": text} for role, text in prompt.messages],
                "temperature": model.temperature,
                "max_tokens": model.max_tokens,
            },
        }
        for prompt in prompts
    )


def bedrock_lines(prompts: Sequence[Prompt], model: BatchModelSpec) -> bytes:
    """The input file of a job of the invocation type Converse."""
    return _lines({"recordId": one.key, "modelInput": _converse(one, model)} for one in prompts)


def openai_results(data: bytes) -> Iterator[Result]:
    """Of an output or an error file; a line that is none says nothing of any prompt."""
    for line in _objects(data):
        key, answer = str(line.get("custom_id") or ""), _object(line.get("response"))
        told = _object(line.get("error"))
        status = int(answer.get("status_code") or (0 if told else 200))
        body = _object(answer.get("body"))
        if told or status != 200:
            error = _message(told) or _message(_object(body.get("error"))) or f"HTTP {status}"
            yield Result(key, error=error, rejected=status in _OF_THE_REQUEST)
            continue
        yield _openai_result(key, body)


def bedrock_results(data: bytes) -> Iterator[Result]:
    """Of a file `*.jsonl.out`."""
    for line in _objects(data):
        key, error = str(line.get("recordId") or ""), _object(line.get("error"))
        if error:
            code = int(error.get("errorCode") or 0)
            yield Result(key, error=_text(error, "errorMessage"), rejected=code in _OF_THE_REQUEST)
            continue
        output = _object(line.get("modelOutput"))
        message = _object(_object(output.get("output")).get("message"))
        parts = cast("list[Any]", message.get("content") or [])
        usage, stop = _object(output.get("usage")), _text(output, "stopReason")
        text = "".join(_text(_object(part), "text") for part in parts)
        yield Result(
            key, "" if stop in _FILTERED else text, text or stop if stop in _FILTERED else "",
            stop not in _CUT, int(usage.get("inputTokens") or 0),
            int(usage.get("outputTokens") or 0),
        )  # fmt: skip


def _openai_result(key: str, body: Mapping[str, Any]) -> Result:
    choices = cast("list[Any]", body.get("choices") or [])
    if not choices:
        return Result(key, error="the answer has no choices")
    choice = _object(choices[0])
    message, usage = _object(choice.get("message")), _object(body.get("usage"))
    finish = _text(choice, "finish_reason")
    refusal = _text(message, "refusal") or ("filtered" if finish in _FILTERED else "")
    return Result(
        key, _text(message, "content"), refusal, finish not in _CUT,
        int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0),
    )  # fmt: skip


def _converse(prompt: Prompt, model: BatchModelSpec) -> dict[str, Any]:
    told = [{"text": text} for role, text in prompt.messages if role in ("system", "developer")]
    turns = [
        {"role": role, "content": [{"text": text}]}
        for role, text in prompt.messages
        if role in ("user", "assistant")
    ]
    shape: dict[str, Any] = {
        "messages": turns,
        "inferenceConfig": {"maxTokens": model.max_tokens, "temperature": model.temperature},
    }
    return {**shape, "system": told} if told else shape


def _lines(records: Iterator[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in records).encode()


def _objects(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.decode("utf-8", "replace").split("\n"):
        if not line.strip():
            continue
        try:
            yield _object(json.loads(line))
        except ValueError:
            continue  # cut off: its prompt has no result, and is asked again


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _message(record: Mapping[str, Any]) -> str:
    return _text(record, "message") or _text(record, "code")

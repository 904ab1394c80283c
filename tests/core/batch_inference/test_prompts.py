"""Lines of prompts: what is one, what is none, and what is nobody's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.batch_inference.answers import Answered, State, from_line, to_lines
from platform_pipelines.core.batch_inference.prompts import parse_prompts


def test_three_shapes_of_a_prompt() -> None:
    """A text, a chat, and a line of OpenAI's batch API."""
    chat = [{"role": "user", "content": "b"}]
    told = parse_prompts(
        '{"id": "1", "prompt": "a"}\r\n\n'
        + json.dumps({"id": 2, "messages": chat})
        + "\n"
        + json.dumps({"custom_id": "3", "method": "POST", "body": {"messages": chat}}),
        system="be short",
    )
    assert [(p.id, p.messages[-1][1]) for p in told.prompts] == [("1", "a"), ("2", "b"), ("3", "b")]
    assert all(p.messages[0] == ("system", "be short") for p in told.prompts)
    assert told.wrong == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"), ("[]", "no JSON object"), ('{"prompt": "a"}', "`id`"),
        ('{"id": true, "prompt": "a"}', "`id`"), ('{"id": "1"}', "neither"),
        ('{"id": "1", "prompt": " "}', "neither"), ('{"id": "1", "messages": []}', "neither"),
        ('{"id": "1", "messages": [{"role": "root", "content": "x"}]}', "a message has"),
    ],
)  # fmt: skip
def test_a_wrong_line_costs_itself(line: str, why: str) -> None:
    """The lines around it are prompts."""
    told = parse_prompts(f'{{"id": "a", "prompt": "x"}}\n{line}\n{{"id": "b", "prompt": "x"}}')
    assert [p.id for p in told.prompts] == ["a", "b"]
    assert [(w.line, why in w.why) for w in told.wrong] == [(2, True)]


def test_the_same_line_twice_is_one_prompt_and_two_under_one_id_are_none() -> None:
    """Nobody could tell whose answer it is."""
    told = parse_prompts(
        "\n".join(
            json.dumps({"id": name, "prompt": text})
            for name, text in (("a", "x"), ("b", "x"), ("a", "x"), ("b", "y"))
        )
    )
    assert [p.id for p in told.prompts] == ["a"]
    assert [w.line for w in told.wrong] == [2, 4]


@given(st.text(), st.text(min_size=1), st.sampled_from(State), st.integers(0, 10**9))
def test_a_stored_end_is_read_as_it_was_written(text: str, name: str, state: State, n: int) -> None:
    """Line separators of Unicode, quotes and NUL included; one end is one line."""
    text, name = (t.encode("utf-8", "replace").decode() for t in (text, name))
    end = Answered("k", name, state, text, "m", n, 1, 0.25, "2026-11-27T02:00:00+00:00")
    assert to_lines([end]).count(b"\n") == 1
    assert from_line(to_lines([end]).decode().rstrip("\n")) == end

"""Source code by definition, chat logs by message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.chat import is_chat, read_chat
from platform_pipelines.stages.knowledge_base.parsing.code import read_code

PYTHON = '''"""Module."""

import os

# about f
@decorated
def f(
    x,
) -> int:
    return 1


class A:
    def m(self): ...


if __name__ == "__main__":
    f(1)
'''


def test_python_is_cut_at_definitions_with_their_comments() -> None:
    """A decorator or comment that stays behind belongs to the wrong function."""
    blocks = read_code(PYTHON, "python").blocks
    assert [(b.place.heading, b.place.line) for b in blocks] == [
        ((), 1),
        (("f",), 5),
        (("A",), 13),
        ((), 17),
    ]
    assert blocks[1].text.startswith("# about f\n@decorated\ndef f(")


def test_shell_functions_end_with_their_brace() -> None:
    """The script's main part was shown as the body of its last function."""
    blocks = read_code("#!/bin/sh\n\nk() { x; }\n\n# main\nk a\nf() {\n  b\n}\nf\n", "shell").blocks
    assert [b.place.heading for b in blocks] == [(), ("k",), (), ("f",), ()]


def test_kubernetes_objects_are_named() -> None:
    """One file holds many objects; a citation names the one."""
    text = "kind: Service\nmetadata:\n  name: web\n---\n"
    text += "kind: Pod\nmetadata:\n  labels: {}\n  name: 'p'\n"
    blocks = read_code(text, "yaml").blocks
    assert [b.place.heading for b in blocks] == [("Service web",), ("Pod p",)]
    assert blocks[1].place.line == 5


def test_a_large_yaml_is_cut_at_its_top_level_keys() -> None:
    """Helm values of ten thousand lines have one chunk per section."""
    text = "".join(f"key{n}:\n" + "  x: 1\n" * 300 for n in range(3))
    assert [b.place.heading for b in read_code(text, "yaml").blocks] == [
        ("key0",),
        ("key1",),
        ("key2",),
    ]


def test_small_keys_of_a_large_yaml_stay_together() -> None:
    """A flat file of a hundred thousand keys is not a hundred thousand blocks."""
    text = "".join(f"key{n}: value\n" for n in range(1000))
    blocks = read_code(text, "yaml").blocks
    assert 10 < len(blocks) < 60
    assert "\n".join(b.text for b in blocks) + "\n" == text


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("go", "package a\n\nfunc (s *S) Run() {\n}\n\ntype T struct {\n}\n", ["", "Run", "T"]),
        ("typescript", "export async function f() {\n}\nexport class C {\n}\n", ["f", "C"]),
        ("hcl", 'resource "a" "b" {\n}\n', ['resource "a" "b"']),
        ("dockerfile", "FROM a AS x\nRUN b\nFROM c\n", ["a AS x", "c"]),
        (None, "whole\n\nfile\n", [""]),
    ],
)
def test_other_languages_are_cut_too(language: str | None, text: str, names: list[str]) -> None:
    """One rule per language, by the beginning of its definitions."""
    found = [" ".join(b.place.heading) for b in read_code(text, language).blocks]
    assert found == names


@given(
    st.lists(st.sampled_from(["def f():", "  x = 1", "", "# c", "@d", "class A:", "y = 2", "}"]))
)
def test_no_line_of_code_is_lost_or_moved(lines: list[str]) -> None:
    """The blocks are the file, in order, without blank edges."""
    blocks = read_code("\n".join(lines), "python").blocks
    kept = [line for b in blocks for line in b.text.split("\n") if line.strip()]
    assert kept == [line for line in lines if line.strip()]


def _lines(*records: object) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def test_each_message_is_one_block_with_speaker_and_time() -> None:
    """Who said it, and when, is the citation."""
    text = _lines(
        {"ts": "1789000000.5", "user": "문태오", "text": "확인\n했습니다", "channel": "#help"},
        {"time": "2026-09-17T14:02:11+09:00", "from": {"name": "Lena"}, "message": "ok"},
        {"timestamp": 1789000000000, "author": "c", "content": [{"text": "part"}, "two"]},
        {"ts": "1", "user": "d", "subtype": "join"},
    )
    blocks = read_chat(text, key="a.jsonl").blocks
    assert [(b.text, b.place.speaker, b.place.time) for b in blocks] == [
        ("확인\n했습니다", "문태오", "2026-09-10T00:26:40Z"),
        ("ok", "Lena", "2026-09-17T14:02:11+09:00"),
        ("part\ntwo", "c", "2026-09-10T00:26:40Z"),
    ]
    assert blocks[0].place.heading == ("#help",)


def test_replies_follow_the_message_that_opened_their_thread() -> None:
    """An answer three screens below its question was chunked with somebody else's."""
    text = _lines(
        {"ts": "1", "user": "a", "text": "question"},
        {"ts": "2", "user": "b", "text": "other"},
        {"ts": "3", "user": "c", "text": "answer", "thread_ts": "1"},
        {"ts": "4", "user": "d", "text": "orphan", "thread_ts": "0"},
        {"ts": "5", "user": "a", "text": "thanks", "reply_to": "3"},
    )
    order = [b.text for b in read_chat(text, key="a").blocks]
    assert order == ["question", "answer", "thanks", "other", "orphan"]


def test_a_json_array_of_messages_is_a_chat() -> None:
    """The form of Slack's own export."""
    text = json.dumps([{"user": "a", "text": "x"}])
    assert [b.text for b in read_chat(text, key="a").blocks] == ["x"]


@pytest.mark.parametrize("bad", ["{broken", "[1]", "3"])
def test_a_broken_line_is_named(bad: str) -> None:
    """Half a log must not pass for the whole."""
    text = _lines({"user": "a", "text": "x"}) + "\n" + bad
    with pytest.raises(DocumentError, match="line 2") as caught:
        read_chat(text, key="a")
    assert caught.value.reason == Reason.CORRUPT


_EXPORTS = {
    "teams": {"value": [
        {"id": "1", "createdDateTime": "2026-01-01T09:00:00Z", "messageType": "message",
         "from": {"application": None, "user": {"id": "u1", "displayName": "Hana Seo"}},
         "body": {"contentType": "html", "content": "<p>Relay is <b>down</b> &amp; out</p>"}},
        {"id": "2", "createdDateTime": "2026-01-01T09:01:00Z", "from": None,
         "messageType": "systemEventMessage", "body": {"contentType": "html", "content": "<x/>"}},
    ]},
    "mattermost": {"order": ["b", "a"], "posts": {
        "a": {"id": "a", "create_at": 1767258000000, "user_id": "Hana Seo",
              "message": "Relay is down & out", "root_id": ""},
        "b": {"id": "b", "create_at": 1767258060000, "user_id": "x", "message": "", "root_id": "a"},
    }},
    "telegram": {"name": "ops", "messages": [
        {"id": 1, "type": "service", "actor": "Hana Seo", "action": "create_group", "text": ""},
        {"id": 2, "type": "message", "from": "Hana Seo", "date": "2026-01-01T09:00:00",
         "text": ["Relay is ", {"type": "bold", "text": "down"}, " & out"]},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("name", _EXPORTS)
def test_exports_of_other_programs_are_chats(name: str) -> None:
    """They were taken for JSON source, and `"createdDateTime"` was searched instead of words."""
    text = json.dumps(_EXPORTS[name])
    assert is_chat(text)
    (block,) = read_chat(text, key="a.json").blocks
    assert " ".join(block.text.split()) == "Relay is down & out"
    assert block.place.speaker == "Hana Seo"
    assert (block.place.time or "").startswith("2026-01-01T09:00:00")


def test_a_bulk_export_of_mattermost_is_a_chat() -> None:
    """A post is in an envelope, its replies inside it."""
    lines = [
        {"type": "version", "version": 1},
        {"type": "post", "post": {"channel": "ops", "user": "hana", "message": "down",
                                  "create_at": 1, "replies": [{"user": "jun", "message": "up"}]}},
    ]  # fmt: skip
    text = "\n".join(map(json.dumps, lines))
    assert is_chat(text)
    blocks = read_chat(text, key="a.jsonl").blocks
    assert [(b.place.speaker, b.text) for b in blocks] == [("hana", "down"), ("jun", "up")]
    assert {b.place.heading for b in blocks} == {("ops",)}


@pytest.mark.parametrize(
    "value",
    [{"messages": {"hello": "Hello"}}, {"name": "a", "data": [1, 2]}, {"value": [{"id": 1}]},
     [{"name": "x", "content": "y"}], {"users": [{"id": "U1", "name": "hana"}]}],
)  # fmt: skip
def test_json_of_other_things_is_no_chat(value: object) -> None:
    """Translations and API answers have messages too."""
    assert not is_chat(json.dumps(value))

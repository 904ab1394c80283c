"""Every prompt has one stored end, whatever is killed, refused or down."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.batch_inference.answers import from_lines
from platform_pipelines.errors import (
    ConfigurationError,
    EmptyCorpusError,
    RequestRefusedError,
    SourceNotFoundError,
    UnavailableError,
)
from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.batch_inference.answers import refresh_answers
from platform_pipelines.stages.batch_inference.workspace import Workspace, open_workspace
from platform_pipelines.stages.road.usage import read_usage
from tests.batches import declared, prompt_lines, said, settings_of
from tests.readme import ROOT
from tests.servers.chat_server import ChatServer, reply
from tests.servers.s3_server import s3_server


@dataclass
class Place:
    """A folder of prompts and the platform's store beside it."""

    folder: Path
    url: str
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        file = self.folder / "prompts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def workspace(self, **changes: Any) -> Workspace:
        settings = settings_of(self.folder / "home", (self.folder / "store").as_uri())
        spec = declared((self.folder / "prompts").as_uri(), self.url, **{**self.changes, **changes})
        return open_workspace(spec, settings, run_id="run")

    def stored(self) -> list[Any]:
        return stored(self.workspace().answers)


def stored(answers: ObjectStore) -> list[Any]:
    keys = [one.key for batch in answers.list_objects() for one in batch]
    return [row for key in sorted(keys) for row in from_lines(answers.get(key)[0])]


def test_prompts_become_answers_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    """A nightly run over old files costs a listing."""
    with ChatServer(said) as server:
        place = Place(tmp_path, server.url, {"batch": 10})
        place.write("one.jsonl", prompt_lines(25))
        first = refresh_answers(place.workspace())
        assert first.snapshot.counts["answered"] == 25
        assert {row.id: row.text for row in place.stored()} == {
            f"p{n}": f"it is {2 * n}" for n in range(25)
        }
        assert not refresh_answers(place.workspace()).is_changed
        place.write("two.jsonl", prompt_lines(3))
        refresh_answers(place.workspace())
    assert len(server.requests) == 28
    assert len(place.stored()) == 28


def test_lines_added_to_a_file_are_asked_and_the_old_ones_are_not(tmp_path: Path) -> None:
    """An export that grows is no new export."""
    with ChatServer(said) as server:
        place = Place(tmp_path, server.url, {"batch": 10})
        place.write("one.jsonl", prompt_lines(15))
        refresh_answers(place.workspace())
        place.write("one.jsonl", prompt_lines(22))
        outcome = refresh_answers(place.workspace())
    assert len(server.requests) == 22
    assert outcome.snapshot.counts["answered"] == 22
    assert Counter(row.id for row in place.stored()) == Counter(f"p{n}" for n in range(22))


def test_another_model_answers_anew(tmp_path: Path) -> None:
    """An answer is of a recipe: the former ones stay beside."""
    with ChatServer(said) as server:
        place = Place(tmp_path, server.url)
        place.write("one.jsonl", prompt_lines(4))
        refresh_answers(place.workspace())
        price = {"input_per_million": "0", "output_per_million": "0"}
        other = {"url": server.url, "model": "m", "max_tokens": 9, **price}
        refresh_answers(place.workspace(language_model=other))
    assert len(place.stored()) == 8


def test_a_prompt_that_the_server_rejects_is_reported_and_not_asked_again(tmp_path: Path) -> None:
    """One that is too long costs itself, tonight and every night."""

    def script(body: dict[str, Any]) -> Any:
        if "13" in body["messages"][-1]["content"].split()[2]:
            return 400, {"error": {"message": "longer than the context"}}
        return said(body)

    with ChatServer(script) as server:
        place = Place(tmp_path, server.url, {"batch": 5})
        place.write("one.jsonl", prompt_lines(20) + "no json\n" + prompt_lines(2))
        outcome = refresh_answers(place.workspace())
        assert not refresh_answers(place.workspace()).is_changed
    assert outcome.snapshot.counts["rejected"] == 1
    assert outcome.snapshot.counts["answered"] == 19
    told = outcome.snapshot.details["failures"]
    assert [(one["prompt"], one["state"]) for one in told] == [
        ("line 21", "wrong line"), ("p13", "rejected"),
    ]  # fmt: skip
    assert "longer than the context" in told[1]["why"]


def test_a_server_that_refuses_everybody_marks_nobody(tmp_path: Path) -> None:
    """A wrong model's name is no property of ten thousand prompts."""
    with ChatServer(lambda body: (400, {"error": {"message": "no such model"}})) as server:
        place = Place(tmp_path, server.url)
        place.write("one.jsonl", prompt_lines(6))
        with pytest.raises(RequestRefusedError, match="no such model"):
            refresh_answers(place.workspace())
        assert place.stored() == []
        server.script = said
        assert refresh_answers(place.workspace()).snapshot.counts["answered"] == 6


def test_a_refused_key_stops_the_run(tmp_path: Path) -> None:
    """Asking on would lock the account."""
    with ChatServer(lambda body: (401, {"error": {"message": "wrong key"}})) as server:
        place = Place(tmp_path, server.url, {"concurrency": 2})
        place.write("one.jsonl", prompt_lines(300))
        with pytest.raises(ConfigurationError, match="wrong key"):
            refresh_answers(place.workspace())
    assert len(server.requests) < 300


def test_what_was_unavailable_is_asked_by_the_next_run(tmp_path: Path) -> None:
    """A hiccup costs its prompts one night; a server that is down ends the run."""
    down = threading.Event()

    def script(body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"].split()[2])
        return (503, {}) if down.is_set() or number % 5 == 0 else said(body)

    with ChatServer(script) as server:
        place = Place(tmp_path, server.url, {"attempts": 1, "batch": 10})
        place.write("one.jsonl", prompt_lines(30))
        first = refresh_answers(place.workspace())
        assert (first.snapshot.counts["answered"], first.snapshot.counts["waiting"]) == (24, 6)
        down.set()
        with pytest.raises(UnavailableError):
            refresh_answers(place.workspace())
        down.clear()
        server.script = said
        last = refresh_answers(place.workspace())
    assert (last.snapshot.counts["answered"], last.snapshot.counts["waiting"]) == (30, 0)
    assert Counter(row.id for row in place.stored()) == Counter(f"p{n}" for n in range(30))


def test_refusals_and_cut_answers_are_told_apart(tmp_path: Path) -> None:
    """A text that was cut off is an answer; a refusal is none."""

    def script(body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"].split()[2])
        if number == 0:
            return 200, reply("half an ans", finish="length")
        if number == 1:
            refused = reply("")
            refused["choices"][0]["message"]["refusal"] = "I will not"
            return 200, refused
        return said(body)

    with ChatServer(script) as server:
        place = Place(tmp_path, server.url)
        place.write("one.jsonl", prompt_lines(3))
        counts = refresh_answers(place.workspace()).snapshot.counts
    assert (counts["cut"], counts["refused"], counts["answered"]) == (1, 1, 1)


def test_what_it_took_is_written_down_once(tmp_path: Path) -> None:
    """The cost page reads it; a part that is looked at again is not paid again."""
    with ChatServer(said) as server:
        place = Place(tmp_path, server.url, {"batch": 4, "tenant": "acme"})
        place.write("one.jsonl", prompt_lines(10))
        outcome = refresh_answers(place.workspace())
        place.write("one.jsonl", prompt_lines(11))
        refresh_answers(place.workspace())
        workspace = place.workspace()
    days = {row.at[:10] for row in place.stored()}
    usage = [u for day in days for u in read_usage(workspace.platform, date.fromisoformat(day))]
    assert len({one.answer_id for one in usage}) == len(usage) == 11
    assert sum(one.input_tokens for one in usage) == 1100
    assert {one.tenant for one in usage} == {"acme"}
    assert outcome.facts["run"].input_tokens == 1000


def test_no_prompts_is_an_error(tmp_path: Path) -> None:
    """A misspelt folder must not look like a quiet night."""
    place = Place(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(SourceNotFoundError):
        refresh_answers(place.workspace())
    place.write("notes.txt", "x")
    with pytest.raises(EmptyCorpusError):
        refresh_answers(place.workspace())


class DiedError(BaseException):
    """As a kill: nothing handles it."""


class Dying:
    """A store whose nth write, or the process after it, does not happen."""

    def __init__(self, inner: ObjectStore, count: "itertools.count[int]", at: int) -> None:
        self._inner, self._count, self._at = inner, count, at

    def put(self, key: str, *args: Any, **named: Any) -> str:
        number = next(self._count)
        if number == self._at and number % 2:
            raise DiedError
        version = self._inner.put(key, *args, **named)
        if number == self._at:
            raise DiedError
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DyingWorkspace(Workspace):
    """One whose writes go through one fuse."""

    fuse: Callable[[ObjectStore], Any]

    @property
    def answers(self) -> ObjectStore:
        return self.fuse(Workspace.answers.fget(self))

    @property
    def platform(self) -> ObjectStore:
        return self.fuse(Workspace.platform.fget(self))


def test_it_dies_at_each_write_and_ends_the_same(tmp_path: Path) -> None:
    """Between an answer, its file, its cost and the head there is no gap that counts twice."""
    for at in itertools.count(1):
        with ChatServer(said) as server:
            place = Place(tmp_path / str(at), server.url, {"batch": 3, "concurrency": 1})
            place.write("one.jsonl", prompt_lines(7))
            died = _die_at(place.workspace(), at)
            refresh_answers(place.workspace())
            rows, workspace = place.stored(), place.workspace()
            asked = len(server.requests)
        assert Counter(row.id for row in rows) == Counter(f"p{n}" for n in range(7)), at
        days = {date.fromisoformat(row.at[:10]) for row in rows}
        usage = [u for day in days for u in read_usage(workspace.platform, day)]
        assert len({u.answer_id for u in usage}) == len(usage) == 7, at
        assert asked <= 8, at
        if not died:
            break
    assert at > 14


def _die_at(workspace: Workspace, at: int) -> bool:
    numbers = itertools.count(1)
    fields = {name: getattr(workspace, name) for name in Workspace.__dataclass_fields__}
    fields["store"] = Dying(workspace.store, numbers, at)
    dying = DyingWorkspace(**fields, fuse=lambda store: Dying(store, numbers, at))
    try:
        refresh_answers(dying)
    except DiedError:
        return True
    return False


@dataclass
class Killer:
    """Answers as the tests' model does, and kills the process at chosen calls."""

    at: list[int]
    asked: Counter[str] = field(default_factory=Counter)
    process: "subprocess.Popen[str] | None" = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, body: dict[str, Any]) -> str:
        with self.lock:
            self.asked[body["messages"][-1]["content"]] += 1
            if self.at and self.asked.total() >= self.at[0] and self.process is not None:
                self.at.pop(0)
                os.kill(self.process.pid, signal.SIGKILL)
        return said(body)


def run_until_it_ends(killer: Killer, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Start it again after every kill; how often it died, and what the last one said."""
    died = 0
    while True:
        command = [sys.executable, "-m", "tests.batches", json.dumps(given)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            killer.process = process
            out, error = process.communicate(timeout=240)
        if process.returncode == 0:
            return died, json.loads(out)
        assert process.returncode == -signal.SIGKILL, error
        died += 1


@pytest.mark.server
@pytest.mark.parametrize(
    ("prompts", "kills"),
    [(1_000, 4), pytest.param(10_000, 20, marks=pytest.mark.long)],
)
def test_killed_on_s3_each_prompt_is_answered_once(
    tmp_path: Path, prompts: int, kills: int
) -> None:
    """Real processes, killed by SIGKILL while they ask; repeated calls <= kills x concurrency."""
    s3 = s3_server()
    bucket = s3.make_bucket()
    options = StoreOptions(**{**_fields(s3.options), "concurrency": 4})
    inputs = open_store(f"s3://{bucket}/prompts", options=options)
    half = prompts // 2
    lines = prompt_lines(prompts).splitlines(keepends=True)
    inputs.put("day/1.jsonl", "".join(lines[:half]).encode())
    inputs.put("day/2.jsonl", "".join(lines[half:]).encode())
    concurrency = 8
    killer = Killer([prompts * (n + 1) // (kills + 1) + n for n in range(kills)])
    with ChatServer(killer) as server:
        given = {
            "home": str(tmp_path / "home"), "store": f"s3://{bucket}/platform",
            "endpoint": s3.endpoint, "prompts": f"s3://{bucket}/prompts", "url": server.url,
            "answers": f"s3://{bucket}/answers", "concurrency": concurrency,
        }  # fmt: skip
        died, last = run_until_it_ends(killer, given)
    rows = stored(open_store(f"s3://{bucket}/answers", options=options))
    assert died == kills
    assert last["counts"]["answered"] == prompts
    assert Counter(row.id for row in rows) == Counter(f"p{n}" for n in range(prompts))
    assert all(row.text == f"it is {2 * int(row.id[1:])}" for row in rows)
    repeated = killer.asked.total() - prompts
    print(f"{prompts} prompts, {kills} kills: {repeated} repeated calls")
    assert repeated <= kills * concurrency
    left = open_store(f"s3://{bucket}/platform/batch_inference/nightly/inbox", options=options)
    assert [one.key for batch in left.list_objects() for one in batch] == []


def _fields(options: StoreOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}

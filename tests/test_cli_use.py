"""The program as a process: exit codes, standard output, Ctrl-C, and during a refresh."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from platform_pipelines import cli
from platform_pipelines.settings import Settings
from tests.declared import use_settings
from tests.end_to_end.holding import HeldRefresh
from tests.knowledge import Knowledge, guide, new_knowledge, settings_under

SECONDS = 60
# A shell that starts a job in the background has it ignore Ctrl-C: undone, as in a terminal.
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from platform_pipelines.cli import main; main()"
)
NOBODY = "http://127.0.0.1:1"
UNKNOWN = "Who painted the ceiling of the Sistine chapel?"
HIT = {
    "chunk_id", "score", "similarity", "document_key", "text", "title", "place", "language",
    "document_type", "citation", "also",
}  # fmt: skip
PLACE = {"heading", "page", "slide", "sheet", "line", "speaker", "time"}


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    """Ten guides, released."""
    folder = tmp_path_factory.mktemp("use")
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "kb", settings, guides=range(10), name="guides_in_use")
    made.refresh()
    return made


@pytest.fixture
def here(guides: Knowledge, monkeypatch: pytest.MonkeyPatch) -> Knowledge:
    """The guides, where programs started by this test find them."""
    use_settings(monkeypatch, guides.settings)
    return guides


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program, running; killed when the test ends before it."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", START, *arguments]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def program(*arguments: str) -> tuple[int, str, str]:
    """Its exit code, standard output and standard error; never a traceback."""
    with started(*arguments) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def record(text: str) -> dict[str, Any]:
    """One object in strict JSON, which has no NaN, and nothing else."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is not JSON")

    loaded = json.loads(text, parse_constant=refuse)
    assert isinstance(loaded, dict)
    return loaded


class TestExitCodes:
    """What a script branches on: each documented code, by the very program."""

    CASES: tuple[tuple[int, tuple[str, ...], Mapping[str, str]], ...] = (
        (0, ("search", "guides_in_use", "quota of pool number 3"), {}),
        (0, ("ask", "guides_in_use", "What is the quota of pool number 5?"), {}),
        (0, ("releases", "guides_in_use"), {}),
        (0, ("doctor",), {}),
        (1, ("search", "guide_in_use", "quota"), {}),
        (1, ("search", "guides_in_use", "quota", "--tenant", ""), {}),
        (2, (), {}),
        (2, ("search", "guides_in_use", "quota", "-k", "-3"), {}),
        (2, ("releases", "guides_in_use"), {"PLATFORM_WORKERS": "0"}),
        (3, ("search", "guides_in_use", "quota", "--tenant", "nobody"), {}),
        (3, ("ask", "guides_in_use", UNKNOWN), {}),
        (4, ("doctor",), {"PLATFORM_MILVUS_URI": NOBODY}),
        (75, ("search", "guides_in_use", "quota"), {"PLATFORM_MILVUS_URI": NOBODY}),
    )

    @pytest.mark.parametrize(("code", "arguments", "variables"), CASES)
    def test_each_documented_code(
        self, here: Knowledge, monkeypatch: pytest.MonkeyPatch, code: int,
        arguments: tuple[str, ...], variables: Mapping[str, str],
    ) -> None:  # fmt: skip
        """An error says so on standard error and nothing on standard output, which is piped."""
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found, out, err = program(*arguments)
        assert found == code, err
        said, silent = (err, out) if code in {1, 2, 75} else (out, err)
        assert said
        assert silent == ""

    def test_no_documented_code_is_left_out(self) -> None:
        """A code that is documented and never returned misleads whoever waits for it."""
        documented = {int(number) for number in re.findall(r"(?<=[:;] )\d+", cli.__doc__ or "")}
        documented |= {int(n) for n in re.findall(r"^(\d+)\b", cli.__doc__ or "", re.MULTILINE)}
        of_gate = {10, 11}  # of a verdict: a table of the gate's command, not of these cases
        assert documented - of_gate == {code for code, _, _ in self.CASES} == {0, 1, 2, 3, 4, 75}

    @pytest.mark.parametrize("command", ["search", "ask"])
    @pytest.mark.parametrize("text", ["", " \t\n", "\u3000"])
    def test_nothing_to_look_for_is_wrong_usage(
        self, here: Knowledge, capsys: pytest.CaptureFixture[str], command: str, text: str
    ) -> None:
        """An unset variable in a script must not come back with somebody's documents."""
        code = cli.run(lambda: cli.app([command, here.name, text]))
        said = capsys.readouterr()
        assert (code, said.out) == (cli.EXIT_USAGE, "")
        assert "empty" in said.err

    @pytest.mark.parametrize("command", ["search", "ask"])
    @pytest.mark.parametrize(
        ("k", "allowed"), [("0", "1"), ("-1", "1"), ("101", "100"), ("many", "integer")]
    )
    def test_a_wrong_k_names_what_is_allowed(
        self, here: Knowledge, capsys: pytest.CaptureFixture[str], command: str, k: str,
        allowed: str,
    ) -> None:  # fmt: skip
        """Neither everything nor nothing."""
        code = cli.run(lambda: cli.app([command, here.name, "quota", "-k", k]))
        said = capsys.readouterr()
        assert (code, said.out) == (cli.EXIT_USAGE, "")
        assert "'-k'" in said.err
        assert allowed in re.findall(r"\w+", said.err)

    def test_where_nothing_was_released_yet(
        self, here: Knowledge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """In a fresh clone, or in a wrong folder: what to run, and nothing is made there."""
        home = tmp_path / "fresh"
        monkeypatch.setenv("PLATFORM_HOME", str(home))
        monkeypatch.delenv("PLATFORM_STORE_URL")
        code, out, err = program("search", "notes", "x")
        assert (code, out) == (cli.EXIT_ERROR, "")
        assert "UnknownNameError" in err
        assert "dg launch --job notes_refresh" in err
        assert not home.exists()


class TestJson:
    """`--json`: one object with the documented fields, for other programs to read."""

    def test_search(self, here: Knowledge) -> None:
        """Everything that is needed to show the place that was found."""
        code, out, err = program("search", here.name, "구역3 장애 보고서", "-k", "4", "--json")
        found = record(out)
        assert (code, err) == (0, "")
        assert set(found) == {"revision", "hits"}
        assert found["revision"] == here.log()[-1].revision
        assert len(found["hits"]) == 4
        assert all(set(hit) == HIT for hit in found["hits"])
        assert all(set(hit["place"]) == PLACE for hit in found["hits"])
        heading = found["hits"][0]["place"]["heading"]
        assert heading
        assert found["hits"][0]["citation"].endswith(" › ".join(heading))
        scores = [hit["score"] for hit in found["hits"]]
        assert scores == sorted(scores, reverse=True)

    @pytest.mark.parametrize(
        ("question", "known"), [("What is the quota of pool number 7?", True), (UNKNOWN, False)]
    )
    def test_ask(self, here: Knowledge, question: str, known: bool) -> None:
        """The same fields whether it is known or not; what is not known has no text."""
        code, out, err = program("ask", here.name, question, "--json")
        answer = record(out)
        assert (code, err) == (0 if known else cli.EXIT_NOTHING, "")
        assert set(answer) == {
            "question", "known", "text", "citations", "decision", "revision", "model", "nearest",
            "note", "usage",
        }  # fmt: skip
        assert answer["known"] is known
        assert bool(answer["text"]) is bool(answer["citations"]) is known
        for citation in answer["citations"]:
            fields = {"number", "citation", "document_key", "chunk_id", "quote", "also"}
            assert set(citation) == fields
            assert citation["quote"] in answer["text"]

    def test_releases(self, here: Knowledge) -> None:
        """What a deployment asks before and after."""
        code, out, err = program("releases", here.name, "--json")
        (entry,) = record(out)["releases"]
        assert (code, err) == (0, "")
        assert entry["revision"] == here.log()[-1].revision
        assert {"sequence", "action", "at", "actor", "previous_revision"} <= set(entry)

    def test_doctor_when_broken(self, here: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
        """Still one object, and its word for it is the exit code's."""
        monkeypatch.setenv("PLATFORM_MILVUS_URI", NOBODY)
        code, out, _ = program("doctor", "--json")
        report = record(out)
        assert code == cli.EXIT_BROKEN
        assert set(report) == {"healthy", "findings"}
        assert report["healthy"] is False
        assert all(set(f) == {"part", "health", "seen", "remedy"} for f in report["findings"])

    @pytest.mark.parametrize(
        "arguments", [("search", "nobody", "x"), ("ask", "nobody", "x"), ("releases", "nobody")]
    )
    def test_an_error_is_not_half_an_object(
        self, here: Knowledge, arguments: tuple[str, ...]
    ) -> None:
        """Standard output is empty, so that a parser fails at once and not on the message."""
        code, out, err = program(*arguments, "--json")
        assert (code, out) == (cli.EXIT_ERROR, "")
        assert here.name in err


class TestCtrlC:
    """A person who does not want to wait: 130, as shells expect, and no traceback."""

    def test_while_milvus_does_not_answer(
        self, here: Knowledge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that takes the connection and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            monkeypatch.setenv("PLATFORM_MILVUS_URI", f"http://127.0.0.1:{port}")
            with started("search", here.name, "quota") as process:
                silent.settimeout(SECONDS)
                connection, _ = silent.accept()
                with connection:
                    self.interrupted(process)

    def test_while_the_language_model_thinks(
        self, here: Knowledge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A large model, a long answer."""
        with thinking_model() as (url, asked):
            monkeypatch.setenv("PLATFORM_LANGUAGE_MODEL_URL", url)
            monkeypatch.setenv("PLATFORM_LANGUAGE_MODEL", "large")
            with started("ask", here.name, "What is the quota of pool number 5?") as process:
                assert asked.wait(SECONDS)
                self.interrupted(process)

    @staticmethod
    def interrupted(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 128 + signal.SIGINT, err
        assert "Traceback" not in err
        assert out == ""


@contextmanager
def thinking_model() -> Iterator[tuple[str, threading.Event]]:
    """A language model's server that answers nobody before the end; tells when it was asked."""
    asked, end = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.set()
            end.wait(SECONDS)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", asked
        finally:
            end.set()
            server.shutdown()
            thread.join()


def test_a_reader_that_has_seen_enough_ends_it_quietly(here: Knowledge) -> None:
    """`... | head -1`: no traceback of a broken pipe on the terminal."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", START, "releases", here.name],
            stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.end_to_end
def test_it_answers_from_the_live_revision_at_any_moment_of_a_refresh(
    tmp_path: Path, embedded_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the embedded default: the refresh is stopped at its writes, and a search comes in between.

    One process at a time may open the database; and half a collection must never be searched.
    """
    knowledge = new_knowledge(tmp_path / "kb", embedded_settings, name="busy")
    knowledge.refresh()
    use_settings(monkeypatch, embedded_settings)
    for turn, write in enumerate(("insert", "point_alias")):
        live = knowledge.log()[-1].revision
        (knowledge.documents / "guide1.md").write_text(guide(1, note=f"Turn {turn}."), "utf-8")
        with HeldRefresh(knowledge, tmp_path, before=write) as refresh:
            refresh.wait_until_held()
            code, out, err = program("search", "busy", "quota of pool number 1", "-k", "1")
            assert code == 0, err
            assert f"Turn {turn}." not in out
            assert out.splitlines()[-1] == f"revision {live}"
            assert refresh.is_running()
        assert refresh.ending().error == ""
        code, out, err = program("search", "busy", "quota of pool number 1", "-k", "1")
        assert code == 0, err
        assert f"Turn {turn}." in out
        assert live not in out

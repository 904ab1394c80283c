"""The command line: what it prints, its JSON, and what its exit codes mean."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines import cli
from tests.declared import use_settings
from tests.knowledge import (
    Knowledge,
    copied,
    golden_lines,
    guide,
    new_knowledge,
    settings_under,
)

Program = Callable[..., tuple[int, str, str]]
GUIDES = range(12)


@pytest.fixture(scope="module")
def released_once(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    """Twelve guides, released twice; `ask` is calibrated on a golden set."""
    folder = tmp_path_factory.mktemp("cli")
    settings = settings_under(folder / "home", lite_uri)
    (folder / "kb").mkdir()
    golden = golden_lines(GUIDES, unanswerable=12)
    (folder / "kb" / "golden.jsonl").write_text(golden, encoding="utf-8")
    knowledge = new_knowledge(folder / "kb", settings, guides=GUIDES, name="guides_of_cli")
    knowledge.refresh()
    changed = guide(0, note="Changed once.")
    (knowledge.documents / "guide0.md").write_text(changed, encoding="utf-8")
    proven = knowledge.declared(gate={"golden_set": "golden.jsonl"})
    proven.refresh()
    return proven


@pytest.fixture
def program(
    released_once: Knowledge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The program with arguments: exit code, standard output, standard error."""
    use_settings(monkeypatch, released_once.settings)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(lambda: cli.app(list(arguments)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def record(text: str) -> dict[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


def test_search_cites_document_heading_score_and_revision(
    program: Program, released_once: Knowledge
) -> None:
    """Whoever reads a hit can go and look at the very place, in the very revision."""
    code, out, _ = program("search", released_once.name, "quota of pool number 3", "-k", "2")
    assert code == 0
    first, *_ = out.splitlines()
    assert first.startswith("1. guide3.md ›")
    assert re.search(r"score \d\.\d{4}, similarity \d\.\d{3}", first)
    assert out.splitlines()[-1] == f"revision {released_once.log()[-1].revision}"
    assert len(re.findall(r"^\d\. ", out, flags=re.MULTILINE)) == 2


def test_search_as_json(program: Program, released_once: Knowledge) -> None:
    """One object, Korean readable, with everything that the text shows."""
    code, out, err = program("search", released_once.name, "구역4 장애 보고서", "--json", "-k", "3")
    found = record(out)
    assert code == 0
    assert err == ""
    assert found["revision"] == released_once.log()[-1].revision
    assert len(found["hits"]) == 3
    hit = found["hits"][0]
    assert hit["document_key"] == "guide4.md"
    assert hit["citation"].startswith("guide4.md")
    assert {"chunk_id", "score", "similarity", "text", "title", "place", "language"} <= set(hit)
    assert "구역4" in out


def test_nothing_found_is_three(program: Program, released_once: Knowledge) -> None:
    """A script can tell `nothing` from `something` without reading."""
    code, out, _ = program("search", released_once.name, "quota", "--tenant", "nobody", "--json")
    assert code == cli.EXIT_NOTHING == 3
    assert record(out)["hits"] == []


def test_a_search_without_a_tenant_is_an_error(program: Program, released_once: Knowledge) -> None:
    """An empty tenant must never mean all tenants."""
    code, out, err = program("search", released_once.name, "quota", "--tenant", "")
    assert code == cli.EXIT_ERROR == 1
    assert out == ""
    assert "MissingTenantError" in err


@pytest.mark.parametrize("command", [("search", "{}", "x"), ("ask", "{}", "x"), ("releases", "{}")])
def test_an_unknown_name_lists_the_names(
    program: Program, released_once: Knowledge, command: tuple[str, ...]
) -> None:
    """A misspelt name costs one look, not a search through folders."""
    code, out, err = program(*(part.format("guidez") for part in command))
    assert code == cli.EXIT_ERROR
    assert out == ""
    assert released_once.name in err
    assert "guidez_refresh" in err


@pytest.mark.parametrize("name", ["../other", "UPPER", "a/b", ""])
def test_a_name_that_could_be_a_path_reaches_nothing(program: Program, name: str) -> None:
    """Names become keys of the store: none may leave the folder of the knowledge bases."""
    code, out, err = program("releases", name)
    assert code in {cli.EXIT_ERROR, cli.EXIT_USAGE}
    assert out == ""
    assert "Error" in err
    assert "Traceback" not in err


def test_ask_answers_with_citations(program: Program, released_once: Knowledge) -> None:
    """To the letter from the documents, each sentence with where it stands."""
    question = "What is the quota of pool number 5?"
    code, out, _ = program("ask", released_once.name, question, "--json")
    answer = record(out)
    assert code == 0, answer
    assert answer["known"] is True
    assert "38 devices" in answer["text"]
    assert answer["model"] is None
    assert answer["citations"][0]["document_key"] == "guide5.md"
    assert answer["citations"][0]["quote"] in guide(5).replace("\n", " ")
    assert answer["revision"] == released_once.log()[-1].revision
    code, out, _ = program("ask", released_once.name, question)
    assert code == 0
    assert "[1] guide5.md" in out


def test_ask_says_that_it_does_not_know(program: Program, released_once: Knowledge) -> None:
    """In both languages, with where the question came closest, and exit code 3."""
    question = "Who painted the ceiling of the Sistine chapel?"
    code, out, _ = program("ask", released_once.name, question)
    assert code == cli.EXIT_NOTHING
    assert "I do not know" in out
    assert "문서에 답이 없습니다" in out
    code, out, _ = program("ask", released_once.name, question, "--json")
    answer = record(out)
    assert code == cli.EXIT_NOTHING
    assert (answer["known"], answer["text"], answer["citations"]) == (False, "", [])


def test_releases_newest_first(program: Program, released_once: Knowledge) -> None:
    """What is live stands first, with who and when."""
    code, out, _ = program("releases", released_once.name)
    lines = out.splitlines()
    entries = released_once.log()
    assert code == 0
    assert len(lines) == 2
    assert re.match(rf"live +2 release +{entries[1].revision[:12]} \S+ tester", lines[0])
    assert lines[1].split()[0] == "1"
    code, out, _ = program("releases", released_once.name, "--json", "-n", "1")
    (entry,) = record(out)["releases"]
    assert code == 0
    assert (entry["sequence"], entry["action"]) == (2, "release")
    assert entry["previous_revision"] == entries[0].revision


def test_doctor_finds_this_machine_usable(program: Program, released_once: Knowledge) -> None:
    """Every part is looked at; a model that is not made yet is a warning with its remedy."""
    code, out, _ = program("doctor", "--json")
    report = record(out)
    findings = {one["part"]: one for one in report["findings"]}
    assert code == 0
    assert report["healthy"] is True
    parts = {"versions", "disk", "store", "model", "milvus", "language model", released_once.name}
    assert parts <= set(findings)
    assert "BM25" in findings["milvus"]["seen"]
    assert all(one["remedy"] for one in report["findings"] if one["health"] != "ok")
    code, out, _ = program("doctor")
    assert code == 0
    assert "milvus-lite" in out


def test_doctor_names_what_is_broken_and_looks_on(
    program: Program, released_once: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus down: exit code 4, the remedy, and still a word about everything else."""
    monkeypatch.setenv("PLATFORM_MILVUS_URI", "http://127.0.0.1:1")
    code, out, _ = program("doctor", "--json")
    findings = {one["part"]: one for one in record(out)["findings"]}
    assert code == cli.EXIT_BROKEN == 4
    assert findings["milvus"]["health"] == "broken"
    assert findings["milvus"]["remedy"]
    assert findings["store"]["health"] == "ok"


def test_milvus_down_is_try_again(
    program: Program, released_once: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """75: a caller may repeat it. One message, no traceback."""
    monkeypatch.setenv("PLATFORM_MILVUS_URI", "http://127.0.0.1:1")
    code, out, err = program("search", released_once.name, "quota")
    assert code == cli.EXIT_TRY_AGAIN == 75
    assert out == ""
    assert "UnavailableError" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [("search", "guides"), ("search", "guides", "x", "-k", "0"), ("explain",), ("ask", "--nope")],
)
def test_wrong_usage_is_two(program: Program, arguments: tuple[str, ...]) -> None:
    """As every program does."""
    code, out, err = program(*arguments)
    assert code == cli.EXIT_USAGE == 2
    assert out == ""
    assert err != ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLATFORM_MILVUS_URI", "milvus.db"),
        ("PLATFORM_WORKERS", "many"),
        ("PLATFORM_STORE_URL", "gs://bucket"),
        ("PLATFORM_LANGUAGE_MODEL_URL", "http://127.0.0.1:9/v1"),
    ],
)
def test_a_wrong_setting_is_two_and_names_the_variable(
    program: Program, released_once: Knowledge, monkeypatch: pytest.MonkeyPatch, name: str,
    value: str,
) -> None:  # fmt: skip
    """Configuration is corrected by a person: trying again would not help."""
    monkeypatch.setenv(name, value)
    code, out, err = program("search", released_once.name, "quota")
    assert code == cli.EXIT_USAGE
    assert out == ""
    assert name in err or value in err


def test_no_secret_is_ever_printed(
    program: Program, released_once: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by `doctor` nor in an error."""
    for name in ("PLATFORM_MILVUS_TOKEN", "PLATFORM_S3_SECRET_KEY", "PLATFORM_EMBEDDER_API_KEY"):
        monkeypatch.setenv(name, "sesame-open-please")
    monkeypatch.setenv("PLATFORM_S3_ACCESS_KEY", "somebody")
    said = [
        program("doctor"),
        program("search", released_once.name, "x"),
        program("search", "no", "x"),
    ]
    assert not any("sesame" in out + err for _, out, err in said)


def test_a_damaged_release_log_is_an_error_and_nothing_is_guessed(
    program: Program, released_once: Knowledge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edited entry is not followed: readers are told, not served something else."""
    damaged = copied(released_once.on(home=released_once.settings.home), tmp_path)
    use_settings(monkeypatch, damaged.settings)
    key = f"releases/{damaged.name}/00000002.json"
    data, _ = damaged.store.get(key)
    damaged.store.put(key, data.replace(b"tester", b"nobody"))
    code, out, err = program("search", damaged.name, "quota")
    assert code == cli.EXIT_ERROR
    assert out == ""
    assert "IntegrityError" in err

"""What a project gets for what it declares: definitions, or an error that names the field."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox
from jsonschema import Draft202012Validator

from platform_pipelines.components import KnowledgeBase
from platform_pipelines.components.knowledge_base.component import declared_spec
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from tests.declared import declaration, definitions
from tests.knowledge import golden_lines, settings_under, write_guides

SHORTEST: dict[str, Any] = {"name": "first", "source": {"url": "documents"}}


def keys(defs: dg.Definitions) -> list[str]:
    graph = defs.get_repository_def().asset_graph
    return sorted(key.to_user_string() for key in graph.get_all_asset_keys())


def refusal(attributes: dict[str, Any]) -> str:
    """All that a person reads when the declaration does not load."""
    with (
        pytest.raises(Exception) as caught,  # noqa: PT011 - Dagster wraps ours in its own
        definitions(declaration({**SHORTEST, **attributes})),
    ):
        raise AssertionError("it loads")
    said: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, AssertionError)
        said.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return "\n".join(said)


def test_the_shortest_declaration_is_a_name_and_a_url() -> None:
    """A newcomer's first defs.yaml: everything else has a default."""
    with definitions(declaration(SHORTEST)) as defs:
        repository = defs.get_repository_def()
        assert keys(defs) == sorted(f"first/{stage}" for stage in ("source", *STAGES))
        assert repository.has_job("first_refresh")
        assert repository.has_job("first_rollback")
        assert repository.schedule_defs[0].cron_schedule == "0 * * * *"


def test_two_knowledge_bases_live_side_by_side() -> None:
    """Keys, jobs, pools and op names must not collide."""
    second = {**SHORTEST, "name": "second", "owner": "ann@example.com", "tenant": "finance"}
    with definitions(declaration(SHORTEST), declaration(second)) as defs:
        repository = defs.get_repository_def()
        assert keys(defs) == sorted(
            f"{kb}/{s}" for kb in ("first", "second") for s in ("source", *STAGES)
        )
        graph = repository.asset_graph
        owners = {key.path[0]: graph.get(key).owners for key in graph.get_all_asset_keys()}
        assert owners == {"first": ["team:platform"], "second": ["ann@example.com"]}
        ours = [key for key in graph.get_all_asset_keys() if key.path[1] != "source"]
        pools = {key.path[0]: graph.get(key).pools for key in ours}
        assert pools == {"first": {"knowledge_base_first"}, "second": {"knowledge_base_second"}}
        assert sorted(one.name for one in repository.sensor_defs) == ["first_watch", "second_watch"]


def test_every_declared_word_reaches_the_definitions() -> None:
    """A field that is declared and goes nowhere is worse than an error."""
    declared = {
        **SHORTEST, "description": "Sentinel words.", "owner": "team:sentinel",
        "refresh": {
            "cron": "7 3 * * 1", "timezone": "Asia/Seoul", "watch": False, "timeout_minutes": 17,
        },
    }  # fmt: skip
    with definitions(declaration(declared)) as defs:
        repository = defs.get_repository_def()
        node = repository.asset_graph.get(dg.AssetKey(["first", "index"]))
        schedule = repository.schedule_defs[0]
        assert (node.description or "").startswith("Sentinel words.")
        assert node.owners == ["team:sentinel"]
        assert (schedule.cron_schedule, schedule.execution_timezone) == ("7 3 * * 1", "Asia/Seoul")
        assert list(repository.sensor_defs) == []
        job = repository.get_job("first_refresh")
        assert (job.run_tags or job.tags)["dagster/max_runtime"] == str(17 * 60)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"name": "Team-Docs"}, ["name", "Team-Docs", "lower-case"]),
        ({"source": {}}, ["source.url", "missing"]),
        ({"source": {"url": "ftp://host/x"}}, ["ftp", "s3://bucket/prefix"]),
        ({"source": {"url": "s3://UPPER/x"}}, ["UPPER", "lower-case"]),
        ({"source": {"url": "~/documents"}}, ["~/documents", "relative"]),
        ({"source": {"url": "x", "shards": 0}}, ["source.shards", "0"]),
        ({"source": {"url": "x", "globs": ["*"]}}, ["source.globs", "include", "exclude"]),
        ({"owner": "somebody"}, ["owner = 'somebody'", "neither", "team:"]),
        ({"tenant": ""}, ["tenant"]),
        ({"tenant": "  "}, ["tenant = '  '", "blank"]),
        ({"chunk": {"markdown": {"kind": "clever"}}}, ["chunk.markdown.kind", "clever", "tokens"]),
        ({"chunk": {"word": {"kind": "tokens"}}}, ["chunk.word", "markdown"]),
        ({"chunk": {"default": {"kind": "tokens", "size": "big"}}}, ["chunk.default.size", "big"]),
        ({"chunk": {"pdf": {"kind": "tokens", "size": 4000}}}, ["chunk.pdf.size", "512"]),
        ({"embed": {"provider": "openai"}}, ["url", "dimension", "window_tokens"]),
        ({"embed": {"provider": "hash", "window_tokens": 8192}}, ["embed.window_tokens", "512"]),
        ({"embed": {"query_prefix": "query: "}}, ["embed.query_prefix", "query: ", "openai"]),
        ({"embed": {"model": "bge-m3"}}, ["bge-m3", "multilingual-e5-small"]),
        ({"index": {"kind": "HNSX"}}, ["index.kind", "HNSX", "HNSW"]),
        ({"index": {"metric": "cosine"}}, ["index.metric", "cosine", "COSINE"]),
        ({"index": {"keyword": False, "dense_weight": 0}}, ["index = ", "nothing", "over 0"]),
        ({"gate": {"golden_set": ""}}, ["gate.golden_set = ''", "blank"]),
        ({"gate": {"floors": {"hit": 0.5}}}, ["gate.floors", "hit_at_k"]),
        ({"gate": {"floors": {"mrr": 1.5}}}, ["gate.floors", "1.5"]),
        ({"gate": {"floors": {"mrr": float("nan")}}}, ["gate.floors", "nan"]),
        ({"release": {"keep": 1}}, ["release.keep", "1", "2"]),
        (
            {"refresh": {"cron": "every hour"}},
            ["refresh.cron = 'every hour'", "not five"],
        ),
        ({"refresh": {"timezone": "Mars/Base"}}, ["refresh.timezone = 'Mars/Base'", "IANA"]),
        ({"parse": {"seconds": -1}}, ["parse.seconds", "-1"]),
    ],
)
def test_a_wrong_attribute_fails_at_load(attributes: dict[str, Any], words: list[str]) -> None:
    """Named with its value and what is allowed; not at three in the morning, inside a run."""
    said = refusal(attributes)
    assert "ConfigurationError" in said
    missing = [word for word in words if word not in said]
    assert missing == [], said


@pytest.mark.parametrize(
    "attributes",
    [
        {"embed": {"provider": "openai", "url": "http://user:sesame@e/v1"}},
        {"embd": {"provider": "openai", "url": "http://user:sesame@e/v1"}},
        {"source": {"url": "s3://AKIA:sesame/x@bucket/docs"}},
        {"gate": {"golden_set": "s3://AKIA:sesame@bucket/golden.jsonl"}},
    ],
)
def test_a_password_in_an_address_is_not_shown(attributes: dict[str, Any]) -> None:
    """The message is in the log of the code location, and on the page of every user."""
    said = refusal(attributes)
    assert "sesame" not in said
    assert "***@" in said


def test_an_unknown_attribute_fails_at_load() -> None:
    """A misspelt `gate` must not mean no gate."""
    said = refusal({"gates": {"k": 5}})
    assert "gates" in said
    assert "no such attribute; allowed: name" in said


def test_malformed_yaml_fails_at_load() -> None:
    """A half-written file is an error with its place, not an empty project."""
    with pytest.raises(Exception, match="declared_0"):  # noqa: SIM117 - Dagster's own error
        with definitions("type: [platform_pipelines.components.KnowledgeBase\nattributes: {"):
            raise AssertionError("it loads")


def test_scaffolding_writes_a_declaration_that_loads() -> None:
    """`dg scaffold defs` must leave something that works as it is."""
    with create_defs_folder_sandbox() as sandbox:
        sandbox.scaffold_component(KnowledgeBase, defs_path="Team-Docs")
        folder = sandbox.defs_folder_path / "Team-Docs"
        assert list((folder / "documents").iterdir()) != []
        text = (folder / "defs.yaml").read_text(encoding="utf-8")
    with definitions(text) as defs:
        assert keys(defs) == sorted(f"team_docs/{stage}" for stage in ("source", *STAGES))


def test_a_relative_url_is_relative_to_its_declaration(tmp_path: Path) -> None:
    """Whoever clones the project elsewhere gets the same documents."""
    write_guides(tmp_path / "나의 문서", [1])
    spec = declared_spec({"name": "kb", "source": {"url": "나의 문서"}}, tmp_path)
    assert spec.source.url == (tmp_path / "나의 문서").as_uri()
    with pytest.raises(ConfigurationError, match="relative"):
        declared_spec({"name": "kb", "source": {"url": "$HOME/documents"}}, tmp_path)


@pytest.mark.parametrize(
    "url", ["https://host/x", "s3://UPPER/x", "file://relative/x", "~/documents", "$HOME/documents"]
)
@pytest.mark.parametrize("field", ["source.url", "gate.golden_set"])
def test_a_wrong_url_is_told_with_its_field(url: str, field: str, tmp_path: Path) -> None:
    """A declaration has three URLs, and the message said `where: url` of each."""
    group, _, name = field.partition(".")
    with pytest.raises(ConfigurationError) as caught:
        declared_spec({**SHORTEST, group: {name: url}}, tmp_path)
    assert caught.value.where == f"{field} in {tmp_path / 'defs.yaml'}"
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"gate": {"minimum_questons": 5}}, "'minimum_questons' is not one of ['golden_set', 'k'"),
        ({"source": {"url": "d", "shrds": 3}}, "'shrds' is not one of ['url', 'include'"),
        ({"chunk": {"markdwn": {"kind": "tokens"}}}, "'markdwn' is not one of ['markdown'"),
        ({"gates": {}}, "'gates' was unexpected"),
    ],
)
def test_dg_check_yaml_refuses_a_misspelt_attribute(attributes: dict[str, Any], words: str) -> None:
    """It reads the schema alone: a nested name that is not in it passes CI and fails at load."""
    found = [error.message for error in _schema_errors({**SHORTEST, **attributes})]
    assert any(words in message for message in found)


def test_dg_check_yaml_allows_every_attribute_and_templates() -> None:
    """A schema that refuses what loads is worse than one that lets it pass."""
    templates = {"gate": "{{ env.GATE }}", "release": {"keep": "{{ env.KEEP }}"}}
    assert _schema_errors({**SHORTEST, **templates}) == []
    assert _schema_errors(KnowledgeBaseSpec.model_validate(SHORTEST).model_dump(mode="json")) == []


def test_every_attribute_tells_what_it_means_in_the_schema() -> None:
    """Editors and `dg list components` show the schema; Dagster drops descriptions by a default."""
    properties = _schema()["properties"]
    assert [name for name, one in properties.items() if not one.get("description")] == []
    assert "`minimum_questions`" in properties["gate"]["description"]


def _schema_errors(attributes: dict[str, Any]) -> list[Any]:
    """As `dg check yaml` finds them (dagster_dg_core.check)."""
    return list(Draft202012Validator(_schema()).iter_errors(attributes))


def _schema() -> dict[str, Any]:
    model = KnowledgeBase.get_model_cls()
    assert model is not None
    return model.model_json_schema()


def test_a_golden_set_is_an_asset_that_the_evidence_waits_for() -> None:
    """A gate that asks questions of its own run shows where they come from."""
    golden = declaration({"name": "asked", "url": "questions.jsonl"}).replace(
        "KnowledgeBase", "GoldenSet"
    )
    kb = declaration({**SHORTEST, "gate": {"golden_set": "golden_set:asked"}})
    with definitions(golden, kb) as defs:
        repository = defs.get_repository_def()
        graph = repository.asset_graph
        assert (
            dg.AssetKey(["asked", "questions"])
            in graph.get(dg.AssetKey(["first", "evidence"])).parent_keys
        )
        node = graph.get(dg.AssetKey(["asked", "questions"]))
        assert node.owners == ["team:platform"]
        assert node.code_version == "1"
        assert repository.has_job("asked_golden_set")
        assert [key.name for key in graph.asset_check_keys if key.asset_key == node.key] == [
            "references_stand"
        ]


def test_a_golden_set_runs_and_shows_its_page(tmp_path: Path) -> None:
    """Version, kinds and languages where people look for them."""
    (tmp_path / "rows.jsonl").write_text(golden_lines([1]), "utf-8")
    url = (tmp_path / "rows.jsonl").as_uri()
    text = declaration({"name": "asked", "url": url}).replace("KnowledgeBase", "GoldenSet")
    with definitions(text, settings=settings_under(tmp_path / "home", None)) as defs:
        done = defs.resolve_job_def("asked_golden_set").execute_in_process()
    (event,) = done.get_asset_materialization_events()
    page = event.materialization.metadata
    assert page["questions"].value == 10
    assert "ko" in str(page["languages"].value)
    (check,) = done.get_asset_check_evaluations()
    assert check.passed
    assert "not looked up" in str(check.description)

"""The main job, on each kind of store and vector store, as plain stages and through Dagster."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from platform_pipelines.settings import S3Settings, Secret, Settings
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from tests.declared import definitions_of
from tests.end_to_end.killing import HALFWAY, killed_at
from tests.knowledge import Knowledge, changed_stages, guide, new_knowledge, vague_lines
from tests.servers.milvus_server import milvus_server
from tests.servers.s3_server import REGION, s3_server

pytestmark = pytest.mark.end_to_end
VECTORS_ALONE = {"keyword": False}
QUESTIONS = ("quota of pool number 3", "구역4 장애 보고서는 언제까지", "approved by committee B1")


@pytest.fixture
def embedded(tmp_path: Path, embedded_settings: Settings) -> Knowledge:
    """On file:// and the embedded Milvus Lite, as on a laptop."""
    return new_knowledge(tmp_path / "kb", embedded_settings, name="both", index=VECTORS_ALONE)


@pytest.fixture
def served(tmp_path: Path, embedded: Knowledge) -> Knowledge:
    """The same documents and declaration on s3:// and a real Milvus server."""
    server = s3_server()
    source, store = server.make_bucket(), server.make_bucket(versioned=True)
    client = server.client()
    for path in embedded.documents.iterdir():
        client.put_object(Bucket=source, Key=f"corpus/{path.name}", Body=path.read_bytes())
    client.close()
    settings = Settings(
        home=tmp_path / "served",
        store_url=f"s3://{store}/platform",
        model_dir=tmp_path / "models",
        milvus_uri=milvus_server(),
        s3=S3Settings(
            endpoint=server.endpoint,
            region=REGION,
            access_key=Secret(server.key),
            secret_key=Secret(server.secret),
        ),
    )
    made = embedded.declared(
        source={"url": f"s3://{source}/corpus", "shards": 2}, index={"keyword": True}
    )
    return Knowledge(made.folder, made.attributes, settings)


@pytest.mark.server
def test_s3_with_a_real_milvus_gives_what_a_laptop_gives(
    embedded: Knowledge, served: Knowledge
) -> None:
    """The same documents must become the same chunks and be found the same, wherever they are.

    Milvus 2.3.5 has no BM25: the served one asks for keywords and must say that it has none.
    Its first run is killed within an insert: what that leaves has no index and cannot be counted.
    """
    served.refresh(end="vectors")
    assert killed_at(served, "index", "insert", HALFWAY)
    assert len(served.collections()) == 1
    for knowledge in (embedded, served):
        outcomes = knowledge.refresh()
        assert changed_stages(outcomes)[-3:] == ["index", "evidence", "release"]
        assert outcomes["release"].snapshot.details["status"] == "released"
        assert changed_stages(knowledge.refresh()) == []
    assert embedded.log()[-1].revision == served.log()[-1].revision
    assert embedded.chunk_ids() == served.chunk_ids()
    assert len(embedded.chunk_ids()) >= 6
    for here, there in zip(embedded.search(*QUESTIONS), served.search(*QUESTIONS), strict=True):
        assert [hit.chunk_id for hit in here] == [hit.chunk_id for hit in there]
        assert [hit.text for hit in here] == [hit.text for hit in there]
        near = [hit.similarity for hit in there]
        assert [hit.similarity for hit in here] == pytest.approx(near, abs=1e-4)
    notes = outcomes["index"].snapshot.details["notes"]
    assert "no BM25" in notes["keyword"]
    assert outcomes["index"].snapshot.details["index"]["keyword"] is False


def test_through_dagster_in_one_process(knowledge: Knowledge) -> None:
    """The job makes and checks all six assets; a second run materialises them unchanged."""
    with definitions_of(knowledge) as defs, dg.DagsterInstance.ephemeral() as instance:
        job = defs.get_repository_def().get_job(f"{knowledge.name}_refresh")
        first = job.execute_in_process(instance=instance)
        second = job.execute_in_process(instance=instance)
    assert first.success
    assert second.success
    for run, words in ((first, ""), (second, "Nothing changed")):
        made = {
            event.asset_key.path[-1]: event.materialization.metadata
            for event in run.get_asset_materialization_events()
            if event.asset_key
        }
        assert set(made) == set(STAGES)
        assert all(words in str(page["what_happened"].value) for page in made.values())
        checks = [event.asset_check_evaluation_data for event in run.all_events
                  if event.event_type_value == "ASSET_CHECK_EVALUATION"]  # fmt: skip
        assert len(checks) == len(STAGES)
        assert all(check.passed for check in checks)
    assert first_tags(first) == first_tags(second)
    assert len(knowledge.log()) == 1
    assert knowledge.log()[0].run_id == first.run_id
    assert knowledge.found("quota of pool number 3")[0] == "guide3.md"


def first_tags(run: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The data version of every asset of a run: equal content has an equal one."""
    return {
        event.asset_key.path[-1]: event.materialization.tags["dagster/data_version"]
        for event in run.get_asset_materialization_events()
        if event.asset_key and event.materialization.tags
    }


def test_the_rollback_job_through_dagster(knowledge: Knowledge) -> None:
    """A person who rolls back from the UI gets the earlier release, with their reason on record."""
    knowledge.refresh()
    (knowledge.documents / "guide0.md").write_text(guide(0, note="Changed."), encoding="utf-8")
    knowledge.refresh()
    with definitions_of(knowledge) as defs:
        name = f"{knowledge.name}_rollback"
        done = (
            defs.get_repository_def()
            .get_job(name)
            .execute_in_process(
                run_config={
                    "ops": {f"{knowledge.name}_roll_back": {"config": {"reason": "it reads badly"}}}
                }
            )
        )
    assert done.success
    entries = knowledge.log()
    assert [entry.action.value for entry in entries] == ["release", "release", "rollback"]
    assert entries[-1].revision == entries[0].revision
    assert entries[-1].reason == "it reads badly"


def test_a_failed_gate_fails_the_run_and_releases_nothing(
    make_knowledge: Callable[..., Knowledge], tmp_path: Path
) -> None:
    """CI reads the run's result: a revision that was not released is not a success."""
    golden = tmp_path / "golden.jsonl"  # of questions that no document stands out for
    asked = vague_lines(range(6))
    golden.write_text(asked, encoding="utf-8")
    knowledge = make_knowledge(gate={"golden_set": golden.as_uri(), "floors": {"mrr": 0.999}})
    with definitions_of(knowledge) as defs:
        job = defs.get_repository_def().get_job(f"{knowledge.name}_refresh")
        run = job.execute_in_process(raise_on_error=False)
    assert not run.success
    assert run.get_failed_step_keys() == {f"{knowledge.name}__evidence"}
    assert knowledge.log() == ()


def test_a_quarantined_document_warns_and_the_run_goes_on(knowledge: Knowledge) -> None:
    """One broken file among thousands: a warning with its name, and a release of the others."""
    (knowledge.documents / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    with definitions_of(knowledge) as defs:
        job = defs.get_repository_def().get_job(f"{knowledge.name}_refresh")
        run = job.execute_in_process()
    assert run.success
    (check,) = [
        event.asset_check_evaluation_data
        for event in run.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
        and event.asset_check_evaluation_data.check_name == "nothing_quarantined"
    ]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    pages = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in run.get_asset_materialization_events()
        if event.asset_key
    }
    assert "broken.pdf" in str(pages["documents"]["quarantine"].value)
    assert len(knowledge.log()) == 1


@pytest.mark.model
def test_the_shortest_declaration_works_with_the_real_model(
    tmp_path: Path, embedded_settings: Settings, e5_model_dir: Path
) -> None:
    """A name and a source URL: parsed, embedded by e5, indexed, released, found in Korean."""
    made = new_knowledge(tmp_path / "kb", embedded_settings)
    shortest = Knowledge(
        made.folder, {"name": "shortest", "source": {"url": "documents"}}, made.settings
    ).on(model_dir=e5_model_dir)
    outcomes = shortest.refresh()
    assert outcomes["vectors"].snapshot.counts["dimension"] == 384
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert shortest.found("구역4의 담당자는 언제까지 보고서를 내야 하나요?")[0] == "guide4.md"
    assert changed_stages(shortest.refresh()) == []

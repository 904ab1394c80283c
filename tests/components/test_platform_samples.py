"""The samples of the platform load together, as somebody who copies them has them."""

import dagster as dg

from tests.declared import definitions
from tests.platform_sample import SAMPLES


def test_every_sample_loads_beside_the_others() -> None:
    """Names of jobs, assets and schedules do not collide; every schedule is off."""
    files = sorted(SAMPLES.glob("*/defs.yaml"))
    with definitions(*(file.read_text("utf-8") for file in files)) as made:
        repository = made.get_repository_def()
        groups = {
            one.group_name for one in repository.asset_graph.asset_nodes if one.is_materializable
        }
        schedules = repository.schedule_defs
    assert {file.parent.name for file in files} <= groups
    assert {s.default_status for s in schedules} == {dg.DefaultScheduleStatus.STOPPED}


def test_the_lineage_shows_what_one_component_uses_of_another() -> None:
    """An agent stands below the knowledge base that it asks; alerts below whom they watch."""
    files = [SAMPLES / name / "defs.yaml" for name in ("assistant", "models", "watch")]
    with definitions(*(file.read_text("utf-8") for file in files)) as made:
        graph = made.get_repository_def().asset_graph
    above = {
        node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys}
        for node in graph.asset_nodes
    }
    assert above["assistant/manifests"] == {"handbook/release"}
    assert above["watch/queries"] == {
        "watch/manifests",
        "models/manifests",
        "assistant/manifests",
    }

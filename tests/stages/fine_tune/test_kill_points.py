"""A fine-tune killed at an external write: the next run leaves what an undisturbed one does.

The store is the real local one. Real training that is killed is in tests/models; so is real MLflow.
"""

from pathlib import Path

import pytest

from tests.kill_points import WHEN, Killed, KillPoints, killed_at_the_store
from tests.stages.fine_tune.small_mill import Mill, build_mill

# One of each kind of write, by the beginning of its name.
WRITES = (
    "put training_sets/", "put heads/training_set", "open_run", "put checkpoints/", "close_run",
    "put adapters/", "put heads/adapter", "delete checkpoints/", "put heads/model", "start",
    "put answers/", "put evidence/", "put heads/evidence", "ensure_version",
    "set_alias assistant base", "set_alias assistant champion", "set_alias assistant candidate",
    "put heads/registration",
)  # fmt: skip
# Beside the middle of each; every write before, in the middle and afterwards is the long sweep.
ELSEWHEN = (
    ("put heads/adapter", "after"), ("put checkpoints/", "before"), ("ensure_version", "after"),
    ("set_alias assistant candidate", "before"),
)  # fmt: skip


def left_by(mill: Mill) -> dict[str, object]:
    """Everything that a run leaves where others look: heads, versions, aliases, runs, leftovers."""
    workspace = mill.workspace()
    heads = {s: workspace.require_head(s) for s in ("training_set", "adapter", "model", "evidence")}
    stored = [o.key for batch in workspace.store.list_objects("checkpoints") for o in batch]
    registry = mill.registry
    return {
        "training_set": heads["training_set"].details["digest"],
        "adapter": heads["adapter"].details["adapter"],
        "losses": [one["loss"] for one in heads["adapter"].details["steps"]][-2:],
        "model": heads["model"].details["model"]["digest"],
        "verdict": heads["evidence"].details["verdict"],
        "registered": workspace.require_head("registration").details["aliases"],
        "versions": [v.digest for v in registry.versions("assistant")],
        "aliases": registry.aliases("assistant"),
        "checkpoints": stored,
        "servers": list(mill.servers.running),
    }


def die(mill: Mill, points: KillPoints, patch: pytest.MonkeyPatch) -> None:
    """One life, that ends at its write."""
    mill.points = points
    with killed_at_the_store(points, patch), pytest.raises(Killed):
        mill.run()
    mill.points = KillPoints()


Undisturbed = tuple[dict[str, object], list[str]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What is left when nobody is killed, and every write of it."""
    with pytest.MonkeyPatch.context() as patch:
        mill = build_mill(tmp_path_factory.mktemp("undisturbed"), patch)
        with killed_at_the_store(mill.points, patch):
            mill.run()
        return left_by(mill), mill.points.made


def must_converge(
    mill: Mill, points: KillPoints, patch: pytest.MonkeyPatch, expected: dict[str, object]
) -> None:
    die(mill, points, patch)
    mill.run()
    assert left_by(mill) == expected, points


@pytest.mark.parametrize(("kind", "when"), [*((kind, "during") for kind in WRITES), *ELSEWHEN])
def test_a_fine_tune_that_is_killed_at_a_write_is_ended_by_the_next_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Undisturbed,
    kind: str,
    when: str,
) -> None:
    """The same data, adapter, model, verdict, versions and aliases; no checkpoint is left."""
    mill = build_mill(tmp_path / "killed", monkeypatch)
    must_converge(mill, KillPoints(kind, when=when), monkeypatch, undisturbed[0])


@pytest.mark.long
@pytest.mark.parametrize("when", WHEN)
def test_a_fine_tune_is_killed_at_every_write(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Undisturbed,
    when: str,
) -> None:
    """All of them, one after the other."""
    expected, writes = undisturbed
    for number in range(len(writes)):
        with monkeypatch.context() as patch:
            mill = build_mill(tmp_path / str(number), patch)
            must_converge(mill, KillPoints("", number, when), patch, expected)

"""A second component in sixty lines on the public road: the proof that it is generic.

`Greeting` answers every question with one phrase. Its metrics are a share of right answers and a
latency, of which less is better; what readers follow is a file that names the phrase.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.core.road.metrics import Direction, Metric
from platform_pipelines.core.road.releases import Candidate, ReleaseEntry
from platform_pipelines.core.road.verdicts import Expected, GatePolicy
from platform_pipelines.errors import GateFailedError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.road.connect import open_component_store, release_log
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.release import Judged, Released, release, repair, roll_back
from platform_pipelines.stages.road.workspace import Workspace, deadline_in
from tests.knowledge import settings_under

METRICS = (
    Metric("right"),
    Metric("seconds", unit="s", direction=Direction.LOWER, high=60.0),
)
POLICY = GatePolicy(
    floors={"right": 0.5, "seconds": 2.0},
    compared=("right", "seconds"),
    minimum_effects={"seconds": 0.5},
)
QUESTIONS = tuple(f"q{number:02}" for number in range(40))
RIGHT = {q: "hello" if number % 4 else "bye" for number, q in enumerate(QUESTIONS)}


@dataclass(frozen=True)
class Revision:
    """What is built: a phrase, and how long it takes to say it."""

    phrase: str
    seconds: float = 1.0

    @property
    def digest(self) -> str:
        return digest_parts(self.phrase, str(self.seconds))

    @property
    def target(self) -> str:
        """One target a revision: a target that is changed in place is no way back."""
        return f"{self.phrase}@{self.seconds}"


class Reader:
    """The release target: a file that readers read. It can be made to die before it moves."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.dies = False
        self.built: set[str] = set()

    def pointed(self) -> str | None:
        return self.file.read_text() if self.file.exists() else None

    def point(self, target: str) -> None:
        if self.dies:
            raise KeyboardInterrupt
        self.file.write_text(target)

    def existing(self) -> list[str]:
        return sorted(self.built)


@dataclass(frozen=True)
class Greeting:
    """The component: all that is its own is how a revision is measured."""

    workspace: Workspace
    reader: Reader

    def ask(self, revision: Revision) -> dict[str, Outcome]:
        scores = {q: float(revision.phrase == right) for q, right in RIGHT.items()}
        return {q: Outcome({"right": s, "seconds": revision.seconds}) for q, s in scores.items()}

    def evaluate(self, new: Revision, live: Revision | None) -> str:
        self.reader.built.add(new.target)
        asked, before = self.ask(new), self.ask(live) if live else {}
        rows = tuple(SampleRow(q, {}, asked[q], before.get(q)) for q in QUESTIONS)
        baseline = live.digest if live else None
        made = Evidence("greeting", new.digest, baseline, "golden-1", {}, METRICS, len(rows), rows)
        return write_evidence(self.workspace.settings, self.workspace.store, make_evidence(made))

    def release(self, new: Revision, evidence: str, **options: bool) -> Released:
        def judge(live: ReleaseEntry | None) -> Judged:
            about = Expected("greeting", new.digest, live.revision if live else None, "golden-1")
            found = read_evidence(self.workspace.store, evidence)
            return Judged(decide(found, POLICY, about), evidence)

        candidate = Candidate("greeting", new.digest, new.target, evidence)
        return release(self.workspace, candidate, self.reader, judge, **options)


@pytest.fixture
def greeting(tmp_path: Path) -> Greeting:
    settings = settings_under(tmp_path, None)
    store = open_component_store(settings, "greeting", "greeting")
    clock = SystemClock()
    workspace = Workspace(
        name="greeting", settings=settings, store=store, clock=clock, run_id="run-1",
        deadline=deadline_in(60.0, clock),
    )  # fmt: skip
    return Greeting(workspace, Reader(tmp_path / "readers"))


def test_it_is_built_judged_released_and_rolled_back(greeting: Greeting) -> None:
    """First a faster revision follows a slow one, then the slow one comes back."""
    slow, fast = Revision("hello", 1.9), replace(Revision("hello"), seconds=0.2)
    greeting.release(slow, greeting.evaluate(slow, None))
    released = greeting.release(fast, greeting.evaluate(fast, slow))
    assert (released.status, released.live.revision) == ("released", fast.digest)
    assert greeting.reader.pointed() == "hello@0.2"
    back = roll_back(greeting.workspace, greeting.reader, to_revision=slow.digest[:8])
    assert back.revision == slow.digest
    held = greeting.release(fast, greeting.evaluate(fast, slow))
    assert held.status == "held: it was rolled back from"
    allowed = greeting.release(fast, greeting.evaluate(fast, slow), allow_rolled_back=True)
    assert allowed.live.revision == fast.digest


@pytest.mark.parametrize(
    ("worse", "code"),
    [
        (Revision("hello", 1.9), "regression: seconds gains -0.9000 s on live"),
        (Revision("hello", 2.5), "floor: seconds is 2.5000; the ceiling is 2.0"),
        (Revision("bye", 1.0), "floor: right is 0.2500; the floor is 0.5"),
    ],
)
def test_what_is_worse_in_either_direction_is_refused(
    greeting: Greeting, worse: Revision, code: str
) -> None:
    """Less is better for one metric and more for the other; what is live stays live."""
    good = Revision("hello")
    greeting.release(good, greeting.evaluate(good, None))
    with pytest.raises(GateFailedError) as refused:
        greeting.release(worse, greeting.evaluate(worse, good))
    assert code in str(refused.value)
    assert greeting.reader.pointed() == "hello@1.0"


def test_a_run_killed_between_the_log_and_its_readers_is_finished_by_the_next(
    greeting: Greeting,
) -> None:
    """The log is the truth; readers are pointed to it by whoever comes next."""
    good = Revision("hello")
    evidence = greeting.evaluate(good, None)
    greeting.reader.dies = True
    with pytest.raises(KeyboardInterrupt):
        greeting.release(good, evidence)
    greeting.reader.dies = False
    assert greeting.reader.pointed() is None
    repair(greeting.workspace, greeting.reader)
    assert greeting.reader.pointed() == "hello@1.0"
    assert greeting.release(good, evidence).status == "live already"
    assert len(release_log(greeting.workspace.store, "greeting").entries()) == 1


def test_evidence_of_another_baseline_does_not_release(greeting: Greeting) -> None:
    """What was live when it was evaluated is not what is live when it is released."""
    first, second = Revision("hello"), Revision("hello", 0.9)
    stale = greeting.evaluate(second, None)
    greeting.release(first, greeting.evaluate(first, None))
    with pytest.raises(GateFailedError, match="foreign_baseline"):
        greeting.release(second, stale)

"""Order is restored exactly, and nothing is handed on before its time."""

from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.compute.member import Job
from platform_pipelines.compute.protocol import ItemDone, Outcome, Task, TaskDone
from platform_pipelines.compute.sequence import Arrivals


def everything(sizes: list[int]) -> list[tuple[Job, Outcome]]:
    """All outcomes of tasks of these sizes, in order."""
    found: list[tuple[Job, Outcome]] = []
    for sequence, size in enumerate(sizes):
        job = Job(Task(str(sequence), tuple({} for _ in range(size))), sequence, list(range(size)))
        found += [(job, ItemDone(job.task.id, index, {})) for index in range(size)]
        found.append((job, TaskDone(job.task.id)))
    return found


@given(st.data(), st.lists(st.integers(0, 4), max_size=6))
def test_any_arrival_comes_out_in_order(data: st.DataObject, sizes: list[int]) -> None:
    """After each arrival exactly the part without a gap is out."""
    expected = everything(sizes)
    arrivals, out = Arrivals(ordered=True), list[Outcome]()
    came: set[int] = set()
    for position in data.draw(st.permutations(range(len(expected)))):
        came.add(position)
        arrivals.add(*expected[position])
        out += arrivals.take()
        gap = next((n for n in range(len(expected)) if n not in came), len(expected))
        assert out == [outcome for _, outcome in expected[:gap]]


@given(st.data(), st.lists(st.integers(0, 4), max_size=6))
def test_without_order_everything_comes_as_it_arrives(
    data: st.DataObject, sizes: list[int]
) -> None:
    """Nothing is held back."""
    arrivals = Arrivals(ordered=False)
    for job, outcome in data.draw(st.permutations(everything(sizes))):
        arrivals.add(job, outcome)
        assert list(arrivals.take()) == [outcome]

"""What a pool of worker processes promises, tried with real processes that misbehave."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.compute.limits import memory_is_bounded
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import (
    Budget,
    FailureKind,
    ItemDone,
    ItemFailed,
    Outcome,
    Task,
    TaskDone,
)
from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    DimensionError,
    DocumentError,
    IntegrityError,
    MemoryBudgetError,
    ModelFileError,
    StageTimeoutError,
    UnavailableError,
    WorkerLostError,
)
from tests.descriptors import open_descriptors, opened_since

MIB = 1 << 20
HERE = Path(__file__).parent
needs_bounds = pytest.mark.skipif(not memory_is_bounded(), reason="no /proc: memory is not bounded")


def budget(**changes: Any) -> Budget:
    """Ample for everything that ends by itself."""
    return Budget(**{"seconds_per_item": 60.0, "memory_bytes": 1024 * MIB, **changes})


def pool_of(workers: int, **changes: Any) -> WorkerPool:
    environment = {"PYTHONPATH": str(HERE), "PATH": os.environ["PATH"]}
    return WorkerPool(workers=workers, budget=budget(**changes), environment=environment)


def numbered(count: int) -> tuple[dict[str, object], ...]:
    return tuple({"n": n} for n in range(count))


def act(pool: WorkerPool, *items: Mapping[str, object], **options: Any) -> list[Outcome]:
    return list(pool.run("operations:act", [Task("t", items)], **options))


def in_order(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Of tasks that are named by their number: by task and item."""
    return sorted(outcomes, key=lambda o: (int(o.task_id), getattr(o, "index", 1_000)))


def failures(outcomes: list[Outcome]) -> list[ItemFailed]:
    return [o for o in outcomes if isinstance(o, ItemFailed)]


def answers(outcomes: list[Outcome]) -> list[int]:
    return sorted(int(str(o.result["answer"])) for o in outcomes if isinstance(o, ItemDone))


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie whose parent is not ours counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Poll until the condition holds or the deadline is over."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.01)
    return True


def one_pid(pool: WorkerPool) -> int:
    """The pid of the worker that does a run of one item."""
    (first, _) = pool.run("operations:identify", [Task("t", ({},))])
    assert isinstance(first, ItemDone)
    return int(str(first.result["pid"]))


class TestResults:
    def test_every_item_is_answered_exactly_once_and_every_task_ends(self) -> None:
        """A thousand items over many tasks and several workers: nothing lost, nothing twice."""
        tasks = [Task(f"t{t}", tuple({"n": t * 40 + i} for i in range(40))) for t in range(25)]
        with pool_of(3) as pool:
            outcomes = list(pool.run("operations:act", tasks))
        assert answers(outcomes) == list(range(1000))
        ended = [o.task_id for o in outcomes if isinstance(o, TaskDone)]
        assert sorted(ended) == sorted(t.id for t in tasks)

    def test_the_same_run_twice_gives_the_same_results(self) -> None:
        """Neither the number of workers nor a crash in between changes what comes out."""
        draw = random.Random(7)
        items: list[dict[str, object]] = [{"n": n} for n in range(60)]
        items[draw.randrange(60)]["do"] = "segfault"
        tasks = [Task(str(t), tuple(items[t * 6 : t * 6 + 6])) for t in range(10)]
        with pool_of(1) as one, pool_of(3) as three:
            first = in_order(one.run("operations:act", tasks))
            second = in_order(three.run("operations:act", tasks))
        assert [o for o in first if not isinstance(o, ItemFailed)] == [
            o for o in second if not isinstance(o, ItemFailed)
        ]
        assert [(f.task_id, f.index, f.kind) for f in failures(first)] == [
            (f.task_id, f.index, f.kind) for f in failures(second)
        ]

    def test_text_and_bytes_arrive_unchanged(self) -> None:
        """Korean, decomposed jamo, lone surrogates of file names, and raw bytes both ways."""
        item = {
            "text": "한국어 \u1112\u1161\u11ab \udcff \u0000",
            "raw": bytes(range(256)),
            "나": [1],
        }
        with pool_of(1) as pool:
            outcomes = list(
                pool.run("operations:echo", [Task("t", (item,))], shared={"공유": "값"})
            )
            reversed_bytes = act(pool, {"do": "bytes", "bytes": b"\x00abc"})
        assert outcomes[0] == ItemDone("t", 0, {**item, "공유": "값"})
        assert isinstance(reversed_bytes[0], ItemDone)
        assert reversed_bytes[0].result["bytes"] == b"cba\x00"

    def test_a_huge_result_and_a_huge_item_pass(self) -> None:
        """Far larger than any pipe's buffer, in both directions at once, without a deadlock."""
        text = "나" * (3 * MIB)
        with pool_of(1) as pool:
            outcomes = list(pool.run("operations:echo", [Task("t", ({"a": text}, {"b": text}))]))
            huge = act(pool, {"do": "huge", "length": 8 * MIB})
        assert [o.result for o in outcomes[:2] if isinstance(o, ItemDone)] == [
            {"a": text},
            {"b": text},
        ]
        assert isinstance(huge[0], ItemDone)
        assert len(str(huge[0].result["text"])) == 8 * MIB

    def test_no_tasks_start_no_worker(self) -> None:
        """A refresh without changes costs no process."""
        with WorkerPool(workers=2, budget=budget(), environment={"PATH": "/nowhere"}) as pool:
            assert list(pool.run("no.such.operation", [])) == []

    def test_a_task_without_items_ends(self) -> None:
        """An empty shard is over at once."""
        with pool_of(1) as pool:
            assert act(pool) == [TaskDone("t")]

    def test_printing_does_not_disturb_the_channel(self) -> None:
        """Libraries print to stdout; results do not travel there, and the file stays bounded."""
        noisy = {"do": "print", "length": 3 * MIB, "n": 1}
        with pool_of(1) as pool:
            assert answers(act(pool, noisy, noisy, {"n": 2})) == [1, 1, 2]

    def test_workers_see_only_the_environment_that_was_given(self) -> None:
        """Nothing of this process's environment leaks in; the import path does."""
        environment = {"PYTHONPATH": str(HERE), "ONLY": "this"}
        with WorkerPool(workers=1, budget=budget(), environment=environment) as pool:
            (first, _) = pool.run("operations:identify", [Task("t", ({},))])
        assert isinstance(first, ItemDone)
        seen = first.result["environment"]
        assert isinstance(seen, dict)
        assert seen["ONLY"] == "this"
        assert set(seen) <= {"ONLY", "PYTHONPATH", "PYTHONHASHSEED", "LC_CTYPE"}


class TestGuiltyItems:
    @pytest.mark.parametrize("hang", ["spin", "backtrack", "sleep"])
    def test_an_item_over_its_time_is_killed_and_only_that_item_fails(self, hang: str) -> None:
        """A Python loop, a C loop that holds the interpreter lock, and a wait."""
        with pool_of(1, seconds_per_item=0.5) as pool:
            outcomes = act(pool, {"n": 0}, {"n": 1}, {"do": hang}, {"n": 3}, {"n": 4})
        (failed,) = failures(outcomes)
        assert (failed.index, failed.kind) == (2, FailureKind.TIME_BUDGET)
        assert answers(outcomes) == [0, 1, 3, 4]
        assert isinstance(failed.to_error(), StageTimeoutError)
        assert f"_{hang}" in failed.log  # the stack at the moment of the kill
        assert outcomes[-1] == TaskDone("t")

    @needs_bounds
    def test_an_item_beyond_the_address_space_fails_with_the_memory_budget(self) -> None:
        """MemoryError inside the worker; the item is tried again alone before it is convicted."""
        with pool_of(1, memory_bytes=256 * MIB) as pool:
            outcomes = act(pool, {"n": 0}, {"do": "big_once", "bytes": 1024 * MIB}, {"n": 2})
        (failed,) = failures(outcomes)
        assert (failed.index, failed.kind) == (1, FailureKind.MEMORY_BUDGET)
        assert isinstance(failed.to_error(), MemoryBudgetError)
        assert failed.terminal
        assert answers(outcomes) == [0, 2]

    @needs_bounds
    @pytest.mark.parametrize("limit_address_space", [True, False])
    def test_an_item_that_eats_memory_is_stopped(self, limit_address_space: bool) -> None:
        """By the limit inside, or by the watch over resident memory from outside."""
        changes = {"memory_bytes": 192 * MIB, "limit_address_space": limit_address_space}
        with pool_of(1, **changes) as pool:
            outcomes = act(pool, {"do": "hog"}, {"n": 1})
        (failed,) = failures(outcomes)
        assert (failed.index, failed.kind) == (0, FailureKind.MEMORY_BUDGET)
        assert answers(outcomes) == [1]

    @needs_bounds
    def test_memory_that_earlier_items_kept_is_not_held_against_a_later_one(self) -> None:
        """Which item meets the limit would depend on its neighbours; each alone fits."""
        items = [{"do": "keep", "bytes": 64 * MIB, "n": n} for n in range(8)]
        with pool_of(1, memory_bytes=160 * MIB) as pool:
            outcomes = act(pool, *items)
        assert failures(outcomes) == []
        assert answers(outcomes) == list(range(8))

    @pytest.mark.parametrize(
        ("item", "sign"),
        [
            ({"do": "segfault"}, "SIGSEGV"),
            ({"do": "signal", "signal": int(signal.SIGBUS)}, "SIGBUS"),
            ({"do": "exit", "code": 3}, "exit code 3"),
            ({"do": "exit", "code": 0}, "exit code 0"),
        ],
    )
    def test_an_item_that_ends_its_process_is_named_with_how(
        self, item: dict[str, object], sign: str
    ) -> None:
        """A crash in a C library costs its document, not the run."""
        with pool_of(2) as pool:
            outcomes = act(pool, {"n": 0}, item, {"n": 2}, item, {"n": 4})
        assert [(f.index, f.kind) for f in failures(outcomes)] == [
            (1, FailureKind.CRASHED),
            (3, FailureKind.CRASHED),
        ]
        assert all(sign in f.detail and f.terminal for f in failures(outcomes))
        assert answers(outcomes) == [0, 2, 4]

    def test_the_end_of_the_output_is_shown_with_a_crash(self) -> None:
        """What the library printed last is the best clue there is."""
        with pool_of(1) as pool:
            (failed,) = failures(act(pool, {"do": "segfault"}))
        assert "읽는 중: 보고서.pdf" in failed.log
        assert "Segmentation fault" in failed.log
        assert "보고서.pdf" in "".join(failed.to_error().__notes__)

    def test_an_abort_for_want_of_memory_counts_as_memory(self) -> None:
        """C++ libraries do not raise MemoryError: they abort."""
        with pool_of(1) as pool:
            (failed,) = failures(act(pool, {"do": "abort_for_memory"}))
        assert failed.kind is FailureKind.MEMORY_BUDGET

    def test_an_item_during_which_somebody_killed_the_worker_gets_a_second_try(
        self, tmp_path: Path
    ) -> None:
        """kill -9 from outside says nothing about the document."""
        with pool_of(1) as pool:
            outcomes = act(pool, {"n": 0}, {"do": "kill_once", "path": str(tmp_path / "x"), "n": 1})
        assert failures(outcomes) == []
        assert answers(outcomes) == [0, 1]

    def test_an_item_that_gets_its_worker_killed_twice_fails_as_transient(self) -> None:
        """No endless loop over one item; and no final verdict on it either."""
        kill = {"do": "signal", "signal": int(signal.SIGKILL)}
        with pool_of(1) as pool:
            (failed,) = failures(act(pool, {"n": 0}, kill))
        assert (failed.kind, failed.terminal) == (FailureKind.CRASHED, False)
        assert isinstance(failed.to_error(), WorkerLostError)

    def test_ctrl_c_does_not_reach_a_worker(self) -> None:
        """The parent ends its workers; they do not die on their own in the middle of a write."""
        with pool_of(1) as pool:
            assert answers(act(pool, {"do": "interrupt_group", "n": 1})) == [1]


class TestErrors:
    def test_typed_errors_cross_the_border_with_their_fields(self) -> None:
        """The caller can raise the very class, and policy decides about a retry as ever."""
        names = ("document_error", "dimension_error", "transient_error")
        with pool_of(1) as pool:
            outcomes = act(pool, *({"do": name} for name in names), {"n": 3})
        document, dimension, transient = failures(outcomes)
        assert (document.kind, document.error_type, document.reason) == (
            FailureKind.RAISED,
            "DocumentError",
            "empty",
        )
        error = document.to_error()
        assert isinstance(error, DocumentError)
        assert (error.reason, error.where) == ("empty", "a.pdf")
        rebuilt = dimension.to_error()
        assert isinstance(rebuilt, DimensionError)
        assert (rebuilt.stored, rebuilt.expected, rebuilt.remedy) == (3, 4, "rebuild")
        assert str(rebuilt) == dimension.detail
        assert not transient.terminal
        assert isinstance(transient.to_error(), UnavailableError)
        assert answers(outcomes) == [3]

    @pytest.mark.parametrize(
        ("action", "name", "text"),
        [
            ("value_error", "ValueError", "값이 이상하다"),
            ("sys_exit", "SystemExit", "3"),
            ("unencodable", "IntegrityError", "object"),
        ],
    )
    def test_any_other_exception_fails_its_item(self, action: str, name: str, text: str) -> None:
        """Also sys.exit in a library, and a result that is not JSON."""
        with pool_of(1) as pool:
            outcomes = act(pool, {"n": 0}, {"do": action}, {"n": 2})
        (failed,) = failures(outcomes)
        assert (failed.index, failed.error_type, failed.terminal) == (1, name, True)
        assert text in failed.detail
        assert answers(outcomes) == [0, 2]

    @pytest.mark.parametrize("operation", ["no.such", "no_such_module:function", "operations:none"])
    def test_an_operation_that_cannot_be_had_is_a_configuration_error(self, operation: str) -> None:
        """And the pool is usable afterwards."""
        with pool_of(2) as pool:
            with pytest.raises(ConfigurationError, match="operation"):
                list(pool.run(operation, [Task("t", ({},)), Task("u", ({},))]))
            assert answers(act(pool, {"n": 1})) == [1]

    def test_an_error_outside_of_an_item_ends_the_run(self) -> None:
        """A missing model would fail every item: say it once, with its remedy and the output."""
        with pool_of(1) as pool:
            with pytest.raises(ModelFileError) as caught:
                list(pool.run("operations:fail_at_once", [Task("t", ({}, {}))]))
            assert answers(act(pool, {"n": 1})) == [1]
        assert (caught.value.where, caught.value.remedy) == ("model.bin", "fetch it")
        assert "about to fail" in caught.value.__notes__[0]

    def test_workers_that_keep_dying_outside_of_items_end_the_run(self) -> None:
        """No endless hiring."""
        with pool_of(2) as pool, pytest.raises(WorkerLostError, match="exit code 9") as caught:
            list(pool.run("operations:die_at_once", [Task("t", ({}, {}))]))
        assert "last words" in caught.value.__notes__[0]

    def test_workers_that_cannot_start_are_reported_with_their_output(self, tmp_path: Path) -> None:
        """A broken installation shows what the interpreter said."""
        (tmp_path / "argparse.py").write_text("raise RuntimeError('broken installation')")
        environment = {"PYTHONPATH": str(tmp_path)}
        with (
            WorkerPool(workers=1, budget=budget(), environment=environment) as pool,
            pytest.raises(UnavailableError) as caught,
        ):
            list(pool.run("operations:act", [Task("t", ({},))]))
        assert "broken installation" in caught.value.__notes__[0]

    @pytest.mark.parametrize("operation", ["greedy", "short", "scribble"])
    def test_an_operation_that_breaks_the_protocol_is_told_so(self, operation: str) -> None:
        """Answers that cannot be matched to items are worse than none."""
        with pool_of(1) as pool, pytest.raises(IntegrityError):
            list(pool.run(f"operations:{operation}", [Task("t", ({"n": 0}, {"n": 1}))]))

    def test_an_item_that_cannot_be_sent_is_an_integrity_error(self) -> None:
        """A set is not JSON."""
        with pool_of(1) as pool, pytest.raises(IntegrityError, match="JSON"):
            list(pool.run("operations:echo", [Task("t", ({"a": {1, 2}},))]))

    def test_what_the_tasks_raise_reaches_the_caller(self) -> None:
        """A source that fails while it is listed fails the run, and the workers are free again."""

        def broken() -> Iterator[Task]:
            yield Task("t", numbered(1))
            raise UnavailableError("the listing broke off")

        with pool_of(1) as pool:
            with pytest.raises(UnavailableError, match="listing"):
                list(pool.run("operations:act", broken()))
            assert answers(act(pool, {"n": 5})) == [5]

    @pytest.mark.parametrize("field", ["seconds_per_item", "memory_bytes", "recycle_after_tasks"])
    @pytest.mark.parametrize("value", [0, -1, float("nan")])
    def test_a_budget_of_nothing_is_refused(self, field: str, value: float) -> None:
        """NaN compares false with everything."""
        with pytest.raises(ConfigurationError, match=field):
            budget(**{field: value})

    def test_a_pool_without_workers_is_refused(self) -> None:
        """It would wait for ever."""
        with pytest.raises(ConfigurationError, match="worker"):
            WorkerPool(workers=0, budget=budget(), environment={})


class TestFlow:
    def test_tasks_are_taken_only_as_far_as_results_are_consumed(self) -> None:
        """A corpus of millions must not pile up on either side of the pool."""
        taken: list[int] = []

        def endless() -> Iterator[Task]:
            number = 0
            while True:
                taken.append(number)
                yield Task(str(number), ({"do": "huge", "length": 100_000},))
                number += 1

        with pool_of(2) as pool:
            outcomes = pool.run("operations:act", endless())
            ended = 0
            for outcome in outcomes:
                ended += isinstance(outcome, TaskDone)
                assert len(taken) <= ended + 2 * (2 * 2) + 3
                if ended == 20:
                    break
            outcomes.close()  # type: ignore[attr-defined]

    def test_a_pool_does_one_run_at_a_time_and_a_given_up_run_frees_it(self) -> None:
        """Two runs would steal each other's workers."""
        with pool_of(1) as pool:
            first = pool.run("operations:act", [Task("t", numbered(2)), Task("u", numbered(2))])
            next(first)
            with pytest.raises(ConflictError, match="in use"):
                act(pool, {"n": 0})
            first.close()  # type: ignore[attr-defined]
            assert answers(act(pool, {"n": 7})) == [7]

    def test_workers_are_kept_between_runs(self) -> None:
        """An open model or store in a worker serves the next run too."""
        with pool_of(1) as pool:
            first, second = (one_pid(pool) for _ in range(2))
        assert first == second

    def test_a_worker_is_replaced_after_so_many_tasks(self) -> None:
        """Leaks of native libraries are bounded."""
        tasks = [Task(str(n), ({},)) for n in range(6)]
        with pool_of(1, recycle_after_tasks=2) as pool:
            outcomes = list(pool.run("operations:identify", tasks))
        pids = [o.result["pid"] for o in outcomes if isinstance(o, ItemDone)]
        assert len(set(map(str, pids))) == 3

    @needs_bounds
    def test_a_worker_that_has_grown_is_replaced(self) -> None:
        """Growth between tasks is a leak or a cache; a fresh worker has neither."""
        tasks = [Task(str(n), ({"do": "keep", "bytes": 64 * MIB, "n": n},)) for n in range(8)]
        with pool_of(1, memory_bytes=256 * MIB, recycle_growth_bytes=16 * MIB) as pool:
            outcomes = list(pool.run("operations:act", tasks))
        assert failures(outcomes) == []
        assert answers(outcomes) == list(range(8))


class TestLife:
    def test_closing_ends_every_process_and_may_be_repeated(self) -> None:
        """No orphans, no zombies, no leaked descriptors; and the pool can be used again."""
        before = open_descriptors()
        pool = pool_of(2)
        pid = one_pid(pool)
        pool.close()
        pool.close()
        assert not os.path.exists(f"/proc/{pid}")
        assert answers(act(pool, {"n": 1})) == [1]
        pool.close()
        assert opened_since(before) == {}

    def test_a_given_up_run_kills_whoever_still_works(self) -> None:
        """A hung worker must not outlive the run that nobody wants any more."""
        with pool_of(1) as pool:
            outcomes = pool.run("operations:act", [Task("t", ({"do": "grandchild"},))])
            first = next(outcomes)
            assert isinstance(first, ItemDone)
            child = int(str(first.result["child"]))
            list(outcomes)
            assert is_alive(child)
        assert eventually(lambda: not is_alive(child))

    def test_what_a_crashed_worker_had_started_is_killed_with_it(self, tmp_path: Path) -> None:
        """Its whole process group ends."""
        path = tmp_path / "child"
        with pool_of(1) as pool:
            (failed,) = failures(act(pool, {"do": "grandchild_and_crash", "path": str(path)}))
        assert failed.kind is FailureKind.CRASHED
        child = int(path.read_text())
        assert eventually(lambda: not is_alive(child))

    @needs_bounds
    def test_workers_die_with_a_parent_that_is_killed(self) -> None:
        """Even one that hangs in C and never looks at its channel, and what it has started."""
        parent = subprocess.Popen(
            [sys.executable, str(HERE / "orphan_maker.py"), str(HERE)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)},
            text=True,
        )
        with parent:
            assert parent.stdout is not None
            pids = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(pids) == 2
            assert all(map(is_alive, pids))
            parent.kill()
        assert eventually(lambda: not any(map(is_alive, pids)))

    def test_a_pool_used_from_a_thread_that_ends_keeps_its_workers(self) -> None:
        """PR_SET_PDEATHSIG would kill them: it watches the thread, and steps run in threads."""
        pids: list[int] = []

        def use(pool: WorkerPool) -> None:
            pids.append(one_pid(pool))

        with pool_of(1) as pool:
            for _ in range(2):
                thread = threading.Thread(target=use, args=(pool,))
                thread.start()
                thread.join()
        assert pids[0] == pids[1]

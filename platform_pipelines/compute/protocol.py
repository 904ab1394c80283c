"""What a pool of workers is given and what it gives back. Plain values; no process, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from platform_pipelines import errors
from platform_pipelines.errors import ConfigurationError, PlatformError, TerminalError


class FailureKind(StrEnum):
    """Why one item has no result."""

    RAISED = "raised"  # the operation raised; `error_type` and `reason` tell what
    TIME_BUDGET = "time_budget"  # ran longer than `Budget.seconds_per_item`; the worker was killed
    MEMORY_BUDGET = "memory_budget"  # MemoryError, resident watchdog, or the kernel's OOM killer
    CRASHED = "crashed"  # the worker ended by a signal or an exit code of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one item may use, and when a worker is replaced by a fresh one.

    `memory_bytes` counts from what the worker uses once its operation is imported. It bounds the
    address space (a MemoryError inside the worker) and, on Linux, the resident memory (watched from
    outside). Turn `limit_address_space` off for libraries that reserve much and use little.
    """

    seconds_per_item: float
    memory_bytes: int
    limit_address_space: bool = True
    seconds_to_start: float = 120.0
    recycle_after_tasks: int = 1000
    recycle_growth_bytes: int | None = None  # None: half of `memory_bytes`

    def __post_init__(self) -> None:
        for name in ("seconds_per_item", "memory_bytes", "seconds_to_start", "recycle_after_tasks"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigurationError(
                    f"the worker budget's {name} must be above 0", stored=value, expected="> 0"
                )

    @property
    def growth_bytes(self) -> int:
        """Resident growth in bytes after which a worker is replaced when it is next idle."""
        if self.recycle_growth_bytes is None:
            return self.memory_bytes // 2
        return self.recycle_growth_bytes


@dataclass(frozen=True, slots=True)
class Task:
    """Several items that travel together: JSON values, plus `bytes` at any depth.

    Cheap items (below a few milliseconds) should come 16 to 64 to a task.
    """

    id: str
    items: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Working:
    """What an operation may yield any number of times before an item's result: how far it is.

    `counts` are what was done since the last one, by what people call it (`documents`, `texts`).
    """

    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ItemWorking:
    """`items[index]` of a task goes on: so much more of it is done. An item may be tried twice."""

    task_id: str
    index: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ItemDone:
    """The result of `items[index]` of a task."""

    task_id: str
    index: int
    result: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailed:
    """`items[index]` of a task has no result; the other items are not affected.

    `error_type` is a class name of `errors.py` for a PlatformError, else the class that was raised.
    `reason` is DocumentError's. `log` is the tail of what the worker printed, when it died.
    """

    task_id: str
    index: int
    kind: FailureKind
    detail: str
    error_type: str
    terminal: bool
    reason: str = ""
    log: str = ""
    fields: Mapping[str, object] = field(default_factory=dict[str, object])

    def to_error(self) -> PlatformError:
        """The error to raise for this item: the very class for a PlatformError, with its fields."""
        error = rebuild_error(self.error_type, self.detail, self.fields)
        if self.log:
            error.add_note(f"the worker's output ended with:\n{self.log}")
        return error


@dataclass(frozen=True, slots=True)
class TaskDone:
    """Every item of the task has had its ItemDone or ItemFailed."""

    task_id: str


Outcome = ItemDone | ItemFailed | ItemWorking | TaskDone


def error_fields(error: BaseException) -> dict[str, object]:
    """The attributes of a PlatformError as JSON values; empty for any other exception."""
    if not isinstance(error, PlatformError):
        return {}
    return {name: _plain(value) for name, value in vars(error).items()}


def rebuild_error(error_type: str, detail: str, fields: Mapping[str, object]) -> PlatformError:
    """The PlatformError that `error_fields` described; TerminalError for a foreign class."""
    found = getattr(errors, error_type, None)
    if not (isinstance(found, type) and issubclass(found, PlatformError)):
        return TerminalError(f"{error_type}: {detail}" if error_type else detail)
    error = found.__new__(found)
    base = ("where", "stored", "expected", "remedy")
    known = {name: fields[name] for name in base if name in fields}
    PlatformError.__init__(error, str(fields.get("what", detail)), **known)  # pyright: ignore[reportArgumentType]
    vars(error).update(fields)
    return error


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)

"""Being killed at an external write: before it, in its middle, after it; then nothing more is done.

`KillPoints` stands between a stage and what it writes to. A life ends at one write; whatever is
tried afterwards in that life, by a `finally` too, ends at once, as in a process that is no more.
Leases are left out: that a dead holder's lease is free is shown in tests/gateways/test_lease.py.
"""

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from platform_pipelines.gateways import local_store
from platform_pipelines.gateways.local_store import LocalObjectStore

WHEN = ("before", "during", "after")
REGISTRY_WRITES = ("open_run", "close_run", "ensure_version", "set_alias", "delete_alias")
_LEASES = "leases/"


class Killed(BaseException):
    """The end of a life."""


@dataclass
class KillPoints:
    """The writes of one life, by name; `kind` and `number` say at which of them it ends."""

    kind: str | None = None  # the beginning of a write's name
    number: int = 0  # among those of this kind
    when: str = "before"
    made: list[str] = field(default_factory=list[str])
    is_dead: bool = False
    middle: Callable[[Callable[[], Any]], None] | None = None  # of what is no store
    _told: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def hit(self) -> bool:
        """Whether the write was met."""
        return self.is_dead

    def write(
        self, name: str, work: Callable[[], Any], half: Callable[[], Any] | None = None
    ) -> Any:
        """Do it, or die at it. `half` is what stands when its middle is reached."""
        if self.is_dead:
            raise Killed
        self.made.append(name)
        mine = [n for n in self.made if self.kind is not None and n.startswith(self.kind)]
        if not (mine and name.startswith(self.kind or "") and len(mine) == self.number + 1):
            return work()
        self.is_dead = True
        if self.when != "before":
            (half if half and self.when == "during" else work)()
        raise Killed

    def around(self, target: Any, methods: Mapping[str, str] | tuple[str, ...]) -> Any:
        """The target, with these methods as kill points. Equal calls in a row are one write."""
        return _Between(self, target, tuple(methods))


class _Between:
    def __init__(self, points: KillPoints, target: Any, methods: tuple[str, ...]) -> None:
        self._points, self._target, self._methods = points, target, methods

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._counted(name, found) if name in self._methods else found

    def _counted(self, name: str, method: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            words = [name, *(one for one in given if isinstance(one, str))]
            said = repr((given, sorted(named.items())))
            if self._points._told.get(name) == said and not self._points.is_dead:
                return method(*given, **named)
            self._points._told[name] = said
            middle = self._points.middle

            def work() -> Any:
                return method(*given, **named)

            return self._points.write(
                " ".join(words), work, (lambda: middle(work)) if middle else None
            )

        return call


@contextmanager
def killed_at_the_store(points: KillPoints, patch: pytest.MonkeyPatch) -> Generator[None]:
    """Every put, written file and deletion of the real local store is a kill point."""
    publish, delete = local_store.publish, LocalObjectStore.delete

    def die_or_publish(new: Any, *, root: str, target: str, **conditions: Any) -> str:
        key = target.removeprefix(f"{root}/")

        def half() -> None:
            """What a killed writer leaves: its staged file, cut."""
            new.file.flush()
            left = shutil.copy(new.path, f"{new.path}0")
            with open(left, "r+b") as file:
                file.truncate(max(0, file.seek(0, 2) // 2))

        def work() -> str:
            return publish(new, root=root, target=target, **conditions)

        if key.startswith(_LEASES):
            return work()
        return points.write(f"put {key}", work, half)

    def die_or_delete(self: LocalObjectStore, keys: Any) -> None:
        listed = list(keys)
        if not listed:
            return
        points.write(
            f"delete {listed[0]}",
            lambda: delete(self, listed),
            lambda: delete(self, listed[: len(listed) // 2]),
        )

    with patch.context() as patched:
        patched.setattr(local_store, "publish", die_or_publish)
        patched.setattr(LocalObjectStore, "delete", die_or_delete)
        yield

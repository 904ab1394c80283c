"""The members of a pool: who is hired, who gets the next task, who goes."""

from collections.abc import Iterator, Mapping

from platform_pipelines.compute.member import Member
from platform_pipelines.compute.process import Interpreter, start_worker
from platform_pipelines.compute.protocol import Budget

TASKS_PER_WORKER = 2  # one in work, one waiting in its channel


class Crew:
    """At most `limit` worker processes."""

    def __init__(
        self,
        *,
        limit: int,
        budget: Budget,
        environment: Mapping[str, str],
        interpreter: Interpreter | None = None,
    ) -> None:
        self.limit = limit
        self.budget = budget
        self._environment = environment
        self._interpreter = interpreter
        self._members: list[Member] = []

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members))

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a task."""
        return not any(member.jobs for member in self._members)

    @property
    def has_room(self) -> bool:
        """Whether one more may be hired."""
        return len(self._members) < self.limit

    def hire(self) -> Member:
        """Start a worker. Raises UnavailableError."""
        member = Member(start_worker(self._environment, self._interpreter))
        self._members.append(member)
        return member

    def idle_member(self) -> Member | None:
        """One that has nothing to do."""
        return next((m for m in self._members if not m.jobs and m.is_fit), None)

    def ahead_member(self) -> Member | None:
        """One that may have a second task waiting while it works on the first."""
        fit = [m for m in self._members if len(m.jobs) < TASKS_PER_WORKER and m.is_fit]
        return min(fit, key=lambda m: len(m.jobs), default=None)

    def retired(self) -> list[Member]:
        """Those that finished their last task."""
        return [m for m in self._members if m.retires and not m.jobs]

    def strike(self, member: Member) -> None:
        """Take a dead one off the list."""
        self._members.remove(member)

    def dismiss(self, member: Member) -> None:
        """End one."""
        self.strike(member)
        member.stop()

    def release(self) -> None:
        """A run is over, or was given up: whoever still works is killed, the others are kept."""
        for member in self:
            if member.jobs or not (member.is_ready and member.is_fit):
                self.dismiss(member)

    def dismiss_all(self) -> None:
        """End everybody; they go side by side."""
        for member in self:
            member.let_go()
        for member in self:
            self.dismiss(member)

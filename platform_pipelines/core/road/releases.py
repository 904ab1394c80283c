"""The release state machine: what is live, what may follow, where a rollback goes, what is kept.

The append-only log is the truth and the pointer is its projection: append first, then point;
every later run points again where it differs (`drift`). A `target` is what readers follow: a
collection, a model version, route weights. An increment changes the live target in place and is a
new revision of it: only the last revision of a target is intact.

`entries` is the whole log, oldest first, everywhere here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic.dataclasses import dataclass as record_class

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)
from platform_pipelines.errors import (
    ConfigurationError,
    EvidenceError,
    IntegrityError,
    UnknownNameError,
)

FORMAT = 2  # 1 called the target `collection`, and had no format
_SHOWN_CHOICES = 10


class Action(StrEnum):
    """What an entry did."""

    RELEASE = "release"
    ROLLBACK = "rollback"


@record_class(frozen=True, config=CONFIG)
class ReleaseEntry:
    """One line of the log: after it, `target` at `revision` is live."""

    sequence: int  # from 1, without gaps
    action: Action
    name: str  # of the component
    revision: str
    target: str
    evidence_digest: str | None
    previous_revision: str | None
    previous_target: str | None
    previous_digest: str | None  # of the entry before; None for the first
    run_id: str
    actor: str
    at: str  # ISO 8601, UTC
    reason: str
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def digest(self) -> str:
        """Covers every field as it is stored, and through `previous_digest` the whole history."""
        return digest_json(entry_record(self))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A revision that passed its gate, with the digest of the evidence that says so."""

    name: str
    revision: str
    target: str
    evidence_digest: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who changes what is live, when (ISO 8601, UTC) and why."""

    run_id: str
    actor: str
    at: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AlreadyLive:
    """Nothing to append; the alias may still have to be pointed."""

    entry: ReleaseEntry


@dataclass(frozen=True, slots=True)
class Append:
    """The entry to append."""

    entry: ReleaseEntry


Plan: TypeAlias = AlreadyLive | Append


@dataclass(frozen=True, slots=True)
class Retained:
    """A released revision whose target is kept for rollback."""

    revision: str
    target: str


def current(entries: Sequence[ReleaseEntry]) -> ReleaseEntry | None:
    """What is live, or None before the first release."""
    return entries[-1] if entries else None


def drift(live: ReleaseEntry | None, aliased: str | None) -> str | None:
    """The target to point readers to; None when they are right, or nothing is live."""
    return None if live is None or live.target == aliased else live.target


def plan_release(entries: Sequence[ReleaseEntry], candidate: Candidate, stamp: Stamp) -> Plan:
    """Make a candidate live.

    Raises:
        EvidenceError: the candidate names no evidence.
    """
    if not candidate.evidence_digest:
        raise EvidenceError(
            "a release needs the digest of its evidence",
            where=f"{candidate.name} {candidate.revision}",
            remedy="evaluate the revision first",
        )
    live = current(entries)
    if live is not None and _is(live, candidate.revision, candidate.target):
        return AlreadyLive(live)
    return Append(_next(entries, Action.RELEASE, candidate, stamp))


def plan_rollback(
    entries: Sequence[ReleaseEntry],
    stamp: Stamp,
    *,
    to: str | None = None,
    existing: Collection[str],
) -> Plan:
    """Make an earlier revision live again.

    Args:
        entries: the log.
        stamp: who, when, why.
        to: a revision or an unambiguous beginning of one; None is the one released before the live
            one. Rolling back again goes further back; what was rolled away from is no default.
        existing: the targets that still exist.

    Raises:
        UnknownNameError: there is nothing to go back to, or `to` names none or several; lists the
            choices.
    """
    live = current(entries)
    if live is None:
        raise UnknownNameError("nothing was released yet", remedy="release a revision first")
    if to is not None and to == live.revision:
        return AlreadyLive(live)
    choices = [e for e in _intact(entries) if e.target in existing]
    target = _default_target(entries, choices) if to is None else _named(to, choices)
    if target is None:
        raise _no_target(live, to, choices)
    if _is(live, target.revision, target.target):
        return AlreadyLive(live)
    candidate = Candidate(live.name, target.revision, target.target, target.evidence_digest or "")
    return Append(_next(entries, Action.ROLLBACK, candidate, stamp))


def retained(
    entries: Sequence[ReleaseEntry], keep: int, *, existing: Collection[str]
) -> tuple[Retained, ...]:
    """The `keep` revisions whose targets stay, one a target (its last).

    The live one, then those before it, newest first, then those that were rolled away from. One
    whose target is gone is no way back, and keeps nobody's place; the live one is built again.

    Raises:
        ConfigurationError: `keep` is less than 1.
    """
    if keep < 1:
        raise ConfigurationError(
            "the live revision is always kept", where="keep", stored=keep, expected="1 or more"
        )
    live = current(entries)
    stays = {*existing, *([live.target] if live else [])}
    intact = [e for e in _intact(entries) if e.target in stays]
    road = [e for e in reversed(_road(entries)) if e in intact]
    ordered = dict.fromkeys([*road, *intact])
    return tuple(Retained(e.revision, e.target) for e in list(ordered)[:keep])


def entry_record(entry: ReleaseEntry) -> Raw:
    """An entry as a JSON object: as it is stored, if it is."""
    if entry.stored is not None:
        return dict(entry.stored)
    return {**plain(entry), "action": str(entry.action)}


def entry_from_record(record: Mapping[str, Any], *, where: str) -> ReleaseEntry:
    """The inverse of `entry_record`, also for entries that an earlier version wrote.

    Raises:
        IntegrityError: a field is missing, the action is unknown, or the format is a newer one.
    """
    return _FORMAT.read(dict(record), where=where)


def verify_chain(entries: Sequence[ReleaseEntry], *, name: str) -> None:
    """Each entry follows the one before it; a log that starts at 1 starts with no past.

    Raises:
        IntegrityError: a gap, a foreign entry, or a past that is not the recorded one.
    """
    for index, entry in enumerate(entries):
        where = f"release {entry.sequence} of {name}"
        _must_equal("the release belongs to another name", entry.name, name, where)
        if index > 0:
            before = entries[index - 1]
            _must_equal("a release is missing", entry.sequence, before.sequence + 1, where)
            _must_equal("the history was changed", entry.previous_digest, before.digest, where)
        elif entry.sequence <= 1:
            _must_equal("the first release has a past", entry.previous_digest, None, where)


def _must_equal(what: str, stored: object, expected: object, where: str) -> None:
    if stored != expected:
        raise IntegrityError(
            what,
            where=where,
            stored=repr(stored),
            expected=repr(expected),
            remedy="restore the release log from a backup; do not edit it",
        )


def _next(
    entries: Sequence[ReleaseEntry], action: Action, candidate: Candidate, stamp: Stamp
) -> ReleaseEntry:
    live = current(entries)
    return ReleaseEntry(
        sequence=1 if live is None else live.sequence + 1,
        action=action,
        name=candidate.name,
        revision=candidate.revision,
        target=candidate.target,
        evidence_digest=candidate.evidence_digest or None,
        previous_revision=None if live is None else live.revision,
        previous_target=None if live is None else live.target,
        previous_digest=None if live is None else live.digest,
        run_id=stamp.run_id,
        actor=stamp.actor,
        at=stamp.at,
        reason=stamp.reason,
    )


def _is(entry: ReleaseEntry, revision: str, target: str) -> bool:
    return entry.revision == revision and entry.target == target


def _intact(entries: Sequence[ReleaseEntry]) -> list[ReleaseEntry]:
    """The last release of every target, newest first."""
    last: dict[str, ReleaseEntry] = {}
    for entry in reversed(entries):
        if entry.action is Action.RELEASE:
            last.setdefault(entry.target, entry)
    return list(last.values())


def _road(entries: Sequence[ReleaseEntry]) -> list[ReleaseEntry]:
    """The releases that led to the live one, oldest first, the live one last.

    A release goes on top; a rollback takes everything above its target away. That is why rolling
    back twice goes further back and never returns to what was rolled away from.
    """
    road: list[ReleaseEntry] = []
    released: dict[tuple[str, str], ReleaseEntry] = {}
    for entry in entries:
        name = (entry.revision, entry.target)
        if entry.action is Action.RELEASE:
            released[name] = entry
            road = [e for e in road if (e.revision, e.target) != name]
        target = released.get(name, entry)
        road = road[: road.index(target)] if target in road else road
        road.append(target)
    return road


def _default_target(
    entries: Sequence[ReleaseEntry], choices: Sequence[ReleaseEntry]
) -> ReleaseEntry | None:
    before = [e for e in _road(entries)[:-1] if e in choices]
    return before[-1] if before else None


def _named(to: str, choices: Sequence[ReleaseEntry]) -> ReleaseEntry | None:
    exact = [e for e in choices if e.revision == to]
    found = exact or [e for e in choices if to and e.revision.startswith(to)]
    revisions = {e.revision for e in found}
    return found[0] if len(revisions) == 1 else None


def _no_target(
    live: ReleaseEntry, to: str | None, choices: Sequence[ReleaseEntry]
) -> UnknownNameError:
    others = [e.revision for e in choices if e.revision != live.revision][:_SHOWN_CHOICES]
    asked = "an earlier revision on the road to the live one" if to is None else repr(to)
    return UnknownNameError(
        "there is no such revision to roll back to",
        where=f"{live.name}, live: {live.revision}",
        stored=f"revisions whose target still exists: {', '.join(others) or 'none'}",
        expected=asked,
        remedy="name one of them" if others else "keep more revisions (`keep`)",
    )


def _upgrade_1(raw: Raw) -> Raw:
    return {
        **raw,
        "target": raw["collection"],
        "previous_target": raw["previous_collection"],
        "written_by": "0.1.0 or earlier",
    }


_FORMAT = Format(
    kind="an entry of a release log",
    model=ReleaseEntry,
    current=FORMAT,
    remedy="restore the release log from a backup; do not edit it",
    upgrades={1: _upgrade_1},
)

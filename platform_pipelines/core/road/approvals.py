"""An approval: a person's word that lifts a hold of the gate, for exactly one evidence."""

from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)

FORMAT = 1


@dataclass(frozen=True, config=CONFIG)
class Approval:
    """Who approved which evidence about which revision, when (ISO 8601, UTC) and why."""

    name: str
    revision: str
    evidence_digest: str
    actor: str
    reason: str
    at: str
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    @property
    def digest(self) -> str:
        """Of the record as it is stored."""
        return digest_json(self.record())

    @property
    def told(self) -> str:
        """For the release log and the pages."""
        return f"{self.actor}: {self.reason}"

    def record(self) -> Raw:
        """As a JSON object."""
        return self.stored or plain(self)


def approval_from_json(text: str | bytes, *, where: str) -> Approval:
    """The inverse of `Approval.record` with its digest.

    Raises:
        IntegrityError: not an approval, or not what its digest says.
    """
    raw = _FORMAT.parse(text, where=where)
    stated = raw.pop("digest", None)
    approval = _FORMAT.read(raw, where=where)
    _FORMAT.must_equal("digest", stated, approval.digest, where=where)
    return approval


_FORMAT = Format(
    kind="an approval",
    model=Approval,
    current=FORMAT,
    remedy="delete the file and approve again",
)

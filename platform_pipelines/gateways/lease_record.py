"""What a lease object holds."""

from datetime import datetime
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.road.records import CONFIG, VERSION, Format, plain, stored_field

FORMAT = 1


@dataclass(frozen=True, config=CONFIG)
class LeaseRecord:
    """Who holds a lease. No two records ever written are equal: `nonce` and `beats` differ."""

    holder: str
    host: str
    pid: int
    process_started: str
    nonce: str  # of this acquisition
    token: int  # grows with every acquisition
    beats: int  # grows with every heartbeat
    acquired_at: datetime
    expires_at: datetime
    released: bool = False
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    def __post_init__(self) -> None:
        for time in (self.acquired_at, self.expires_at):
            if time.tzinfo is None:
                raise ValueError("a time without its zone")


def encode(record: LeaseRecord) -> bytes:
    """As JSON; times in ISO 8601."""
    fields = plain(record)
    fields["acquired_at"] = record.acquired_at.isoformat()
    fields["expires_at"] = record.expires_at.isoformat()
    return canonical_json(fields).encode()


def decode(data: bytes, *, where: str) -> LeaseRecord:
    """The inverse of `encode`. Raises IntegrityError for anything else."""
    return _FORMAT.read(_FORMAT.parse(data, where=where), where=where)


_FORMAT = Format(
    kind="a lease",
    model=LeaseRecord,
    current=FORMAT,
    remedy="make sure that no run is active, then delete the object",
)

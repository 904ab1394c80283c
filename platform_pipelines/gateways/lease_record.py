"""What a lease object holds."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.errors import IntegrityError


@dataclass(frozen=True, slots=True)
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


def encode(record: LeaseRecord) -> bytes:
    """As JSON; times in ISO 8601."""
    fields = asdict(record)
    fields["acquired_at"] = record.acquired_at.isoformat()
    fields["expires_at"] = record.expires_at.isoformat()
    return canonical_json(fields).encode()


def decode(data: bytes, *, where: str) -> LeaseRecord:
    """The inverse of `encode`. Raises IntegrityError for anything else."""
    try:
        fields: dict[str, Any] = json.loads(data)
        times = {
            name: datetime.fromisoformat(fields[name]) for name in ("acquired_at", "expires_at")
        }
        if any(time.tzinfo is None for time in times.values()):
            raise ValueError("a time without its zone")
        values: dict[str, Any] = {**fields, **times}
        return LeaseRecord(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            "not a lease",
            where=where,
            stored=data[:200].decode("utf-8", "replace"),
            expected="the JSON that this version writes",
            remedy="make sure that no run is active, then delete the object",
        ) from error

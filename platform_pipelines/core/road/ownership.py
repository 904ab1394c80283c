"""Whose a store is: an identity made once, which everything outside the store is stamped with.

A store that was copied or moved is found at another URL than its identity says. Which of the two it
is nobody but a person knows: a copy takes a new identity, a moved store keeps its own.
"""

import json
from typing import Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.records import (
    CONFIG,
    VERSION,
    Format,
    Raw,
    plain,
    stored_field,
)
from platform_pipelines.errors import OwnershipError

FORMAT = 1
UNKNOWN = "unknown"  # of a copy whose original had no identity yet


@dataclass(frozen=True, config=CONFIG)
class StoreIdentity:
    """The owner of all that a store's runs make elsewhere, e.g. collections of a vector store."""

    owner: str  # 32 hex characters, random
    url: str  # of the store that it was made for, or moved to
    made_at: str  # ISO 8601, UTC
    copy_of: str | None = None  # the owner of the original, of a copy
    format: int = FORMAT
    written_by: str = VERSION
    stored: Any = stored_field()

    def to_json(self) -> str:
        """The record as one JSON text."""
        record: Raw = self.stored or plain(self)
        return json.dumps(record, ensure_ascii=False, indent=1)

    def require_at(self, url: str) -> None:
        """Whether the store at `url` may write as this owner.

        Raises:
            OwnershipError: the store is a copy, or was moved.
        """
        if self.url != url:
            raise OwnershipError(
                "this store is a copy of another one, or was moved",
                where=url,
                stored=f"the identity of {self.url} (owner {self.owner})",
                expected=f"an identity of {url}",
                remedy="run `platform-pipelines store identity --new` in a copy, so that it never "
                "touches what the original owns, or `platform-pipelines store identity --moved` "
                "when this is the only one of them that will ever write again",
            )

    def owns(self, owner: str | None, *, recorded: bool) -> bool:
        """Whether a thing with this owner's mark (None is without one) belongs to the store.

        Earlier versions marked nothing: what has no mark is ours when the store has a record of it,
        unless the store is a copy, whose records are the original's too.
        """
        return owner == self.owner or (owner is None and recorded and self.copy_of is None)


def store_address(url: str) -> str:
    """A store's URL in the one form in which identities compare it."""
    return url.rstrip("/")


def refuse_foreign(
    what: str, owner: str | None, identity: StoreIdentity, *, remedy: str
) -> OwnershipError:
    """The refusal to touch what another platform made."""
    return OwnershipError(
        f"{what} belongs to another platform",
        where=identity.url,
        stored=f"owner {owner or 'without a mark, and this store has no record of it'}",
        expected=f"owner {identity.owner}",
        remedy=remedy,
    )


def identity_from_json(text: str | bytes, *, where: str) -> StoreIdentity:
    """The inverse of `StoreIdentity.to_json`.

    Raises:
        IntegrityError: not an identity, or of a newer format.
    """
    return _FORMAT.read(_FORMAT.parse(text, where=where), where=where)


_FORMAT = Format(
    kind="an identity of a store",
    model=StoreIdentity,
    current=FORMAT,
    remedy="restore it from a backup, or run `platform-pipelines store identity --new`",
)

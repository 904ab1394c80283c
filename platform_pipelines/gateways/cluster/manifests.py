"""Objects of any kind on a cluster: server-side apply, get, delete and listing by owner label.

Every write is checked strictly by the server (`fieldValidation=Strict`): an unknown or doubled
field is an error, not a surprise later. A dry run goes through the same admission and writes
nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from platform_pipelines.core.road.manifests import MANAGER, Manifest, ObjectKey, key_of
from platform_pipelines.errors import CapabilityError, SourceNotFoundError
from platform_pipelines.gateways.cluster.connection import APPLY, Connection

_PAGE = 200


class Cluster(Protocol):
    """What applying a configuration needs of a cluster."""

    def get(self, key: ObjectKey) -> Manifest | None:
        """The live object, or None."""
        ...

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply; the object as the server has it then (or would)."""
        ...

    def delete(self, live: Manifest, *, dry_run: bool = False) -> None:
        """Delete exactly this object."""
        ...

    def owned(self, kinds: set[tuple[str, str]], labels: Mapping[str, str]) -> Iterator[Manifest]:
        """Live objects of these (apiVersion, kind) that carry the labels, of all namespaces."""
        ...


class KubernetesCluster:
    """A real cluster.

    Raises (from every method): CapabilityError when the cluster does not know a kind, and the
    errors of `Connection.request`.
    """

    def __init__(self, connection: Connection, *, manager: str = MANAGER) -> None:
        self._connection = connection
        self._manager = manager
        self._known: dict[str, dict[str, tuple[str, bool]]] = {}

    def get(self, key: ObjectKey) -> Manifest | None:
        """The live object, or None."""
        try:
            return self._connection.request("GET", self._path(key))
        except SourceNotFoundError:
            return None

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply. Without `force` another manager's field is a ConflictError."""
        query = {"fieldManager": self._manager, "fieldValidation": "Strict"}
        query["force"] = "true" if force else "false"
        return self._connection.request(
            "PATCH",
            self._path(key_of(manifest)),
            query=query | _dry(dry_run=dry_run),
            body=manifest,
            content_type=APPLY,
        )

    def delete(self, live: Manifest, *, dry_run: bool = False) -> None:
        """Delete this object and no other of its name; one that is gone is no error."""
        metadata = cast("Mapping[str, Any]", live["metadata"])
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
        }
        path, query = self._path(key_of(live)), _dry(dry_run=dry_run)
        try:
            self._connection.request("DELETE", path, query=query, body=body)
        except SourceNotFoundError:
            return

    def owned(self, kinds: set[tuple[str, str]], labels: Mapping[str, str]) -> Iterator[Manifest]:
        """Live objects of these (apiVersion, kind) that carry the labels, of all namespaces."""
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        for api_version, kind in sorted(kinds):
            try:
                plural, _ = self._resource(api_version, kind)
            except CapabilityError:
                continue  # its definition is gone, and with it every object of the kind
            path = f"{_root(api_version)}/{plural}"
            for item in self._pages(path, selector):
                yield {**item, "apiVersion": api_version, "kind": kind}

    def _pages(self, path: str, selector: str) -> Iterator[dict[str, Any]]:
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            answer = self._connection.request("GET", path, query=query)
            yield from cast("list[dict[str, Any]]", answer.get("items") or [])
            token = cast("dict[str, Any]", answer.get("metadata") or {}).get("continue")
            if not token:
                return
            query = {**query, "continue": str(token)}

    def _path(self, key: ObjectKey) -> str:
        plural, namespaced = self._resource(key.api_version, key.kind)
        place = f"/namespaces/{key.namespace or 'default'}" if namespaced else ""
        return f"{_root(key.api_version)}{place}/{plural}/{key.name}"

    def _resource(self, api_version: str, kind: str) -> tuple[str, bool]:
        """(plural, namespaced) by discovery, asked once a group."""
        if kind not in self._known.get(api_version, {}):
            self._known[api_version] = self._discover(api_version)
        found = self._known[api_version].get(kind)
        if found is None:
            raise CapabilityError(
                f"the cluster does not know {kind} of {api_version}",
                where=self._connection.server,
                stored=", ".join(sorted(self._known[api_version])) or "no kind of this group",
                expected=kind,
                remedy="install the custom resource definition, or take the part out",
            )
        return found

    def _discover(self, api_version: str) -> dict[str, tuple[str, bool]]:
        try:
            answer = self._connection.request("GET", _root(api_version))
        except SourceNotFoundError:
            return {}
        listed = cast("list[dict[str, Any]]", answer.get("resources") or [])
        return {
            str(one["kind"]): (str(one["name"]), bool(one["namespaced"]))
            for one in listed
            if "/" not in str(one["name"])
        }


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _dry(*, dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}

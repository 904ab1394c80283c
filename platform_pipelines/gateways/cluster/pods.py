"""Pods of a label: their states, and pages and logs of theirs through the API server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.cluster.connection import Connection

_FAILING = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerError")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as its status says."""

    name: str
    is_ready: bool
    failing: str  # why its containers do not run, "" when they do or may


class Pods:
    """Raises (from every method): the errors of `Connection.request`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def named(self, namespace: str, labels: Mapping[str, str]) -> list[Pod]:
        """The pods that carry these labels and are not being deleted, by name."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        answer = self._connection.request(
            "GET", f"/api/v1/namespaces/{namespace}/pods", query={"labelSelector": selector}
        )
        items = cast("list[dict[str, Any]]", answer.get("items") or [])
        living = [one for one in items if "deletionTimestamp" not in one["metadata"]]
        return sorted(map(_pod, living), key=lambda pod: pod.name)

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """A page of a pod; None when it does not answer."""
        place = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"
        try:
            return self._connection.text(place)
        except PlatformError:
            return None

    def log_tail(self, namespace: str, pod: str) -> str:
        """The end of what a pod wrote."""
        place = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self._connection.text(place, query={"tailLines": "20"})


def _pod(item: Mapping[str, Any]) -> Pod:
    status: dict[str, Any] = item.get("status") or {}
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    ready = [c for c in conditions if c["type"] == "Ready"]
    kinds = ("initContainerStatuses", "containerStatuses")
    listed: list[list[dict[str, Any]]] = [status.get(kind) or [] for kind in kinds]
    containers = [one for kind in listed for one in kind]
    waiting = [str(c.get("state", {}).get("waiting", {}).get("reason", "")) for c in containers]
    return Pod(
        name=str(item["metadata"]["name"]),
        is_ready=bool(ready) and ready[0]["status"] == "True",
        failing=next((reason for reason in waiting if reason in _FAILING), ""),
    )

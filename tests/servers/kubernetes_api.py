"""A small Kubernetes API server over HTTP: enough for what applies a rollout, and for its faults.

Discovery, server-side apply, get, delete, pods by label, their pages through the proxy. What
controllers do is done at once: a Deployment has its pods, an HTTPRoute is taken by its Gateway.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.serving import kubeconfig_to

KINDS: dict[str, dict[str, str]] = {
    "/api/v1": {"Service": "services", "Pod": "pods"},
    "/apis/apps/v1": {"Deployment": "deployments"},
    "/apis/leaderworkerset.x-k8s.io/v1": {"LeaderWorkerSet": "leaderworkersets"},
    "/apis/policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "/apis/gateway.networking.k8s.io/v1": {"HTTPRoute": "httproutes", "Gateway": "gateways"},
    "/apis/gateway.envoyproxy.io/v1alpha1": {"EnvoyExtensionPolicy": "envoyextensionpolicies"},
}


@dataclass
class KubernetesApi:
    """Objects by their paths. `page_of` answers for pods; hooks see what was applied or deleted."""

    page_of: Callable[[str, str], str | None]  # (pod, path) -> text
    pod_reason: Callable[[str], str] = lambda _: ""  # of a Deployment's name: why it does not run
    worker_reason: Callable[[str], str] = lambda _: ""  # the same of a group's worker
    is_ready: Callable[[str], bool] = lambda _: True
    route_problem: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    history: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    gateway_pods: tuple[str, ...] = ("envoy-0",)

    def __enter__(self) -> "KubernetesApi":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return kubeconfig_to(url, folder)

    def put(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Apply: the generation grows when the spec is another."""
        before = self.objects.get(path)
        metadata = {**manifest["metadata"], "uid": path}
        same = before is not None and before["spec"] == manifest["spec"]
        old = before["metadata"]["generation"] if before else 0
        metadata["generation"] = old if same else old + 1
        if not same:
            self.history.append(("apply", f"{manifest['kind']} {manifest['metadata']['name']}"))
        self.objects[path] = {**manifest, "metadata": metadata}
        return self.objects[path]

    def get(self, path: str) -> dict[str, Any] | None:
        """As its controllers would have it now."""
        one = self.objects.get(path)
        if one is None:
            return None
        number = one["metadata"]["generation"]
        if one["kind"] in {"Deployment", "LeaderWorkerSet"}:
            ready = one["spec"]["replicas"] if self.is_ready(one["metadata"]["name"]) else 0
            return {**one, "status": {"observedGeneration": number, "readyReplicas": ready}}
        if one["kind"] == "HTTPRoute":
            refused = {"type": "ResolvedRefs", "status": "False", "message": self.route_problem}
            resolved = refused if self.route_problem else {"type": "ResolvedRefs", "status": "True"}
            said = [{"type": "Accepted", "status": "True"}, resolved]
            conditions = [{**c, "observedGeneration": number} for c in said]
            return {**one, "status": {"parents": [{"conditions": conditions}]}}
        return one

    def pods(self, selector: Mapping[str, str]) -> list[dict[str, Any]]:
        """Those of Deployments that select these labels, and the gateway's."""
        if any("gateway-name" in name for name in selector):
            return [_pod(name, "", ready=True) for name in self.gateway_pods]
        if worker := selector.get("platform/worker-of"):
            name = f"model-{worker}"
            return [_pod(f"{name}-0-1", self.worker_reason(name), ready=True)]
        found = [one for one in self.objects.values() if _pod_labels(one) == selector]
        return [
            _pod(f"{name}-{number}", self.pod_reason(name), ready=self.is_ready(name))
            for one in found
            for name in [one["metadata"]["name"]]
            for number in range(one["spec"]["replicas"])
        ]

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        """A JSON object, a text, or None for 404."""
        if path in KINDS:
            named = [{"kind": k, "name": n, "namespaced": True} for k, n in KINDS[path].items()]
            return {"resources": named}
        if "/proxy/" in path:
            place, _, page = path.partition("/proxy")
            return self.page_of(place.rpartition("/")[2].partition(":")[0], page)
        if path.endswith("/pods"):
            selector = dict(one.split("=") for one in query["labelSelector"].split(","))
            return {"items": self.pods(selector)}
        if method == "PATCH":
            return self.put(path, body)
        if method == "DELETE" and (gone := self.objects.pop(path, None)):
            self.history.append(("delete", f"{gone['kind']} {gone['metadata']['name']}"))
            return {}
        return self.get(path)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                asked = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                found = api.answer(self.command, asked.path, query, body)
                status = 404 if found is None else 200
                said = {"message": f"{asked.path} not found"} if found is None else found
                data = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PATCH = do_DELETE = _serve

            def log_message(self, *args: Any) -> None: ...

        return Handler


def _pod_labels(one: Mapping[str, Any]) -> Any:
    """Of the pods that an object makes and that answer."""
    if one["kind"] == "Deployment":
        return one["spec"]["selector"]["matchLabels"]
    if one["kind"] == "LeaderWorkerSet":
        return one["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["metadata"]["labels"]
    return None


def _pod(name: str, reason: str, *, ready: bool) -> dict[str, Any]:
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    is_ready = "True" if ready and not reason else "False"
    return {
        "metadata": {"name": name},
        "status": {
            "conditions": [{"type": "Ready", "status": is_ready}],
            "containerStatuses": [{"state": state}],
        },
    }

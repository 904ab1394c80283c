"""Running code that an agent wrote: one Job of one pod a call, over the API server's HTTP.

The agent's process never evaluates it. Without a cluster there is no such tool.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_pipelines.core.agent.declaration import SandboxSpec
from platform_pipelines.core.agent.sandbox import (
    CONTAINER,
    MAXIMUM_CODE_BYTES,
    TOKEN_FOLDER,
    sandbox_job,
)
from platform_pipelines.errors import RequestRefusedError, UnavailableError

IN_CLUSTER = "https://kubernetes.default.svc"
_POLL_SECONDS = 0.5
_START_SECONDS = 60.0  # until a node has the image


@dataclass(frozen=True)
class PodSandbox:
    """`token` and `authority` are paths of files; None for a server that needs neither."""

    agent: str
    spec: SandboxSpec
    url: str = IN_CLUSTER
    token: str | None = field(default=f"{TOKEN_FOLDER}/token", repr=False)
    authority: str | None = f"{TOKEN_FOLDER}/ca.crt"

    async def run(self, code: str) -> str:
        """What it printed, and how it ended.

        Raises:
            RequestRefusedError: it is too long, or the cluster refuses the pod.
            UnavailableError: there is no cluster, or it does not answer.
        """
        if len(code.encode()) > MAXIMUM_CODE_BYTES:
            raise RequestRefusedError(
                "the code is too long", stored=len(code.encode()), expected=MAXIMUM_CODE_BYTES
            )
        import anyio
        import httpx

        name = f"{self.agent}-{secrets.token_hex(5)}"
        jobs = f"/apis/batch/v1/namespaces/{self.spec.namespace}/jobs"
        try:
            async with self._client() as client:
                made = await client.post(jobs, json=sandbox_job(self.spec, self.agent, name, code))
                self._must(made, "make the pod")
                try:
                    with anyio.move_on_after(self.spec.seconds + _START_SECONDS):
                        return await self._wait(client, f"{jobs}/{name}", name)
                    return "ended: it was not over in time"
                finally:
                    with anyio.CancelScope(shield=True):
                        await client.request(
                            "DELETE", f"{jobs}/{name}", json={"propagationPolicy": "Background"}
                        )
        except (httpx.HTTPError, OSError) as error:
            raise UnavailableError(
                f"there is no cluster to run code in: {error}", where=self.url
            ) from error

    def _client(self) -> Any:
        import ssl

        import httpx

        headers = {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {Path(self.token).read_text('ascii').strip()}"
        verify = ssl.create_default_context(cafile=self.authority) if self.authority else False
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, verify=verify, timeout=30.0, trust_env=False
        )

    async def _wait(self, client: Any, job: str, name: str) -> str:
        import anyio

        while True:
            found = self._must(await client.get(job), "look at the pod").json()
            kinds = {
                c["type"]: c for c in found.get("status", {}).get("conditions", ())
                if c.get("status") == "True"
            }  # fmt: skip
            if "Complete" in kinds:
                return await self._output(client, name)
            if "Failed" in kinds:
                why = kinds["Failed"].get("reason") or "Failed"
                return f"{await self._output(client, name)}\nended: {why}".strip()
            await anyio.sleep(_POLL_SECONDS)

    async def _output(self, client: Any, name: str) -> str:
        """The last characters that it printed; a pod that was never made printed none."""
        at = f"/api/v1/namespaces/{self.spec.namespace}/pods"
        pods = self._must(
            await client.get(at, params={"labelSelector": f"job-name={name}"}), "find the pod"
        ).json()["items"]
        if not pods:
            return ""
        answer = await client.get(
            f"{at}/{pods[0]['metadata']['name']}/log",
            params={"container": CONTAINER, "limitBytes": 1_000_000},
        )
        return self._must(answer, "read what it printed").text[-self.spec.output_characters :]

    def _must(self, answer: Any, what: str) -> Any:
        if answer.is_success:
            return answer
        kind = RequestRefusedError if answer.is_client_error else UnavailableError
        raise kind(
            f"the cluster does not {what}: HTTP {answer.status_code}",
            where=f"namespace {self.spec.namespace}",
            stored=answer.text[:300],
        )

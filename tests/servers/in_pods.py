"""A small knowledge base whose vectors are made in pods of the cluster under test.

Documents and chunks are made here, vectors in an Indexed Job, the index in the local Milvus: what a
fault of the cluster touches is the Job, and a test of one takes seconds.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from platform_pipelines.settings import S3Settings, Secret, Settings
from platform_pipelines.stages.road.backends import open_jobs
from platform_pipelines.stages.road.outcome import StageOutcome
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.platform_sample import kubeconfig
from tests.servers.for_pods import CONFIG, IMAGE, Space
from tests.servers.milvus_server import wait_until
from tests.servers.s3_server import REGION, S3Server

LIGHT = {"cpu_request": "50m", "memory": "1Gi", "deadline_seconds": 600}


@dataclass(frozen=True)
class InPods:
    """One knowledge base, and the namespace where its vectors are made."""

    here: Knowledge
    space: Space
    profiles: Path

    @property
    def pods_of(self) -> Knowledge:
        """The same, with tasks as Jobs."""
        return self.here.on(
            compute="kubernetes", namespace=self.space.name, image=IMAGE, kubeconfig=kubeconfig(),
            task_config_maps=(CONFIG,), task_secrets=(CONFIG,), profiles_file=self.profiles,
        )  # fmt: skip

    def refresh(self) -> StageOutcome:
        """All stages; what `vectors` says."""
        self.here.refresh(end="chunks")
        made = self.pods_of.run("vectors")
        self.here.refresh(start="index")
        return made

    def vectors(self) -> StageOutcome:
        """Up to the vectors."""
        self.here.refresh(end="chunks")
        return self.pods_of.run("vectors")

    def jobs(self) -> list[dict[str, Any]]:
        """Of this knowledge base."""
        return [j for j in self.space.jobs() if self._is_mine(j)]

    def pods(self, phase: str = "") -> list[dict[str, Any]]:
        """Of this knowledge base, in this phase."""
        return [
            pod
            for pod in self.space.pods()
            if self._is_mine(pod) and phase in ("", pod["status"]["phase"])
        ]

    def running(self, *, seconds: float = 120) -> dict[str, Any]:
        """The first pod that works."""
        wait_until(lambda: bool(self.pods("Running")), seconds=seconds)
        return self.pods("Running")[0]

    def unfinished(self) -> list[str]:
        """Jobs that nobody follows any more."""
        labels = {"platform-pipelines/owner": self.here.name}
        return [job.name for job in open_jobs(self.pods_of.settings).unfinished(labels)]

    def _is_mine(self, one: dict[str, Any]) -> bool:
        return one["metadata"]["labels"].get("platform-pipelines/owner") == self.here.name


@contextmanager
def settings_in_pods(home: Path, server: S3Server, lite_uri: str) -> Iterator[Settings]:
    """A store on S3 that pods reach, vectors in the local Milvus."""
    s3 = S3Settings(
        endpoint=server.endpoint,
        region=REGION,
        access_key=Secret(server.key),
        secret_key=Secret(server.secret),
    )
    bucket = server.make_bucket()
    made = settings_under(home, lite_uri, workers=1, lease_wait_seconds=60)
    yield replace(made, store_url=f"s3://{bucket}/platform", s3=s3)


def in_pods(
    folder: Path, settings: Settings, space: Space, profile: Mapping[str, Any], **attributes: Any
) -> InPods:
    """A knowledge base of six guides on a profile of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "profiles.yaml"
    file.write_text(yaml.safe_dump({"tried": {**LIGHT, **profile}}), encoding="utf-8")
    embed = {"provider": "hash", **attributes.pop("embed", {}), "profile": "tried"}
    return InPods(new_knowledge(folder, settings, embed=embed, **attributes), space, file)

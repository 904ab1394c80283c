"""docs/operations.md, run from its first block to its last, with a refresh in between."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.errors import SourceNotFoundError
from platform_pipelines.gateways.cluster.connection import Connection
from tests.knowledge import Knowledge
from tests.platform_sample import connected, kubeconfig
from tests.servers import postgres_server
from tests.servers.for_pods import HOST, IMAGE, Space, s3_for_pods, settings_for_pods
from tests.servers.installed_chart import STAGE, Installed, stage_of, values
from tests.servers.milvus_server import wait_until
from tests.servers.s3_server import S3Server

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(1500)]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
SPACE = "pp-operations"
NEEDS = ("helm", "kubectl", "aws")


def blocks() -> dict[str, str]:
    """The commands under each heading of the page."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        section.partition("\n")[0]: "\n".join(
            re.findall(r"^```bash\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        )
        for section in sections
    }


@dataclass(frozen=True)
class Operator:
    """Somebody who has the page, a shell, and what the page says that they have."""

    folder: Path
    environment: Mapping[str, str]
    installed: Installed
    commands: Mapping[str, str]

    def does(self, heading: str) -> str:
        """The commands under a heading; what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.commands[heading]],
            check=False, capture_output=True, text=True, timeout=700, cwd=self.folder,
            env=dict(self.environment),
        )  # fmt: skip
        assert done.returncode == 0, f"{heading}: {done.stderr[-3000:]}"
        return done.stdout

    def asked(self) -> Installed:
        """The installation, at its web server's present address."""
        return Installed(
            self.installed.space, self.installed.settings,
            self.installed.space.address("pp-web"), "", "", self.installed.database,
        )  # fmt: skip


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    missing = [name for name in NEEDS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with (
        connected() as (connection, _),
        s3_for_pods(tmp_path / "s3") as server,
        postgres_server.postgres(HOST, database=None) as database,
    ):
        settings = settings_for_pods(tmp_path / "home", server)
        told: dict[str, Any] = values(settings, database)
        told["serve"] = {"enabled": False}
        del told["image"]  # the commands name it
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        keys = f"PLATFORM_S3_ACCESS_KEY={server.key}\nPLATFORM_S3_SECRET_KEY={server.secret}\n"
        (tmp_path / "platform.env").write_text(keys, encoding="utf-8")
        word = f"DAGSTER_PG_PASSWORD={database.password}\n"
        (tmp_path / "postgres.env").write_text(word, encoding="utf-8")
        (tmp_path / "deploy").symlink_to(ROOT / "deploy")
        installed = Installed(Space(connection, SPACE), settings, "", "", "", database)
        environment = {
            **database.environment, **of_aws(server), "NAMESPACE": SPACE, "IMAGE": IMAGE,
            "STORE": settings.store_url, "KUBECONFIG": str(kubeconfig()),
            "PATH": f"{postgres_server.BIN}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        remove(connection)
        yield Operator(tmp_path, environment, installed, blocks())
        remove(connection)


def of_aws(server: S3Server) -> dict[str, str]:
    """What the AWS CLI reads: this server, and no checksums that only AWS has."""
    return {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def remove(connection: Connection) -> None:
    """Whatever a test that failed has left."""
    path = f"/api/v1/namespaces/{SPACE}"

    def gone() -> bool:
        try:
            connection.request("GET", path)
        except SourceNotFoundError:
            return True
        return False

    if not gone():
        connection.request("DELETE", path)
        wait_until(gone, seconds=120)


def test_the_page_is_run_from_its_first_command_to_its_last(operator: Operator) -> None:
    """Installed, scaled, refreshed while it is upgraded, rolled back, backed up, lost, restored.

    The refresh outlives the upgrade; the restored installation knows its runs and its release, and
    a refresh of it has nothing to do.
    """
    operator.does("Install")
    operator.does("Scale the shards of a stage")
    installed = operator.asked()
    wait_until(installed.answers, seconds=60)

    operator.does("Launch a run")
    wait_until(lambda: bool(installed.running(**{STAGE: "documents"})), seconds=180)
    assert "superseded" in operator.does("Upgrade while a refresh runs")
    wait_until(installed.answers, seconds=60)
    (run,) = installed.runs()
    status, log = installed.ended(run, seconds=400)
    assert status == "SUCCESS", "\n".join(log[-20:])
    jobs = [job for job in installed.space.jobs() if stage_of(job)]
    assert {job["spec"]["parallelism"] for job in jobs} <= {1, 2}
    assert "pollSeconds: 15" in supplied(operator)

    operator.does("Roll the chart back")
    assert "pollSeconds" not in supplied(operator)
    assert "parallelism: 2" in supplied(operator)

    here = Knowledge(installed.settings.home, {"name": "handbook"}, installed.settings)
    release, chunks, documents = here.log()[-1], here.chunk_ids(), installed.documents("handbook")
    operator.does("Back up")
    lose_everything(operator)
    operator.does("Restore")

    wait_until(installed.answers, seconds=60)
    assert installed.runs() == [run]
    assert here.log()[-1] == release
    assert (here.chunk_ids(), installed.documents("handbook")) == (chunks, documents)
    status, log = installed.finished("handbook_refresh", seconds=300)
    assert status == "SUCCESS", "\n".join(log[-20:])
    assert len([job for job in installed.space.jobs() if stage_of(job)]) == len(jobs)

    operator.does("Remove")


def supplied(operator: Operator) -> str:
    """The values that the chart has now."""
    done = subprocess.run(
        ["helm", "get", "values", "pp", "-n", SPACE],
        check=True, capture_output=True, text=True, timeout=60, env=dict(operator.environment),
    )  # fmt: skip
    return done.stdout


def lose_everything(operator: Operator) -> None:
    """The store's objects and the database's tables."""
    for words in (
        ["aws", "s3", "rm", "--recursive", "--only-show-errors", operator.environment["STORE"]],
        ["psql", "-q", "-d", "dagster", "-c", "DROP SCHEMA public CASCADE"],
    ):
        subprocess.run(
            words, check=True, capture_output=True, timeout=120, env=dict(operator.environment)
        )

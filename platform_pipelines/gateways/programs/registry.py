"""MLflow's model registry behind one pipe: a JSON request a line in, a JSON answer a line out.

Runs by path in the environment `registry`: `import mlflow` takes seconds and brings libraries that
the runtime does not have. An answer is {"ok": ...} or {"error": ..., "kind": ...}. All operations
are idempotent: whoever lost an answer asks again.

    python registry.py TRACKING_URI ARTIFACTS_URI
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from collections.abc import Callable
from typing import Any

RUN_TAG = "platform.run"  # what makes a run the same run
DIGEST_TAG = "platform.digest"  # of the model's files
_MOST_VERSIONS = 1000


class Registry:
    """The operations, by name."""

    def __init__(self, client: Any, artifacts: str) -> None:
        self._client = client
        self._artifacts = artifacts

    def open_run(self, experiment: str, key: str, name: str, params: dict[str, str]) -> str:
        """The run of this key, made if there is none; its id."""
        found = self._client.get_experiment_by_name(experiment)
        number = (
            found.experiment_id
            if found
            else self._client.create_experiment(
                experiment, artifact_location=f"{self._artifacts}/{experiment}"
            )
        )
        runs = self._client.search_runs([number], filter_string=f"tags.`{RUN_TAG}` = '{key}'")
        if runs:
            return str(runs[0].info.run_id)
        run = self._client.create_run(number, tags={RUN_TAG: key}, run_name=name)
        for param, value in params.items():
            self._client.log_param(run.info.run_id, param, value)
        return str(run.info.run_id)

    def log_metrics(self, run_id: str, metrics: list[list[Any]]) -> None:
        """[name, value, milliseconds since 1970, step] each."""
        from mlflow.entities import Metric

        self._client.log_batch(run_id, metrics=[Metric(*one) for one in metrics])

    def close_run(self, run_id: str, status: str) -> None:
        """FINISHED | FAILED | KILLED."""
        self._client.set_terminated(run_id, status)

    def ensure_version(
        self, name: str, digest: str, source: str, run_id: str | None, tags: dict[str, str]
    ) -> int:
        """The version whose files have this digest, made if there is none; its number."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for one in self._found(name):
            if one.tags.get(DIGEST_TAG) == digest:
                return int(one.version)
        made = self._client.create_model_version(
            name, source, run_id, tags={**tags, DIGEST_TAG: digest}
        )
        return int(made.version)

    def versions(self, name: str) -> list[dict[str, Any]]:
        """All versions, oldest first. `tags` are as they are: anybody may have changed them."""
        found = [
            {
                "version": int(one.version),
                "source": one.source,
                "tags": dict(one.tags),
                "digest": one.tags.get(DIGEST_TAG, ""),
            }
            for one in self._found(name)
        ]
        return sorted(found, key=lambda one: one["version"])

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version; none when there is no such model."""
        from mlflow.exceptions import MlflowException

        try:
            model = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: int(version) for alias, version in model.aliases.items()}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias."""
        self._client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; none is fine."""
        if alias in self.aliases(name):
            self._client.delete_registered_model_alias(name, alias)

    def _found(self, name: str) -> list[Any]:
        return list(
            self._client.search_model_versions(f"name='{name}'", max_results=_MOST_VERSIONS)
        )


def answer(registry: Registry, line: str) -> dict[str, Any]:
    """The answer to one request."""
    from mlflow.exceptions import MlflowException

    request = json.loads(line)
    operation: Callable[..., Any] = getattr(registry, request.pop("operation"))
    try:
        return {"ok": operation(**request)}
    except MlflowException as error:
        return {"error": str(error)[:1000], "kind": error.error_code}


def main(tracking: str, artifacts: str) -> None:
    """Answer until the pipe is closed."""
    from mlflow import MlflowClient

    replies, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not be an answer
    registry = Registry(MlflowClient(tracking_uri=tracking, registry_uri=tracking), artifacts)
    for line in sys.stdin:
        print(json.dumps(answer(registry, line)), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])

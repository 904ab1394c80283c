"""Starting work on AWS: one call, told in the platform's words when it is refused.

The clients are given: their credentials, region and retries are the caller's.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from platform_pipelines.errors import RequestRefusedError, UnavailableError

_OPERATIONS = {  # -> what names the started work in the answer
    "create_training_job": "TrainingJobArn",
    "create_agent_runtime": "agentRuntimeArn",
    "create_model_invocation_job": "jobArn",
}


def launch(client: Any, operation: str, request: Mapping[str, Any]) -> str:
    """Start it; the ARN of what was started.

    Raises:
        RequestRefusedError: AWS, or the service's own model of requests, refuses it.
        UnavailableError: AWS does not answer, or asks to come back later.
    """
    botocore: Any = importlib.import_module("botocore.exceptions")
    try:
        answer = getattr(client, operation)(**request)
    except botocore.ParamValidationError as error:
        raise RequestRefusedError(
            f"the request has not the shape of {operation}: {error}", where="AWS"
        ) from error
    except botocore.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = UnavailableError if "Throttl" in code or "Limit" in code else RequestRefusedError
        raise kind(f"{operation} is refused: {code}", where="AWS", stored=str(error)) from error
    except botocore.BotoCoreError as error:
        raise UnavailableError(f"AWS does not answer: {error}", where=operation) from error
    return str(answer[_OPERATIONS[operation]])

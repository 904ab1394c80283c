"""Small requests to servers of this machine, by the standard library: health, metrics, admin."""

import http.client
from contextlib import closing

from platform_pipelines.errors import UnavailableError


def local_get(host: str, port: int, path: str, *, timeout_seconds: float = 10.0) -> tuple[int, str]:
    """Status and text.

    Raises:
        UnavailableError: nobody answers.
    """
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=timeout_seconds)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"no answer: {error}", where=f"{host}:{port}{path}", remedy="look at the server's log"
        ) from error

"""`POST /v1/alerts`: where an Alertmanager posts. What it says is kept; sensors act on it."""

import time
from typing import TYPE_CHECKING

from platform_pipelines.core.watch.webhook import parse_webhook
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.serving.http import Http, read_body
from platform_pipelines.serving.service import RequestError
from platform_pipelines.serving.tenants import NotAllowedError
from platform_pipelines.stages.watch.received import keep_alerts

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

SENDER = "alertmanager"  # the tenant whose token it bears, where tokens are declared


async def alerts(http: Http, request: "HttpRequest") -> "Response":
    """Keep what was posted.

    Raises:
        NotAllowedError: another tenant's token. RequestError: it is no post of an Alertmanager.
    """
    from starlette.responses import JSONResponse

    body = await read_body(request)
    if http.tenants.declared and http.tenant(request, "") != SENDER:
        raise NotAllowedError("this token may not post alerts", status=403)
    try:
        found = parse_webhook(body, now=time.time())
    except ConfigurationError as error:
        raise RequestError(error.what) from error
    settings = http.service.bases.settings
    await http.in_thread(lambda: keep_alerts(settings, found))
    return JSONResponse({"kept": len(found)})

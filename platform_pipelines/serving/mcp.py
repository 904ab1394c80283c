"""The MCP server: tools `search` and `answer` for agents, over streamable HTTP at `/mcp`."""

from typing import TYPE_CHECKING, Any

from platform_pipelines.errors import PlatformError
from platform_pipelines.serving.http import Http, message_of
from platform_pipelines.serving.service import Request, answer_record
from platform_pipelines.serving.tenants import Tenants

if TYPE_CHECKING:
    from mcp.server import MCPServer

SEARCH = (
    "Find passages of a released knowledge base, in Korean or English. Gives document, place, "
    "text, score and the revision that was searched."
)
ANSWER = (
    "Answer a question from the released documents of a knowledge base only, with citations, or "
    "say that it is not known. Names the revision that was answered from."
)


class _Verifier:
    """The declared tokens, as the MCP library asks for them."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def verify_token(self, token: str) -> Any:
        from mcp.server.auth.provider import AccessToken

        tenant = self._tenants.of_token(token)
        if tenant is None:
            return None
        return AccessToken(token=token, client_id=tenant, scopes=[], claims={"tenant": tenant})


def build_mcp(http: Http, url: str) -> "MCPServer[Any]":
    """The server; `url` is where clients reach it, e.g. http://127.0.0.1:8400."""
    from mcp.server import MCPServer
    from mcp.server.auth.settings import AuthSettings
    from mcp.server.mcpserver.exceptions import ToolError

    secured: dict[str, Any] = {}
    if http.tenants.declared:
        issuer: Any = url
        secured = {
            "token_verifier": _Verifier(http.tenants),
            "auth": AuthSettings(
                issuer_url=issuer, resource_server_url=issuer, validate_token_resource=False
            ),
        }
    server = MCPServer("platform-pipelines", log_level="WARNING", **secured)

    async def ask(name: str, query: str, tenant: str, k: int, kind: str) -> dict[str, Any]:
        try:
            asked = Request(name, _tenant(http, tenant), query, k)
            if kind == "search":
                return await http.in_thread(lambda: http.service.search(asked))
            return answer_record(name, await http.in_thread(lambda: http.service.answer(asked)))
        except PlatformError as error:  # other exceptions are hidden from clients by the library
            raise ToolError(f"{type(error).__name__}: {message_of(error)}") from error

    @server.tool(name="search", description=SEARCH)
    async def search(
        knowledge_base: str, query: str, tenant: str = "", k: int = 0
    ) -> dict[str, Any]:
        return await ask(knowledge_base, query, tenant, k, "search")

    @server.tool(name="answer", description=ANSWER)
    async def answer(
        knowledge_base: str, query: str, tenant: str = "", k: int = 0
    ) -> dict[str, Any]:
        return await ask(knowledge_base, query, tenant, k, "answer")

    return server


def _tenant(http: Http, named: str) -> str:
    """The token's tenant; without declared tokens the one that is named."""
    from mcp.server.auth.middleware.auth_context import get_access_token

    token = get_access_token()
    return http.tenants.of_request(f"Bearer {token.token}" if token else "", named)

"""A scripted language model and a server of tools, as agents reach them: over HTTP.

The model keeps OpenAI's chat completions, with tools and with `response_format`; what it says
depends on the messages alone, its system prompt first.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platform_pipelines.gateways.local_program import free_port

Message = Mapping[str, Any]
Brain = Callable[[dict[str, Any]], Message]
PAGES = {
    "leave": "Leave: 25 days a year.", "parental": "Parental leave: 16 weeks.",
    "travel": "Travel: second class.", "laptop": "Laptops: every 3 years.",
    "휴가": "휴가: 1년에 25일.", "security": "Security: call 112.",
}  # fmt: skip


def says(text: str) -> Message:
    """A message."""
    return {"role": "assistant", "content": text}


def calls(tool: str, **arguments: Any) -> Message:
    """A message that asks for a tool."""
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
    }  # fmt: skip


def wanted_fields(body: Mapping[str, Any]) -> set[str]:
    """The fields of the reply that is asked for; empty: a text."""
    form = body.get("response_format") or {}
    return set(form.get("json_schema", {}).get("schema", {}).get("properties", {}))


def last_user(body: Mapping[str, Any]) -> str:
    """What it was asked last."""
    return str([m for m in body["messages"] if m["role"] == "user"][-1]["content"])


def careful_or_not(body: dict[str, Any]) -> Message:
    """Looks it up where its prompt says so, and guesses where it does not."""
    fields, asked = wanted_fields(body), last_user(body)
    if "steps" in fields:
        return says(json.dumps({"steps": ["find it out"]}))
    if "done" in fields:
        given = asked.rpartition("Steps gave:\n")[2]
        return says(json.dumps({"done": True, "answer": given, "missing": ""}))
    found = [m["content"] for m in body["messages"] if m["role"] == "tool"]
    if found:
        return says(f"It says: {found[-1]}")
    if "search" in str(body["messages"][0]["content"]).lower():
        task = asked.partition("Task: ")[2].partition("\n")[0]
        return calls("search", query=task)
    return says("Probably 30 days.")


@contextmanager
def language_model(brain: Brain) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL up to `/v1`, and what it was asked."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({**body, "authorization": self.headers.get("authorization")})
            try:
                message = brain(body)
            except RuntimeError as error:
                self._send(500, {"error": {"message": str(error)}})
                return
            reply = {"choices": [{"message": message, "finish_reason": "stop"}]}
            self._send(200, reply)

        def _send(self, status: int, body: Mapping[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def tool_server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A real MCP server: its URL, and what was called. `search` reads, `open_ticket` changes."""
    import uvicorn
    from mcp.server import MCPServer

    made: list[tuple[str, str]] = []
    server: Any = MCPServer("tools", log_level="WARNING")

    @server.tool(name="search", description="Find a page.")
    def search(query: str) -> str:
        made.append(("search", query))
        found = [text for word, text in PAGES.items() if word in query.lower()]
        return found[0] if found else "nothing was found"

    @server.tool(name="open_ticket", description="Open a ticket.")
    def open_ticket(title: str) -> str:
        made.append(("open_ticket", title))
        return f"ticket 7: {title}"

    port = free_port()
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/mcp", made
    finally:
        running.should_exit = True
        thread.join()

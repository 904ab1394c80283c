"""Clients of every protocol that a server speaks, each asking as its users do.

An asker asks one question and tells the revision that the reply names, and the text that it holds.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio.from_thread
import httpx
import httpx2
import openai
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from platform_pipelines.serving.langchain import Served

SECONDS = 60.0


@dataclass(frozen=True)
class Reply:
    """What came: the revision that it names, and all its text that is a document's."""

    revision: str
    text: str


Asker = Callable[[str], Reply]


def texts_of(record: Mapping[str, Any]) -> str:
    """Of a search its passages; of an answer its statements and what they cite."""
    hits = [hit["text"] for hit in record.get("hits", ())]
    quotes = [one["quote"] for one in record.get("citations", ())]
    return "\n".join([*hits, *quotes, record.get("text", "")])


@contextmanager
def http_asker(url: str, name: str, token: str, path: str) -> Iterator[Asker]:
    """Plain HTTP: `/v1/search` or `/v1/answer`."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=SECONDS) as client:

        def ask(question: str) -> Reply:
            reply = client.post(path, json={"knowledge_base": name, "query": question})
            reply.raise_for_status()
            return Reply(reply.json()["revision"], texts_of(reply.json()))

        yield ask


@contextmanager
def openai_asker(url: str, name: str, token: str, *, stream: bool = False) -> Iterator[Asker]:
    """The real OpenAI client, which tries nothing again: a failure would be hidden."""
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=SECONDS
    ) as client:

        def whole(question: str) -> Reply:
            turn: Any = {"role": "user", "content": question}
            said = client.chat.completions.create(model=name, messages=[turn])
            record = (said.model_extra or {})["platform"]
            content = said.choices[0].message.content or ""
            return Reply(record["revision"], f"{content}\n{texts_of(record)}")

        def streamed(question: str) -> Reply:
            turn: Any = {"role": "user", "content": question}
            parts = list(client.chat.completions.create(model=name, messages=[turn], stream=True))
            (fingerprint,) = {part.system_fingerprint for part in parts}
            said = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
            return Reply(str(fingerprint), said)

        yield streamed if stream else whole


@contextmanager
def mcp_session(url: str, token: str, mode: Any = "auto") -> Iterator[Callable[..., Any]]:
    """The real MCP client, one session in an event loop of its own; yields `call_tool`."""
    headers = {"Authorization": f"Bearer {token}"}
    with anyio.from_thread.start_blocking_portal() as portal:
        http = httpx2.AsyncClient(headers=headers, timeout=SECONDS)
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        with portal.wrap_async_context_manager(Client(transport, mode=mode)) as client:
            yield lambda tool, asked: portal.call(client.call_tool, tool, asked)
        portal.call(http.aclose)


@contextmanager
def mcp_asker(url: str, name: str, token: str, tool: str, mode: Any) -> Iterator[Asker]:
    """MCP's tools `search` or `answer`."""
    with mcp_session(url, token, mode) as call:

        def ask(question: str) -> Reply:
            said = call(tool, {"knowledge_base": name, "query": question})
            assert not said.is_error, said.content
            return Reply(said.structured_content["revision"], texts_of(said.structured_content))

        yield ask


def retriever_asker(url: str, name: str, token: str) -> Asker:
    """The shipped retriever in the real LangChain."""
    retriever = Served(url, name, token=token).retriever()

    def ask(question: str) -> Reply:
        found = retriever.invoke(question)
        (revision,) = {document.metadata["revision"] for document in found}
        return Reply(revision, "\n".join(document.page_content for document in found))

    return ask


def graph_asker(url: str, name: str, token: str) -> Asker:
    """The shipped tool in a real LangGraph."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([Served(url, name, token=token).tool()]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    compiled = graph.compile()

    def ask(question: str) -> Reply:
        call = {"name": f"ask_{name}", "args": {"question": question}, "id": "1"}
        state = compiled.invoke(
            {"messages": [AIMessage("", tool_calls=[{**call, "type": "tool_call"}])]}
        )
        said = state["messages"][-1]
        assert said.status == "success", said.content
        return Reply(said.artifact["revision"], f"{said.content}\n{texts_of(said.artifact)}")

    return ask

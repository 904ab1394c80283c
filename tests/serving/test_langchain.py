"""The retriever and the tool in the real LangChain and LangGraph, against a running server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from platform_pipelines.serving.langchain import Served
from platform_pipelines.settings import ServingSettings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.serving.running import Running, running

TOKEN = "token-of-the-default-tenant"
ASKED = "What is the quota of pool number 5?"


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    folder = tmp_path_factory.mktemp("chained")
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "kb", settings, guides=range(8), name="chained")
    made.refresh()
    return made


@pytest.fixture(scope="module")
def server(guides: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    tokens.write_text(f'{{"default": ["{TOKEN}"]}}', encoding="utf-8")
    serving = ServingSettings(tokens_file=tokens)
    with running(replace(guides.settings, serving=serving)) as started:
        yield started


def test_a_chain_retrieves_what_is_released(server: Running, guides: Knowledge) -> None:
    """`invoke` and `batch`, as chains call them; metadata says where, and of which revision."""
    retriever = Served(server.url, "chained", token=TOKEN, k=3).retriever()
    found = retriever.invoke(ASKED)
    assert len(found) == 3
    assert "pool number 5" in found[0].page_content
    assert found[0].metadata["document_key"] == "guide5.md"
    assert found[0].metadata["revision"] == guides.log()[-1].revision
    assert [d[0].metadata["document_key"] for d in retriever.batch([ASKED] * 3)] == [
        "guide5.md"
    ] * 3


def test_an_agent_graph_calls_the_tool(server: Running) -> None:
    """A tool node of LangGraph: the message is the cited answer, the artifact the whole record."""
    tool = Served(server.url, "chained", token=TOKEN).tool()
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    call = {"name": "ask_chained", "args": {"question": ASKED}, "id": "1", "type": "tool_call"}
    state = graph.compile().invoke({"messages": [AIMessage("", tool_calls=[call])]})
    said = state["messages"][-1]
    assert "38 devices" in said.content
    assert "[1] guide5.md" in said.content
    assert said.artifact["citations"][0]["document_key"] == "guide5.md"


def test_a_wrong_token_reaches_the_application(server: Running) -> None:
    """Not an empty list: an application that finds nothing would answer from nothing."""
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        Served(server.url, "chained", token="wrong").retriever().invoke(ASKED)

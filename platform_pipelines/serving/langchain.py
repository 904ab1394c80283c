"""For applications written with LangChain or LangGraph: a retriever and a tool that ask a server.

Needs the extra `langchain`. Nothing else of the platform loads this module, and it loads LangChain
only when a retriever or a tool is made.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.network import proxy_for, trusted

if TYPE_CHECKING:
    import httpx
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.tools import BaseTool

SECONDS = 60.0
DOCUMENTS = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A knowledge base of a running server. `token` says whose documents; else `tenant` does."""

    url: str
    knowledge_base: str
    token: str = ""
    tenant: str = ""
    k: int = DOCUMENTS

    def retriever(self) -> "BaseRetriever":
        """A `BaseRetriever`: the released chunks, with place, score and revision as metadata."""
        from langchain_core.callbacks import CallbackManagerForRetrieverRun
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        served = self

        class ServedRetriever(BaseRetriever):
            """Asks the server; follows its releases."""

            def _get_relevant_documents(
                self, query: str, *, run_manager: CallbackManagerForRetrieverRun
            ) -> list[Document]:
                del run_manager
                return served.documents(query)

        return ServedRetriever(tags=[self.knowledge_base])

    def tool(self) -> "BaseTool":
        """A tool `ask_NAME` for agents: its text is the answer with its citations, its artifact
        the whole record."""
        from langchain_core.tools import StructuredTool

        def ask(question: str) -> tuple[str, dict[str, Any]]:
            record = self.answer(question)
            return cited(record), record

        return StructuredTool.from_function(
            ask,
            name=f"ask_{self.knowledge_base}",
            description=f"Answers a question from the documents of {self.knowledge_base}, with "
            "citations; says so when they do not hold the answer.",
            response_format="content_and_artifact",
        )

    def documents(self, query: str) -> "list[Document]":
        """The best chunks.

        Raises:
            httpx.HTTPStatusError: the server refused; its reply says why.
        """
        from langchain_core.documents import Document

        found = self._post("/v1/search", query, k=self.k)
        revision = found["revision"]
        return [
            Document(
                id=hit["chunk_id"],
                page_content=hit["text"],
                metadata={n: v for n, v in hit.items() if n != "text"} | {"revision": revision},
            )
            for hit in found["hits"]
        ]

    def answer(self, question: str) -> dict[str, Any]:
        """The reply of `POST /v1/answer`.

        Raises:
            httpx.HTTPStatusError: the server refused; its reply says why.
        """
        return self._post("/v1/answer", question)

    def _post(self, path: str, query: str, **more: Any) -> dict[str, Any]:
        named = {"tenant": self.tenant} if self.tenant else {}
        body = {"knowledge_base": self.knowledge_base, "query": query, **named, **more}
        with self._client() as client:
            reply = client.post(path, json=body)
            reply.raise_for_status()
            return reply.json()

    def _client(self) -> "httpx.Client":
        import httpx

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=SECONDS,
            verify=trusted(),
            proxy=proxy_for(self.url),
            trust_env=False,
        )


def cited(record: dict[str, Any]) -> str:
    """An answer's text, and below it what it cites."""
    places = [f"[{one['number']}] {one['citation']}" for one in record["citations"]]
    return "\n".join([record["text"], *places])

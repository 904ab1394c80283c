"""One request for embeddings, and what its answer must be before a vector of it is believed."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.errors import (
    ConfigurationError,
    DimensionError,
    IntegrityError,
    PlatformError,
)
from platform_pipelines.gateways.embedding_http import JsonClient, Reply

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]

PATH = "/v1/embeddings"
MODELS_PATH = "/v1/models"
_BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _UNPROCESSABLE = 400, 404, 413, 422
# vLLM: "maximum context length is 512 tokens"; TEI: "must have less than 512 tokens"; NIM: "exceeds
# maximum allowed token size"; batches: "batch size 64 > maximum allowed batch size 32"
_TOO_MUCH = re.compile(
    r"context length|too long|batch size|(maximum|less than|exceed).*token", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Served:
    """What the server is expected to hold."""

    model: str
    dimension: int
    window_tokens: int


class EmbeddingRequests:
    """Embeds one batch a call, and finds the one text that is too much for the server."""

    def __init__(self, client: JsonClient, served: Served) -> None:
        self._client = client
        self._served = served

    def embed(
        self, texts: Sequence[str], *, first_index: int, extra: Mapping[str, str]
    ) -> "Matrix":
        """[len(texts), dimension] float32, unit rows. `first_index` is that of `texts[0]`."""
        payload = {"model": self._served.model, "input": list(texts), "encoding_format": "float"}
        reply = self._client.post(PATH, {**payload, **extra})
        if reply.ok:
            return unit_vectors(reply.body, count=len(texts), dimension=self._served.dimension)
        if not _is_too_much(reply):
            raise self._refusal(reply)
        if len(texts) == 1:
            raise self._too_long(reply, first_index)
        return self._halves(texts, first_index=first_index, extra=extra)

    def _halves(
        self, texts: Sequence[str], *, first_index: int, extra: Mapping[str, str]
    ) -> "Matrix":
        """A batch may be too large where its texts are not; and if one is, this finds which."""
        import numpy as np

        middle = len(texts) // 2
        left = self.embed(texts[:middle], first_index=first_index, extra=extra)
        right = self.embed(texts[middle:], first_index=first_index + middle, extra=extra)
        return np.concatenate([left, right])

    def _too_long(self, reply: Reply, index: int) -> IntegrityError:
        return IntegrityError(
            "a text is longer than the embedding server takes",
            where=f"text {index} of the list",
            stored=f"HTTP {reply.status}: {reply.message}",
            expected=f"at most {self._served.window_tokens} tokens",
            remedy="chunk with this embedder's token counter; set window_tokens as the server's",
        )

    def _refusal(self, reply: Reply) -> PlatformError:
        if reply.status == _NOT_FOUND:
            return ConfigurationError(
                f"the embedding server does not know the model: {reply.message}",
                where=PATH,
                stored=self._served.model,
                expected=self._offered(),
                remedy="set the embedder's model to one that the server offers, or correct its url",
            )
        return ConfigurationError(
            f"the embedding server refuses the request (HTTP {reply.status}): {reply.message}",
            where=PATH,
            remedy="see that the embedder's url and model are right",
        )

    def _offered(self) -> str:
        reply = self._client.get(MODELS_PATH)
        body: Any = reply.body
        models: list[dict[str, Any]] = body.get("data") or [] if reply.ok else []
        names = sorted(str(model.get("id")) for model in models)
        return f"one of {', '.join(names)}" if names else "the server does not list its models"


def _is_too_much(reply: Reply) -> bool:
    if reply.status in (_BAD_REQUEST, _UNPROCESSABLE):
        return _TOO_MUCH.search(reply.message) is not None
    return reply.status == _TOO_LARGE


def unit_vectors(body: Any, *, count: int, dimension: int) -> "Matrix":
    """The vectors of an OpenAI embeddings reply, by `index`, checked and of unit length.

    Raises:
        IntegrityError: not such a reply, not one vector a text, or one that is zero or not finite.
        DimensionError: a vector of another length.
    """
    import numpy as np

    vectors = np.empty((count, dimension), np.float64)
    for index, embedding in _by_index(body, count):
        vector = _numbers(embedding, index)
        if vector.shape != (dimension,):
            raise DimensionError(
                "the embedding server's vectors have another length than declared",
                where=f"vector {index} of a reply",
                stored=int(vector.size),
                expected=dimension,
                remedy="set the embedder's dimension to the model's",
            )
        vectors[index] = vector
    with np.errstate(over="ignore"):  # too large is found below, with its index
        lengths = np.linalg.norm(vectors, axis=1)
    sound = np.isfinite(lengths) & (lengths > 0)
    if not sound.all():
        index = int(np.argmin(sound))
        raise IntegrityError(
            "the embedding server sent a vector that is zero or not finite",
            where=f"vector {index} of a reply",
            stored=f"length {lengths[index]}",
            expected="a finite length above 0",
        )
    return (vectors / lengths[:, None]).astype(np.float32)


def _by_index(body: Any, count: int) -> list[tuple[int, Any]]:
    """(index, embedding) of each entry; every index below `count` exactly once, in any order."""
    try:
        entries = [(entry["index"], entry["embedding"]) for entry in body["data"]]
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            "the answer is not an OpenAI embeddings reply",
            where=PATH,
            stored=repr(body)[:200],
            remedy="see that the embedder's url is that of an embedding server",
        ) from error
    indexes = [index for index, _ in entries]
    if sorted(indexes, key=repr) != sorted(range(count), key=repr):
        raise IntegrityError(
            "the embedding server did not send one vector a text",
            where=PATH,
            stored=f"{len(indexes)} vectors with indexes {repr(indexes)[:200]}",
            expected=f"each of 0 to {count - 1} once",
        )
    return entries


def _numbers(embedding: Any, index: int) -> "npt.NDArray[np.float64]":
    """A vector as JSON numbers (null is NaN), alone in a list or not, or as base64 of float32."""
    import numpy as np

    try:
        if isinstance(embedding, str):
            packed = base64.b64decode(embedding, validate=True)
            return np.frombuffer(packed, "<f4").astype(np.float64)
        vector = np.array(embedding, np.float64)
        return vector[0] if vector.ndim == 2 and len(vector) == 1 else vector
    except (ValueError, TypeError) as error:
        raise IntegrityError(
            f"a vector of the reply cannot be read: {error}", where=f"vector {index} of a reply"
        ) from error

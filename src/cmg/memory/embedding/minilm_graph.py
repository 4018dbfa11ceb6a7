"""MiniLM-L6 as an ONNX graph, written by hand from the weights, and its 8-bit form.

Run as a program by `minilm.prepare`: the memory that the conversion needs goes with it.
BERT as in Devlin et al. 2019 (six layers, twelve heads), then the mean over the tokens and a norm of 1. Operators of
the domain `com.microsoft` are the runtime's own. Of its fused ones two are left out, here and by `minilm` at load time:
`SkipLayerNormalization` takes five times the time of its three parts, `BiasGelu` twice that of its two, together a
quarter of a question's time (onnxruntime 1.32).
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from cmg.memory.embedding.minilm import narrow

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
_MICROSOFT = "com.microsoft"
_QUANTIZED = ["Attention", "MatMul"]


class _Graph:
    """Nodes and weights in the order they are added."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def hold(self, name: str, values: np.ndarray) -> str:
        """Keep an array under a name."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str) -> str:
        """A weight of the file as it is."""
        return self.hold(name, self.weights[name])

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """One node; an operator with `:` before its name is the runtime's own."""
        domain = _MICROSOFT if operator.startswith(":") else ""
        name = operator.removeprefix(":")
        self.nodes.append(helper.make_node(name, inputs, [output], domain=domain, name=output, **attributes))
        return output

    def dense(self, source: str, name: str) -> str:
        """`source · weightᵀ`; the bias is added by the node that follows."""
        weight = self.hold(f"{name}.weight", self.weights[f"{name}.weight"].T)
        return self.add("MatMul", [source, weight], f"{name}.out")

    def add_and_norm(self, source: str, skip: str, name: str) -> str:
        """Layer norm of `source + bias + skip`."""
        biased = self.add("Add", [source, self.weight(f"{name}.dense.bias")], f"{name}.biased")
        return self.norm(self.add("Add", [biased, skip], f"{name}.sum"), f"{name}.LayerNorm")

    def norm(self, source: str, name: str) -> str:
        """Layer norm with the weights of that name."""
        inputs = [source, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.add("LayerNormalization", inputs, f"{name}.out", axis=-1, epsilon=EPSILON)


def build(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The model in 32-bit floats: `ids`, `mask` int32 (texts, tokens) → `vectors` float32 (texts, 384)."""
    graph = _Graph(weights)
    hidden = _embeddings(graph)
    for number in range(LAYERS):
        hidden = _layer(graph, hidden, f"encoder.layer.{number}")
    _mean(graph, hidden)
    shape = ["texts", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("ids", "mask")]
    width = weights["embeddings.LayerNorm.bias"].shape[0]
    outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", width])]
    made = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.initializers)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1)]
    return helper.make_model(made, opset_imports=versions, ir_version=9)


def _embeddings(graph: _Graph) -> str:
    """Word and place of each token; all belong to the first kind of segment."""
    kind = graph.weights["embeddings.token_type_embeddings.weight"][0]
    places = graph.hold("places", graph.weights["embeddings.position_embeddings.weight"] + kind)
    table = graph.hold("words", graph.weights["embeddings.word_embeddings.weight"].astype(np.float16))
    words = graph.add("Cast", [graph.add("Gather", [table, "ids"], "words.half")], "words.out", to=TensorProto.FLOAT)
    length = graph.add("Shape", ["ids"], "length", start=1, end=2)
    start, axis = graph.hold("start", np.array([0], np.int64)), graph.hold("axis", np.array([0], np.int64))
    first = graph.add("Slice", [places, start, length, axis], "places.out")
    return graph.norm(graph.add("Add", [words, first], "embeddings.sum"), "embeddings.LayerNorm")


def _layer(graph: _Graph, hidden: str, name: str) -> str:
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    weight = graph.hold(f"{name}.qkv.weight", np.concatenate([graph.weights[f"{p}.weight"].T for p in parts], axis=1))
    bias = graph.hold(f"{name}.qkv.bias", np.concatenate([graph.weights[f"{p}.bias"] for p in parts]))
    seen = graph.add(":Attention", [hidden, weight, bias, "mask"], f"{name}.attention", num_heads=HEADS)
    hidden = graph.add_and_norm(graph.dense(seen, f"{name}.attention.output.dense"), hidden, f"{name}.attention.output")
    wide = graph.dense(hidden, f"{name}.intermediate.dense")
    biased = graph.add("Add", [wide, graph.weight(f"{name}.intermediate.dense.bias")], f"{name}.intermediate.biased")
    bent = graph.add(":Gelu", [biased], f"{name}.gelu")
    return graph.add_and_norm(graph.dense(bent, f"{name}.output.dense"), hidden, f"{name}.output")


def _mean(graph: _Graph, hidden: str) -> None:
    """The mean over the tokens that are no padding, scaled to length 1 (the mean's divisor falls out)."""
    last, tokens = graph.hold("last", np.array([2], np.int64)), graph.hold("tokens", np.array([1], np.int64))
    mask = graph.add("Cast", ["mask"], "mask.float", to=TensorProto.FLOAT)
    kept = graph.add("Mul", [hidden, graph.add("Unsqueeze", [mask, last], "mask.wide")], "kept")
    total = graph.add("ReduceSum", [kept, tokens], "total", keepdims=0)
    graph.add("LpNormalization", [total], "vectors", axis=-1, p=2)


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Every 32-bit float array of a file in the safetensors format, by name."""
    data = np.memmap(file, np.uint8, "r")
    size = int(data[:8].view("<u8")[0])
    head = msgspec.json.decode(bytes(data[8 : 8 + size]))
    body = data[8 + size :]
    return {
        name: body[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
        for name, entry in head.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def convert(weights: Path, target: Path) -> None:
    """Write the 8-bit model of a weights file."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(build(read_safetensors(weights)), whole)
        quantize_dynamic(
            whole,
            target,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            reduce_range=narrow(),
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

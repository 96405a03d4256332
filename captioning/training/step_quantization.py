"""The graph of a decoder's step in 8-bit integers.

Each row of what is multiplied has a range of its own, so that no row depends on those that are computed with it. Sums
of integers are exact: they are the same in a browser.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from captioning.training.graph_edits import add_constant, replace_nodes, simplified

# The largest weight in 7 bits: CPUs without VNNI add two products of 8 bits in 16, which overflow.
LARGEST_WEIGHT = 63
# The largest number in 8 bits with a sign, for what is read and not multiplied.
LARGEST_BYTE = 127
# Constants of a step graph: the axis of a row's numbers, the least span of a row, the share of it that a coarse byte
# counts, what coarse and fine bytes count of that, and the byte for zero.
LAST_AXIS, LEAST_SPAN, SHARE, COARSE, FINE, MIDDLE = "last_axis", "least_span", "share", "coarse", "fine", "middle"


def quantize_step(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A step graph with words' vectors, and the products with the decoder's matrices, in integers.

    Vectors of words have 8 bits, and a scale each. Weights have 7 bits, and a scale for each column. What they are
    multiplied with has 16, and a scale for each row: in 8 bits, two photos in 200 got another caption in a browser, for
    a last bit decides how numbers are rounded.
    """
    graph = simplified(graph)
    _split_layers(graph)
    add_constant(graph, LAST_AXIS, np.array([-1]))
    add_constant(graph, LEAST_SPAN, np.array(1e-30, np.float32))
    add_constant(graph, SHARE, np.array(1 / LARGEST_BYTE, np.float32))
    add_constant(graph, COARSE, np.array(1, np.float32))
    add_constant(graph, FINE, np.array(1 / 256, np.float32))
    add_constant(graph, MIDDLE, np.array(128, np.uint8))
    # Products with vectors, as the attention's scores, are left: there is nothing to gain.
    matrices = {tensor.name for tensor in graph.graph.initializer if len(tensor.dims) == 2 and tensor.dims[1] > 1}
    nodes, quantized = [], set()
    for node in graph.graph.node:
        if node.op_type == "Gather" and node.input[0] in matrices:
            nodes += _integer_lookup(graph, node)
        elif node.op_type == "MatMul" and node.input[1] in matrices:
            if node.input[0] not in quantized:
                quantized.add(node.input[0])
                nodes += _quantize_rows(node.input[0])
            nodes += _integer_product(graph, node)
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)
    return graph


def _split_layers(graph: onnx.ModelProto) -> None:
    """Write each linear layer as products and sums; one of joined vectors as the sum of its products with each.

    The ranges of these differ: in a range for both, few of 256 values would be left for the narrower.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    known = {info.name: info for info in shape_inference.infer_shapes(graph).graph.value_info}
    makers = {output: node for node in graph.graph.node for output in node.output}
    nodes = []
    for node in graph.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        layer, (vectors, weight, total) = node.output[0], node.input
        parts = _joined(vectors, makers)
        widths = [known[part].type.tensor_type.shape.dim[-1].dim_value for part in parts]
        for place, columns in enumerate(np.split(weights[weight], np.cumsum(widths)[:-1], axis=1)):
            product, before, total = f"{layer}.{place}", total, f"{layer}.{place}.sum"
            add_constant(graph, f"{product}.weight", np.ascontiguousarray(columns.T))
            nodes += [
                _node("MatMul", [parts[place], f"{product}.weight"], product),
                _node("Add", [product, before], total),
            ]
        add_constant(graph, f"{layer}.shape", np.array([-1, len(weights[weight])]))
        nodes.append(_node("Reshape", [total, f"{layer}.shape"], layer))
    replace_nodes(graph, nodes)


def _joined(vectors: str, makers: Mapping[str, NodeProto]) -> list[str]:
    """The tensors that were joined, and perhaps reshaped then, to these vectors; themselves if none were."""
    found = vectors
    while found in makers and makers[found].op_type == "Reshape":
        found = makers[found].input[0]
    return list(makers[found].input) if found in makers and makers[found].op_type == "Concat" else [vectors]


def _quantize_rows(vectors: str) -> list[NodeProto]:
    """Vectors (N, …) as `VECTORS.bytes` (2 N, …), the coarse bytes of all before their fine ones, by `VECTORS.unit`."""
    size, most, span, unit, units, coarse, near, rest, fine = (
        f"{vectors}.{part}" for part in ("size", "most", "span", "unit", "units", "coarse", "near", "rest", "fine")
    )
    return [
        _node("Abs", [vectors], size),
        _node("ReduceMax", [size, LAST_AXIS], most),
        _node("Max", [most, LEAST_SPAN], span),
        _node("Mul", [span, SHARE], unit),
        _node("Div", [vectors, unit], units),
        _node("QuantizeLinear", [units, COARSE, MIDDLE], coarse),
        _node("DequantizeLinear", [coarse, COARSE, MIDDLE], near),
        _node("Sub", [units, near], rest),
        _node("QuantizeLinear", [rest, FINE, MIDDLE], fine),
        _node("Concat", [coarse, fine], f"{vectors}.bytes", axis=0),
    ]


def _integer_lookup(graph: onnx.ModelProto, node: NodeProto) -> list[NodeProto]:
    """Some rows of a table, from their bytes."""
    (table, rows), [found] = node.input, node.output
    integers, scales = _rounded(graph, table, axis=1, largest=LARGEST_BYTE)
    whole, floats, shares = (f"{found}.{part}" for part in ("whole", "floats", "shares"))
    return [
        _node("Gather", [integers, rows], whole),
        _node("Cast", [whole], floats, to=TensorProto.FLOAT),
        _node("Gather", [scales, rows], shares),
        _node("Mul", [floats, shares], found),
    ]


def _rounded(graph: onnx.ModelProto, matrix: str, axis: int, largest: int) -> tuple[str, str]:
    """The names of a matrix's numbers as integers, and of their scales: one for all along the axis."""
    [weights] = (numpy_helper.to_array(tensor) for tensor in graph.graph.initializer if tensor.name == matrix)
    scales = np.abs(weights).max(axis=axis, keepdims=True).clip(min=1e-30) / largest
    integers, names = np.round(weights / scales).astype(np.int8), (f"{matrix}.integers", f"{matrix}.scales")
    for name, array in zip(names, (integers, scales.astype(np.float32)), strict=True):
        add_constant(graph, name, array)
    return names


def _integer_product(graph: onnx.ModelProto, node: NodeProto) -> list[NodeProto]:
    """A product of vectors with a matrix, from their bytes."""
    (vectors, matrix), [product] = node.input, node.output
    integers, scales = _rounded(graph, matrix, axis=0, largest=LARGEST_WEIGHT)
    whole, floats, coarse, fine, part, steps, shares = (
        f"{product}.{part}" for part in ("whole", "floats", "coarse", "fine", "part", "steps", "shares")
    )
    return [
        _node("MatMulInteger", [f"{vectors}.bytes", integers, MIDDLE], whole),
        _node("Cast", [whole], floats, to=TensorProto.FLOAT),
        helper.make_node("Split", [floats], [coarse, fine], coarse, axis=0, num_outputs=2),
        _node("Mul", [fine, FINE], part),
        _node("Add", [coarse, part], steps),
        _node("Mul", [steps, scales], shares),
        _node("Mul", [shares, f"{vectors}.unit"], product),
    ]


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, [output], output, **attributes)

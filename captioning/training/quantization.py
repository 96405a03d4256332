"""The model's graphs in 8-bit integers.

The range of what the encoder's layers compute is measured on photos beforehand, and each row of what the decoder
multiplies has its own, so that no photo and no row depends on those that are computed with it. Sums of integers are
exact: they are the same in a browser.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxscript import optimizer

from captioning.graph_check.model import ENCODER_INPUTS

# What is computed in integers; activations are there because a layer's rounding takes theirs over.
OPERATORS = ("Conv", "Gemm", "Add", "Clip", "Relu")
# The largest weight in 7 bits: CPUs without VNNI add two products of 8 bits in 16, which overflow.
LARGEST_WEIGHT = 63
# The largest number in 8 bits with a sign, for what is read and not multiplied.
LARGEST_BYTE = 127
# Constants of a step graph: the axis of a row's numbers, the least span of a row, the share of it that a coarse byte
# counts, what coarse and fine bytes count of that, and the byte for zero.
LAST_AXIS, LEAST_SPAN, SHARE, COARSE, FINE, MIDDLE = "last_axis", "least_span", "share", "coarse", "fine", "middle"
# What 8 bits can hold, and the least distance of a sum to the middle between two of these, of which its own arithmetic
# in float32 takes a third.
BYTES, MARGIN = np.arange(256, dtype=np.int64), 3e-5


def quantize_encoder(graph: onnx.ModelProto, pixels: np.ndarray) -> onnx.ModelProto:
    """An encoder graph with its layers in integers, weights in 7 bits.

    No layer stays in float32, in which processors differ in the last bit: rounding to 8 bits makes more of such a
    difference with every layer, and one caption in ten became another.

    Args:
        graph: in float32, with its weights.
        pixels: uint8 (N, 3, S, S) of photos by which the ranges are measured.
    """
    logging.getLogger().addFilter(_is_no_advice)
    graph = simplified(graph)
    _read_whole_pixels(graph)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(graph, Path(folder, "encoder.onnx"))
        scales = _scales_without_ties(_quantize_layers(Path(folder), pixels, {}))
        return _quantize_layers(Path(folder), pixels, scales)


def quantize_step(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A step graph with words' vectors, and the products with the decoder's matrices, in integers.

    Vectors of words have 8 bits, and a scale each. Weights have 7 bits, and a scale for each column. What they are
    multiplied with has 16, and a scale for each row: in 8 bits, two photos in 200 got another caption in a browser, for
    a last bit decides how numbers are rounded.
    """
    graph = simplified(graph)
    _split_layers(graph)
    _add_constant(graph, LAST_AXIS, np.array([-1]))
    _add_constant(graph, LEAST_SPAN, np.array(1e-30, np.float32))
    _add_constant(graph, SHARE, np.array(1 / LARGEST_BYTE, np.float32))
    _add_constant(graph, COARSE, np.array(1, np.float32))
    _add_constant(graph, FINE, np.array(1 / 256, np.float32))
    _add_constant(graph, MIDDLE, np.array(128, np.uint8))
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
    _replace_nodes(graph, nodes)
    return graph


def simplified(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with constants computed and batch norm folded into the convolutions before it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/simplified.onnx"
        onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _read_whole_pixels(graph: onnx.ModelProto) -> None:
    """Have the first convolution read pixels less their mean as whole numbers, which its weights scale.

    Scaled to the range from -1 to 1 before, each of a pixel's 256 values lies in the middle between two that 8 bits can
    hold: half of them were lost.
    """
    nodes = graph.graph.node
    if [node.op_type for node in nodes[:5]] != ["Cast", "Div", "Sub", "Div", "Conv"]:
        return
    cast, _, subtract, scale, convolution = nodes[:5]
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    mean, deviation = (255 * numpy_helper.to_array(constants[node.input[1]]) for node in (subtract, scale))
    zero = np.round(mean.mean())
    # Beyond the photo's edge the convolution reads zeros, which are this value then: it has to be nearly the mean.
    if np.abs(zero - mean).max() > 0.5:
        return
    weights, bias = (numpy_helper.to_array(constants[name]) for name in convolution.input[1:])
    weights = weights / deviation
    bias = bias + (weights * (zero - mean)).sum(axis=(1, 2, 3))
    for name, array in zip(convolution.input[1:], (weights, bias), strict=True):
        constants[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
    _add_constant(graph, "pixel_mean", np.array(zero, np.float32))
    whole = helper.make_node("Sub", [cast.output[0], "pixel_mean"], list(scale.output), subtract.name)
    kept = [cast, whole, *nodes[4:]]
    _replace_nodes(graph, kept)


def _quantize_layers(folder: Path, pixels: np.ndarray, scales: Mapping[str, list[dict]]) -> onnx.ModelProto:
    """`encoder.onnx` of a folder in integers; some of its tensors have other scales than their ranges give.

    The ranges are measured the first time, and kept in the folder.
    """
    quantized = folder / "quantized.onnx"
    quantize_static(
        folder / "encoder.onnx",
        quantized,
        _Pixels(pixels),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_cache_path=folder / "ranges.json",
        extra_options={"TensorQuantOverrides": dict(scales)},
    )
    return onnx.load(quantized)


def _scales_without_ties(graph: onnx.ModelProto) -> dict[str, list[dict]]:
    """For each sum of two quantized tensors a scale with which none lies in the middle between two that 8 bits hold.

    Processors add in floating point, and the last bit of it would decide how such a sum is rounded.

    Returns:
        What ONNX Runtime's `TensorQuantOverrides` take, for the sums that need it.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    dequantized = {node.output[0]: node for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    quantized = {node.input[0]: node for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    found = {}
    for node in graph.graph.node:
        if node.op_type != "Add" or not set(node.input) <= dequantized.keys() or node.output[0] not in quantized:
            continue
        one, other = (
            (BYTES - constants[zero]) * constants[scale].astype(np.float64)
            for _, scale, zero in (dequantized[name].input for name in node.input)
        )
        _, scale, zero = quantized[node.output[0]].input
        sums, measured, shift = one[:, None] + other, constants[scale], constants[zero]
        candidates = (np.asarray(measured * np.float32(1 + step / 1000)) for step in range(1000))
        constants[scale] = next(each for each in candidates if _least_distance_to_tie(sums / each + shift) > MARGIN)
        if constants[scale] != measured:
            found[node.output[0]] = [{"scale": constants[scale], "zero_point": shift}]
    return found


def _least_distance_to_tie(values: np.ndarray) -> float:
    """How near any of these values, of those that 8 bits can hold, comes to a half."""
    held = values[(values > BYTES[0] - 1) & (values < BYTES[-1] + 1)]
    return float(np.abs(held - np.floor(held) - 0.5).min())


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
            _add_constant(graph, f"{product}.weight", np.ascontiguousarray(columns.T))
            nodes += [
                _node("MatMul", [parts[place], f"{product}.weight"], product),
                _node("Add", [product, before], total),
            ]
        _add_constant(graph, f"{layer}.shape", np.array([-1, len(weights[weight])]))
        nodes.append(_node("Reshape", [total, f"{layer}.shape"], layer))
    _replace_nodes(graph, nodes)


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
        _add_constant(graph, name, array)
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


def _replace_nodes(graph: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    """Give a graph other nodes, and leave out what has no effect then."""
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    optimizer.remove_unused_nodes(graph)


def _add_constant(graph: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    graph.graph.initializer.append(numpy_helper.from_array(array, name))


class _Pixels(CalibrationDataReader):
    def __init__(self, pixels: np.ndarray):
        self._inputs: Iterator[dict] = ({ENCODER_INPUTS[0]: photo[None]} for photo in pixels)

    def get_next(self) -> dict | None:
        return next(self._inputs, None)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a message is more than what ONNX Runtime does, or its advice to simplify a graph first, which is done."""
    return record.levelno > logging.INFO and "pre-processing before quantization" not in record.getMessage()

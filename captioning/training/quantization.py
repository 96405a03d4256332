"""The model's graphs in 8-bit integers.

The encoder's layers are quantized statically: the range of what each computes is measured on photos beforehand. The
decoder's matrices are quantized by blocks of their rows, and each row that is multiplied with them by itself. So no
photo and no row ever depends on those that are computed with it.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from captioning.graph_check.model import ENCODER_INPUTS

# What is computed in integers; activations are there because a layer's rounding takes theirs over.
OPERATORS = ("Conv", "Gemm", "Add", "Clip", "Relu")
# Numbers of a matrix's row that share a scale.
BLOCK_SIZE = 128
# Compute with the integers themselves instead of dequantizing them first.
INTEGER_ARITHMETIC = 4
# What 8 bits can hold, and the least distance of a sum to the middle between two of these, of which its own arithmetic
# in float32 takes a third.
BYTES, MARGIN = np.arange(256, dtype=np.int64), 3e-5


def quantize_encoder(graph: onnx.ModelProto, pixels: np.ndarray) -> onnx.ModelProto:
    """An encoder graph with its layers in integers.

    Weights have 7 bits: CPUs without VNNI add two products of 8 bits in 16, which overflow. No layer stays in float32,
    in which processors differ in the last bit: rounding to 8 bits makes more of such a difference with every layer, and
    one caption in ten became another.

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
    """A step graph with the decoder's matrices in integers, by blocks."""
    logging.getLogger("onnxruntime.quantization").setLevel(logging.ERROR)
    graph = simplified(graph)
    _split_layers(graph)
    quantizer = MatMulNBitsQuantizer(
        graph,
        bits=8,
        block_size=BLOCK_SIZE,
        is_symmetric=True,
        accuracy_level=INTEGER_ARITHMETIC,
        nodes_to_exclude=_products_with_vectors(graph),
    )
    quantizer.process()
    quantized: Any = quantizer.model
    return quantized.model


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
    graph.graph.initializer.append(numpy_helper.from_array(np.array(zero, np.float32), "pixel_mean"))
    whole = helper.make_node("Sub", [cast.output[0], "pixel_mean"], list(scale.output), subtract.name)
    kept = [cast, whole, *nodes[4:]]
    del nodes[:]
    nodes.extend(kept)
    _drop_unused(graph)


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
    """Write each linear layer as a product and a sum, for it is products that are quantized by blocks."""
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    nodes = []
    for node in graph.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        inputs, weight, bias = node.input
        turned, product = f"{weight}.turned", f"{node.output[0]}.product"
        graph.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(weights[weight]).T.copy(), turned))
        nodes += [
            helper.make_node("MatMul", [inputs, turned], [product], f"{node.name}.product"),
            helper.make_node("Add", [product, bias], list(node.output), f"{node.name}.sum"),
        ]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    _drop_unused(graph)


def _drop_unused(graph: onnx.ModelProto) -> None:
    """Leave out constants that no node reads."""
    used = {name for node in graph.graph.node for name in node.input}
    kept = [tensor for tensor in graph.graph.initializer if tensor.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def _products_with_vectors(graph: onnx.ModelProto) -> list[str]:
    """Products that have one result a row, as the attention's scores: there is nothing to gain."""
    vectors = {tensor.name for tensor in graph.graph.initializer if tensor.dims and tensor.dims[-1] == 1}
    return [node.name for node in graph.graph.node if node.op_type == "MatMul" and node.input[1] in vectors]


class _Pixels(CalibrationDataReader):
    def __init__(self, pixels: np.ndarray):
        self._inputs: Iterator[dict] = ({ENCODER_INPUTS[0]: photo[None]} for photo in pixels)

    def get_next(self) -> dict | None:
        return next(self._inputs, None)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a message is more than what ONNX Runtime does, or its advice to simplify a graph first, which is done."""
    return record.levelno > logging.INFO and "pre-processing before quantization" not in record.getMessage()

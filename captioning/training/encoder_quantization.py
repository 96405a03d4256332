"""The encoder's graph in 8-bit integers.

The range of what its layers compute is measured on photos beforehand, so that no photo depends on those that are
computed with it.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from captioning.graph_check.model import ENCODER_INPUTS
from captioning.training.graph_edits import add_constant, replace_nodes, simplified

# What is computed in integers; activations are there because a layer's rounding takes theirs over.
OPERATORS = ("Conv", "Gemm", "Add", "Clip", "Relu")
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
    add_constant(graph, "pixel_mean", np.array(zero, np.float32))
    whole = helper.make_node("Sub", [cast.output[0], "pixel_mean"], list(scale.output), subtract.name)
    replace_nodes(graph, [cast, whole, *nodes[4:]])


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


class _Pixels(CalibrationDataReader):
    def __init__(self, pixels: np.ndarray):
        self._inputs: Iterator[dict] = ({ENCODER_INPUTS[0]: photo[None]} for photo in pixels)

    def get_next(self) -> dict | None:
        return next(self._inputs, None)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a message is more than what ONNX Runtime does, or its advice to simplify a graph first, which is done."""
    return record.levelno > logging.INFO and "pre-processing before quantization" not in record.getMessage()

"""The model's graphs in 8-bit integers.

The encoder's layers are quantized statically: the range of what each computes is measured on photos beforehand. The
decoder's matrices are quantized by blocks of their rows, and each row that is multiplied with them by itself. So no
photo and no row ever depends on those that are computed with it.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator
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
ACTIVATIONS = ("Clip", "Relu")
# Numbers of a matrix's row that share a scale.
BLOCK_SIZE = 128
# Compute with the integers themselves instead of dequantizing them first.
INTEGER_ARITHMETIC = 4


class EncoderQuantizer:
    """Quantizes an encoder graph in several ways, from ranges that are measured once.

    Weights have 7 bits: CPUs without VNNI add two products of 8 bits in 16, which overflow.

    Args:
        graph: in float32, with its weights.
        pixels: uint8 (N, 3, S, S) of photos by which the ranges are measured.
        folder: for files in between.
    """

    def __init__(self, graph: onnx.ModelProto, pixels: np.ndarray, folder: Path):
        logging.getLogger().addFilter(_is_no_advice)
        self._folder, self._pixels = folder, pixels
        self._graph = folder / "encoder.onnx"
        onnx.save(simplified(graph), self._graph)

    def layers(self) -> list[list[str]]:
        """The layers that can be quantized: the nodes of each, a convolution and the activation that reads it alone."""
        nodes = onnx.load(self._graph).graph.node
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return [
            [node.name, *(reader.name for reader in readers[node.output[0]] if reader.op_type in ACTIVATIONS)]
            for node in nodes
            if node.op_type == "Conv"
        ]

    def quantize(self, *, only: Collection[str] = (), without: Collection[str] = ()) -> onnx.ModelProto:
        """The graph with its layers in integers.

        Args:
            only: names of nodes; if there are any, no others are quantized.
            without: names of nodes that stay in float32.
        """
        quantized = self._folder / "quantized.onnx"
        quantize_static(
            self._graph,
            quantized,
            _Pixels(self._pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(without),
            calibration_cache_path=self._folder / "ranges.json",
        )
        return onnx.load(quantized)


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
    used = {name for node in nodes for name in node.input}
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
    """Whether a message is more than ONNX Runtime's advice to simplify a graph first, which is done."""
    return "pre-processing before quantization" not in record.getMessage()

"""Changes to an ONNX graph that its quantization is made of."""

import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, numpy_helper
from onnxscript import optimizer


def simplified(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with constants computed and batch norm folded into the convolutions before it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/simplified.onnx"
        onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def replace_nodes(graph: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    """Give a graph other nodes, and leave out what has no effect then."""
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    optimizer.remove_unused_nodes(graph)


def add_constant(graph: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    """Give a graph a tensor of its own."""
    graph.graph.initializer.append(numpy_helper.from_array(array, name))

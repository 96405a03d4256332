"""Whether an ONNX graph from a checkpoint may be given to the runtime."""

from captioning.graph_check.check import WEIGHTS_PLACE, GraphTensor, check_graph

__all__ = ["WEIGHTS_PLACE", "GraphTensor", "check_graph"]

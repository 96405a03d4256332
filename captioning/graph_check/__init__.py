"""Whether the ONNX graphs of a checkpoint may be given to the runtime."""

from captioning.graph_check.check import GraphTensor, check_graph
from captioning.graph_check.model import check_model_graphs

__all__ = ["GraphTensor", "check_graph", "check_model_graphs"]

"""A checkpoint's graphs as ONNX files that stand on their own, for programs that know nothing of this package."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from captioning.checkpoint import GRAPHS, CheckpointInfo
from captioning.files import make_folder, write_whole
from captioning.inference.onnx_backend import read_graphs


def write_onnx(info: CheckpointInfo, precision: str, folder: Path) -> None:
    """Write `encoder.onnx`, `step.onnx`, `config.json` and `vocabulary.json` into a folder, which is made.

    Raises:
        CheckpointError: see `read_graphs`.
        CaptioningError: the folder or a file cannot be written.
    """
    make_folder(folder)
    for graph, data in whole_graphs(info, precision):
        write_whole(folder / f"{graph}.onnx", data)
    write_whole(folder / "config.json", json.dumps(asdict(info.config)).encode())
    write_whole(folder / "vocabulary.json", json.dumps(info.vocabulary.words).encode())


def whole_graphs(info: CheckpointInfo, precision: str, *, half: bool = False) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a checkpoint's graphs with their weights in them, one after the other.

    Args:
        info, precision: see `read_graphs`.
        half: keep in float16 the weights that the checkpoint has in float16. The graph then makes float32 of them as it
            is loaded, so that it computes the same in half the space.

    Raises:
        CheckpointError: see `read_graphs`.
    """
    for graph, (structure, weights) in zip(GRAPHS, read_graphs(info, precision), strict=True):
        model = onnx.load_from_string(structure)
        for tensor in model.graph.initializer:
            name = tensor.name
            if name not in weights:
                continue
            if half and info.tensors[name].type == "F16":
                stored = f"{name}.half"
                model.graph.node.insert(0, helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
                tensor.CopyFrom(numpy_helper.from_array(weights[name].astype(np.float16), stored))
            else:
                tensor.CopyFrom(numpy_helper.from_array(weights[name], name))
        yield graph, model.SerializeToString()

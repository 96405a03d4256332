"""A checkpoint's graphs as ONNX files that stand on their own, for programs that know nothing of this package."""

import json
from dataclasses import asdict
from pathlib import Path

import onnx
from onnx import numpy_helper

from captioning.checkpoint import GRAPHS, CheckpointInfo, graph_name, read_tensors
from captioning.files import write_whole


def write_onnx(info: CheckpointInfo, precision: str, folder: Path) -> None:
    """Write `encoder.onnx`, `step.onnx`, `config.json` and `vocabulary.json` into a folder, which is made.

    Raises:
        CheckpointError: the checkpoint's weights are not sound.
        CaptioningError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for graph in GRAPHS:
        name = graph_name(precision, graph)
        model = onnx.load_from_string(read_tensors(info, [name])[name].tobytes())
        apart = [tensor for tensor in model.graph.initializer if tensor.external_data]
        arrays = read_tensors(info, [tensor.name for tensor in apart])
        for tensor in apart:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        write_whole(folder / f"{graph}.onnx", model.SerializeToString())
    write_whole(folder / "config.json", json.dumps(asdict(info.config)).encode())
    write_whole(folder / "vocabulary.json", json.dumps(info.vocabulary.words).encode())

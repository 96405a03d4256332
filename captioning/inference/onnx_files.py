"""A checkpoint's graphs as ONNX files that stand on their own, for programs that know nothing of this package."""

import json
from dataclasses import asdict
from pathlib import Path

import onnx
from onnx import numpy_helper

from captioning.checkpoint import GRAPHS, CheckpointInfo
from captioning.files import write_whole
from captioning.inference.onnx_backend import read_graphs


def write_onnx(info: CheckpointInfo, precision: str, folder: Path) -> None:
    """Write `encoder.onnx`, `step.onnx`, `config.json` and `vocabulary.json` into a folder, which is made.

    Raises:
        CheckpointError: see `read_graphs`.
        CaptioningError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for graph, (structure, weights) in zip(GRAPHS, read_graphs(info, precision), strict=True):
        model = onnx.load_from_string(structure)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        write_whole(folder / f"{graph}.onnx", model.SerializeToString())
    write_whole(folder / "config.json", json.dumps(asdict(info.config)).encode())
    write_whole(folder / "vocabulary.json", json.dumps(info.vocabulary.words).encode())

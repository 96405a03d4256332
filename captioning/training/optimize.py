"""A checkpoint made ready to run without PyTorch: its graphs, and their quantization where captions stay as good."""

from pathlib import Path

import numpy as np

from captioning.checkpoint import graph_name
from captioning.model.graphs import export_graphs, split_weights
from captioning.model.model import load_model, save_model


def optimize_checkpoint(path: Path) -> None:
    """Write graphs into a checkpoint, replacing those that it has.

    Raises:
        CheckpointError: the file is not sound, or cannot be written.
    """
    model, info = load_model(path)
    names = model.state_dict()
    tensors = {}
    for graph, exported in export_graphs(model).items():
        structure, _ = split_weights(exported, names)
        tensors[graph_name("float32", graph)] = np.frombuffer(structure, np.uint8)
    save_model(path, model, info.vocabulary, info.training, tensors)

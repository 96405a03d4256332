"""Means of the weights of several checkpoints (Wortsman et al., 2022, *Model soups*)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from captioning.checkpoint import CheckpointInfo
from captioning.errors import CheckpointError
from captioning.model.model import CaptioningModel, load_model
from captioning.record import MeanRecord, StageRecord


def mean_of_checkpoints(
    paths: Sequence[Path], shares: Sequence[float], command: str = ""
) -> tuple[CaptioningModel, CheckpointInfo]:
    """The mean of the weights of checkpoints that were trained from one, or one from the other.

    Weights that were trained apart have no such mean: between them lie none that describe photos.

    Args:
        paths: of the checkpoints.
        shares: of each in the mean; they add up to 1.
        command: what was typed, for the record.

    Returns:
        The model, and what the last of the files says, with the stages of all in its record and without scores.

    Raises:
        CheckpointError: one is not sound, or has another architecture or other words than the last.
    """
    model, info = load_model(paths[-1])
    stages: list[StageRecord] = []
    weights = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    for path, share in zip(paths, shares, strict=True):
        other, its = load_model(path)
        if (its.config, its.vocabulary.words) != (info.config, info.vocabulary.words):
            raise CheckpointError(f"{path} and {paths[-1]} have no mean: their architecture or their words differ.")
        stages += [stage for stage in its.training.stages if stage not in stages]
        for name, tensor in other.state_dict().items():
            weights[name] += share * tensor if tensor.is_floating_point() else 0
    # What is no weight, such as a count of batches, is that of the last.
    kept = model.state_dict().items()
    model.load_state_dict({name: weights[name] if tensor.is_floating_point() else tensor for name, tensor in kept})
    info.training.stages = stages
    for dataset in info.training.datasets:
        dataset.scores = {}
    info.training.means.append(MeanRecord(of=[path.stem for path in paths], shares=list(shares), command=command))
    return model, info

"""Graphs from anywhere: each is refused in a clause that says why, or runs within bounds.

Nothing ends the process, nothing hangs, and memory stays bounded.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from captioning import DEFAULT_CHECKPOINT, Captioner
from captioning.checkpoint import GRAPHS, CheckpointInfo, graph_name, read_info, read_tensors
from captioning.errors import CheckpointError
from captioning.graph_check import check_model_graphs
from captioning.model.model import save_model
from captioning.record import TrainingRecord
from captioning.training.scores import optimize_checkpoint
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.browser import ROOT
from tests.helpers import forge, refused, tiny_model
from tests.hostile_graphs import model, node

pytestmark = pytest.mark.hostile

SECONDS = 5
MEMORY = 2**30
# Kinds of which all are refused; of the others some are harmless.
REFUSED = {
    "other_operators",
    "other_domains",
    "other_fields",
    "external_data",
    "control_flow",
    "wrong_ends",
    "growing_outputs",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small checkpoint with graphs."""
    path = tmp_path_factory.mktemp("graphs") / "tiny.safetensors"
    save_model(path, tiny_model(12), Vocabulary([*SPECIAL_TOKENS, *"abcdefgh"]), TrainingRecord())
    optimize_checkpoint(path)
    return path


def read_graphs(info: CheckpointInfo, precision: str) -> list[bytes]:
    names = [graph_name(precision, graph) for graph in GRAPHS]
    return [tensor.tobytes() for tensor in read_tensors(info, names).values()]


def test_hostile_graphs_are_refused_or_run_within_bounds(checkpoint):
    command = [sys.executable, "-m", "tests.try_hostile_graphs", checkpoint]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    *lines, memory = run.stdout.splitlines()
    assert run.returncode == 0, f"{memory} ended the process"
    tried = [line.split() for line in lines]
    outcomes = Counter((kind, outcome) for kind, outcome, _ in tried)
    assert len(tried) > 500
    assert {outcome for _, outcome in outcomes} <= {"refused", "ran", "failed"}
    assert {kind for kind, outcome in outcomes if outcome != "refused"}.isdisjoint(REFUSED)
    assert outcomes["real", "ran"] == 2
    assert max(float(seconds) for *_, seconds in tried) < SECONDS
    assert int(memory) * 2**10 < MEMORY


def test_the_default_checkpoint_has_graphs_that_pass():
    info = read_info(DEFAULT_CHECKPOINT)
    assert info.graph_precisions
    for precision in info.graph_precisions:
        encoder, step = read_graphs(info, precision)
        for weights in check_model_graphs(info, encoder=encoder, step=step):
            assert set(weights) <= info.tensors.keys()


def test_a_checkpoint_with_a_hostile_graph_is_refused_in_one_sentence(checkpoint, tmp_path):
    name = graph_name("float32", "step")
    loop = model(node("Loop", ["", "", "x"], ["y"])).SerializeToString()
    forged = forge(checkpoint, tmp_path / "forged.safetensors", {name: torch.tensor(list(loop), dtype=torch.uint8)})
    with refused(CheckpointError, "forged.safetensors is not a usable checkpoint"):
        Captioner.from_checkpoint(forged)


def test_graphs_of_another_configuration_are_refused(checkpoint):
    info = read_info(checkpoint)
    encoder, step = read_graphs(info, "float32")
    check_model_graphs(info, encoder=encoder, step=step)
    for changed in ({"decoder_size": 9}, {"attention_size": 9}, {"neck_size": 9}, {"image_size": 32}):
        other = replace(info, config=replace(info.config, **changed))
        with pytest.raises(ValueError, match="not those of the model"):
            check_model_graphs(other, encoder=encoder, step=step)
    with pytest.raises(ValueError, match="no feature grid"):
        check_model_graphs(info, encoder=step, step=encoder)

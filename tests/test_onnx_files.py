"""The graphs that `export-onnx` writes run without this package, as the README shows."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions
from captioning.__main__ import main
from captioning.checkpoint import graph_name
from tests.browser import ROOT
from tests.helpers import checkpoint_parts, forge


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_readmes_program_says_the_greedy_caption(run_main, photos, tmp_path, precision):
    flags = ["--precision", precision, "-o", tmp_path / "onnx"]
    code, _, error = run_main(main, "export-onnx", DEFAULT_CHECKPOINT, *flags)
    assert (code, error) == (0, "")
    captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", precision)
    assert json.loads((tmp_path / "onnx" / "config.json").read_text()) == asdict(captioner.info.config)
    [program] = re.findall(r"```python\n(import json.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shutil.copy(photos / "rocket.jpg", tmp_path / "photo.jpg")
    # Isolated, so that nothing of this package is found.
    command = [sys.executable, "-I", "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    caption = captioner(photos / "rocket.jpg", SearchOptions(beam_size=1))
    said = [line.split() for line in run.stdout.splitlines()]
    assert [word for word, _ in said] == [step.word for step in caption.steps]
    assert [int(cell) for _, cell in said] == [np.argmax(step.attention) for step in caption.steps]


def test_graphs_that_may_not_be_run_are_not_written(run_main, tmp_path):
    graph = graph_name("float32", "step")
    tensor = checkpoint_parts(DEFAULT_CHECKPOINT)[0][graph]
    for other in (tensor[:-1000].clone(), torch.zeros(999, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8)):
        path = forge(DEFAULT_CHECKPOINT, tmp_path / "hostile.safetensors", {graph: other})
        code, out, error = run_main(main, "export-onnx", path, "--precision", "float32", "-o", tmp_path / "onnx")
        assert (code, out) == (2, "")
        assert error.startswith("hostile.safetensors is not a usable checkpoint, ")
        assert error.count("\n") == 1
    assert not list((tmp_path / "onnx").glob("*.onnx"))

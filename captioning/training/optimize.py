"""The graphs with which a checkpoint runs without PyTorch, in integers too where its captions stay as good.

Whether they do is decided by the scores of the dev splits of all data sets together: on 197 photos, integers changed
BLEU-4 by 1.0 and CIDEr by 1.8 by chance alone (standard deviation of a paired bootstrap), on Flickr8k's 1,000 by 0.2
and 0.6.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from captioning.checkpoint import GRAPHS, CheckpointInfo, graph_name, read_info
from captioning.data.datasets import CaptionDataset, Example
from captioning.errors import CaptioningError, ExportError
from captioning.evaluation.evaluate import WidthScore, evaluate
from captioning.graph_check import check_model_graphs
from captioning.images import open_image, to_pixels
from captioning.inference.captioner import Captioner
from captioning.inference.onnx_backend import OnnxBackend, open_session, pool_is_shared
from captioning.inference.options import SearchOptions
from captioning.inference.runtime import ONNX_RUNTIME, Runtime
from captioning.model.graphs import export_graphs, split_weights
from captioning.model.model import CaptioningModel, save_model
from captioning.training.encoder_quantization import quantize_encoder
from captioning.training.step_quantization import quantize_step

Graphs = dict[str, onnx.ModelProto]

# Of train, by which ranges are measured.
CALIBRATION_PHOTOS = 128
# What integers may cost on dev at the default beam width, in points of BLEU-4 and CIDEr.
MOST_LOST = {"BLEU-4": 0.25, "CIDEr": 0.5}


@dataclass(frozen=True)
class Comparison:
    """What integers did to the captions of the dev splits: the share that stayed, and both scores."""

    equal: float
    float32: dict[str, float]
    int8: dict[str, float]

    @property
    def passes(self) -> bool:
        return all(self.int8[name] >= self.float32[name] - most for name, most in MOST_LOST.items())

    def describe(self) -> str:
        """One sentence."""
        scores = ", ".join(f"{name} {self.int8[name]:.2f} ({self.float32[name]:.2f})" for name in MOST_LOST)
        return f"Dev, int8 (float32): {scores}; {self.equal:.1%} of the captions are the same."


def float32_graphs(model: CaptioningModel) -> dict[str, np.ndarray]:
    """The tensors `graph.*` of a model's checkpoint, in float32 alone; the model is in evaluation mode."""
    return _as_tensors(model, {"float32": export_graphs(model)})


def make_graphs(
    model: CaptioningModel, info: CheckpointInfo, datasets: Sequence[CaptionDataset]
) -> dict[str, np.ndarray]:
    """The tensors `graph.*` of a model's checkpoint; prints how quantization changes its captions.

    Args:
        model: in evaluation mode.
        info: of a checkpoint with its configuration and vocabulary.
        datasets: those it was trained on, with train and dev splits. Without any, or where int8 loses too much, the
            graphs are in float32 alone.

    Raises:
        ExportError: the encoder cannot be exported, or its graph does what none may do here.
        CaptioningError: this process has sessions that share a pool, beside which quantization can open none.
        ImageError: a photo cannot be read.
    """
    if datasets and pool_is_shared():
        raise CaptioningError("Graphs are quantized in a process that has captioned nothing yet: start another.")
    graphs = export_graphs(model)
    variants = {"float32": graphs}
    _check(model, info, _as_tensors(model, variants))
    if datasets:
        quantized = _quantize(graphs, info, datasets)
        comparison = _compare(graphs, quantized, info, datasets)
        print(comparison.describe(), flush=True)
        if comparison.passes:
            variants["int8"] = quantized
    return _as_tensors(model, variants)


def _check(model: CaptioningModel, info: CheckpointInfo, graphs: Mapping[str, np.ndarray]) -> None:
    """Refuse graphs in float32 that would be refused when a checkpoint with them is loaded.

    Raises:
        ExportError: they would be.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model, info.vocabulary, info.training, graphs)
        structures = {graph: graphs[graph_name("float32", graph)].tobytes() for graph in GRAPHS}
        try:
            check_model_graphs(read_info(path), **structures)
        except ValueError as error:
            raise ExportError(
                f"The encoder {info.config.encoder} does not run on ONNX Runtime here: {error}."
            ) from None


def _as_tensors(model: CaptioningModel, variants: Mapping[str, Graphs]) -> dict[str, np.ndarray]:
    tensors = {}
    for precision, variant in variants.items():
        for graph, exported in variant.items():
            prefix = graph_name(precision, f"weights.{graph}")
            structure, weights = split_weights(exported, model.state_dict(), prefix)
            tensors |= {graph_name(precision, graph): np.frombuffer(structure, np.uint8), **weights}
    return tensors


def _quantize(graphs: Graphs, info: CheckpointInfo, datasets: Sequence[CaptionDataset]) -> Graphs:
    train = [example for dataset in datasets for example in dataset.split("train")]
    # The same ones each time.
    drawn = random.Random(0).sample(train, min(CALIBRATION_PHOTOS, len(train)))
    pixels = np.stack([to_pixels(open_image(example.photo), info.config.image_size) for example in drawn])
    return {"encoder": quantize_encoder(graphs["encoder"], pixels), "step": quantize_step(graphs["step"])}


def _compare(graphs: Graphs, quantized: Graphs, info: CheckpointInfo, datasets: Sequence[CaptionDataset]) -> Comparison:
    examples = [example for dataset in datasets for example in dataset.split("dev")]
    exact, rounded = (_score(variant, info, examples) for variant in (graphs, quantized))
    equal = np.mean([one == other for one, other in zip(exact.captions, rounded.captions, strict=True)])
    return Comparison(float(equal), _points(exact), _points(rounded))


def _score(graphs: Graphs, info: CheckpointInfo, examples: Sequence[Example]) -> WidthScore:
    captioner = Captioner(_backend(graphs), info, Runtime(ONNX_RUNTIME, "cpu", "float32"))
    options = SearchOptions()
    [score] = evaluate(captioner, examples, [options.beam_size], options)
    return score


def _points(score: WidthScore) -> dict[str, float]:
    return {"BLEU-4": score.bleu[3], "CIDEr": score.metrics["cider"]}


def _backend(graphs: Graphs) -> OnnxBackend:
    # Not on the pool that sessions share: quantization has sessions of its own, which that would forbid.
    encoder, step = (open_session(graphs[graph].SerializeToString(), {}) for graph in GRAPHS)
    return OnnxBackend(encoder, step)

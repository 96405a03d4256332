"""ViT-GPT2 without PyTorch: ONNX Runtime, weights in int8, a key/value cache, and a beam search in numpy.

python -m benchmarks.vit_gpt2

This makes the two graphs, once, in `.cache/vit-gpt2`; `load` does so where they are missing. The weights are random, as
there is no network; speed does not depend on them. Both graphs come from the transformers library's own modules. Keys
and values of the photo are computed once a photo, and shared by its hypotheses.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime

from captioning.images import open_image, to_pixels

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "vit-gpt2"
GRAPHS = ("encoder", "step")
SIZE = 224


class VitGpt2:
    """The two graphs, in sessions with the runtime's defaults."""

    def __init__(self, encoder: Path, step: Path):
        self._encoder: Any = onnxruntime.InferenceSession(encoder)
        self._step: Any = onnxruntime.InferenceSession(step)
        _, _, self._heads, _, self._head_size = self._encoder.get_outputs()[0].shape

    def caption(self, photo: Path, beams: int, steps: int) -> np.ndarray:
        """The best caption of so many tokens."""
        pixels = (to_pixels(open_image(photo), SIZE)[None] / np.float32(127.5) - 1).astype(np.float32)
        [seen] = self._encoder.run(None, {"pixels": pixels})
        past = np.zeros((len(seen), 1, self._heads, 0, self._head_size), np.float32)
        tokens, scores = np.zeros((1, 1), dtype=int), np.zeros((1, 1), np.float32)
        for _ in range(steps):
            log_probabilities, past = self._step.run(None, {"seen": seen, "past": past, "tokens": tokens[:, -1:]})
            totals = scores + log_probabilities
            best = np.argpartition(totals, -beams, axis=None)[-beams:]
            parents, chosen = np.unravel_index(best, totals.shape)
            scores = totals.flat[best][:, None]
            tokens, past = np.hstack([tokens[parents], chosen[:, None]]), past[:, parents]
        return tokens[scores.argmax(), 1:]


def load() -> VitGpt2:
    paths = [FOLDER / f"{graph}.onnx" for graph in GRAPHS]
    if not all(path.exists() for path in paths):
        # In a process of its own, for this one is to have no PyTorch.
        subprocess.run([sys.executable, "-m", "benchmarks.vit_gpt2"], cwd=ROOT, stdout=sys.stderr, check=True)
    return VitGpt2(*paths)


def build() -> Any:
    """The model of the transformers library."""
    from transformers import GPT2Config, VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig

    decoder = GPT2Config(add_cross_attention=True)
    decoder.is_decoder = True
    return VisionEncoderDecoderModel(VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(), decoder))


def export() -> None:
    """Write both graphs, their matrix products quantized as `quantize_dynamic` does by default."""
    import torch
    from torch import nn
    from torch.export import Dim
    from transformers import EncoderDecoderCache

    model = build().eval()
    model.decoder.set_attn_implementation("eager")
    layers = model.decoder.transformer.h

    class Encoder(nn.Module):
        """Pixels (1, 3, S, S) to keys and values (2 × layers, 1, heads, L, head size) of the photo."""

        def __init__(self):
            super().__init__()
            self.encoder, self.layers = model.encoder, layers

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen = self.encoder(pixels).last_hidden_state
            attentions = [layer.crossattention for layer in self.layers]
            both = torch.cat([attention.c_attn(seen) for attention in attentions], dim=2)
            return both.view(1, seen.shape[1], 2 * len(attentions), -1, attentions[0].head_dim).permute(2, 0, 3, 1, 4)

    class Step(nn.Module):
        """One token (B, 1) to log-probabilities (B, V); keys and values of those before it are like the photo's."""

        def __init__(self):
            super().__init__()
            self.decoder = model.decoder

        def forward(self, seen: torch.Tensor, past: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            cache = EncoderDecoderCache(list(zip(past[::2], past[1::2], seen[::2], seen[1::2], strict=True)))
            # What the encoder gave is in the cache; that there is something makes the layers look there.
            nothing = seen.new_zeros(1, seen.shape[3], 1)
            found = self.decoder(tokens, cache=cache, encoder_hidden_states=nothing, use_cache=True)
            layers: Any = cache.self_attention_cache.layers
            kept = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
            return found.logits[:, -1].log_softmax(dim=-1), torch.stack(kept)

    encoder, step = Encoder().eval(), Step().eval()
    pixels = torch.zeros(1, 3, SIZE, SIZE)
    seen = encoder(pixels).detach()
    past = torch.zeros(len(seen), 5, seen.shape[2], 7, seen.shape[4])
    tokens = torch.zeros(5, 1, dtype=torch.int64)
    shapes = ({}, {1: Dim("beams"), 3: Dim("past")}, {0: Dim("beams")})
    _write("encoder", encoder, {"pixels": pixels}, None)
    _write("step", step, {"seen": seen, "past": past, "tokens": tokens}, shapes)


def _write(name: str, module, inputs: dict, shapes: tuple | None) -> None:
    import torch
    from onnxruntime.quantization import quant_pre_process, quantize_dynamic

    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, torch.no_grad():
        whole, prepared = Path(place, "whole.onnx"), Path(place, "prepared.onnx")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            whole,
            dynamo=True,
            external_data=False,
            input_names=list(inputs),
            dynamic_shapes=shapes,
        )
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        # The convolution is left out: ONNX Runtime has none of these weights in int8.
        quantize_dynamic(prepared, FOLDER / f"{name}.onnx", op_types_to_quantize=["MatMul"])


if __name__ == "__main__":
    export()

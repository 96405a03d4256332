"""One side of a comparison: reads names of photos, captions each at beam 5, and writes what that took.

python benchmarks/sides.py SIDE

It says when it is ready. A line of its input is a JSON list of a photo and a number of steps; the answer is a list of
seconds and steps. Each photo is captioned twice, and the second time counts. The side `package` captions with the
package on PYTHONPATH and ends its captions itself. The others have random weights, since speed does not depend on
them, and take as many steps as asked.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = 5
# The size of the reference's photos, and to what it enlarges their feature grid.
REFERENCE_SIZE, REFERENCE_GRID = 224, 14
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

# Captions a photo in a number of steps, and returns how many it took.
Side = Callable[[Path, int], int]


def package() -> Side:
    """This repository at whatever commit is on the path."""
    from captioning import Captioner, SearchOptions

    # From where all commits have it.
    from captioning.__main__ import DEFAULT_CHECKPOINT

    captioner, options = Captioner.from_checkpoint(DEFAULT_CHECKPOINT), SearchOptions(beam_size=WIDTH)

    def caption(photo: Path, _: int) -> int:
        found = captioner(photo, options)
        # The search lasts until its last hypothesis has ended.
        return max(len(hypothesis.text.split()) + 1 for hypothesis in found.hypotheses)

    return caption


def resnet101() -> Side:
    """ResNet-101 and the search of the best-known implementations, in PyTorch and torchvision."""
    import torch
    from torch import nn
    from torchvision.models import resnet101 as build
    from torchvision.transforms.v2.functional import normalize

    from benchmarks.reference import reference_search
    from captioning import DEFAULT_CHECKPOINT
    from captioning.checkpoint import read_info
    from captioning.config import ModelConfig
    from captioning.images import open_image, to_pixels
    from captioning.model.model import CaptioningModel
    from captioning.vocabulary import END

    encoder = nn.Sequential(*list(build().children())[:-2], nn.AdaptiveAvgPool2d(REFERENCE_GRID)).eval()
    decoder = CaptioningModel(ModelConfig(), len(read_info(DEFAULT_CHECKPOINT).vocabulary)).decoder.eval()
    # With random weights it would end some hypotheses early by chance.
    decoder.output.bias.data[END] = -1e4

    @torch.inference_mode()
    def caption(photo: Path, steps: int) -> int:
        pixels = torch.from_numpy(to_pixels(open_image(photo), REFERENCE_SIZE)).unsqueeze(0) / 255
        features = encoder(normalize(pixels, *IMAGENET)).flatten(2).transpose(1, 2)
        reference_search(decoder, features, WIDTH, steps)
        return steps

    return caption


def vit_gpt2_onnx() -> Side:
    """ViT-GPT2 without PyTorch."""
    from benchmarks.vit_gpt2 import load

    model = load()

    def caption(photo: Path, steps: int) -> int:
        model.caption(photo, WIDTH, steps)
        return steps

    return caption


def vit_gpt2() -> Side:
    """ViT-GPT2 as the transformers library runs it."""
    from transformers import ViTImageProcessor

    from benchmarks.vit_gpt2 import build

    model = build()
    tokens: Any = dict.fromkeys(("bos_token_id", "pad_token_id", "eos_token_id"), model.config.decoder.eos_token_id)
    return _pretrained(model, ViTImageProcessor(), **tokens)


def blip_base() -> Side:
    """BLIP-base as the transformers library runs it."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    return _pretrained(BlipForConditionalGeneration(BlipConfig()), BlipImageProcessor())


def _pretrained(model, processor, **tokens: int) -> Side:
    import torch

    from captioning.images import open_image

    model.eval()

    @torch.inference_mode()
    def caption(photo: Path, steps: int) -> int:
        pixels = processor(open_image(photo), return_tensors="pt").pixel_values
        model.generate(pixel_values=pixels, num_beams=WIDTH, min_new_tokens=steps, max_new_tokens=steps, **tokens)
        return steps

    return caption


SIDES = {side.__name__: side for side in (package, resnet101, vit_gpt2_onnx, vit_gpt2, blip_base)}


def main() -> None:
    caption = SIDES[sys.argv[1]]()
    print("ready", flush=True)
    for line in sys.stdin:
        photo, steps = json.loads(line)
        caption(Path(photo), steps)
        started = time.perf_counter()
        took = caption(Path(photo), steps)
        print(json.dumps([time.perf_counter() - started, took]), flush=True)


if __name__ == "__main__":
    main()

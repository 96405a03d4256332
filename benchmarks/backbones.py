"""Which families of timm's backbones run on ONNX Runtime: one of each is tried, into benchmarks/BACKBONES.md.

python -m benchmarks.backbones

Each has random weights and a process of its own, in which it is exported, checked, loaded and compared with PyTorch.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from tqdm import tqdm

from captioning.checkpoint import read_info
from captioning.config import ModelConfig
from captioning.errors import CaptioningError
from captioning.files import write_whole
from captioning.inference.onnx_backend import load_backend
from captioning.model.model import CaptioningModel, load_model, save_model
from captioning.record import TrainingRecord
from captioning.training.scores import optimize_checkpoint
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary

TABLE = Path(__file__).parent / "BACKBONES.md"
SECONDS = 300
# Of the largest feature; more is another model.
MOST_DIFFERENT = 1e-3
WORDS = ["a", "dog"]
# A small one of each module of timm that has any under 60 million parameters.
BACKBONES = """
halonet_h1 gernet_s cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 convnext_atto cpubone_nano
crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deit_tiny_patch16_224 densenet121 dla46x_c
dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 tf_efficientnet_lite0 efficientvim_m1
efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_t8 focalnet_tiny_srf
gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_t
inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0
mambaout_femto coatnet_nano_rw_224 poolformerv2_s12 gmlp_ti16_224 lcnet_035 mobilevit_xxs mvitv2_tiny nest_tiny
nextvit_small nf_regnet_b0 pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002 repghostnet_050 repvit_m1 res2next50
resnest14d resnet10t resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18
starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small visformer_tiny vit_tiny_patch16_224
vit_tiny_r_s16_p8_224 vit_relpos_small_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw
legacy_xception xception41p xcit_nano_12_p8_224
""".split()
NICE = 15
# Letters of an outcome.
LONGEST = 160


def try_backbone(name: str) -> str:
    """What came of a backbone: how far its features are from PyTorch's, or why there are none."""
    pretrained: Any = timm.get_pretrained_cfg(name)
    size = pretrained.input_size[-1]
    config = ModelConfig(name, size, neck_size=64, embedding_size=64, attention_size=64, decoder_size=64)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, size, size), dtype=np.uint8)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.safetensors"
        try:
            model = CaptioningModel(config, len(SPECIAL_TOKENS) + len(WORDS))
            save_model(path, model, Vocabulary([*SPECIAL_TOKENS, *WORDS]), TrainingRecord())
            optimize_checkpoint(path)
            [photo] = load_backend(read_info(path), "cpu", "float32", threads=1).encode(pixels)
        except CaptioningError as error:
            return f"no: {error}"
        model, _ = load_model(path)
    with torch.inference_mode():
        exact = model.decoder.start(model.encoder(torch.from_numpy(pixels)), rows=1)[0].features[0].numpy()
    difference = np.abs(photo.memory[0] - exact).max() / np.abs(exact).max()
    return f"{'yes' if difference < MOST_DIFFERENT else 'no: differs'}, {difference:.0e}"


def try_apart(name: str) -> str:
    """The same in a process of its own, which starts with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_send_outcome, args=(writer, name))
    process.start()
    writer.close()
    try:
        return reader.recv() if reader.poll(SECONDS) else f"no: takes more than {SECONDS} s"
    except EOFError:
        process.join()
        return f"no: the process ended with {process.exitcode}"
    finally:
        process.kill()


def _send_outcome(writer: Connection, name: str) -> None:
    os.nice(NICE)
    torch.set_num_threads(1)
    try:
        writer.send(try_backbone(name))
    except Exception as error:  # Anything may happen in an export.
        writer.send(f"no: {type(error).__name__}, {error}")


def write_table(outcomes: Mapping[str, str]) -> None:
    works = sum(outcome.startswith("yes") for outcome in outcomes.values())
    lines = [
        "# Backbones on ONNX Runtime",
        "",
        f"{works} of {len(outcomes)} families of timm {timm.__version__}: one small backbone of each, random weights, "
        f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}. The number after *yes* is the largest "
        "difference from PyTorch's features, in parts of the largest feature. Of the others, those that give no "
        "feature grid or cannot encode at the size of their weights are no encoders here; the rest run in PyTorch "
        "alone.",
        "",
        "Written by `python -m benchmarks.backbones`.",
        "",
        "| family | backbone | on ONNX Runtime |",
        "|---|---|---|",
    ]
    for name, outcome in outcomes.items():
        family = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        lines.append(f"| {family} | {name} | {outcome} |")
    write_whole(TABLE, ("\n".join(lines) + "\n").encode())


def main() -> None:
    outcomes = {}
    for name in tqdm(BACKBONES):
        outcomes[name] = " ".join(try_apart(name).split())[:LONGEST].replace("|", "/")
        write_table(outcomes)


if __name__ == "__main__":
    main()

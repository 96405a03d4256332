"""Batch norm folded into the convolutions before it: two operations fewer a layer, for a model that is not trained."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from captioning.model.sole_readers import sole_readers


def fold_batch_norm(model: nn.Module) -> None:
    """Fold every batch norm that alone reads a convolution into it, in place; the model must be in evaluation mode.

    What the model computes stays the same up to rounding. A model whose forward pass cannot be traced has its layers
    left as they are.
    """
    for name, reader in sole_readers(model).items():
        norm = model.get_submodule(reader)
        if isinstance(norm, _BatchNorm) and norm.track_running_stats:
            _fold(model.get_submodule(name), norm)
            model.set_submodule(reader, _after_norm(norm))


def _fold(convolution: nn.Conv2d, norm: _BatchNorm) -> None:
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _after_norm(norm: _BatchNorm) -> nn.Module:
    """What is left of a norm; timm's hold the activation that follows."""
    return getattr(norm, "act", nn.Identity())

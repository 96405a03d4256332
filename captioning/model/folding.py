"""Batch norm folded into the convolutions before it: two operations fewer a layer, for a model that is not trained."""

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norm(model: nn.Module) -> None:
    """Fold every batch norm that alone reads a convolution into it, in place; the model must be in evaluation mode.

    What the model computes stays the same up to rounding. A model whose forward pass cannot be traced has its layers
    left as they are.
    """
    try:
        graph = _Tracer().trace(model)
    except (fx.proxy.TraceError, AssertionError, AttributeError, TypeError, ValueError, RuntimeError):
        return
    modules = dict(model.named_modules())
    for node in graph.nodes:
        norm = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(norm, _BatchNorm) or not norm.track_running_stats:
            continue
        [before, *_] = node.all_input_nodes
        convolution = modules.get(before.target) if before.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d) and len(before.users) == 1:
            _fold(convolution, norm)
            model.set_submodule(node.target, _after_norm(norm))


class _Tracer(fx.Tracer):
    """Looks at convolutions and norms from outside, at those too that are not torch's own."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d | _BatchNorm) or super().is_leaf_module(module, name)


def _fold(convolution: nn.Conv2d, norm: _BatchNorm) -> None:
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _after_norm(norm: _BatchNorm) -> nn.Module:
    """What is left of a norm; timm's hold the activation that follows."""
    return getattr(norm, "act", nn.Identity())

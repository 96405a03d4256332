"""Which layer alone reads what a convolution gives, so that the two can become one."""

from collections import Counter

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm


def sole_readers(model: nn.Module) -> dict[str, str]:
    """The names of convolutions and, for each, of the layer that reads its output and that nothing else feeds.

    Layers that only hand on what they read are passed over. Left out are convolutions that are read by several or by
    an operation that is no layer, and layers that run more than once. Of a model whose forward pass cannot be traced
    nothing is said.
    """
    try:
        graph = _Tracer().trace(model)
    except (fx.proxy.TraceError, AssertionError, AttributeError, TypeError, ValueError, RuntimeError):
        return {}
    modules = dict(model.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    runs = Counter(node.target for node in calls)
    readers = {}
    for node in calls:
        reader = _sole_reader(node, modules)
        if isinstance(modules[node.target], nn.Conv2d) and reader and runs[node.target] == runs[reader] == 1:
            readers[node.target] = reader
    return readers


class _Tracer(fx.Tracer):
    """Looks at convolutions and norms from outside, at those too that are not torch's own."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d | _BatchNorm) or super().is_leaf_module(module, name)


def _sole_reader(node: fx.Node, modules: dict[str, nn.Module]) -> str | None:
    while len(node.users) == 1:
        [node] = node.users
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            return None
        if not isinstance(modules[node.target], nn.Identity):
            return node.target
    return None

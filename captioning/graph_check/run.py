"""What a run of a graph takes at the largest sizes: memory and work."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from captioning.errors import shown
from captioning.graph_check.operators import KINDS
from captioning.graph_check.sizes import MAX_RANK, Tensor

# Bytes of the tensors that can be in use at a time, and of a single one.
MAX_BYTES = 2**29
# Multiplications; reading or making an element counts as several.
MAX_WORK = 2**35
ELEMENT_WORK = 48


class Run:
    """The tensors of a graph, added in the order of its nodes.

    Tensors that depend on no input are constant: the runtime computes them when it loads the graph, and keeps them.
    Another is open until its last use. Where a single one is open, every later node depends on it, so that all that was
    made before it is gone, whatever the order in which the runtime goes through the nodes. Between two such places it
    may keep all that is made.

    Every method raises ValueError where the graph is refused.

    Args:
        uses: how many nodes use each tensor; being an output of the graph counts as one use more.
    """

    def __init__(self, uses: Mapping[str, int]):
        self._uses = uses
        self._open: dict[str, int] = {}
        self._bytes = self._constant_bytes = self._work = 0
        self.tensors: dict[str, Tensor] = {}

    def add_input(self, name: str, tensor: Tensor) -> None:
        self._define(name, tensor)
        self._open[name] = self._uses[name]

    def add_constant(self, name: str, tensor: Tensor) -> None:
        """A tensor that stands in the graph, or one of its weights."""
        self._define(name, tensor)

    def add_node(self, inputs: Sequence[str], outputs: Sequence[str], made: Sequence[Tensor], inner: int) -> None:
        """Add what a node makes of tensors that have been added; an empty name stands for none.

        Args:
            inputs, outputs: names.
            made: the outputs.
            inner: multiplications for each of their elements.
        """
        if len(outputs) != len(made) or not any(self._uses[name] for name in outputs):
            raise ValueError("it has a node whose outputs are missing, or not used")
        for name, tensor in zip(outputs, made, strict=True):
            if name:
                self._define(name, tensor)
        results = sum(tensor.elements for tensor in made)
        read = sum(self.tensors[name].elements for name in inputs if name)
        self._work += ELEMENT_WORK * (read + results) + inner * results
        if self._work > MAX_WORK:
            raise ValueError("it computes too much")
        self._count_bytes({name for name in inputs if name in self._open}, outputs, sum(map(_bytes, made)))

    def _define(self, name: str, tensor: Tensor) -> None:
        if name in self.tensors:
            raise ValueError(f"its tensor {shown(name)} is made twice")
        if len(tensor.shape) > MAX_RANK or min(tensor.shape, default=1) < 1:
            raise ValueError(f"its tensor {shown(name)} has an odd shape")
        self.tensors[name] = tensor

    def _count_bytes(self, changing: Iterable[str], outputs: Sequence[str], size: int) -> None:
        if changing:
            self._bytes += size
        else:
            self._constant_bytes += size
        if self._bytes + self._constant_bytes > MAX_BYTES:
            raise ValueError("it takes too much memory")
        if changing:
            self._open |= {name: self._uses[name] for name in outputs if self._uses[name]}
        for name in changing:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
        if len(self._open) == 1:
            self._bytes = sum(_bytes(self.tensors[name]) for name in self._open)


def _bytes(tensor: Tensor) -> int:
    return tensor.elements * np.dtype(KINDS[tensor.kind]).itemsize

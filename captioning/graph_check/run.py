"""What a run of a graph takes at the largest sizes: memory and work."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from captioning.errors import shown
from captioning.graph_check.operators import KINDS, Operator
from captioning.graph_check.sizes import Tensor, require

MAX_RANK = 8
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

    Args:
        uses: how often each tensor is used.
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

    def add_node(
        self, operator: Operator, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        """Add what a node makes of tensors that have been added; an empty name stands for none.

        Raises:
            ValueError: the node is refused, or the run takes too much.
        """
        for name in inputs:
            require(not name or name in self.tensors, f"uses {shown(name)}, which nothing before it makes")
        require(any(self._uses[name] for name in outputs), "makes nothing that is used")
        taken = [self.tensors.get(name) for name in inputs]
        made, inner = operator.make(taken, attributes)
        for name, tensor in zip(outputs, made, strict=True):
            self._define(name, tensor)
        self._count_work(taken, made, inner)
        self._count_bytes({name for name in inputs if name in self._open}, outputs, sum(map(_bytes, made)))

    def _define(self, name: str, tensor: Tensor) -> None:
        require(name not in self.tensors, f"makes {shown(name)} a second time")
        require(len(tensor.shape) <= MAX_RANK and min(tensor.shape, default=1) >= 0, "makes a tensor of an odd shape")
        if name:
            self.tensors[name] = tensor

    def _count_work(self, taken: Sequence[Tensor | None], made: Sequence[Tensor], inner: int) -> None:
        results = sum(tensor.elements for tensor in made)
        elements = results + sum(tensor.elements for tensor in taken if tensor)
        self._work += ELEMENT_WORK * elements + inner * results
        require(self._work <= MAX_WORK, "makes the graph compute too much")

    def _count_bytes(self, changing: Iterable[str], outputs: Sequence[str], size: int) -> None:
        if not changing:
            self._constant_bytes += size
        else:
            self._bytes += size
        require(self._bytes + self._constant_bytes <= MAX_BYTES, "makes the graph take too much memory")
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

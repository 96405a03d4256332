"""Try every hostile graph in this process: `python -m tests.try_hostile_graphs CHECKPOINT`.

Each line has a graph's kind, what became of it and its seconds on the CPU; the last has the most memory in use, in KiB.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from onnx import ModelProto, helper

from captioning.checkpoint import GRAPHS, graph_name, read_info, read_tensors
from captioning.graph_check import check_graph, check_model_graphs
from captioning.inference.onnx_backend import open_session
from tests import hostile_graphs, hostile_sizes

KINDS = (
    hostile_graphs.other_operators,
    hostile_graphs.other_domains,
    hostile_graphs.other_fields,
    hostile_graphs.external_data,
    hostile_graphs.control_flow,
    hostile_graphs.wrong_ends,
    hostile_graphs.disorder,
    hostile_sizes.constant_bombs,
    hostile_sizes.growing_outputs,
    hostile_sizes.long_and_large,
    hostile_sizes.odd_attributes,
    hostile_sizes.slow_shapes,
)
ROWS = (1, 3, 128)
# Of each real graph, in its nodes and in its bytes.
CHANGES = 60


@dataclass(frozen=True)
class Case:
    """Graphs of a kind, the check that each must pass, and what it is run on if it does."""

    kind: str
    graphs: Iterable[bytes | ModelProto]
    check: Callable[[bytes], Sequence[str]]
    weights: Mapping[str, np.ndarray]
    inputs: Sequence[Mapping[str, np.ndarray]]

    def try_all(self) -> None:
        for graph in self.graphs:
            data = graph if isinstance(graph, bytes) else graph.SerializeToString()
            print(self.kind, end=" ", flush=True)
            started = time.process_time()
            print(self._outcome(data), time.process_time() - started)

    def _outcome(self, data: bytes) -> str:
        """`refused`; or `ran`, or `failed` if ONNX Runtime says why it cannot load or run the graph."""
        try:
            names = self.check(data)
        except ValueError as error:
            return "refused" if re.match("its? ", str(error)) else "without a reason"
        weights = {name: self.weights[name] for name in names}
        try:
            session = open_session(data, weights)
            for inputs in self.inputs:
                session.run(None, inputs)
        except Exception:  # ONNX Runtime's errors have no common class that is public.
            return "failed"
        return "ran"


def made_cases() -> Iterator[Case]:
    inputs = [{"x": np.ones((rows, hostile_graphs.WIDTH), np.float32)} for rows in ROWS]
    weights = {"w": np.ones((hostile_graphs.WIDTH, hostile_graphs.WIDTH), np.float32)}
    for kind in KINDS:
        name = kind.__name__
        yield Case(name, kind(Random(name)), partial(check_graph, **hostile_graphs.CONTRACT), weights, inputs)


def changed_cases(checkpoint: str) -> Iterator[Case]:
    """The graphs of a checkpoint, and changes of them."""
    info = read_info(checkpoint)
    weights = read_tensors(info, list(info.tensors))
    stored = {graph: graph_name("float32", graph) for graph in GRAPHS}
    real = {graph: weights[name].tobytes() for graph, name in stored.items()}
    for place, graph in enumerate(GRAPHS):
        kinds = {
            "real": [real[graph]],
            "changed_nodes": hostile_graphs.changed_nodes(Random(graph), real[graph], CHANGES),
            "changed_bytes": hostile_graphs.changed_bytes(Random(graph), real[graph], CHANGES),
        }

        def check(data: bytes, place: int = place, graph: str = graph) -> Sequence[str]:
            return check_model_graphs(info, **{**real, graph: data})[place]

        for kind, graphs in kinds.items():
            yield Case(kind, graphs, check, weights, [zeros(real[graph], rows) for rows in ROWS])


def zeros(graph: bytes, rows: int) -> dict[str, np.ndarray]:
    """Inputs of a graph whose sizes that vary are all `rows`."""
    inputs = {}
    for value in ModelProto.FromString(graph).graph.input:
        kind = value.type.tensor_type
        shape = [rows if size.dim_param else size.dim_value for size in kind.shape.dim]
        inputs[value.name] = np.full(shape, value.name == "count", helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return inputs


if __name__ == "__main__":
    for case in (*made_cases(), *changed_cases(sys.argv[1])):
        case.try_all()
    # Not `getrusage`, which counts what the process that started this one had in use.
    print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])

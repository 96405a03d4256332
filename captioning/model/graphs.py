"""The model as two ONNX graphs: the encoder, run once a photo, and one step of the decoder, run once a word."""

import io
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import nn
from torch.export import Dim

from captioning.checkpoint import WEIGHTS_PLACE
from captioning.errors import ExportError
from captioning.graph_check.model import ENCODER_INPUTS, ENCODER_OUTPUTS, STEP_INPUTS, STEP_OUTPUTS
from captioning.model.decoder import AttendedState, Memory, State, speakable_log_probabilities
from captioning.model.model import CaptioningModel

# Numbers up to which a constant is computed when a graph is made.
SMALL = 1024
# Numbers up to which a constant stands in a graph's structure, such as a shape.
MOST_INLINE = 64


class EncoderGraph(nn.Module):
    """Pixels to all that the decoder needs of a photo."""

    def __init__(self, model: CaptioningModel):
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of uint8 pixels (1, 3, S, S): features (rows, columns, D), their projection (L, A), and the initial state.

        The state is two tensors, hidden state and cell, (1, H) each.
        """
        memory, state = self.decoder.start(self.encoder(pixels), rows=1)
        return memory.features[0].unflatten(0, self.encoder.grid), memory.projected[0], state.hidden[0], state.cell[0]


class StepGraph(nn.Module):
    """One word of the hypotheses of a few photos."""

    def __init__(self, model: CaptioningModel):
        super().__init__()
        self.decoder = model.decoder

    def forward(
        self,
        features: torch.Tensor,
        projected: torch.Tensor,
        hidden: torch.Tensor,
        cell: torch.Tensor,
        parents: torch.Tensor,
        tokens: torch.Tensor,
        wanted: torch.Tensor,
        count: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """See `speakable_log_probabilities` for what may be said.

        Args:
            features, projected: (N, L, D) and (N, L, A), of the photos.
            hidden, cell: (N, S, H), of states that R hypotheses in all continue.
            parents: (R,), which of the N S states each hypothesis continues.
            tokens: (R,), the last token of each hypothesis.
            wanted: (R, W), tokens whose log-probabilities are asked for.
            count: (1,), how many of the most likely next tokens are asked for, C; V if that is less.

        Returns:
            Attention weights (N, S, L), hidden state and cell (R, H), log-probabilities and ids of the most likely next
            tokens (R, C), and the log-probabilities of the wanted ones (R, W).
        """
        attended = self.decoder.attend(Memory(features, projected), State(hidden, cell))
        context, *before = (
            tensor.flatten(0, 1).index_select(0, parents).unsqueeze(0) for tensor in (attended.context, *attended.state)
        )
        continued = AttendedState(attended.attention, context, State(*before))
        state = self.decoder.advance(continued, tokens.unsqueeze(0))
        log_probabilities = speakable_log_probabilities(self.decoder.predict(state.hidden[0]), tokens)
        size: Any = count.clamp(max=log_probabilities.shape[1]).item()
        torch._check(size >= 1)
        torch._check(size <= log_probabilities.shape[1])
        best = log_probabilities.topk(size)
        return (
            attended.attention,
            state.hidden[0],
            state.cell[0],
            best.values,
            best.indices,
            log_probabilities.gather(1, wanted),
        )


def export_graphs(model: CaptioningModel) -> dict[str, onnx.ModelProto]:
    """The graphs `encoder` and `step` of a model in evaluation mode, with its weights under their names in the model.

    Raises:
        ExportError: the encoder does something that ONNX has no word for.
    """
    encoder, step = EncoderGraph(model).eval(), StepGraph(model).eval()
    size = model.config.image_size
    pixels = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    features, projected, hidden, cell = encoder(pixels)
    photos, states, rows, wanted = Dim("photos"), Dim("states"), Dim("rows"), Dim("wanted")
    # An example of each of STEP_INPUTS, and its axes whose sizes vary.
    inputs = (
        (features.flatten(0, 1).expand(3, -1, -1).contiguous(), {0: photos}),
        (projected.expand(3, -1, -1).contiguous(), {0: photos}),
        (hidden.expand(3, 2, -1).contiguous(), {0: photos, 1: states}),
        (cell.expand(3, 2, -1).contiguous(), {0: photos, 1: states}),
        (torch.zeros(3, dtype=torch.int64), {0: rows}),
        (torch.zeros(3, dtype=torch.int64), {0: rows}),
        (torch.zeros(3, 2, dtype=torch.int64), {0: rows, 1: wanted}),
        (torch.tensor([2]), None),
    )
    examples, shapes = zip(*inputs, strict=True)
    try:
        return {
            "encoder": _export(encoder, (pixels,), ENCODER_INPUTS, ENCODER_OUTPUTS, None),
            "step": _export(step, examples, STEP_INPUTS, STEP_OUTPUTS, shapes),
        }
    except torch.onnx.OnnxExporterError:
        raise ExportError(f"The encoder {model.config.encoder} cannot be exported as an ONNX graph.") from None


def split_weights(
    model: onnx.ModelProto, tensors: Mapping[str, torch.Tensor], prefix: str
) -> tuple[bytes, dict[str, np.ndarray]]:
    """A graph's structure, without its weights, which the runtime is given by name.

    Args:
        model: a graph with its weights.
        tensors: those of the captioning model; weights that are among them are used by their names there.
        prefix: of the names of other weights: `prefix.0`, `prefix.1` …

    Returns:
        The structure, serialized, and the weights that are not among the tensors.
    """
    structure, names, weights = onnx.ModelProto(), {}, {}
    structure.CopyFrom(model)
    graph = structure.graph
    for part in (structure, graph, *graph.node, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
    domains = {node.domain for node in graph.node}
    versions = [version for version in structure.opset_import if version.domain in domains]
    del structure.opset_import[:]
    structure.opset_import.extend(versions)
    for tensor in graph.initializer:
        name, array = tensor.name, numpy_helper.to_array(tensor)
        if name in tensors and np.array_equal(array, tensors[name].numpy()):
            names[name] = name
        elif array.size > MOST_INLINE:
            names[name] = f"{prefix}.{len(weights)}"
            weights[names[name]] = array
        inline = name not in names
        tensor.CopyFrom(numpy_helper.from_array(array, name) if inline else _without_numbers(tensor, names[name]))
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return structure.SerializeToString(), weights


def _without_numbers(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    place = onnx.StringStringEntryProto(key="location", value=WEIGHTS_PLACE)
    return onnx.TensorProto(
        name=name,
        dims=tensor.dims,
        data_type=tensor.data_type,
        data_location=onnx.TensorProto.EXTERNAL,
        external_data=[place],
    )


@torch.no_grad()
def _export(
    module: nn.Module, examples: tuple, inputs: tuple[str, ...], outputs: tuple[str, ...], shapes: tuple | None
) -> onnx.ModelProto:
    for library in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # It warns of sizes that two inputs share, which is as it should be.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            optimize=False,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
        )
    assert program is not None
    # Small constants alone: weights stay as they are in the model, for the runtime to fold.
    optimizer.fold_constants(
        program.model,
        input_size_limit=SMALL,
        output_size_limit=SMALL,
        should_fold=lambda node: False if node.op_type == "Transpose" else None,
    )
    optimizer.remove_unused_nodes(program.model)
    return program.model_proto

"""The two graphs of a checkpoint: what they must take and give, by its configuration."""

from captioning.checkpoint import CheckpointInfo
from captioning.graph_check.check import GraphTensor, check_graph, parse_graph
from captioning.header import TYPES

# What the graphs take and give, in this order.
ENCODER_INPUTS = ("pixels",)
ENCODER_OUTPUTS = ("features", "projected", "hidden", "cell")
STEP_INPUTS = ("features", "projected", "hidden", "cell", "parents", "tokens", "wanted", "count")
STEP_OUTPUTS = ("attention", "next_hidden", "next_cell", "log_probabilities", "candidates", "wanted_log_probabilities")
# The largest of each size that varies in a search: states that are continued, hypotheses, tokens asked for of each.
LARGEST = {"states": 128, "rows": 128, "wanted": 128}


def check_model_graphs(info: CheckpointInfo, *, encoder: bytes, step: bytes) -> tuple[list[str], list[str]]:
    """Refuse graphs that the runtime must not see, or that are not those of the configuration.

    Returns:
        The names of the weights that the encoder and the step use.

    Raises:
        ValueError: one is refused; the message is a clause.
    """
    grid = _read_grid(encoder, info.config.image_size)
    # A weight in float16 is given to the runtime in float32.
    dtypes = {kind: dtype.name for kind, dtype in TYPES.items()} | {"F16": "float32"}
    weights = {name: GraphTensor(dtypes[tensor.type], tensor.shape) for name, tensor in info.tensors.items()}
    sizes = {**LARGEST, "candidates": len(info.vocabulary)}
    return (
        check_graph(encoder, **_encoder_tensors(info, grid), weights=weights, sizes=sizes),
        check_graph(step, **_step_tensors(info, grid), weights=weights, sizes=sizes),
    )


def _encoder_tensors(info: CheckpointInfo, grid: tuple[int, int]) -> dict[str, dict[str, GraphTensor]]:
    """Inputs and outputs of the encoder, by name."""
    size, (features, projected) = info.config.image_size, _memory(info, grid)
    state = _floats(1, info.config.decoder_size)
    inputs = (GraphTensor("uint8", (1, 3, size, size)),)
    outputs = (_floats(*grid, features.shape[1]), projected, state, state)
    return {"inputs": _named(ENCODER_INPUTS, inputs), "outputs": _named(ENCODER_OUTPUTS, outputs)}


def _step_tensors(info: CheckpointInfo, grid: tuple[int, int]) -> dict[str, dict[str, GraphTensor]]:
    """Inputs and outputs of a step, by name."""
    before, after = (_floats(rows, info.config.decoder_size) for rows in ("states", "rows"))
    rows, wanted = _integers("rows"), _integers("rows", "wanted")
    inputs = (*_memory(info, grid), before, before, rows, rows, wanted, _integers(1))
    attention = _floats("states", grid[0] * grid[1])
    best = _floats("rows", "candidates"), _integers("rows", "candidates")
    outputs = (attention, after, after, *best, _floats("rows", "wanted"))
    return {"inputs": _named(STEP_INPUTS, inputs), "outputs": _named(STEP_OUTPUTS, outputs)}


def _memory(info: CheckpointInfo, grid: tuple[int, int]) -> tuple[GraphTensor, GraphTensor]:
    """A photo's features and their projection."""
    cells, depth = grid[0] * grid[1], info.config.neck_size or info.channels
    return _floats(cells, depth), _floats(cells, info.config.attention_size)


def _floats(*shape: int | str) -> GraphTensor:
    return GraphTensor("float32", shape)


def _integers(*shape: int | str) -> GraphTensor:
    return GraphTensor("int64", shape)


def _named(names: tuple[str, ...], tensors: tuple[GraphTensor, ...]) -> dict[str, GraphTensor]:
    return dict(zip(names, tensors, strict=True))


def _read_grid(encoder: bytes, image_size: int) -> tuple[int, int]:
    """Rows and columns of the features as the encoder's graph declares them."""
    features = [value for value in parse_graph(encoder).graph.output if value.name == "features"]
    sizes = [size.dim_value for value in features for size in value.type.tensor_type.shape.dim]
    if len(sizes) != 3 or not all(1 <= size <= image_size for size in sizes[:2]):
        raise ValueError("its encoder gives no feature grid")
    return sizes[0], sizes[1]

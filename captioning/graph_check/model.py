"""The two graphs of a checkpoint: what they must take and give, by its configuration."""

from captioning.checkpoint import CheckpointInfo
from captioning.graph_check.check import GraphTensor, check_graph, parse_graph
from captioning.header import TYPES

# What the graphs take and give, in this order.
ENCODER_INPUTS = ("pixels",)
ENCODER_OUTPUTS = ("features", "projected", "hidden", "cell")
STEP_INPUTS = ("features", "projected", "hidden", "cell", "parents", "tokens", "wanted", "count")
STEP_OUTPUTS = ("attention", "next_hidden", "next_cell", "log_probabilities", "candidates", "wanted_log_probabilities")
# The largest of each size that varies in a search: photos, states of each that are continued, hypotheses of all, and
# tokens asked for of each; of one photo, and of as many as are computed at a time. What a run takes grows with products
# of the sizes, so that it is most at one of these ends.
MOST_PHOTOS, MOST_ROWS = 8, 128
LARGEST = tuple(
    {"photos": photos, "states": MOST_ROWS // photos, "rows": MOST_ROWS, "wanted": 128} for photos in (1, MOST_PHOTOS)
)


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
    used = check_graph(encoder, **_encoder_tensors(info, grid), weights=weights, sizes={})
    for largest in LARGEST:
        sizes = {**largest, "candidates": len(info.vocabulary)}
        used_by_step = check_graph(step, **_step_tensors(info, grid), weights=weights, sizes=sizes)
    return used, used_by_step


def _encoder_tensors(info: CheckpointInfo, grid: tuple[int, int]) -> dict[str, dict[str, GraphTensor]]:
    """Inputs and outputs of the encoder, by name."""
    size, (cells, depth, attention_size) = info.config.image_size, _memory(info, grid)
    state = _floats(1, info.config.decoder_size)
    inputs = (GraphTensor("uint8", (1, 3, size, size)),)
    outputs = (_floats(*grid, depth), _floats(cells, attention_size), state, state)
    return {"inputs": _named(ENCODER_INPUTS, inputs), "outputs": _named(ENCODER_OUTPUTS, outputs)}


def _step_tensors(info: CheckpointInfo, grid: tuple[int, int]) -> dict[str, dict[str, GraphTensor]]:
    """Inputs and outputs of a step, by name."""
    cells, depth, attention_size = _memory(info, grid)
    memory = _floats("photos", cells, depth), _floats("photos", cells, attention_size)
    before, after = _floats("photos", "states", info.config.decoder_size), _floats("rows", info.config.decoder_size)
    rows, wanted = _integers("rows"), _integers("rows", "wanted")
    inputs = (*memory, before, before, rows, rows, wanted, _integers(1))
    attention = _floats("photos", "states", cells)
    best = _floats("rows", "candidates"), _integers("rows", "candidates")
    outputs = (attention, after, after, *best, _floats("rows", "wanted"))
    return {"inputs": _named(STEP_INPUTS, inputs), "outputs": _named(STEP_OUTPUTS, outputs)}


def _memory(info: CheckpointInfo, grid: tuple[int, int]) -> tuple[int, int, int]:
    """The sizes of a photo's features and their projection: cells, depth of the first, depth of the second."""
    return grid[0] * grid[1], info.config.neck_size or info.channels, info.config.attention_size


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

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
    config, vocabulary_size = info.config, len(info.vocabulary)
    grid = _read_grid(encoder, config.image_size)
    cells = grid[0] * grid[1]
    depth = config.neck_size or info.channels

    def floats(*shape: int | str) -> GraphTensor:
        return GraphTensor("float32", shape)

    def integers(*shape: int | str) -> GraphTensor:
        return GraphTensor("int64", shape)

    # A weight in float16 is given to the runtime in float32.
    weights = {
        name: GraphTensor("float32" if tensor.type == "F16" else TYPES[tensor.type].name, tensor.shape)
        for name, tensor in info.tensors.items()
    }
    sizes = {**LARGEST, "candidates": vocabulary_size}
    projected, state = floats(cells, config.attention_size), config.decoder_size
    encoder_inputs = (GraphTensor("uint8", (1, 3, config.image_size, config.image_size)),)
    encoder_outputs = (floats(*grid, depth), projected, floats(1, state), floats(1, state))
    step_inputs = (
        floats(cells, depth),
        projected,
        floats("states", state),
        floats("states", state),
        integers("rows"),
        integers("rows"),
        integers("rows", "wanted"),
        integers(1),
    )
    step_outputs = (
        floats("states", cells),
        floats("rows", state),
        floats("rows", state),
        floats("rows", "candidates"),
        integers("rows", "candidates"),
        floats("rows", "wanted"),
    )
    return (
        check_graph(
            encoder,
            inputs=dict(zip(ENCODER_INPUTS, encoder_inputs, strict=True)),
            outputs=dict(zip(ENCODER_OUTPUTS, encoder_outputs, strict=True)),
            weights=weights,
            sizes=sizes,
        ),
        check_graph(
            step,
            inputs=dict(zip(STEP_INPUTS, step_inputs, strict=True)),
            outputs=dict(zip(STEP_OUTPUTS, step_outputs, strict=True)),
            weights=weights,
            sizes=sizes,
        ),
    )


def _read_grid(encoder: bytes, image_size: int) -> tuple[int, int]:
    """Rows and columns of the features as the encoder's graph declares them."""
    features = [value for value in parse_graph(encoder).graph.output if value.name == "features"]
    sizes = [size.dim_value for value in features for size in value.type.tensor_type.shape.dim]
    if len(sizes) != 3 or not all(1 <= size <= image_size for size in sizes[:2]):
        raise ValueError("its encoder gives no feature grid")
    return sizes[0], sizes[1]

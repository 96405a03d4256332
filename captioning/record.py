"""What a checkpoint's training record may hold, so that its readers find in each place what belongs there."""

# Beyond what any training writes; a page that shows the record can still be drawn.
MOST_NAMES = 40
LARGEST_INTEGER = 2**53

# A shape is a type, or several; a list of a shape and of how many there may be; or a dictionary of shapes by name. A
# dictionary may hold further names: they are of the shape under `...`, or nobody reads them.
_NUMBER = (int, float)
_EPOCH = {...: _NUMBER}
_SCORE = {"beam_size": int, "bleu": [_NUMBER, 4], "percentiles": [_NUMBER, 101], ...: _NUMBER}
_SCORES = {...: [_SCORE, 20]}
_SIZES = {"name": str, "train": int, "dev": int, "test": int}
_RUN = {"seed": int, "command": str, "versions": {...: str}}
# Records of one data set alone have it as `dataset`, and its `scores` and what is of the run beside it.
_RECORD = {
    "datasets": [{**_SIZES, "scores": _SCORES}, 20],
    "stages": [{**_RUN, "stage": int, "epochs": [_EPOCH, 1000]}, 20],
    "dataset": _SIZES,
    "scores": _SCORES,
    **_RUN,
}

_Shape = type | tuple | list | dict


def check_record(record: object) -> None:
    """See that a training record has the shape that its readers rely on.

    Raises:
        ValueError: it has not; the message says where.
    """
    _check(record, _RECORD, "training")


def data_sets(record: dict) -> list[dict]:
    """What a record says of each data set: `name`, the sizes `train`, `dev` and `test`, and `scores` by split."""
    return record.get("datasets") or [{**record.get("dataset", {}), "scores": record.get("scores", {})}]


def with_data_sets(record: dict, described: list[dict]) -> dict:
    """The record with this said of its data sets; see `data_sets`."""
    kept = {name: value for name, value in record.items() if name not in ("dataset", "scores")}
    return {**kept, "datasets": described}


def _check(value: object, shape: _Shape, place: str) -> None:
    if isinstance(shape, dict):
        _check_names(value, shape, place)
    elif isinstance(shape, list):
        _check_list(value, shape[0], shape[1], place)
    elif type(value) not in (shape if isinstance(shape, tuple) else (shape,)):
        raise ValueError(f"{place} cannot be of type {type(value).__name__}")
    elif type(value) is int and abs(value) > LARGEST_INTEGER:
        raise ValueError(f"{place} is too large a number")


def _check_names(value: object, shapes: dict, place: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{place} is no dictionary")
    others = value.keys() - shapes.keys() if ... in shapes else ()
    # Such names become columns and headings.
    if len(others) > MOST_NAMES or not all(name.isidentifier() for name in others):
        raise ValueError(f"{place} has names that mean nothing, or more than {MOST_NAMES}")
    for name in value.keys() & shapes.keys():
        _check(value[name], shapes[name], f"{place}.{name}")
    for name in others:
        _check(value[name], shapes[...], f"{place}.{name}")


def _check_list(value: object, shape: _Shape, most: int, place: str) -> None:
    if not isinstance(value, list):
        raise ValueError(f"{place} is no list")
    if len(value) > most:
        raise ValueError(f"{place} has more than {most} entries")
    for each in value:
        _check(each, shape, f"{place}[]")

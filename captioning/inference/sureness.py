"""How sure the model is of a caption, beside what it was on the photos that it was tested on."""

from collections.abc import Sequence

import numpy as np

from captioning.record import DataSetRecord

# Of the log-probabilities a word (nats) on a split; a checkpoint keeps them for each beam width that it was scored at.
PERCENTILES = tuple(range(0, 101, 5))


def dev_percentiles(datasets: Sequence[DataSetRecord]) -> dict[int, np.ndarray]:
    """For each beam width PERCENTILES on dev, (21,): the mean of the data sets', each counted by its photos."""
    found: dict[int, list[tuple[list[float], int]]] = {}
    for dataset in datasets:
        for score in dataset.scores.get("dev", []):
            values = score.get("percentiles", [])
            if len(values) == len(PERCENTILES) and dataset.dev > 0:
                found.setdefault(score.beam_size, []).append((values, dataset.dev))
    return {
        width: np.average([values for values, _ in rows], axis=0, weights=[photos for _, photos in rows])
        for width, rows in found.items()
    }


def sureness(log_probability: float, length: int, beam_size: int, percentiles: dict[int, np.ndarray]) -> float | None:
    """On how many of the dev photos the model was less sure, in percent; None if it was not scored.

    Args:
        log_probability: of a caption, in nats.
        length: its steps, `<end>` included.
        beam_size: with which it was found; it is compared with the nearest width that was scored.
        percentiles: see `dev_percentiles`.
    """
    if not percentiles:
        return None
    nearest = min(percentiles, key=lambda width: abs(width - beam_size))
    return float(np.interp(log_probability / length, percentiles[nearest], PERCENTILES))

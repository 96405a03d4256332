"""How far two orders of the same things agree."""

from collections.abc import Sequence

import numpy as np


def rank_correlation(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    """Spearman's rank correlation of values, -1 to 1; equal values share their mean rank.

    Args:
        first, second: of one shape. 0 where all values of one are equal.
    """
    one, other = (_ranks(np.asarray(values).ravel()) for values in (first, second))
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) and np.ptp(other) else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places]

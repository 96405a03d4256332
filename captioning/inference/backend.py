"""What a search asks of a model. Two answer: `OnnxBackend` and `TorchBackend`.

What the search decides on is numpy. Memories and states are opaque to it: they are whatever the backend computes with,
and stay where it computes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class EncodedPhoto(NamedTuple):
    """A photo after the encoder: what the decoder reads at every step, and the state it starts from."""

    memory: Any
    state: Any


class Predictions(NamedTuple):
    """One step of N photos with R rows in all, those of a photo one after the other.

    Attributes:
        attention: weights (R, L), each row summing to 1.
        states: for each photo, after its tokens.
        log_probabilities, tokens: (R, C), the most likely next tokens, best first.
        wanted: (R, W), log-probabilities of the tokens asked for.
    """

    attention: np.ndarray
    states: list[Any]
    log_probabilities: np.ndarray
    tokens: np.ndarray
    wanted: np.ndarray


class Backend(Protocol):
    """A model that is ready to caption.

    A row of its results never depends on the other rows and photos that are computed with it.

    Attributes:
        grid: (rows, columns) of the feature grid.
    """

    grid: tuple[int, int]

    def encode(self, pixels: np.ndarray) -> list[EncodedPhoto]:
        """Run the encoder once on uint8 pixels (B, 3, S, S)."""
        ...

    def step(
        self,
        photos: Sequence[EncodedPhoto],
        states: Sequence[Any],
        parents: Sequence[np.ndarray],
        tokens: Sequence[np.ndarray],
        wanted: Sequence[np.ndarray],
        count: int,
    ) -> Predictions:
        """Read one token of each row, and predict the next over what a caption may say.

        Args:
            photos: N of them.
            states: for each photo, of the step before.
            parents: for each photo (rows,), which row of its state each row continues.
            tokens: for each photo (rows,), the last token of each row.
            wanted: for each photo (rows, W), tokens whose log-probabilities are asked for.
            count: how many of the most likely next tokens are asked for; C is V if that is less.
        """
        ...

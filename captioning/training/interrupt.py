"""Ctrl-C during training: the run stops where its state can be saved."""

import signal


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Training was asked to stop, and its state is saved."""


class Interrupt:
    """While it is entered, the first Ctrl-C only asks to stop, at the next step or after validation; another stops."""

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Interrupt":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        print("\nStopping after this step …", flush=True)
        signal.signal(signal.SIGINT, self._before)

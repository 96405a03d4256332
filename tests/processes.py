"""Processes of tests that are forked from one that has imported everything, PyTorch too, which takes seconds.

So most of their time, and most moments at which they are killed, fall on the work itself.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

PROCESSES = multiprocessing.get_context("forkserver")
# Where their work is defined, with all that it imports.
PROCESSES.set_forkserver_preload(["tests.test_disk_and_kills", "tests.test_training"])


def command(run: Callable[[], int], *arguments: object, name: str = "command") -> int:
    """A command's exit code."""
    sys.argv = [name, *map(str, arguments)]
    return run()


def _child(begun: Connection, log: Path, work: Callable[..., int | None], *arguments: object) -> None:
    torch.set_num_threads(1)
    # Tests that were started in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Without Java on the path METEOR is left out, which takes longer than all the rest.
    os.environ["PATH"] = "/nowhere"
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    begun.send(None)
    sys.exit(work(*arguments))


class Child:
    """A process that does some work and writes what it says to a file; it has begun when this is made."""

    def __init__(self, log: Path, work: Callable[..., int | None], *arguments: object):
        begun, begins = PROCESSES.Pipe(duplex=False)
        self.log = log
        self._process = PROCESSES.Process(target=_child, args=(begins, log, work, *arguments))
        self._process.start()
        # Else a child that fails before it begins would be waited for without end.
        begins.close()
        begun.recv()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> tuple[int, str]:
        """Wait for its end; its exit code, and what it said."""
        self._process.join()
        return self._process.exitcode, self.log.read_text()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        os.kill(self._process.pid, signal.SIGINT)

    def kill(self, seconds: float = 0) -> bool:
        """Kill it after some time; whether it had not ended before."""
        self._process.join(seconds)
        self._process.kill()
        return self.end()[0] == -signal.SIGKILL

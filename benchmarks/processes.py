"""Commands and workers, each a process of its own, in a checkout of this repository."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1e6
# Seconds, at a process that runs.
BETWEEN_LOOKS = 0.005


class Run(NamedTuple):
    """What a command took: seconds of the whole process, and the most resident memory that it had, in bytes."""

    seconds: float
    peak: int


def run(checkout: Path, *arguments: object) -> Run:
    """Run Python with these arguments in a checkout, whose package it imports.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    command, peak = [sys.executable, *map(str, arguments)], 0
    started = time.perf_counter()
    process = psutil.Popen(command, cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, process.memory_info().rss)
        time.sleep(BETWEEN_LOOKS)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, peak)


@dataclass(frozen=True)
class Captioned:
    """A photo captioned by a worker: the seconds, and the steps that the search took."""

    seconds: float
    steps: int


class Worker:
    """A side of a comparison that waits for photos; see `benchmarks/sides.py`.

    Args:
        side: its name there.
        checkout: whose package it imports.
    """

    def __init__(self, side: str, checkout: Path = ROOT):
        command = [sys.executable, "-P", str(ROOT / "benchmarks" / "sides.py"), side]
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        pipe = subprocess.PIPE
        self._process: Any = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def __enter__(self) -> "Worker":
        # While it loads its model it would take time from others.
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def caption(self, photo: Path, steps: int = 0) -> Captioned:
        """Caption a photo in as many steps; our own search decides that itself."""
        print(json.dumps([str(photo), steps]), file=self._process.stdin, flush=True)
        return Captioned(*json.loads(self._read()))

    def _read(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise subprocess.CalledProcessError(self._process.wait(), self._process.args)
        return line


def photos_of(data: Path) -> list[Path]:
    """All photos of a data set, in the order of their names."""
    return sorted(data.resolve().rglob("*.jpg"))

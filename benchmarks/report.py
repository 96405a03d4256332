"""What was measured, beside what is asked for."""

import argparse
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HEAD = "| what | asked | measured | baseline | command |\n|---|---|---|---|---|"
LIBRARIES = ("onnxruntime", "streamlit", "torch", "transformers")


@dataclass(frozen=True)
class Finding:
    """A line of the bar, in words.

    Attributes:
        what: was measured.
        asked: what it should be.
        measured: what it is.
        baseline: the same of the baseline commit, where it was measured beside ours.
    """

    what: str
    asked: str
    measured: str
    baseline: str = ""


def rows(findings: Iterable[Finding], benchmark: str) -> list[str]:
    """In Markdown, with the command that measures them."""
    return [
        f"| {each.what} | {each.asked} | **{each.measured}** | {each.baseline} | `python -m benchmarks.{benchmark}` |"
        for each in findings
    ]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and the most if there are several."""
    numbers = [f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return numbers[0] if len(values) == 1 else "{} ({} to {})".format(*numbers)


def ratios(others: Iterable[float], ours: Iterable[float]) -> str:
    """How many times as much the others are, round by round."""
    return f"{spread([other / our for other, our in zip(others, ours, strict=True)], 2)} ×"


def summarised(description: str | None) -> argparse.ArgumentParser:
    """A parser with the first line of a module's docstring as its description."""
    return argparse.ArgumentParser(description=(description or "").split("\n")[0])


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all comparisons with a baseline take."""
    parser = summarised(description)
    parser.add_argument("--data", type=_path, required=True, help="the folder of Flickr8k")
    parser.add_argument("--baseline", type=_path, required=True, help="a checkout of the commit to compare with")
    return parser


def _path(text: str) -> Path:
    return Path(text).resolve()


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{processor or platform.processor()}, {os.cpu_count()} cores; {platform.system()}, "
        f"Python {platform.python_version()}, {libraries}."
    )


def commit(checkout: Path) -> str:
    """The commit that a checkout is at."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

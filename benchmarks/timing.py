"""Works timed side by side, in turns, so that what else the machine does strikes all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """A line of the table: what was done, with what it is compared, and how many times as long that took.

    Attributes:
        work, beside: the two, in words.
        seconds, beside_seconds: medians.
        ratios: of every round.
    """

    work: str
    beside: str
    seconds: float
    beside_seconds: float
    ratios: list[float]

    def __str__(self) -> str:
        """A row in Markdown."""
        spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
        cells = (self.work, self.beside, _milliseconds(self.seconds), _milliseconds(self.beside_seconds))
        return f"| {' | '.join(cells)} | **{statistics.median(self.ratios):.2f}** ({spread}) |"


HEAD = "| ours | beside it | ours, ms | beside it, ms | ratio (spread) |\n|---|---|---|---|---|"


def seconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in every round; each is done once before, so that none pays for the caches of another."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            work()
            times[name].append(seconds(work))
    return times


def compare(work: str, ours: Work, others: Mapping[str, Work], rounds: int = 7) -> list[Row]:
    """Ours beside each other, as rows of the table."""
    times = in_turns({work: ours, **others}, rounds)
    return [
        Row(
            work,
            name,
            statistics.median(times[work]),
            statistics.median(times[name]),
            [other / our for our, other in zip(times[work], times[name], strict=True)],
        )
        for name in others
    ]


def _milliseconds(value: float) -> str:
    return f"{value * 1000:,.1f}"

"""A folder captioned into a file: photos a second and peak memory, beside a baseline commit.

python -m benchmarks.folder --data ../shared/flickr8k --baseline CHECKOUT [--photos 1000] [--rounds 3]

The whole command is timed, with its start, on a folder of so many photos; then, once, on all of them, where the start
weighs little.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import MEGABYTE, ROOT, Run, photos_of, run
from benchmarks.report import Finding, parser_of, ratios, spread

HEAD = "| photos | photos a second | baseline | ratio | peak MB | baseline |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Pair:
    """Runs of ours and of the baseline on the same photos, in turns."""

    photos: int
    ours: list[Run]
    theirs: list[Run]

    @property
    def faster(self) -> str:
        """How many times as long the baseline takes."""
        return ratios(*([each.seconds for each in runs] for runs in (self.theirs, self.ours)))

    def rate(self, runs: list[Run]) -> str:
        return spread([self.photos / each.seconds for each in runs])

    def __str__(self) -> str:
        """A row in Markdown."""
        cells = [self.rate(self.ours), self.rate(self.theirs), f"**{self.faster}**", peak(self.ours), peak(self.theirs)]
        return f"| {self.photos:,} | {' | '.join(cells)} |"


def peak(runs: list[Run]) -> str:
    return spread([each.peak / MEGABYTE for each in runs])


def caption(photos: list[Path], checkout: Path) -> Run:
    """The command on a folder of these photos."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "photos")
        folder.mkdir()
        for photo in photos:
            os.symlink(photo, folder / photo.name)
        return run(checkout, "-m", "captioning", "caption", folder, "--output", Path(place, "captions.csv"))


def compare(photos: list[Path], baseline: Path, rounds: int) -> Pair:
    runs = [(caption(photos, ROOT), caption(photos, baseline)) for _ in range(rounds)]
    ours, theirs = zip(*runs, strict=True)
    return Pair(len(photos), list(ours), list(theirs))


def measure(photos: list[Path], baseline: Path, count: int, rounds: int) -> list[Pair]:
    """So many photos in some rounds, and all photos once."""
    return [compare(photos[:count], baseline, rounds), compare(photos, baseline, 1)]


def findings(pairs: list[Pair]) -> list[Finding]:
    """The lines of the bar."""
    rates = [Finding(f"a folder of {each.photos:,} photos, photos a second", "≥ 1.8 ×", each.faster) for each in pairs]
    whole = pairs[-1]
    what = f"peak memory of a folder of {whole.photos:,} photos, MB"
    return [*rates, Finding(what, "≤ 450", peak(whole.ours), peak(whole.theirs))]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--photos", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    photos = photos_of(arguments.data)
    print(HEAD, *measure(photos, arguments.baseline, arguments.photos, arguments.rounds), sep="\n")


if __name__ == "__main__":
    main()

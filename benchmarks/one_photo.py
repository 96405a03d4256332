"""One photo, from its file to its caption at beam 5: ours beside a baseline commit and what people use instead.

python -m benchmarks.one_photo --data ../shared/flickr8k --baseline CHECKOUT [--photos 100]

Each side is a worker process with its library's defaults. Ours and another caption the same photos in turns. The others
than the baseline have random weights, and take as many steps for each photo as ours.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, Captioned, Worker, photos_of
from benchmarks.report import Finding, parser_of, ratios, spread

BASELINE, REFERENCE, PEER = "the baseline", "ResNet-101, the reference's search", "ViT-GPT2, ONNX Runtime, int8"
# Names in `benchmarks/sides.py`, and how many times as slow each is at least: it captions so many times fewer photos.
SIDES = {
    BASELINE: ("package", 1),
    REFERENCE: ("resnet101", 5),
    PEER: ("vit_gpt2_onnx", 5),
    "ViT-GPT2, transformers": ("vit_gpt2", 15),
    "BLIP-base, transformers": ("blip_base", 15),
}
ASKED = {BASELINE: "≥ 2 ×", REFERENCE: "", PEER: "≥ 12 ×"}
# Until threads of the side before have stopped spinning.
PAUSE = 0.05
HEAD = "| beside ours | its ms a photo | ours, ms | ratio | photos |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Pair:
    """Another side and ours: the seconds of each photo."""

    name: str
    theirs: list[float]
    ours: list[float]

    def __str__(self) -> str:
        """A row in Markdown."""
        theirs, ours = (spread([1000 * value for value in values], 1) for values in (self.theirs, self.ours))
        return f"| {self.name} | {theirs} | {ours} | **{ratios(self.theirs, self.ours)}** | {len(self.ours)} |"

    def finding(self) -> Finding:
        """The line of the bar."""
        what = f"file to beam-5 caption, beside {self.name}"
        return Finding(what, ASKED[self.name], ratios(self.theirs, self.ours))


def compare(name: str, side: str, checkout: Path, photos: list[Path]) -> Pair:
    """Another side and ours, photo by photo in turns."""
    theirs, ours = [], []
    with Worker("package") as our, Worker(side, checkout) as other:
        for photo in photos:
            found = rested(our, photo)
            ours.append(found.seconds)
            theirs.append(rested(other, photo, found.steps).seconds)
    return Pair(name, theirs, ours)


def rested(worker: Worker, photo: Path, steps: int = 0) -> Captioned:
    time.sleep(PAUSE)
    return worker.caption(photo, steps)


def measure(photos: list[Path], baseline: Path) -> list[Pair]:
    """Each side beside ours; the baseline captions all photos, the slower ones fewer."""
    return [
        compare(name, side, baseline if name == BASELINE else ROOT, photos[: -(-len(photos) // slower)])
        for name, (side, slower) in SIDES.items()
    ]


def findings(pairs: list[Pair]) -> list[Finding]:
    """The lines of the bar."""
    return [pair.finding() for pair in pairs if pair.name in ASKED]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--photos", type=int, default=100, help="default: %(default)s")
    arguments = parser.parse_args()
    photos = photos_of(arguments.data)[: arguments.photos]
    print(HEAD, *measure(photos, arguments.baseline), sep="\n")


if __name__ == "__main__":
    main()

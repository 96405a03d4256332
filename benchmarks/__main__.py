"""Everything that is measured, in one go, into benchmarks/RESULTS.md.

python -m benchmarks --data ../shared/flickr8k --baseline CHECKOUT [--environment .venv] [--quick]

It takes half an hour, ten minutes of which are twelve people at the app. The baseline is another commit of this
repository, for example from `git worktree add`. With `--quick` everything runs for a short time, and nothing is
written. How fast the pages answer is measured by benchmarks.app and benchmarks.site alone.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import folder, memory, one_photo, report, shipped, soak, start
from benchmarks.processes import ROOT, photos_of
from captioning.files import write_whole

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        starts: of the app and of the command line.
        sessions, session_photos: with the app, and photos in each.
        soak_seconds: of twelve people at the app.
        photos: captioned one by one.
        folder, whole_folder, rounds: photos of the folder, of the largest, and how often the former is captioned.
        epoch: photos of an epoch.
    """

    starts: int = 7
    sessions: int = 3
    session_photos: int = 50
    soak_seconds: int = 600
    photos: int = 100
    folder: int = 1000
    whole_folder: int | None = None
    rounds: int = 3
    epoch: int = 120


QUICK = Amount(
    starts=1, sessions=1, session_photos=3, soak_seconds=20, photos=1, folder=20, whole_folder=40, rounds=1, epoch=10
)


def what_is_asked(
    data: Path, baseline: Path, environment: Path | None, amount: Amount
) -> tuple[list[str], list[one_photo.Pair], list[folder.Pair]]:
    """Rows of the table, which are shown as soon as they are measured, and what stands behind some of them."""
    photos, rows = photos_of(data), []

    def note(benchmark: str, findings: list[report.Finding]) -> None:
        found = report.rows(findings, benchmark)
        print(*found, sep="\n", file=sys.stderr, flush=True)
        rows.extend(found)

    note("memory", memory.measure(photos[: amount.session_photos], baseline, amount.sessions))
    note("soak", soak.measure(soak.PEOPLE, amount.soak_seconds))
    note("start", start.measure(photos[0], baseline, amount.starts))
    pairs = one_photo.measure(photos[: amount.photos], baseline)
    note("one_photo", one_photo.findings(pairs))
    folders = folder.measure(photos[: amount.whole_folder], baseline, amount.folder, amount.rounds)
    note("folder", folder.findings(folders))
    note("shipped", shipped.measure(data, baseline, environment))
    return rows, pairs, folders


def sections(data: Path, baseline: Path, environment: Path | None, amount: Amount) -> Iterator[str]:
    """Parts of the report."""
    asked, pairs, folders = what_is_asked(data, baseline, environment, amount)
    yield "# How fast and how small it is\n\nMade by `python -m benchmarks` on: " + report.machine()
    yield (
        "Medians, with the least and the most in brackets. Sides that are compared are processes of their own, run in "
        f"turns; a ratio is taken in each turn. The baseline is commit {report.commit(baseline)}, with the same "
        "libraries. The commands take `--data` and `--baseline`, and say in their first lines how they measure."
    )
    yield table("What is asked for", report.HEAD, *asked)
    yield table("One photo", one_photo.HEAD, *pairs)
    yield table("A folder", folder.HEAD, *folders)
    yield table("Search", output("search"))
    yield table("How cost grows", output("growth"))
    yield table("Precision", output("precision", "--data", data))
    yield table("Training", output("epoch", "--data", data, "--photos", amount.epoch, "--repeats", amount.rounds))


def table(title: str, *lines: object) -> str:
    return "\n".join([f"## {title}", "", *map(str, lines)])


def output(name: str, *arguments: object) -> str:
    """What a benchmark prints that compares works in one process."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> None:
    parser = report.parser_of(__doc__)
    parser.add_argument("--environment", type=Path, help="the app's virtual environment, of which the size is wanted")
    parser.add_argument("--quick", action="store_true", help="check that everything runs")
    arguments = parser.parse_args()
    amount = QUICK if arguments.quick else Amount()
    whole = []
    for section in sections(arguments.data, arguments.baseline, arguments.environment, amount):
        print(section, end="\n\n", flush=True)
        whole.append(section)
    if not arguments.quick:
        write_whole(RESULTS, ("\n\n".join(whole) + "\n").encode())


if __name__ == "__main__":
    main()

"""What is shipped: its scores, and the sizes of the checkpoint, of the code and of the app's environment.

python -m benchmarks.shipped --data ../shared/flickr8k --baseline CHECKOUT [--environment .venv]
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import MEGABYTE, ROOT
from benchmarks.report import HEAD, Finding, parser_of, rows
from captioning import DEFAULT_CHECKPOINT


def lines(checkout: Path) -> int:
    """Of Python in the parts that compute captions."""
    files = [path for part in ("model", "inference") for path in (checkout / "captioning" / part).rglob("*.py")]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def disk_usage(folder: Path) -> float:
    """Megabytes that a folder takes on disk."""
    counted = subprocess.run(["du", "-sk", folder], check=True, capture_output=True, text=True).stdout
    return int(counted.split()[0]) * 1024 / MEGABYTE


def scores(checkout: Path, data: Path) -> str:
    """BLEU-4 and CIDEr of the default checkpoint on dev, at beam 5."""
    command = [sys.executable, "-m", "captioning", "evaluate", "--data", data, "--beam-size", "5", "--json"]
    printed = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout
    [row] = json.loads(printed)["scores"]
    return f"{row['bleu'][3]:.2f} / {row['cider']:.1f}"


def measure(data: Path, baseline: Path, environment: Path | None) -> list[Finding]:
    """The lines of the bar."""
    checkpoint = DEFAULT_CHECKPOINT.relative_to(ROOT)
    megabytes = [(checkout / checkpoint).stat().st_size / MEGABYTE for checkout in (ROOT, baseline)]
    size = f"{disk_usage(environment):,.0f}" if environment else "not given"
    return [
        Finding("virtual environment of the app, MB", "≤ 700", size),
        Finding("dev, beam 5: BLEU-4 / CIDEr", "≥ 25.6 / 61.3", *(scores(root, data) for root in (ROOT, baseline))),
        Finding(
            "lines of `captioning/model` and `inference`", "fewer", *(f"{lines(root):,}" for root in (ROOT, baseline))
        ),
        Finding("the default checkpoint, MB", "≤ 40", *(f"{each:.1f}" for each in megabytes)),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--environment", type=Path, help="the app's virtual environment, of which the size is wanted")
    arguments = parser.parse_args()
    print(HEAD, *rows(measure(arguments.data, arguments.baseline, arguments.environment), "shipped"), sep="\n")


if __name__ == "__main__":
    main()

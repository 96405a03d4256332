"""Command-line arguments whose mistakes are told in one sentence."""

import argparse
from pathlib import Path
from typing import NoReturn

from captioning.errors import CaptioningError


class Parser(argparse.ArgumentParser):
    """An argument parser that does not print its usage before what is wrong; it exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


class PageParser(argparse.ArgumentParser):
    """An argument parser whose mistakes are told on the page, for the command that started it is not in sight there."""

    def error(self, message: str) -> NoReturn:
        raise CaptioningError(
            f"The app was started with something it does not know ({message}): use --photos DIR or --data DIR."
        )


def page_arguments() -> argparse.Namespace:
    """What stands after `streamlit run app.py --`.

    Raises:
        CaptioningError: something else than the app knows.
    """
    parser = PageParser(add_help=False)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--data", type=Path)
    return parser.parse_args()

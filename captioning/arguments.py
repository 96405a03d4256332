"""Command-line arguments whose mistakes are reported in one sentence."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that does not print its usage before what is wrong; it exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help.\n")

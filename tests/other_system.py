"""Runs the package, the commands and the page as a system without Linux's own modules and calls has them.

python -X warn_default_encoding tests/other_system.py FOLDER

What the libraries need for themselves is imported before it is taken away. FOLDER has `photos` and `data`.
"""

import ctypes
import importlib
import os
import pkgutil
import signal
import sys
import warnings
from pathlib import Path

import filelock  # noqa: F401
import nltk  # noqa: F401
import onnxruntime  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pycocoevalcap.meteor.meteor  # noqa: F401
import tqdm.auto  # noqa: F401
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
CALLS = ("fork", "getuid", "killpg", "mkfifo", "posix_fallocate", "sched_getaffinity", "statvfs")
CDLL = ctypes.CDLL
SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1")


def take_away() -> None:
    """Leave what Windows has."""
    for name in MODULES:
        sys.modules[name] = None
    for name in CALLS:
        delattr(os, name)
    for name in SIGNALS:
        delattr(signal, name)
    ctypes.CDLL = library
    sys.addaudithook(without_proc)
    # Text without a named encoding is read in another one there.
    warnings.filterwarnings("error", category=EncodingWarning, module=r"captioning|train|app")


def library(name: str | None, *arguments: object, **named: object) -> ctypes.CDLL:
    """As `ctypes.CDLL`, where the process itself is no library."""
    if name is None:
        raise TypeError("a library has a name")
    return CDLL(name, *arguments, **named)


def without_proc(event: str, arguments: tuple) -> None:
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def run(*arguments: object) -> None:
    """Run a command, which succeeds."""
    from captioning.__main__ import main

    sys.argv = ["captioning", *map(str, arguments)]
    assert main() == 0, arguments


def import_everything() -> None:
    import captioning

    for module in pkgutil.walk_packages(captioning.__path__, "captioning."):
        if module.name != "captioning.__main__":
            importlib.import_module(module.name)


def run_everything(folder: Path) -> None:
    photos = sorted((folder / "photos").iterdir())
    for suffix in (".csv", ".jsonl", ".parquet"):
        # Twice, so that a finished file is read too.
        for _ in range(2):
            run("caption", photos[0].parent, "--output", folder / f"captions{suffix}")
    run("caption", *photos, "--json")
    for suffix in ("gif", "png", "html", "json"):
        run("export", photos[0], "--format", suffix, "-o", folder / f"photo.{suffix}")
    run("evaluate", "--data", folder / "data", "--beam-size", 1, "--results", folder / "results.json")
    sys.argv = ["app.py", "--photos", str(photos[0].parent)]
    for view in ("step", "search", "compare", "model"):
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.query_params["view"] = view
        app.run()
        assert not app.exception, app.exception
        assert not app.error, app.error


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    take_away()
    run_everything(Path(sys.argv[1]))
    import_everything()
    print("everything ran")

"""Who may import what: libraries have their places, wings build on those before them, and no command loads PyTorch."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.browser import ROOT
from tests.helpers import make_kaggle

PACKAGE = ROOT / "captioning"
# Each may import itself and those before it; files that lie in no wing are the ground, but for the command line.
WINGS = ("graph_check", "model", "inference", "visualize", "data", "evaluation", "training", "batch", "page",
         "commands", "__main__")  # fmt: skip
FOR_TRAINING = {"torch", "torchvision", "timm", "lightning", "torchmetrics", "onnxscript"}
UNWANTED = {"torch", "torchvision", "timm", "lightning", "scipy"}


def may_train(file: Path) -> bool:
    wing = file.parts[0]
    return wing in ("model", "training") or file == Path("inference/torch_backend.py") or (
        wing == "data" and file.name not in ("datasets.py", "layouts.py", "tables.py")
    )  # fmt: skip


def may_show(file: Path) -> bool:
    return file.parts[0] == "page"


PLACES: dict[str, Callable[[Path], bool]] = {**dict.fromkeys(FOR_TRAINING, may_train), "streamlit": may_show}


def imported(file: Path) -> Iterator[str]:
    """What a file imports, also in its functions: dotted names of modules and of what is taken from them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def wing_of(module: str) -> int:
    """Which wing a module of the package belongs to; 0 is the ground."""
    name = [*module.split("."), ""][1]
    return WINGS.index(name) + 1 if name in WINGS else 0


def test_libraries_are_imported_in_their_places():
    for file in files():
        for name in {module.split(".")[0] for module in imported(file)} & PLACES.keys():
            assert PLACES[name](file.relative_to(PACKAGE)), f"{file} imports {name}"


def test_a_file_imports_nothing_that_stands_below_it():
    for file in files():
        for module in imported(file):
            if module.startswith("captioning."):
                assert wing_of(module) <= wing_of(module_of(file)), f"{file} imports {module}"


def test_no_import_goes_round_in_a_circle():
    modules = {module_of(file) for file in files()}

    def homes(file: Path) -> set[str]:
        return {name if name in modules else name.rpartition(".")[0] for name in imported(file)} & modules

    graph = {module_of(file): homes(file) for file in files()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_kaggle(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    "command",
    [
        "caption PHOTO",
        "caption PHOTO --json",
        "caption FOLDER --output OUT.csv",
        "caption FOLDER --output OUT.parquet",
        "export PHOTO --format gif -o OUT.gif",
        "export PHOTO --format html -o OUT.html",
        pytest.param("evaluate --data DATA --beam-size 1", marks=pytest.mark.slow),
    ],
)
def test_no_command_loads_pytorch(command, photos, data, tmp_path):
    """Nor scipy, which NLTK alone would take where it happens to be installed: there it is as if it were not."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photos / "coffee.jpg", folder)
    names = {"PHOTO": photos / "coffee.jpg", "FOLDER": folder, "DATA": data, "OUT": tmp_path / "out"}
    script = (
        "import atexit, runpy, sys\n"
        f"if sys.argv[1] == 'evaluate': sys.modules['scipy'] = None\n"
        f"loaded = lambda: [name for name in {sorted(UNWANTED)} if sys.modules.get(name)]\n"
        "atexit.register(lambda: print(loaded(), file=sys.stderr))\n"
        "runpy.run_module('captioning', run_name='__main__', alter_sys=True)"
    )
    for name, path in names.items():
        command = command.replace(name, str(path))
    run = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--device", "cpu"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr.splitlines()[-1] == "[]"

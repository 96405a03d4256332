"""The benchmarks run: what they import exists, and what they start answers."""

import pkgutil
import subprocess
from importlib import import_module

import pytest

import benchmarks
from benchmarks.processes import ROOT, Worker, run


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_a_benchmark_imports_what_exists(name):
    import_module(f"benchmarks.{name}")


def test_a_worker_captions_as_the_package_does(captioner, photos):
    photo = photos / "rocket.jpg"
    with Worker("package") as worker:
        found = worker.caption(photo)
    hypotheses = captioner(photo).hypotheses
    assert found.steps == max(len(each.text.split()) + 1 for each in hypotheses)
    assert found.seconds > 0


def test_the_peak_of_a_command_is_its_own():
    program = "import time; data = bytearray(b'x') * {}; time.sleep(0.5)"
    small, large = (run(ROOT, "-c", program.format(size)).peak for size in (1, 300_000_000))
    assert 280e6 < large - small < 320e6


def test_a_command_that_fails_gives_no_figure():
    with pytest.raises(subprocess.CalledProcessError):
        run(ROOT, "-c", "1 / 0")

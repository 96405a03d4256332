"""What an installation needs, and what it leaves out."""

import re
import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

from tests.browser import ROOT

NOT_IN_THE_APP = {"torch", "torchvision", "timm", "lightning", "torchmetrics", "scipy", "scikit-image", "networkx"}


def listed(name: str) -> set[str]:
    """Names in a list of requirements."""
    return {normal(each.name) for each in requirements(name)}


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def closure(names: set[str]) -> set[str]:
    """The packages and all that they need on this machine."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        needed = [Requirement(line) for line in requires(name) or []]
        waiting |= {normal(each.name) for each in needed if not each.marker or each.marker.evaluate()} - found
    return found


def test_the_app_needs_neither_pytorch_nor_scipy():
    assert not closure(listed("requirements-app.txt")) & NOT_IN_THE_APP


def test_no_requirement_stands_in_two_lists():
    assert not listed("requirements-app.txt") & listed("requirements-train.txt")


def test_training_needs_a_lightning_with_which_it_works():
    """2.5 fails."""
    [lightning] = [line for line in requirements("requirements-train.txt") if line.name == "lightning"]
    assert "2.5.6" not in lightning.specifier
    assert "2.6.0" in lightning.specifier


def test_the_requirements_of_community_cloud_are_those_of_the_app():
    """As the host reads them, from the root of the repository; nothing is looked up but what is installed here."""
    asked = ["install", "--dry-run", "--no-index", "--requirement", "deploy/community-cloud/requirements.txt"]
    pip = [sys.executable, "-m", "pip", *asked]
    run = subprocess.run(pip, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert {normal(name) for name in re.findall(r"satisfied: ([\w-]+)", run.stdout)} >= listed("requirements-app.txt")

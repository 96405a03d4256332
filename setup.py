"""Packages of an installation: the trained models stand beside the package in a checkout, and go into it here."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["captioning", "captioning.*"]), "captioning.checkpoints"],
    package_dir={"captioning.checkpoints": "checkpoints"},
)

"""What an installation has: the trained models and the app stand beside the package in a checkout, and go into it here.

The app's settings of Streamlit are read from beside it.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

APP = ("app.py", ".streamlit/config.toml")


class BuildWithApp(build_py):
    """The package, and the app in it."""

    def run(self):
        super().run()
        for name in () if self.editable_mode else APP:
            target = Path(self.build_lib, "captioning", name)
            self.mkpath(str(target.parent))
            self.copy_file(name, str(target))


setup(
    cmdclass={"build_py": BuildWithApp},
    packages=[*find_packages(include=["captioning", "captioning.*"]), "captioning.checkpoints"],
    package_dir={"captioning.checkpoints": "checkpoints"},
)

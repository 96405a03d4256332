"""What is measured. Processes that benchmarks start keep their libraries' defaults.

The package sets how PyTorch's idle threads wait, in the environment, which the other sides would inherit.
"""

import os

_before = dict(os.environ)

import captioning  # noqa: E402, F401

for _name in os.environ.keys() - _before.keys():
    del os.environ[_name]

"""Many people at once, as in benchmarks/soak.py, for a short time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.soak import HABITS, soak
from tests.browser import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

RESIDENT_LIMIT = 1.5 * 1024**3


def test_everybody_sees_the_right_captions_and_nothing_breaks():
    # In a thread of its own, for the browser of other tests keeps an event loop in this one.
    with ThreadPoolExecutor(1) as thread:
        report = thread.submit(soak, people=5, seconds=30).result()
    assert report.wrong == []
    assert report.tracebacks == []
    assert report.done["session"] >= 5
    assert len(set(HABITS) & set(report.done)) >= 5
    assert max(report.memory) < RESIDENT_LIMIT

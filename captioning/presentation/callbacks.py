"""What is done when somebody touches a control, though they touch the next one already."""

from collections.abc import Callable
from functools import wraps

from streamlit.runtime.scriptrunner import RerunException, get_script_run_ctx


def to_the_end(callback: Callable[..., None]) -> Callable[..., None]:
    """Have a callback of a control done even if another control is waiting; what waits comes after it.

    Where something waits, Streamlit ends a callback at its first use of the session's state, and what was clicked is
    lost. Here the callback is then begun again, so it must change the state last, or in a way that can be repeated.
    """

    @wraps(callback)
    def run(*arguments: object) -> None:
        waiting = []
        while True:
            try:
                callback(*arguments)
                break
            except RerunException as interruption:
                waiting.append(interruption.rerun_data)
        for rerun in waiting:
            get_script_run_ctx().script_requests.request_rerun(rerun)

    return run

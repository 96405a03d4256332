"""What Streamlit loses when two actions on a page coincide, and the patches that keep it."""

from functools import wraps
from typing import Any

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.state import SafeSessionState


def keep_clicks() -> None:
    """Have a run of the page apply all actions and call their callbacks before it looks for newer actions.

    If newer actions wait, Streamlit ends a run before its callbacks are called, or within one at its first use of the
    session's state. A browser sends a click once, so that this click would be lost. It still is if a callback draws, or
    if a run reads it after the callbacks; this page does neither.
    """
    take_in = SafeSessionState.on_script_will_rerun

    @wraps(take_in)
    def take_in_whole(state: SafeSessionState, *arguments: Any, **named: Any) -> None:
        look_for_more = state._yield_callback
        # An assignment would be one to the session's state.
        object.__setattr__(state, "_yield_callback", lambda: None)
        try:
            take_in(state, *arguments, **named)
        finally:
            object.__setattr__(state, "_yield_callback", look_for_more)

    SafeSessionState.on_script_will_rerun = take_in_whole  # pyright: ignore[reportAttributeAccessIssue]


def keep_upload_addresses() -> None:
    """Keep the answer that says where a file is uploaded to when a run begins, and Streamlit drops unsent messages.

    A browser that gets no answer sends no file.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_others(queue: ForwardMsgQueue, retain_lifecycle_msgs: bool = False, **named: Any) -> None:
        before = queue._queue
        clear(queue, retain_lifecycle_msgs, **named)
        if retain_lifecycle_msgs:
            queue._queue += [message for message in before if message.HasField("file_urls_response")]

    ForwardMsgQueue.clear = clear_others  # pyright: ignore[reportAttributeAccessIssue]

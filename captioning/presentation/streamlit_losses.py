"""What Streamlit would lose of what is done on a page while something else is being done on it, and how it is kept."""

from functools import wraps

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.state import SafeSessionState


def keep_clicks() -> None:
    """Have a run of the page take in what was done, callbacks included, before it looks for what was done since.

    Where something waits, Streamlit would end the run before it has called the callbacks, or within one, at its first
    use of the session's state. A browser sends a click once: it would be forgotten.
    """
    take_in = SafeSessionState.on_script_will_rerun

    @wraps(take_in)
    def take_in_whole(state: SafeSessionState, *arguments: object, **named: object) -> None:
        look_for_more = state._yield_callback
        # An assignment would be one to the session's state.
        object.__setattr__(state, "_yield_callback", lambda: None)
        try:
            take_in(state, *arguments, **named)
        finally:
            object.__setattr__(state, "_yield_callback", look_for_more)

    SafeSessionState.on_script_will_rerun = take_in_whole


def keep_upload_addresses() -> None:
    """Have the answer to where a file may be sent outlive the beginning of a run, which drops what is not yet sent.

    A browser that gets no answer sends no file.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_others(queue: ForwardMsgQueue, retain_lifecycle_msgs: bool = False, **named: object) -> None:
        answers = [message for message in queue._queue if message.HasField("file_urls_response")]
        clear(queue, retain_lifecycle_msgs, **named)
        if retain_lifecycle_msgs:
            queue._queue += [answer for answer in answers if answer not in queue._queue]

    ForwardMsgQueue.clear = clear_others

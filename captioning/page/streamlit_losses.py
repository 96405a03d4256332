"""A message that Streamlit loses, and the patch that keeps it: the only use of Streamlit's private parts.

`tests/test_streamlit_losses.py` reproduces the loss, and fails if a later version no longer needs the patch.
"""

from functools import wraps
from typing import Any

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue


def keep_upload_addresses() -> None:
    """Keep the answer that says where a file is uploaded to when a run begins, and Streamlit drops unsent messages.

    A browser that gets no answer sends no file. A component of our own would send a photo as text with every request.
    """
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def clear_others(queue: ForwardMsgQueue, retain_lifecycle_msgs: bool = False, **named: Any) -> None:
        before = queue._queue
        clear(queue, retain_lifecycle_msgs, **named)
        if retain_lifecycle_msgs:
            queue._queue += [message for message in before if message.HasField("file_urls_response")]

    ForwardMsgQueue.clear = clear_others  # pyright: ignore[reportAttributeAccessIssue]

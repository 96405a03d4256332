"""What Streamlit loses when two actions on a page coincide, and that this page does not depend on it.

Two tests reproduce the losses with the installed Streamlit. When one of them fails, Streamlit has changed: see whether
`captioning/page/events.py` or `streamlit_losses.py` is still needed.
"""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import RerunData, RerunException
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit.runtime.state.common import WidgetMetadata

from captioning.page.process import set_up_process
from captioning.page.views import VIEWS

# As it is without the patch that the first page of this process makes.
CLEAR = getattr(ForwardMsgQueue.clear, "__wrapped__", ForwardMsgQueue.clear)


def next_action_waits() -> None:
    raise RerunException(RerunData())


def test_streamlit_loses_a_click_if_the_next_action_waits():
    ThreadState.initialize()
    session, done = SessionState(), []
    state = SafeSessionState(session, next_action_waits)
    button = WidgetMetadata("button", bool, bool, "trigger_value", callback=lambda: done.append("clicked"))
    session._new_widget_state.set_widget_metadata(button)
    with pytest.raises(RerunException):
        state.on_script_will_rerun(WidgetStates(widgets=[WidgetState(id="button", trigger_value=True)]))
    # The request of the next action, in which the browser no longer sends the click.
    session.on_script_will_rerun(WidgetStates())
    assert done == []


def queue_of_a_run() -> tuple[ForwardMsgQueue, ForwardMsg]:
    """Messages that wait to be sent: where a file may be uploaded, which is given too, and an element."""
    queue, address, element = ForwardMsgQueue(), ForwardMsg(), ForwardMsg()
    address.file_urls_response.response_id = "one"
    element.delta.new_element.markdown.body = "of the run before"
    queue.enqueue(address)
    queue.enqueue(element)
    return queue, address


def test_streamlit_loses_where_a_file_may_be_uploaded_if_a_run_begins():
    queue, _ = queue_of_a_run()
    CLEAR(queue, retain_lifecycle_msgs=True)
    assert queue.flush() == []


def test_where_a_file_may_be_uploaded_is_sent_though_a_run_begins():
    set_up_process()
    queue, address = queue_of_a_run()
    queue.clear(retain_lifecycle_msgs=True)
    assert queue.flush() == [address]
    assert queue.flush() == []


@pytest.mark.parametrize("view", VIEWS)
def test_no_widget_of_the_page_is_a_button_of_streamlits(start, flickr8k, view):
    app = start("--data", flickr8k, view=view, say="a dog")
    assert not app.exception
    assert len(app.button) == 0

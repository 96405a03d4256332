"""Nothing that is done on a page is lost while something else is done on it: what Streamlit itself would drop."""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import RerunData, RerunException
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit.runtime.state.common import WidgetMetadata

from captioning.page.process import set_up_process


@pytest.fixture(autouse=True)
def process():
    set_up_process()


def something_waits() -> None:
    raise RerunException(RerunData())


def test_a_click_is_taken_in_though_the_next_one_waits():
    ThreadState.initialize()
    session, done = SessionState(), []
    state = SafeSessionState(session, something_waits)

    def callback() -> None:
        state["photo"] = "Cat"
        done.append(state["photo"])

    button = WidgetMetadata("button", bool, bool, "trigger_value", callback=callback)
    session._new_widget_state.set_widget_metadata(button)
    state.on_script_will_rerun(WidgetStates(widgets=[WidgetState(id="button", trigger_value=True)]))
    assert done == ["Cat"]
    with pytest.raises(RerunException):
        state["photo"]


def test_where_a_file_may_be_sent_is_told_though_a_run_of_the_page_begins():
    queue = ForwardMsgQueue()
    answer, drawn = ForwardMsg(), ForwardMsg()
    answer.file_urls_response.response_id = "one"
    drawn.delta.new_element.markdown.body = "of the run before"
    queue.enqueue(answer)
    queue.enqueue(drawn)
    queue.clear(retain_lifecycle_msgs=True)
    assert queue.flush() == [answer]
    assert queue.flush() == []

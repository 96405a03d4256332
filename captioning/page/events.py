"""What somebody does in the page's own components, as numbered events of which each is applied once.

Streamlit drops a click if another action follows before its run has begun, or before a callback is through
(`tests/test_streamlit_losses.py` reproduces it). The state of a component is not lost: the browser sends it with every
request. So `events.js` keeps the events in its state until a run says that they are applied. No widget of this page is
a button, and none has a callback.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st
from streamlit.components.v2 import component

from captioning.visualize.screen import source

KEY = "events"
FOLDER = Path(__file__).parent


@dataclass
class Channel:
    """What a session knows of the events; it is changed without Streamlit, which could end a run at each change.

    Attributes:
        session: marks its events; a browser that lost a session still has those of that one.
        applied: the number of the last event that was applied.
        choices: for each widget whose value was set, and of which the browser has not heard, the value that it has
            for the widget, and the one that was set.
        address: the browser's: the last that it was sent, or that it went to.
        settled: whether a run has come to its end, and shown all that was chosen, since the last event or choice.
    """

    session: str = field(default_factory=lambda: uuid4().hex)
    applied: int = 0
    choices: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    address: dict[str, str] | None = None
    settled: bool = True


def open_channel() -> None:
    """Begin a run of the page: set widgets again whose values, set by an earlier run, the browser has not heard of."""
    state = st.session_state
    if "channel" not in state:
        state.channel = Channel()
    channel = state.channel
    # The address is the last that a run sends.
    if channel.settled and st.query_params.to_dict() == channel.address:
        channel.choices.clear()
    for name, (known, value) in list(channel.choices.items()):
        if state.get(name) == known:
            state[name] = value
        else:
            # Another value was chosen since.
            del channel.choices[name]


def new_events() -> Iterator[dict]:
    """The events that no run has applied yet, in their order.

    An event that sets one value of the session's state, or each of several to what does not depend on the state, is
    applied once even if the run is cut short at any place.
    """
    channel = st.session_state.channel
    for event in st.session_state.get(KEY, {}).get("events") or []:
        if event["session"] == channel.session and event["number"] > channel.applied:
            yield event
            channel.applied = event["number"]


def choose(name: str, value: object) -> None:
    """Set a widget's value, before the widget is shown."""
    state = st.session_state
    # A run that is cut short must not let an address of before speak for this choice.
    state.channel.settled = False
    choices = state.channel.choices
    known = choices[name][0] if name in choices else state.get(name)
    state[name] = value
    choices[name] = known, value


def settle() -> None:
    """End a run: have the browser send events, drop those that are applied, and see whether it has the address."""
    channel = st.session_state.channel
    channel.settled = True
    run_script(KEY, [*now(), list((channel.address or {}).items())], on_events_change=lambda: None)


def now() -> list:
    """The session, and the number of the last event that was applied."""
    channel = st.session_state.channel
    return [channel.session, channel.applied]


def run_script(name: str, data: list | None = None, **listeners: Any) -> None:
    """Run `NAME.js`, which stands beside this file, in the browser: a component with nothing to see."""
    script = source("report.js") + (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    component(f"captioning_{name}", html="<span></span>", js=script)(key=name, data=data, **listeners)


def forget_choices() -> None:
    """Let widgets have the values that the browser sends."""
    st.session_state.channel.choices.clear()

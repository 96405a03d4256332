"""The app's page, run without a browser."""

import json

from streamlit.testing.v1 import AppTest


def component_data(app: AppTest, name: str) -> list:
    """What a component of the page is given."""
    [component] = [each for each in app.get("bidi_component") if each.proto.component_name == f"captioning_{name}"]
    return json.loads(component.proto.json)


def buttons(app: AppTest) -> list[dict]:
    """The page's own buttons."""
    components = [each for each in app.get("bidi_component") if each.proto.component_name == "captioning_buttons"]
    return [button for each in components for button in json.loads(each.proto.json)[0]]


def button_labels(app: AppTest) -> list[str]:
    return [button["label"] for button in buttons(app)]


def gallery(app: AppTest) -> list[dict]:
    """The photos of the gallery, in the sidebar."""
    return component_data(app, "gallery")[1]


def grid(app: AppTest) -> list[dict]:
    """The photos of the view *Photos*."""
    return [button for button in buttons(app) if button["picture"] is not None]


def player_data(app: AppTest) -> dict:
    """What the player on the page shows."""
    return component_data(app, "player")[0]


def captions_of(app: AppTest) -> list[str]:
    return [caption["text"] for caption in player_data(app)["captions"]]


def text_of(app: AppTest) -> str:
    """What is written on the page, without Markdown's escapes and marks."""
    written = [*app.markdown, *app.caption, *app.info, *app.warning, *app.title]
    return " ".join(element.value for element in written).replace("\\", "").replace("**", "")


def errors(app: AppTest) -> list[str]:
    assert not app.exception
    return [error.value.replace("\\", "") for error in app.error]


def report(app: AppTest, name: str, **details: object) -> AppTest:
    """Have a component of the page report an event."""
    return report_all(app, {"name": name, **details})


def report_all(app: AppTest, *events: dict) -> AppTest:
    """Have components of the page report events at once, as `events.js` does."""
    channel = app.session_state["channel"]
    numbered = [
        {"number": number, "session": channel.session, **event}
        for number, event in enumerate(events, start=channel.applied + 1)
    ]
    app.session_state["events"] = {"events": numbered}
    return app.run()


def upload(app: AppTest, name: str, data: bytes) -> AppTest:
    app.session_state["source"] = "Upload"
    app.run()
    return app.file_uploader(key="upload").set_value((name, data, "image/jpeg")).run()

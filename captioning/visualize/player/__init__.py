"""The step-through: one piece of HTML, CSS and JavaScript, shown by the app and by the HTML files that it exports."""

from captioning.visualize.screen import source


def script() -> str:
    """The player's JavaScript."""
    names = (
        "elements", "keys", "resize", "overlay", "looks", "thought", "occlusion", "presenting", "touching", "hiding",
        "voice", "copying", "playing", "difference", "pane", "player",
    )  # fmt: skip
    return "".join(source(f"player/{name}.js") for name in names)


def style() -> str:
    """The player's CSS."""
    return source("slider.css") + source("player/player.css")

"""What a search found, as rows of a table, whose text is Markdown."""

from collections.abc import Mapping

from captioning.inference.caption import Caption
from captioning.visualize.text import as_markdown, number


def hypothesis_rows(caption: Caption) -> list[dict]:
    """The final hypotheses, best first."""
    return [
        {
            "Rank": str(rank),
            "Caption": as_markdown(found.text),
            "Log-probability": number(found.log_probability),
            "Length-normalised score": number(found.score, 3),
        }
        for rank, found in enumerate(caption.hypotheses, start=1)
    ]


def width_rows(captions: Mapping[int, Caption]) -> list[dict]:
    """The captions that different beam widths found."""
    return [
        {
            "Beam width": str(width),
            "Caption": as_markdown(caption.text),
            "Log-probability": number(caption.log_probability),
            "Search": f"{caption.seconds.search * 1000:.0f} ms",
        }
        for width, caption in captions.items()
    ]

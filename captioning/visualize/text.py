"""Words and numbers as they are written on the page."""

from captioning.vocabulary import END, SPECIAL_TOKENS


def spoken(word: str) -> str:
    """The word as it is shown: the end token is named without its brackets."""
    return "end" if word == SPECIAL_TOKENS[END] else word


def number(value: float, digits: int = 2) -> str:
    """The number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")

"""Settings are declared once, as fields of dataclasses: type, default, range, choices and help.

Flags, files, checks and the documentation are made from the declarations.
"""

import math
import operator
from dataclasses import Field, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from captioning.errors import shown

LIMITS = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", Path: "a path"}


def setting(default: object, help: str, *, choices: tuple = (), **details: object) -> Any:
    """Declare a setting as the field of a dataclass.

    Args:
        default: its value where none is given.
        help: one phrase.
        choices: the values that it may have, where they can be counted.
        details: bounds of a number by the names in LIMITS; more that the flags need.
    """
    return field(default=default, metadata={"help": help, "choices": choices, **details})


def declared(kind: type) -> dict[str, tuple[Field, type]]:
    """The settings that a dataclass declares, and the type of each, by name."""
    hints = get_type_hints(kind)
    return {each.name: (each, hints[each.name]) for each in fields(kind) if "help" in each.metadata}


def check(settings: object) -> None:
    """Check every setting of an instance.

    Raises:
        ValueError: one has another type, or is out of its range.
    """
    for name, (about, hint) in declared(type(settings)).items():
        value = getattr(settings, name)
        several = get_origin(hint) is tuple
        if several and type(value) is not tuple:
            raise ValueError(f"{name} must be a tuple, not {shown(repr(value))}")
        if several and not value:
            raise ValueError(f"{name} must have at least one value, {expected(about, hint)}")
        for each in value if several else (value,):
            if not _is_valid(each, about, hint):
                raise ValueError(f"{name} must be {expected(about, hint)}, not {shown(repr(each))}")


def read(value: object, about: Field, hint: type) -> object:
    """A setting's value from a flag's text, or from a file; of a setting with several values one.

    Raises:
        ValueError: it has another type, or is out of its range.
    """
    kind = kind_of(hint)
    text = value
    if is_optional(hint) and value == "none":
        value = None
    elif (isinstance(value, str) and kind is not str) or (kind is float and type(value) is int):
        try:
            value = kind(value)
        except (ValueError, OverflowError):
            value = text
    if not _is_valid(value, about, hint):
        raise ValueError(f"must be {expected(about, hint)}, not {shown(text)}")
    return value


def expected(about: Field, hint: type) -> str:
    """What a setting's value has to be, as a phrase."""
    choices = about.metadata["choices"]
    phrase = f"one of {', '.join(map(str, choices))}" if choices else KINDS[kind_of(hint)]
    limits = [f"{words} {about.metadata[name]:,}" for name, (words, _) in LIMITS.items() if name in about.metadata]
    if limits:
        phrase += f", {' and '.join(limits)}"
    return f"{phrase}, or none" if is_optional(hint) else phrase


def kind_of(hint: type) -> type:
    """The type of a setting's value, or of each of its values."""
    return (get_args(hint) or (hint,))[0]


def is_optional(hint: type) -> bool:
    """Whether a setting may be None."""
    return NoneType in get_args(hint)


def _is_valid(value: object, about: Field, hint: type) -> bool:
    kind, choices = kind_of(hint), about.metadata["choices"]
    if value is None:
        return is_optional(hint)
    if kind is Path:
        return isinstance(value, Path)
    # Not isinstance: true and false are numbers to Python.
    if type(value) is not kind and not (kind is float and type(value) is int):
        return False
    if kind is float and not math.isfinite(value):
        return False
    in_range = (within(value, about.metadata[name]) for name, (_, within) in LIMITS.items() if name in about.metadata)
    return all(in_range) and (not choices or value in choices)

"""Settings are declared once, as fields of dataclasses: type, default, range, choices and help.

Flags, files, checks and the documentation are made from the declarations.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
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


def setting(default: object, help: str, **details: object) -> Any:
    """Declare a setting as the field of a dataclass.

    Args:
        default: its value where none is given.
        help: one phrase.
        details: `choices`, where its values can be counted; bounds by their names in LIMITS; what else the flags need.
    """
    return field(default=default, metadata={"help": help, **details})


@dataclass(frozen=True)
class Setting:
    """A declaration.

    Attributes:
        name: of the field.
        kind: type of the value, or of each of several.
        optional: whether it may be None.
        several: whether it is a tuple of values.
        default: its value where none is given.
        details: see `setting`.
    """

    name: str
    kind: type
    optional: bool
    several: bool
    default: object
    details: Mapping[str, Any]

    @property
    def expected(self) -> str:
        """What a value has to be, as a phrase."""
        choices = self.details.get("choices")
        phrase = f"one of {', '.join(map(str, choices))}" if choices else KINDS[self.kind]
        limits = [f"{words} {self.details[name]:,}" for name, (words, _) in LIMITS.items() if name in self.details]
        if limits:
            phrase += f", {' and '.join(limits)}"
        return f"{phrase}, or none" if self.optional else phrase

    def read(self, given: Any) -> Any:
        """A value from a flag's text, or from a file; one of several.

        Raises:
            ValueError: it has another type, or is out of its range.
        """
        value = None if self.optional and given == "none" else given
        if (isinstance(value, str) and self.kind is not str) or (type(value) is int and self.kind is float):
            try:
                value = self.kind(value)
            except (ValueError, OverflowError):
                value = given
        if not self._is_valid(value):
            raise ValueError(f"must be {self.expected}, not {shown(given)}")
        return value

    def check(self, value: Any) -> None:
        """Check the value that a field has.

        Raises:
            ValueError: it has another type, or is out of its range.
        """
        if self.several and type(value) is not tuple:
            raise ValueError(f"{self.name} must be a tuple, not {shown(repr(value))}")
        if self.several and not value:
            raise ValueError(f"{self.name} must have at least one value, {self.expected}")
        for each in value if self.several else (value,):
            if not self._is_valid(each):
                raise ValueError(f"{self.name} must be {self.expected}, not {shown(repr(each))}")

    def _is_valid(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if self.kind is Path:
            return isinstance(value, Path)
        # Not isinstance: true and false are numbers to Python.
        if type(value) is not self.kind and not (type(value) is int and self.kind is float):
            return False
        if self.kind is float and not math.isfinite(value):
            return False
        in_range = all(
            within(value, self.details[name]) for name, (_, within) in LIMITS.items() if name in self.details
        )
        return in_range and value in self.details.get("choices", (value,))


@cache
def declared(settings: type) -> tuple[Setting, ...]:
    """The settings that a dataclass declares."""
    hints = get_type_hints(settings)
    found = []
    for each in fields(settings):
        if "help" in each.metadata:
            hint = hints[each.name]
            kinds = get_args(hint) or (hint,)
            several = get_origin(hint) is tuple
            found.append(Setting(each.name, kinds[0], NoneType in kinds, several, each.default, each.metadata))
    return tuple(found)


def check(settings: object) -> None:
    """Check every setting of an instance.

    Raises:
        ValueError: one has another type, or is out of its range.
    """
    for each in declared(type(settings)):
        each.check(getattr(settings, each.name))

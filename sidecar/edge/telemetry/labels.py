"""Label values under control: cleaned, bounded in number, rendered once.

Models, error types and the like come from the traffic. Without a bound one caller could fill the
memory of this process and of the Prometheus behind it.
"""

from sidecar import catalogue

_CHARACTERS_MAX = 128  # the longest model names in use have about 70

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def clean(value: str) -> str:
    """Return `value` as a label value: printable, valid Unicode, at most 128 characters."""
    if len(value) > _CHARACTERS_MAX:
        value = value[:_CHARACTERS_MAX]
    if value.isascii() and value.isprintable():
        return value
    whole = value.encode("utf-8", "replace").decode("utf-8")
    return "".join(character for character in whole if character.isprintable())


def render(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return `a="b",c="d"` as both exposition formats write it."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))


class LabelBounds:
    """What each open label has taken so far: the first `values_max` distinct values keep their names."""

    def __init__(self, values_max: int) -> None:
        self._values_max = values_max
        self._taken: dict[str, set[str]] = {bound: set() for bound in catalogue.BOUNDS}

    def admit(self, bound: str, value: str) -> tuple[str, bool]:
        """Return the value to show, and whether the bound replaced it. Absent ("") is always free."""
        value = clean(value)
        taken = self._taken[bound]
        if value in taken or value == "" or value == catalogue.OTHER:
            return value, False
        if len(taken) >= self._values_max:
            return catalogue.OTHER, True
        taken.add(value)
        return value, False

"""What is read from text: how long, how large."""

from enum import StrEnum
from typing import Annotated


class Unit(StrEnum):
    """How the text of a number is read."""

    DURATION = "duration"
    LIFETIME = "lifetime"
    SIZE = "size"


Duration = Annotated[float, Unit.DURATION]  # seconds
Lifetime = Annotated[float, Unit.LIFETIME]  # seconds; 0 for none at all
Size = Annotated[int, Unit.SIZE]  # bytes

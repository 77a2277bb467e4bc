"""What is read from text: how long, how large, and text of more than one line."""

from enum import StrEnum
from typing import Annotated


class Unit(StrEnum):
    """How text is read that is no name."""

    DURATION = "duration"
    LIFETIME = "lifetime"
    SIZE = "size"
    LINES = "lines"


Duration = Annotated[float, Unit.DURATION]  # seconds
Lifetime = Annotated[float, Unit.LIFETIME]  # seconds; 0 for none at all
Size = Annotated[int, Unit.SIZE]  # bytes
Lines = Annotated[str, Unit.LINES]  # text that may have several lines

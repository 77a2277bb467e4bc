"""Where things stand in a plot: values from bottom to top, time from left to right."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sidecar.core.reckon.snapshots import DAY_S, Snapshot

WIDTH: Final = 640
HEIGHT: Final = 230
LEFT: Final = 62
RIGHT: Final = 10
TOP: Final = 12
BOTTOM: Final = 26
_TICKS: Final = 4  # or somewhat more
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_LABELS_MAX: Final = 8
_SLIVER: Final = 1.5  # the least width at which a bar is seen


class Scale(NamedTuple):
    """Values of 0 to `top`."""

    top: float
    step: float

    def place(self, value: float) -> float:
        """Return how far below the upper edge a value stands."""
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def list_ticks(self) -> Iterator[float]:
        """Yield the values to which a line is drawn, without 0."""
        for number in range(1, round(self.top / self.step) + 1):
            yield number * self.step


class Slot(NamedTuple):
    """Where an hour or a day stands."""

    left: float
    width: float

    @property
    def middle(self) -> float:
        """The place of its point on a line."""
        return self.left + self.width / 2


def fit_scale(highest: float, least_step: float = 0.0) -> Scale:
    """Return a scale with round steps up to `highest` or just above. `least_step`: 1 for what is counted."""
    rough = max(highest, least_step, 1e-9) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(next(nice for nice in _NICE if nice * power >= rough * (1 - 1e-9)) * power, least_step)
    return Scale(max(math.ceil(highest / step - 1e-9), 1) * step, step)


def place_steps(steps: Sequence[Snapshot]) -> list[Slot]:
    """Return where each stands: an hour or day of which nothing is known leaves a gap as wide as itself."""
    began, ended = steps[0].began, steps[-1].ended
    per_second = (WIDTH - LEFT - RIGHT) / (ended - began)
    return [Slot(LEFT + (step.began - began) * per_second, max((step.ended - step.began) * per_second, _SLIVER)) for step in steps]


def list_labels(steps: Sequence[Snapshot], slots: Sequence[Slot]) -> Iterator[tuple[float, str]]:
    """Yield where to write which time below the axis; not so many that they touch."""
    room = (WIDTH - LEFT - RIGHT) / _LABELS_MAX
    last = -room
    for step, slot in zip(steps, slots, strict=True):
        if slot.middle - last >= room:
            last = slot.middle
            yield slot.middle, _name_step(step)


def _name_step(step: Snapshot) -> str:
    return datetime.fromtimestamp(step.began, UTC).strftime("%m-%d" if step.ended - step.began == DAY_S else "%m-%d %Hh")

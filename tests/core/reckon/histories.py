"""Seeded histories of a signal: noise of several kinds around 1, with or without a trend."""

import math
import random
from collections.abc import Callable, Iterator
from typing import Final

from sidecar.core.reckon.trends import Point

HOUR_S: Final = 3600.0
MIDNIGHT: Final = 1_700_006_400.0
Noise = Callable[[random.Random, int], float]


def _heavy(rng: random.Random, place: int) -> float:
    return 0.08 * rng.gauss(0, 1) / max(0.15, abs(rng.gauss(0, 1)))


def _wild(rng: random.Random, place: int) -> float:
    return rng.gauss(0, 0.1) + (rng.uniform(3, 10) if rng.random() < 0.1 else 0)


def _season(rng: random.Random, place: int) -> float:
    return 0.3 * math.sin(2 * math.pi * place / 24) + rng.gauss(0, 0.1)


# By how it is spread. Office hours and days' waves are only told apart from trends where there are days.
NOISES: Final[dict[str, Noise]] = {
    "normal": lambda rng, place: rng.gauss(0, 0.1),
    "uniform": lambda rng, place: rng.uniform(-0.2, 0.2),
    "skewed": lambda rng, place: math.exp(rng.gauss(0, 0.2)) - 1.02,
    "heavy tails": _heavy,
    "a tenth wild": _wild,
    "many ties": lambda rng, place: round(rng.gauss(0, 0.1), 1),
}
SEASONS: Final[dict[str, Noise]] = {
    "waves": _season,
    "office hours": lambda rng, place: (0.5 if 8 <= place % 24 < 18 else 0.0) + rng.gauss(0, 0.1),
}
DRAGS: Final = {"each like the last, 0.4": 0.4, "each like the last, 0.6": 0.6}


def make_histories(kind: str, many: int, points: int, step_s: float, first: float, last: float) -> Iterator[list[Point]]:
    """Yield histories whose middle goes evenly from `first` to `last`."""
    rng = random.Random(f"{kind} {points} {first} {last}")
    noise = {**NOISES, **SEASONS}.get(kind, NOISES["normal"])
    drag = DRAGS.get(kind, 0.0)
    for _ in range(many):
        left, history = 0.0, list[Point]()
        for place in range(points):
            left = drag * left + math.sqrt(1 - drag * drag) * noise(rng, place)
            history.append((MIDNIGHT + place * step_s, first + (last - first) * place / (points - 1) + left))
        yield history

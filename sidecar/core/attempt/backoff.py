"""How long to wait before trying again: exponential, with full jitter.

Full jitter (any wait between nothing and the bound is as likely) spreads callers that failed at the same moment best: with
less of it they come back together (AWS Architecture Blog, "Exponential Backoff And Jitter"; gRPC A6).
"""

from collections.abc import Callable
from typing import Final

_DOUBLINGS_MAX: Final = 60  # beyond, any cap is reached


def bound_backoff(repetition: int, base_s: float, cap_s: float) -> float:
    """Return the longest wait, in seconds, before the `repetition`-th repetition, from 1."""
    return min(cap_s, base_s * 2.0 ** min(max(repetition - 1, 0), _DOUBLINGS_MAX))


def draw_backoff(repetition: int, base_s: float, cap_s: float, draw: Callable[[], float]) -> float:
    """Return a wait, in seconds, below that bound. `draw`: a number of [0, 1)."""
    return draw() * bound_backoff(repetition, base_s, cap_s)

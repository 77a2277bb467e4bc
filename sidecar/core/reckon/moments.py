"""Moments of the clocks as they are shown: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime
from typing import NamedTuple


class Present(NamedTuple):
    """One moment on both clocks: what stands on the one can be told on the other."""

    now: float  # monotonic, seconds
    wall_ns: int  # since the epoch


def show_moment(moment: float | None, present: Present) -> str | None:
    """Return a moment of the monotonic clock as the wall clock tells it."""
    return None if moment is None else show_wall(present.wall_ns + round((moment - present.now) * 1e9))


def show_wall(wall_ns: int) -> str:
    """Return nanoseconds since the epoch as date and time."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

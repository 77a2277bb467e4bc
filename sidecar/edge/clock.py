"""The only place that asks what time it is."""

import time


class SystemClock:
    """The system's clocks (ports.Clock)."""

    now = staticmethod(time.monotonic)  # the clock event loops use: timers and records agree
    wall_ns = staticmethod(time.time_ns)

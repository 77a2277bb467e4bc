"""The clock."""

import asyncio
import time

from sidecar.edge.clock import SystemClock


def test_it_tells_the_systems_time() -> None:
    """Monotonic seconds and nanoseconds since the epoch."""
    clock = SystemClock()
    before, before_ns = time.monotonic(), time.time_ns()
    now, wall_ns = clock.now(), clock.wall_ns()
    assert before <= now <= time.monotonic()
    assert before_ns <= wall_ns <= time.time_ns()


async def test_it_agrees_with_the_event_loop() -> None:
    """Moments of the clock can be given to the loop's timers."""
    assert abs(SystemClock().now() - asyncio.get_running_loop().time()) < 0.25

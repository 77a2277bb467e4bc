"""How late the loop is."""

import asyncio

from sidecar.edge.telemetry.instruments import Histogram
from sidecar.edge.telemetry.lag import Lags

EDGES = (0.01, 1.0)


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer, and further by `late_s`."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self.late_s = late_s
        self.now_s = 0.0

    def time(self) -> float:
        """Return the made-up time."""
        return self.now_s

    def call_at(self, when: float, callback, *args, context=None):  # type: ignore[no-untyped-def]
        """Run the callback at once, at the time it is due and a little later."""

        def run() -> None:
            self.now_s = when + self.late_s
            callback(*args)

        return self.call_soon(run, context=context)


def sample(late_s: float, times: int) -> Histogram:
    """Return what `times` late timers leave in the histogram."""
    histogram = Histogram("", EDGES)
    loop = Loop(late_s)

    async def run() -> None:
        task = loop.create_task(Lags(histogram).sample(0.5))
        while sum(histogram.counts) < times:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return histogram


def test_a_punctual_loop_has_no_lag() -> None:
    """Timers that fire when due count as no lag."""
    assert sample(0.0, 3).counts[0] >= 3
    assert sample(0.0, 3).sum == 0.0


def test_lateness_is_observed() -> None:
    """Each timer's delay is one observation."""
    histogram = sample(0.25, 2)
    assert histogram.counts[0] == 0
    assert histogram.counts[1] >= 2
    assert abs(histogram.sum - 0.25 * sum(histogram.counts)) < 1e-9


def test_the_last_minute_is_there_one_by_one() -> None:
    """The latest lags are kept, and no more than a minute's."""
    lags = Lags(Histogram("", EDGES))
    loop = Loop(0.25)

    async def run() -> None:
        task = loop.create_task(lags.sample(0.5))
        while loop.now_s < 200 * 0.75:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    assert list(lags.latest) == [0.25] * 120

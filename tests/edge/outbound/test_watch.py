"""One timer for all attempts."""

import asyncio

from sidecar.edge.outbound.watch import Watch
from tests.edge.virtual import VirtualLoop, run_virtually


class Asked:
    """Notes when it was asked, and says when to ask again."""

    def __init__(self, now: float, *answers: float | None) -> None:
        self.began = now
        self.answers = list(answers)
        self.times: list[float] = []

    def check(self, now: float) -> float | None:
        """Answer as scripted."""
        self.times.append(round(now - self.began, 3))
        return self.answers.pop(0) if self.answers else None


def loop_of() -> VirtualLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_each_is_asked_when_it_is_due() -> None:
    """The earliest first, each again at the moment it named, and no more once it said never."""

    async def story() -> None:
        loop = loop_of()
        now = loop.time()
        watch = Watch(loop.now)
        late, early = Asked(now), Asked(now, now + 7.0, None)
        watch.add(late, now + 5.0)
        watch.add(early, now + 2.0)
        await asyncio.sleep(20.0)
        assert early.times[0] == 2.0
        assert early.times[-1] == 7.0
        assert late.times[-1] <= 5.0

    run_virtually(story())


def test_what_was_taken_out_is_not_asked() -> None:
    """And nothing is left that keeps the loop awake."""

    async def story() -> None:
        loop = loop_of()
        watch = Watch(loop.now)
        gone = Asked(loop.time())
        watch.add(gone, loop.time() + 1.0)
        watch.remove(gone)
        watch.remove(gone)
        await asyncio.sleep(3.0)
        assert gone.times == []

    run_virtually(story())


def test_an_earlier_moment_moves_the_timer() -> None:
    """What is added later may be due sooner, and the same one may become due sooner."""

    async def story() -> None:
        loop = loop_of()
        now = loop.time()
        watch = Watch(loop.now)
        slow = Asked(now, now + 50.0)
        watch.add(slow, now + 50.0)
        watch.add(slow, now + 1.0)
        await asyncio.sleep(2.0)
        assert slow.times == [1.0]
        fast = Asked(now)
        watch.add(fast, now + 3.0)
        await asyncio.sleep(2.0)
        assert fast.times == [3.0]

    run_virtually(story())


def test_a_crowd_that_is_nearly_due_does_not_spin() -> None:
    """However often it says "at once", it is asked only every few milliseconds."""

    async def story() -> None:
        loop = loop_of()
        watch = Watch(loop.now)
        hasty = Asked(loop.time(), *(loop.time() for _ in range(10_000)))
        watch.add(hasty, loop.time())
        await asyncio.sleep(1.0)
        assert 100 <= len(hasty.times) <= 201

    run_virtually(story())

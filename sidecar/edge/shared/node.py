"""One Redis server: its connections, its circuit breaker, and who waits for it.

A connection is in the hands of one lane at a time: a task that sends a command, reads its answer, and takes the next. Whoever asks
waits for a future, not for the lane. So a caller that leaves, or whose time is up, disturbs nothing: the lane reads the answer all
the same and drops it, or gives up and closes the connection. No answer can come to the wrong one. It also means that making a
connection (TLS, log in) may take longer than a single caller waits.

Lanes are made when something is asked, and end when nothing is: an idle sidecar has none.

A call may have several commands, one after the other, each with its own limit of time. So that it does not wait that long for each
of them, a server from which nothing was heard since a command that came too late has but a share of the time for the next ones,
until it is heard again, or left alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from sidecar.config import Breaker as BreakerSettings
from sidecar.config import Force
from sidecar.core.choose.breaker import Breaker
from sidecar.core.choose.transitions import State, Transition
from sidecar.core.choose.verdicts import Verdict
from sidecar.edge.shared.wire import AT_WORK, AWAY, LATE, Address, Command, Failure, Link
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock

PATIENCE_S: Final = 1.0  # for an answer that nobody waits for any more, and for a connection
# Of the time that a command has, where the one before got no answer: enough for one from the same network.
SILENT_SHARE: Final = 0.1
# Five failures in a row; left alone for 1 s that grows to 30 s; one probe at a time. Shares and slowness do not count.
BREAKER: Final = BreakerSettings(consecutive=5, calls_min=1_000_000_000, open=1.0, open_max=30.0, probes=1, successes=1)


class _Asked:
    """A command on its way, and who waits for it."""

    __slots__ = ("asking", "command", "future")

    def __init__(self, command: Command, asking: bool, future: "asyncio.Future[Any]") -> None:
        self.command = command
        self.asking = asking
        self.future = future


class Node:
    """One server. `note_state` is called when it has come or gone; `draw` gives numbers in [0, 1)."""

    def __init__(
        self,
        address: Address,
        make: Callable[[Address], Link],
        lanes_max: int,
        clock: Clock,
        draw: Callable[[], float],
        note_state: Callable[[], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.address = address
        self.is_up: bool | None = None  # not known before it was asked
        self.is_closed = False
        self._make = make
        self._lanes_max = lanes_max
        self._clock = clock
        self._note_state = note_state
        self._patience_s = patience_s
        self._breaker = Breaker(f"{address.host}:{address.port}", "", BREAKER, Force.AUTO, draw, self._turn)
        self._waiting: deque[_Asked] = deque()
        self._idle: list[Link] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._heard_at = float("-inf")  # of any command
        self._silent_until = float("-inf")
        self._open_lanes = 0  # that look for more before they end: a task that has ended is a member of the set a moment longer

    @property
    def is_away(self) -> bool:
        """Whether it would not be asked now."""
        return not self._breaker.admits(self._clock.now())

    async def ask(self, command: Command, due: float, *, asking: bool = False) -> Any:
        """Return the answer, or a Failure: at `due`, seconds on the clock, it is late. Raises nothing but CancelledError."""
        began = self._clock.now()
        permit = self._breaker.acquire(began)
        if permit is None or self.is_closed:
            return Failure(AWAY)
        if began < self._silent_until and self._breaker.state(began) is State.CLOSED:  # a probe has all its time
            due = began + (due - began) * SILENT_SHARE
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Asked(command, asking, future))
        if self._open_lanes < self._lanes_max:
            self._open_lanes += 1
            lane = spawn(self._serve(), name="shared")
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        timer = loop.call_at(due, _give_up, future)
        verdict, is_late = Verdict.IGNORED, False  # of a caller that left
        try:
            answer = await future
            is_late = isinstance(answer, Failure) and answer.problem == LATE
            is_failure = isinstance(answer, Failure) and answer.problem not in AT_WORK
            verdict = Verdict.FAILURE if is_failure else Verdict.SUCCESS
            return answer
        finally:
            timer.cancel()
            now = self._clock.now()
            if is_late and self._heard_at <= began:
                self._silent_until = now + self._patience_s
            self._breaker.settle(permit, verdict, now)
            # A success may be left over from before it was found to be away.
            if verdict is Verdict.SUCCESS and self._breaker.state(now) is State.CLOSED:
                self._find(is_up=True)
            elif verdict is Verdict.FAILURE and self.is_up is None:
                self._find(is_up=False)

    async def close(self) -> None:
        """Close all connections; whoever waits is told that it is away."""
        self.is_closed = True
        for lane in list(self._lanes):
            lane.cancel()
        if self._lanes:
            await asyncio.wait(list(self._lanes), timeout=self._patience_s)
        while self._waiting:
            _tell(self._waiting.popleft().future, Failure(AWAY))
        await self._close_idle()

    async def _serve(self) -> None:
        """Be a lane: carry commands until none waits."""
        link = self._idle.pop() if self._idle else None
        asked = None
        try:
            while self._waiting:
                asked = self._waiting.popleft()
                if not asked.future.done():
                    link = await self._carry(asked, link)
        except asyncio.CancelledError:
            if asked is not None:
                _tell(asked.future, Failure(AWAY))
            raise
        finally:
            self._open_lanes -= 1
            if link is not None:
                self._idle.append(link)

    async def _carry(self, asked: _Asked, link: Link | None) -> Link | None:
        """Carry one command; return the connection, None where it cannot be used again."""
        answer: Any = Failure(LATE)
        is_kept = False
        try:
            async with asyncio.timeout(self._patience_s):
                if link is not None and not await link.is_usable():
                    await link.close()
                    link = None
                problem = None
                if link is None:
                    link = self._make(self.address)
                    problem = await link.open()
                answer = problem if problem is not None else await link.ask(asked.command, asking=asked.asking)
            self._heard_at, self._silent_until = self._clock.now(), float("-inf")
            # Whatever else went wrong: of one that is no primary (any more), too, there may be another by now behind the same name.
            is_kept = not isinstance(answer, Failure) or answer.problem in AT_WORK
        except TimeoutError:
            pass
        finally:
            if link is not None and not is_kept:
                await link.close()
        _tell(asked.future, answer)
        return link if is_kept else None

    def _find(self, *, is_up: bool) -> None:
        if is_up is not self.is_up:
            self.is_up = is_up
            self._note_state()

    def _turn(self, transition: Transition) -> None:
        """Take note of the breaker's transition."""
        if transition.after is State.OPEN:
            # What is idle may have died unheard; each would cost a probe.
            spawn(self._close_idle(), name="shared")
            self._find(is_up=False)

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for link in idle:
            await link.close()


def _give_up(future: "asyncio.Future[Any]") -> None:
    _tell(future, Failure(LATE))


def _tell(future: "asyncio.Future[Any]", answer: Any) -> None:
    if not future.done():
        future.set_result(answer)

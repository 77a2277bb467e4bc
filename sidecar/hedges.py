"""Rivals: where a first token is late, a second upstream is asked, and the first to answer is listened to.

A race ends as an attempt does: with an answer that will do, or with the failure of whoever failed last.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.hedging import Hedger
from sidecar.core.attempt.plan import Plan
from sidecar.errors import Fault
from sidecar.ports import Clock, Witness
from sidecar.progress import Exchange, Trial
from sidecar.trials import is_repeatable, mark_upstream

Running = dict["asyncio.Task[Cause | None]", Trial]


class Spawn(Protocol):
    """What starts tasks."""

    def __call__(self, work: Coroutine[Any, Any, Cause | None], *, name: str) -> "asyncio.Task[Cause | None]":
        """Start one."""
        ...


class Hedges:
    """Decides nothing: `hedger` knows when it is late, and how many rivals there may be."""

    def __init__(self, hedger: Hedger, clock: Clock, spawn: Spawn, witness: Witness) -> None:
        self._hedger = hedger
        self._clock = clock
        self._spawn = spawn
        self._witness = witness

    def note(self, trial: Trial, ttft_s: float, now: float) -> None:
        """Take note of how long a first token took."""
        self._hedger.note((mark_upstream(trial), trial.asked_model), ttft_s, now)

    def find_delay(self, exchange: Exchange, plan: Plan) -> float | None:
        """Return after how many seconds without a token a rival is to be asked; None where none is."""
        match = exchange.match
        if match is None or len(match.upstreams) < 2 or not exchange.asked.stream or not exchange.held or not is_repeatable(exchange):
            return None
        now = self._clock.now()
        return self._hedger.delay_s((mark_upstream(exchange.trial), exchange.asked.model), now) if plan.has_room(now) else None

    async def race(
        self, exchange: Exchange, delay_s: float, run: Callable[[Trial], Coroutine[Any, Any, Cause | None]],
        call_rival: Callable[[], Trial | None], drop: Callable[[Trial, Fault | None, Cause | None], None],
    ) -> Cause | None:  # fmt: skip
        """Run the current attempt, and a rival if it is late; return what is wrong with the answer, if anything is. Raises Fault.

        `run` makes an attempt; `call_rival` begins another as `exchange.rival`, where there is anybody to ask; `drop` is told of
        each that is not the current one in the end, with why it failed, or with nothing where it lost.
        """
        running: Running = {self._start(run, exchange.trial): exchange.trial}
        lost: list[Trial] = []
        try:
            done, _ = await asyncio.wait(running, timeout=delay_s)
            if not done:
                self._join(exchange, running, run, call_rival)
            while True:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                task = min(done, key=_is_bad)  # where both have ended, the good one
                trial = running.pop(task)
                exchange.trial, exchange.rival = trial, next(iter(running.values()), None)
                if not running or not _is_bad(task):
                    lost = list(running.values())
                    return task.result()
                drop(trial, *_tell(task))
                exchange.trial, exchange.rival = next(iter(running.values())), None
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for trial in lost:
                drop(trial, None, None)
                exchange.rival = None

    def _start(self, run: Callable[[Trial], Coroutine[Any, Any, Cause | None]], trial: Trial) -> "asyncio.Task[Cause | None]":
        return self._spawn(run(trial), name=f"attempt at {trial.place.name}")

    def _join(
        self, exchange: Exchange, running: Running, run: Callable[[Trial], Coroutine[Any, Any, Cause | None]],
        call_rival: Callable[[], Trial | None],
    ) -> None:  # fmt: skip
        if not self._hedger.allow(self._clock.now()):
            self._witness.note_hedge_refused()
            return
        rival = call_rival()
        if rival is None:
            self._witness.note_hedge_refused()
            return
        running[self._start(run, rival)] = rival


def _is_bad(task: "asyncio.Task[Cause | None]") -> bool:
    return task.cancelled() or task.exception() is not None or task.result() is not None


def _tell(task: "asyncio.Task[Cause | None]") -> tuple[Fault | None, Cause | None]:
    """Return why an attempt failed."""
    error = task.exception()
    return (error, None) if isinstance(error, Fault) else (None, None if error is not None else task.result())

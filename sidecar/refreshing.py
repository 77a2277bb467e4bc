"""Kept answers in demand, fetched anew before they expire: by one call of the sidecar's own, whoever asked for them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.catalogue import REFRESH
from sidecar.errands import Errand, ErrandClient, make_call
from sidecar.flying import Spawn
from sidecar.ports import Clock
from sidecar.progress import Exchange

AT_ONCE_MAX: Final = 32  # beyond that, an answer is left to expire


class Refreshing:
    """Sends errands. `carry`: carries one from accept to record. `abandon`: is told of keys for which none is under way any more."""

    def __init__(
        self, carry: Callable[[ErrandClient, Errand], Awaitable[None]], abandon: Callable[[str], None], clock: Clock, spawn: Spawn,
        name_call: Callable[[], str],
    ) -> None:  # fmt: skip
        self._carry = carry
        self._abandon = abandon
        self._clock = clock
        self._spawn = spawn
        self._name_call = name_call
        self._running: set[asyncio.Task[None]] = set()
        self._is_over = False

    def fetch(self, exchange: Exchange, key: str) -> None:
        """Fetch what is kept under `key` anew, with the request of a call that was just answered with it."""
        if self._is_over or len(self._running) >= AT_ONCE_MAX:
            self._abandon(key)
            return
        call = exchange.call
        target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
        own = make_call(
            self._name_call(), call.method, target, call.headers, exchange.body, now=self._clock.now(), now_ns=self._clock.wall_ns()
        )  # fmt: skip
        task = self._spawn(self._run(Errand(own, exchange.body, REFRESH, exchange.tenant), key), name="refresh")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Fetch nothing any more: end what is under way, and wait until it has let go of everything."""
        self._is_over = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _run(self, errand: Errand, key: str) -> None:
        try:
            await self._carry(ErrandClient(errand), errand)
        finally:
            self._abandon(key)

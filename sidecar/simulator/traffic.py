"""Runs errands against a base URL and notes what each caller saw."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from sidecar.simulator.errands import NO_HABITS, Errand, Habits, choose_errand
from sidecar.simulator.sight import Sight, View

if TYPE_CHECKING:
    from aiohttp import ClientSession


class Traffic(NamedTuple):
    """How much traffic: bounded in number, in time, in both, or only by being told to stop."""

    base_url: str  # where each call goes; `{route}` in it stands for the call's own
    seed: int = 1
    calls: int | None = None
    duration_s: float | None = None
    callers: int = 16  # at once
    odd_every: int = 0  # every so many calls one goes wrong
    think_s: float = 0.0  # mean pause of a caller between calls
    patience_s: float = 60.0  # no caller waits longer for an answer to end
    routes: tuple[str, ...] = ("openai",)  # whose interfaces are called
    habits: Habits = NO_HABITS


async def run_traffic(traffic: Traffic, on_sight: Callable[[Sight], None], stop: asyncio.Event | None = None) -> None:
    """Run errands until their number or time is reached, or `stop` is set; calls under way are finished."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    deadline_s = None if traffic.duration_s is None else time.monotonic() + traffic.duration_s
    numbers = iter(range(traffic.calls)) if traffic.calls is not None else count()
    connector = TCPConnector(limit=0, force_close=False)
    timeout = ClientTimeout(total=traffic.patience_s)
    async with ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar(), auto_decompress=True) as session:

        async def call_on() -> None:
            for number in numbers:
                errand = choose_errand(
                    traffic.seed, number, odd_every=traffic.odd_every, think_s=traffic.think_s, routes=traffic.routes,
                    habits=traffic.habits,
                )  # fmt: skip
                if await _has_to_stop(stop, errand.think_s, deadline_s):
                    return
                on_sight(await run_errand(session, traffic.base_url, errand))

        async with asyncio.TaskGroup() as group:
            for _ in range(traffic.callers):
                group.create_task(call_on())


async def _has_to_stop(stop: asyncio.Event | None, think_s: float, deadline_s: float | None) -> bool:
    """Think, and say whether the time is over meanwhile."""
    left_s = think_s if deadline_s is None else min(think_s, deadline_s - time.monotonic())
    if stop is None:
        await asyncio.sleep(max(0.0, left_s))
    elif left_s > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), left_s)
    return (stop is not None and stop.is_set()) or (deadline_s is not None and time.monotonic() >= deadline_s)


async def run_errand(session: "ClientSession", base_url: str, errand: Errand) -> Sight:
    """Make one call and say what came of it. Raises nothing but CancelledError."""
    from aiohttp import ClientError

    view = View(errand)
    try:
        async with asyncio.timeout(errand.leaves_after_s):
            async with session.request(
                errand.method, base_url.replace("{route}", errand.route) + errand.path, headers=errand.headers, data=errand.body or None
            ) as response:  # fmt: skip
                view.meet(response)
                async for piece in response.content.iter_any():
                    view.read(piece)
                    if view.has_enough:
                        response.close()  # hangs up: the connection is closed, not returned
                        break
        return view.tell(None)
    except TimeoutError as error:
        view.has_left = errand.leaves_after_s is not None
        return view.tell(None if view.has_left else type(error).__name__)
    except (ClientError, OSError) as error:
        return view.tell(type(error).__name__)

"""Kept answers in demand, fetched anew before they expire."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sidecar.core.identify.tenants import Tenant
from sidecar.errands import Errand, ErrandClient
from sidecar.progress import Exchange
from sidecar.refreshing import AT_ONCE_MAX, Refreshing
from tests.core.attempt.calls import make_call
from tests.edge.virtual import turn, virtually
from tests.filled import fill
from tests.flown import Flown, featuring
from tests.path import PlayedClient, TickingClock
from tests.pooled import ANSWER, counted, failure, whole

FRESH = featuring(refresh=True)


class Played:
    """Refreshing with errands that are carried until they are told to end."""

    def __init__(self) -> None:
        self.carried: list[Errand] = []
        self.clients: list[ErrandClient] = []
        self.abandoned: list[str] = []
        self.names: list[str] = []
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: list[asyncio.Task[None]] = []
        self.refreshing = Refreshing(self.carry, self.abandoned.append, TickingClock(), self.spawn, lambda: "drawn")

    async def carry(self, client: ErrandClient, errand: Errand) -> None:
        self.clients.append(client)
        self.carried.append(errand)
        await self.end

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        self.names.append(name)
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]


def exchange_of(query: str = "", body: bytes = b"{}") -> Exchange:
    call = make_call((b"Authorization", b"Bearer k"), (b"Cache-Control", b"max-stale"), has_body=bool(body))
    exchange = fill(Exchange(PlayedClient(call), call, None), path="/one/chat", query=query, body=body)
    exchange.tenant = Tenant("a", "payer")
    return exchange


@virtually
async def test_the_same_is_asked_anew_on_the_same_account() -> None:
    """With an id of its own, without what this one caller said of what is kept."""
    played = Played()
    played.refreshing.fetch(exchange_of("x=1"), "key")
    await turn()
    (errand,) = played.carried
    assert (errand.call.id, errand.call.method, errand.call.target) == ("drawn", "POST", "/one/chat?x=1")
    assert (errand.body, errand.origin, errand.tenant) == (b"{}", "refresh", Tenant("a", "payer"))
    assert errand.call.wanted.own == {"x-sidecar-cache": "no-cache"}
    assert (b"Authorization", b"Bearer k") in errand.call.headers and b"Cache-Control" not in dict(errand.call.headers)
    assert played.clients[0].call is errand.call and played.names == ["refresh"] and not played.abandoned
    played.refreshing.fetch(exchange_of(), "key")
    await turn()
    assert played.carried[1].call.target == "/one/chat"


@virtually
async def test_so_many_at_once_and_no_more() -> None:
    """The others are left to expire; when one is over there is room again."""
    played = Played()
    for number in range(AT_ONCE_MAX + 2):
        played.refreshing.fetch(exchange_of(), f"key {number}")
    await turn()
    assert len(played.carried) == AT_ONCE_MAX
    assert played.abandoned == [f"key {AT_ONCE_MAX}", f"key {AT_ONCE_MAX + 1}"]
    played.end.set_result(None)
    await asyncio.gather(*played.tasks)
    assert len(played.abandoned) == AT_ONCE_MAX + 2
    played.refreshing.fetch(exchange_of(), "later")
    await turn()
    assert len(played.carried) == AT_ONCE_MAX + 1


@pytest.mark.parametrize("how", ["fails", "cancelled"])
@virtually
async def test_however_it_ends_it_is_no_longer_under_way(how: str) -> None:
    """Another one may try."""
    played = Played()
    for _ in range(AT_ONCE_MAX):
        played.refreshing.fetch(exchange_of(), "key")
    await turn()
    if how == "fails":
        played.end.set_exception(RuntimeError("no"))
    else:
        for task in played.tasks:
            task.cancel()
    await asyncio.gather(*played.tasks, return_exceptions=True)
    assert played.abandoned == ["key"] * AT_ONCE_MAX
    played.refreshing.fetch(exchange_of(), "again")
    assert played.abandoned == ["key"] * AT_ONCE_MAX


async def be_wanted(path: Flown) -> None:
    """Have an answer kept that is in demand, and soon expires."""
    await path.serve(path.caller())
    for _ in range(2):
        await path.serve(path.caller())
    await asyncio.sleep(280)


@virtually
async def test_one_caller_has_it_fetched_and_nobody_waits() -> None:
    """All are answered with what is kept; from then on with what came anew. It is no caller's call."""
    path = Flown(whole(), settings=FRESH)
    await be_wanted(path)
    path.answers = [whole(body=ANSWER.replace(b'"hi"', b'"ho"'), at_head=2.0)]
    began = path.clock.now()
    clients = [path.caller() for _ in range(5)]
    records = await path.serve(*clients)
    assert path.clock.now() == began and {record.cache for record in records} == {"hit"}
    assert len(path.refreshed) == 1 and len(path.asked) == 2
    await asyncio.sleep(3)
    (errand,) = (record for record in path.records[0] if record.origin == "refresh")
    assert (errand.cache, errand.ending.value, len(errand.attempts), errand.usage is not None) == ("miss", "completed", 1, True)
    assert counted(path, "cache_refreshes", "succeeded") == 1
    later = path.caller()
    await asyncio.sleep(100)
    assert (await path.serve(later)).cache == "hit" and b'"ho"' in later.body
    path.check_rest()


@virtually
async def test_what_cannot_be_fetched_stays_as_it_is() -> None:
    """Until it expires; the next try comes a little later and not with every hit."""
    path = Flown(whole(), settings=FRESH)
    await be_wanted(path)
    path.answers = [failure(503), failure(503)]
    for _ in range(4):
        client = path.caller()
        assert (await path.serve(client)).cache == "hit" and client.body == ANSWER
    assert len(path.refreshed) == 1 and counted(path, "cache_refreshes", "failed") == 1
    await asyncio.sleep(6)
    await path.serve(path.caller())
    assert len(path.refreshed) == 2
    path.check_rest()


@virtually
async def test_without_the_feature_nothing_is_fetched_anew() -> None:
    """However much it is in demand."""
    path = Flown(whole())
    await be_wanted(path)
    await path.serve(path.caller())
    assert not path.refreshed

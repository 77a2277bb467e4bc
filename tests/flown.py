"""The path with what is kept and shared on it: callers aboard flights, kept answers, bundles, budgets. All of it on a virtual loop."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from sidecar.bundling import Bundling
from sidecar.catalogue import CACHE_TOLD
from sidecar.config import Features, Route, RouteKind, Settings, Upstream
from sidecar.core.admit.budgets import Accounts
from sidecar.core.choose.places import Place
from sidecar.core.observe.overhearing import Listening
from sidecar.core.reuse.cachekey import KEY_CHARS
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.levels import Levels
from sidecar.core.reuse.policy import Policy, Terms
from sidecar.edge.tasks import spawn
from sidecar.exchange import Record, UsageSource
from sidecar.flying import Flying
from sidecar.journeys import Journey
from sidecar.larder import Larder
from sidecar.progress import Exchange
from sidecar.refreshing import Refreshing
from sidecar.reuse import Reuse
from sidecar.spending import Spending
from tests.core.attempt.calls import make_call
from tests.edge.virtual import turn
from tests.path import PRICES, Played, PlayedAnswer, PlayedClient
from tests.pooled import DONE, FIRST, LAST, ROLE, UPSTREAMS, USAGE, stream, whole

SETTINGS = Settings(
    upstreams={**UPSTREAMS, "tools": Upstream("http://tools.test")},
    routes=(
        Route("/one/", "a"), Route("/b/", "b"), Route("/t/", "tools", kind=RouteKind.TOOL, cache=60.0),
    ),
    features=Features(cache=True, coalescing=True),
)  # fmt: skip
CHAT = "/one/v1/chat/completions"
EMBED = "/one/v1/embeddings"
MCP = "/t/mcp"
KEPT = b'{"model":"gpt-4o-mini","temperature":0,"messages":[]}'
KEPT_STREAM = b'{"model":"gpt-4o-mini","temperature":0,"stream":true,"stream_options":{"include_usage":true},"messages":[]}'
TOLD = ROLE + FIRST + LAST + USAGE + DONE
PIECES = (ROLE, FIRST, LAST, USAGE, DONE)
COST_USD = (9 * 0.15 + 3 * 0.6) / 1e6  # of these, at the price table's prices


def featuring(base: Settings = SETTINGS, **features: bool) -> Settings:
    """Return settings with some features on or off."""
    return replace(base, features=replace(base.features, **features))


def keeping(base: Settings = SETTINGS, **cache: Any) -> Settings:
    """Return settings with another cache."""
    return replace(base, cache=replace(base.cache, **cache))


class Slow(PlayedClient):
    """A caller that takes nothing while it is slow."""

    pause: Any = None
    go_on: Any = None

    def watch(self, pause: Any, go_on: Any) -> None:
        self.pause, self.go_on = pause, go_on


class Notes:
    """What was told of spending."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def note_soft_limit(self, tenant: str, window: str) -> None:
        self.told.append(("soft", tenant, window))

    def note_budget_spent(self, tenant: str, window: str) -> None:
        self.told.append(("spent", tenant, window))

    def note_stopped(self, tenant: str, *, is_stopped: bool) -> None:
        self.told.append(("stopped", tenant, is_stopped))


class Shared:
    """Answers that sidecars share. It takes `delay_s`, and until `waits` is there."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Entry, float]] = {}
        self.asked: list[str] = []
        self.waits: Any = None
        self.delay_s = 0.0

    async def get(self, key: str) -> tuple[Entry, float] | None:
        self.asked.append(key)
        await asyncio.sleep(self.delay_s)
        if self.waits is not None:
            await self.waits
        return self.kept.get(key[:KEY_CHARS])

    def put(self, key: str, entry: Entry) -> None:
        self.kept[key[:KEY_CHARS]] = (entry, 0.0)


class Flown(Played):
    """A path on which answers are kept and shared."""

    levels: Levels
    flying: Flying
    larder: Larder

    def __init__(self, *answers: Any, settings: Settings = SETTINGS, shared: Shared | None = None, **more: Any) -> None:
        self.journeys: list[Journey] = []
        self.notes = Notes()
        self.accounts = Accounts(settings.budgets)
        self.refreshed: list[str] = []
        self.made = 0  # callers
        self.shared = shared
        self.numbers = itertools.count(1)
        super().__init__(*answers, settings=settings, **more)
        self.meter.reuse.prepare(settings)

    def make_spending(self, settings: Settings, places: Mapping[str, Place]) -> Spending | None:
        if settings.features.budgets:
            self.spending = Spending(settings.budgets, places, PRICES, self.clock, self.accounts, None, None, self.notes)
        return self.spending

    def make_reuse(self, settings: Settings, places: Mapping[str, Place], listening: Listening | None) -> Reuse | None:
        features, clock, attempts = settings.features, self.clock, self.switchboard.attempts
        if not (features.cache or features.coalescing or features.batches):
            return None
        self.levels = Levels(settings.cache, keeps_stale=features.stale, refreshes=features.refresh)
        bundling = Bundling(settings, attempts, self.spending, clock, spawn, self.report, listening) if features.batches else None
        refreshing = Refreshing(
            lambda client, errand: self.pipeline.carry(client, errand=errand), self.levels.abandon_refresh, clock, spawn,
            lambda: f"errand {next(self.numbers)}",
        )  # fmt: skip
        self.larder = Larder(settings, self.levels, self.shared, PRICES, clock, self.meter.reuse)
        self.flying = Flying(settings, attempts, clock, spawn, self.report, listening, bundling, self.larder)
        self._watch_flights()

        def refresh(exchange: Exchange, key: str) -> None:
            self.refreshed.append(key)
            refreshing.fetch(exchange, key)

        return Reuse(settings, Policy(settings), self.larder, self.flying, places, clock, self._rest, self.meter.reuse, refresh)

    def _watch_flights(self) -> None:
        take_off = self.flying.take_off

        def note(exchange: Exchange, terms: Terms) -> Journey:
            self.journeys.append(take_off(exchange, terms))
            return self.journeys[-1]

        self.flying.take_off = note  # type: ignore[method-assign]

    # -- callers ---------------------------------------------------------------------------

    def caller(
        self, *headers: tuple[bytes, bytes], body: bytes = KEPT, target: str = CHAT, version: tuple[int, int] = (1, 1),
        method: str = "POST", kind: type[PlayedClient] = PlayedClient,
    ) -> Any:  # fmt: skip
        """Return a caller whose call comes in now."""
        self.made += 1
        call = make_call(
            *headers, target=target, has_body=bool(body), method=method, accepted=self.clock.now(), version=version,
            keep_alive=version > (1, 0),
        )  # fmt: skip
        return kind(msgspec.structs.replace(call, id=f"call {self.made}"), [body] if body else [])

    def listener(self, *headers: tuple[bytes, bytes], **more: Any) -> Any:
        """Return a caller that asks for a stream."""
        return self.caller(*headers, body=more.pop("body", KEPT_STREAM), **more)

    async def begin(self, client: PlayedClient) -> "asyncio.Task[None]":
        """Start a call, and return when it waits for something."""
        task = asyncio.get_running_loop().create_task(self.pipeline.carry(client))
        await turn(50)
        return task

    async def leave(self, client: PlayedClient, task: "asyncio.Task[None]") -> Record:
        """Let a caller go in the middle of its call."""
        client.gone = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.record_of(client)

    async def serve(self, *clients: PlayedClient) -> Any:
        """Carry calls that come at the same time to their ends; return their records, of one call its record."""
        tasks = [await self.begin(client) for client in clients]
        await asyncio.gather(*tasks)
        await turn(50)
        told = [self.record_of(client) for client in clients]
        return told if len(told) > 1 else told[0]

    def record_of(self, client: PlayedClient) -> Record:
        """Return the one record of a call."""
        (record,) = (record for record in self.records[0] if record.id == client.call.id)
        assert len(client.ends) == 1, "the caller's side has exactly one end"
        return record

    # -- what must hold in the end ---------------------------------------------------------

    def check_rest(self) -> None:
        """See that all that was taken has been given back, and all that happened is told, once."""
        super().check_rest()
        assert not [task for task in asyncio.all_tasks() if task.get_name() in ("flight", "bundle", "refresh")], "nobody is left behind"
        for journey in self.journeys:
            flight = journey.flight
            assert flight.is_over and not flight.aboard and journey.is_claimed
            assert self.flying.find(journey.terms) is None
            assert journey.carrier.reserved is None, "what was reserved went to who pays"
        assert not [each for each in self.accounts.list_sums() if each.reserved], "what was reserved is settled"
        assert self.records[0] == self.records[1]
        assert sum(len(record.attempts) for record in self.records[0]) == len(self.asked), "each attempt is told once"
        for record in self.records[0]:
            check_told(record)

    def spent_usd(self) -> float:
        """Return what the one account has spent today."""
        return sum(each.spent for each in self.accounts.list_sums() if len(each.period) == 10 and each.account == "default") / 1e9


def check_told(record: Record) -> None:
    """See that a record tells nothing that is another call's."""
    seen = record.seen
    assert record.ended >= record.accepted
    for told in (record.first_byte, seen.first_chunk, seen.first_token):
        assert told is None or record.cache == "bypass" or told >= record.accepted, "nothing happened before it came"
    for overhead in (record.overhead_request_s, record.overhead_response_s):
        assert overhead is None or overhead >= 0
    if record.cache in CACHE_TOLD:
        assert (record.usage, record.cost, seen.usage) == (None, None, None) and record.usage_source is UsageSource.ABSENT
        if record.cache != "stale":
            assert record.attempts == ()
    else:
        assert record.saved is None


def told_usage(path: Flown) -> list[str]:
    """Return who tells of what was used: the calls' ids, in order."""
    return sorted(record.id for record in path.records[0] if record.usage is not None)


def paused(*pieces: Any, pause_s: float = 1.0, **more: Any) -> PlayedAnswer:
    """Return a stream whose pieces come one after another, with pauses between."""
    told: list[Any] = []
    for piece in pieces or PIECES:
        told += [pause_s, piece]
    return stream(*told, **more)


def embeddings(*vectors: str, tokens: int | None = 0, **more: Any) -> PlayedAnswer:
    """Return an answer with vectors, OpenAI's form."""
    data = ",".join(f'{{"object":"embedding","index":{index},"embedding":[{vector}]}}' for index, vector in enumerate(vectors))
    used = "" if tokens is None else f',"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}'
    return whole(200, f'{{"object":"list","data":[{data}],"model":"text-embedding-3-small"{used}}}'.encode(), **more)


def texts_of(*texts: str) -> bytes:
    """Return a request for the embeddings of these."""
    return msgspec.json.encode({"model": "text-embedding-3-small", "input": list(texts)})


def fields_of(client: PlayedClient) -> Sequence[bytes]:
    """Return the fields of the answer's head."""
    return client.head.split(b"\r\n")[1:]

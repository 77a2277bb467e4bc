"""Budgets on the path."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sidecar.config import BUILT_IN_UPSTREAMS, Budget, Budgets, Route, Settings, Upstream
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.estimates import estimate_tokens
from sidecar.core.admit.ledger_lines import read_ledger, tell_state
from sidecar.core.admit.spending_sums import ALL, Reservation, Sum
from sidecar.core.attempt.heads import read_answer
from sidecar.core.choose.places import read_places
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenant
from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT, OPENAI_EMBEDDINGS
from sidecar.core.observe.observer import BlindObserver
from sidecar.core.observe.sessions import SessionObserver
from sidecar.edge.prices import load_prices
from sidecar.errors import Refused
from sidecar.exchange import Asked, Attempt, Cost, Ending, Seen
from sidecar.progress import Exchange, Trial
from sidecar.spending import Spending
from tests.core.attempt.calls import make_call
from tests.filled import fill
from tests.path import PlayedAnswer, PlayedClient, TickingClock

UPSTREAMS = {
    "openai": BUILT_IN_UPSTREAMS["openai"],
    "cheap": Upstream("http://cheap.test", provider="openai", models={"gpt-4o": "gpt-4o-mini", "nobody-knows": "gpt-4o-mini"}),
    "own": Upstream("http://own.test", provider="vllm"),
}
PLACES = read_places(UPSTREAMS, {})
PRICES = load_prices(Settings())
MODEL = "gpt-4o"
PROMPT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "' + b"word " * 80 + b'"}]}'
INPUT = estimate_tokens("openai_chat", PROMPT, b"")
WALL_S = 1_700_000_000.0


class Notes:
    """What was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note_soft_limit(self, tenant: str, window: str) -> None:
        self.told.append(("soft", tenant, window))

    def note_budget_spent(self, tenant: str, window: str) -> None:
        self.told.append(("spent", tenant, window))

    def note_stopped(self, tenant: str, *, is_stopped: bool) -> None:
        self.told.append(("stopped", tenant, is_stopped))


class Lines(list[bytes]):
    """A ledger that is kept in memory."""


class Others:
    """Other sidecars. `full`: they leave no room; `away`: they cannot be asked."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.full = False
        self.told: list[Sum] = []
        self.asked = self.looked = 0
        self.at_look: Any = None
        self.waits: asyncio.Future[None] | None = None

    async def agree(self, reservation: Reservation) -> Sum | None:
        self.asked += 1
        if self.waits is not None:
            await self.waits
        return next(each for each in reservation.sums if each.limit is not None) if self.full else None

    async def look(self, sums: Sequence[Sum]) -> None:
        self.looked += 1
        if self.at_look is not None:
            self.at_look(sums)

    def tell(self, sums: Sequence[Sum]) -> None:
        self.told += sums


class Played:
    """Spending with everything around it played."""

    def __init__(self, settings: Budgets | None = None, *, is_shared: bool = False) -> None:
        settings = settings or Budgets(tenant=Budget(day=1.0), output_tokens=100)
        self.accounts = Accounts(settings)
        self.lines = Lines()
        self.notes = Notes()
        self.others = Others(self.accounts)
        shared = self.others if is_shared else None
        self.spending = Spending(settings, PLACES, PRICES, TickingClock(), self.accounts, None, None, self.notes)
        self.spending.connect(self.lines, shared)

    @property
    def spent(self) -> float:
        """Of today."""
        return self.accounts.spent("a", "day", WALL_S)

    @property
    def reserved(self) -> float:
        """By calls in progress, in US dollars."""
        return sum(each.reserved for each in self.accounts.list_sums() if each.account == "a" and len(each.period) == 10) / 1e9


def call(
    model: str | None = MODEL,
    upstreams: tuple[str, ...] = ("openai",),
    *,
    method: str = "POST",
    body: bytes = PROMPT,
    max_tokens: int | None = None,
    choices: int | None = None,
) -> Exchange:
    """Return a call of tenant `a` that has come in."""
    head = make_call(target="/openai/v1/chat/completions", has_body=bool(body), method=method)
    exchange = Exchange(PlayedClient(head), head, None)
    exchange.match = Router((Route("/openai/", "openai"),)).match(method, "/openai/v1/chat/completions")
    assert exchange.match is not None
    exchange.match = exchange.match._replace(upstreams=upstreams)
    exchange.dialect, exchange.body, exchange.tenant = OPENAI_CHAT, body, Tenant("a", "a")
    params = (("gen_ai.request.max_tokens", max_tokens), ("gen_ai.request.choice.count", choices))
    exchange.asked = Asked(model, params={name: value for name, value in params if value is not None})
    exchange.ending = Ending.COMPLETED
    exchange.trial = Trial(PLACES[upstreams[0]])
    return exchange


def answered(exchange: Exchange, status: int | None = 200, **seen: Any) -> Exchange:
    """Let it have been sent, and answered if there is a status."""
    answer = PlayedAnswer()
    answer.sent_at = 1.0
    exchange.trial.answer = answer
    if status is not None:
        exchange.trial.head = read_answer("POST", status, b"HTTP/1.1 %d Said" % status)
        exchange.trial.observer = BlindObserver(fill(Seen(), **seen))
    return exchange


def price(tokens: int, output: int, model: str = MODEL) -> float:
    """Return what tokens cost, by the rates as the table has them."""
    found = PRICES.find("openai", model)
    assert found is not None
    return (tokens * found.input + output * found.output) / 1e6


async def reserved_by(played: Played, exchange: Exchange) -> float:
    """Return what is reserved for a call."""
    await played.spending.reserve(exchange)
    assert exchange.reserved is not None
    return exchange.reserved.nano / 1e9


async def settled_at(exchange: Exchange, cost: Cost | None = None, played: Played | None = None) -> float:
    """Return what a call comes to that is reserved and then over."""
    played = played or Played()
    await played.spending.reserve(exchange)
    played.spending.settle(exchange, cost, 1.0)
    assert played.reserved == 0.0
    return played.spent


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (call(), price(INPUT, 100)),  # budgets.output_tokens
        (call(max_tokens=7), price(INPUT, 7)),
        (call(max_tokens=7, choices=3), price(INPUT, 21)),
        (call(max_tokens=-5), price(INPUT, 0)),
        (call(upstreams=("cheap",)), price(INPUT, 100, "gpt-4o-mini")),  # by the name that it has there
        (call(upstreams=("cheap", "openai")), price(INPUT, 100)),  # by the dearest
        (call("gpt-4o-2024-08-06"), price(INPUT, 100)),
        (call("nobody-knows"), 0.0),
        (call(None), 0.0),
    ],
)  # fmt: skip
async def test_what_is_reserved(exchange: Exchange, expected: float) -> None:
    """The prompt's tokens, and those of an answer as long as the call allows."""
    assert await reserved_by(Played(), exchange) == pytest.approx(expected, abs=2e-9)


async def test_embeddings_have_no_answer_to_pay_for() -> None:
    """Only their input."""
    body = b'{"model": "text-embedding-3-large", "input": "' + b"word " * 400 + b'"}'
    exchange = call("text-embedding-3-large", body=body)
    exchange.dialect = OPENAI_EMBEDDINGS
    tokens = estimate_tokens(OPENAI_EMBEDDINGS.name, body, b"")
    assert tokens > 300
    assert await reserved_by(Played(), exchange) == pytest.approx(price(tokens, 0, "text-embedding-3-large"), abs=2e-9)


async def test_a_session_is_reserved_by_the_model_of_its_handshake() -> None:
    """A GET that becomes a WebSocket spends; whole or not, what its tally says counts."""
    exchange = call(None, method="GET", body=b"")
    exchange.session = SessionObserver(None, "", 1000)
    exchange.session.tally.model = MODEL
    assert await reserved_by(Played(), exchange) == pytest.approx(price(0, 100), abs=2e-9)


async def test_a_model_without_a_price() -> None:
    """It costs what the settings say, before and after; in a pool where one has a price and one has none, the dearer counts."""
    settings = Budgets(tenant=Budget(day=1.0), output_tokens=100, unpriced=0.3)
    assert await reserved_by(Played(settings), call("nobody-knows")) == 0.3
    assert await settled_at(answered(call("nobody-knows")), None, Played(settings)) == 0.3
    assert await reserved_by(Played(settings), call("nobody-knows", ("cheap", "own"))) == 0.3


async def test_calls_that_ask_no_model_are_not_counted() -> None:
    """Tools, and what only reads, also where spending is stopped."""
    played = Played()
    played.spending.halt(ALL, is_stopped=True)
    tool = call(None)
    tool.tool = "search"
    for exchange in (tool, call(None, method="GET", body=b"")):
        await played.spending.reserve(exchange)
        assert exchange.reserved is None
        played.spending.settle(exchange, Cost(1.0, "table"), 1.0)
    assert played.spent == 0.0


async def test_what_it_cost_is_spent() -> None:
    """In place of what was reserved, more or less as it may be; once."""
    played = Played()
    exchange = answered(call())
    await played.spending.reserve(exchange)
    await played.spending.reserve(exchange)  # by another step of its way
    played.spending.settle(exchange, Cost(0.25, "provider"), 1.0)
    played.spending.settle(exchange, Cost(0.25, "provider"), 1.0)
    assert (played.spent, played.reserved, exchange.reserved) == (0.25, 0.0, None)


async def test_an_attempt_that_lost_against_its_rival_is_paid_too() -> None:
    """Both were asked."""
    exchange = answered(call())
    won = Attempt("y", 0, 0, 0, 0, 0, False, 200, "completed")
    exchange.attempts = [Attempt("x", 0, 0, 0, 0, 0, False, 200, "hedge_lost", cost=Cost(0.1, "estimated")), won]
    assert await settled_at(exchange, Cost(0.25, "table")) == pytest.approx(0.35)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_an_error_costs_nothing(status: int) -> None:
    """Nobody bills one."""
    assert await settled_at(answered(call(), status)) == 0.0


async def test_a_call_that_reached_nobody_costs_nothing() -> None:
    """No connection, no room, a breaker: whatever kept it from being sent."""
    exchange = call()
    exchange.ending = Ending.CONNECT_FAILED
    assert await settled_at(exchange) == 0.0


async def test_an_answer_that_does_not_tell_its_usage_costs_what_was_reserved() -> None:
    """It was given, and nobody knows better."""
    assert await settled_at(answered(call())) == pytest.approx(price(INPUT, 100), abs=2e-9)


@pytest.mark.parametrize("ending", [Ending.CLIENT_GONE, Ending.CUT, Ending.IDLE_TIMEOUT])
async def test_a_call_that_broke_off_costs_what_is_likely_so_far(ending: Ending) -> None:
    """The prompt, and a token for each chunk; before the answer began only the prompt."""
    exchange = answered(call(max_tokens=4000), chunks=12, first_token=1.0)
    exchange.ending = ending
    assert await settled_at(exchange) == pytest.approx(price(INPUT, 12), abs=2e-9)
    silent = answered(call(max_tokens=4000), None)
    silent.ending = ending
    assert await settled_at(silent) == pytest.approx(price(INPUT, 0), abs=2e-9)


async def test_an_error_in_place_of_an_answer_costs_nothing() -> None:
    """In a stream that began as a success."""
    exchange = answered(call(), error_type="overloaded_error")
    exchange.ending = Ending.IN_BAND_ERROR
    assert await settled_at(exchange) == 0.0


async def test_a_refusal() -> None:
    """429 until there is something again; which limit it was is on the exchange; nothing is reserved, and it is said once."""
    played = Played()
    await settled_at(answered(call()), Cost(1.5, "table"), played)
    for _ in range(2):
        exchange = call()
        with pytest.raises(Refused) as refused:
            await played.spending.reserve(exchange)
        assert (refused.value.kind.id, refused.value.kind.status, exchange.limited) == ("budget_spent", 429, "budget_day")
        assert refused.value.retry_after_s == pytest.approx(86_400 - WALL_S % 86_400)
        assert refused.value.detail == "The budget of the tenant for this day is spent, or reserved by calls in progress."
        assert exchange.reserved is None
        played.spending.settle(exchange, None, 1.0)
    assert played.notes.told == [("soft", "a", "day"), ("spent", "a", "day")]


async def test_the_kill_switch() -> None:
    """For one or for all, at once, and calls in progress can still be settled; it is in the ledger."""
    played = Played()
    before = answered(call())
    await played.spending.reserve(before)
    played.spending.halt("a", is_stopped=True)
    exchange = call()
    with pytest.raises(Refused) as refused:
        await played.spending.reserve(exchange)
    assert (refused.value.kind.id, refused.value.retry_after_s, exchange.limited) == ("spending_stopped", None, "stopped")
    played.spending.settle(before, Cost(0.5, "table"), 1.0)
    assert played.spent == 0.5
    assert played.spending.describe().stopped == {"a"}
    assert read_ledger(played.lines).state.stopped == {"a"}
    played.spending.halt("a", is_stopped=False)
    await played.spending.reserve(call())
    assert played.notes.told == [("stopped", "a", True), ("stopped", "a", False)]


async def test_the_ledger_has_each_event_before_the_call_goes_on() -> None:
    """What it tells is what the accounts have."""
    played = Played()
    first, second = answered(call()), call()
    await played.spending.reserve(first)
    await played.spending.reserve(second)
    played.spending.settle(first, Cost(0.125, "table"), 1.0)
    told = read_ledger([*tell_state(Accounts(Budgets()).snapshot(), "me"), *played.lines])
    assert told.state.spent[("a", "2023-11-14")] == 125_000_000
    assert second.reserved is not None and [each.nano for each in told.state.open] == [second.reserved.nano]


async def test_500_racers_spend_no_more_than_there_is_and_what_is_in_flight() -> None:
    """All at once: as many are let in as there is money for, each by its estimate."""
    played = Played()
    calls = [call(max_tokens=1000) for _ in range(500)]
    got = await asyncio.gather(*(played.spending.reserve(each) for each in calls), return_exceptions=True)
    admitted = [each for each in calls if each.reserved is not None]
    assert len(admitted) == int(1.0 / price(INPUT, 1000)) == sum(each is None for each in got)
    assert played.reserved <= 1.0
    for each in admitted:
        played.spending.settle(answered(each), Cost(2 * price(INPUT, 1000), "table"), 1.0)
    assert played.spent - 1.0 <= len(admitted) * price(INPUT, 1000)


async def test_what_other_sidecars_leave_no_room_for() -> None:
    """Refused, given back, told; and nothing in the ledger."""
    played = Played(is_shared=True)
    played.others.full = True
    exchange = call()
    with pytest.raises(Refused) as refused:
        await played.spending.reserve(exchange)
    assert (refused.value.kind.id, exchange.limited, exchange.reserved) == ("budget_spent", "budget_day", None)
    assert (played.reserved, played.lines) == (0.0, []) and played.others.told
    played.others.full = False
    await played.spending.reserve(call())
    assert len(played.lines) == 1


async def test_what_is_known_of_others_is_looked_at_anew_before_a_refusal() -> None:
    """They may have given back meanwhile; what is spent here alone needs no look."""
    played = Played(is_shared=True)
    (day, *_) = played.accounts.look_up("a", WALL_S)
    played.accounts.note_others(day, 0, 10**9)
    played.others.at_look = lambda sums: played.accounts.note_others(sums[0], 0, 0)
    await played.spending.reserve(call())
    assert (played.others.looked, played.others.asked) == (1, 1)
    played.others.at_look = None
    played.accounts.note_others(day, 10**9, 0)
    with pytest.raises(Refused):
        await played.spending.reserve(call())
    assert (played.others.looked, played.others.asked) == (2, 1)
    alone = Played(is_shared=True)
    await settled_at(answered(call()), Cost(1.0, "table"), alone)
    with pytest.raises(Refused):
        await alone.spending.reserve(call())
    assert alone.others.looked == 0


async def test_a_caller_that_leaves_while_others_are_asked_reserves_nothing() -> None:
    """And they are told."""
    played = Played(is_shared=True)
    played.others.waits = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(played.spending.reserve(call()))
    await asyncio.sleep(0)
    assert played.reserved > 0.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert played.reserved == 0.0 and played.others.told and played.lines == []


async def test_a_form_that_is_not_understood_costs_what_the_settings_say() -> None:
    """A picture has a price, though nobody here knows it."""
    exchange = answered(call(None))
    exchange.dialect = OPAQUE
    assert await settled_at(exchange, None, Played(Budgets(tenant=Budget(day=1.0), unpriced=0.04))) == 0.04

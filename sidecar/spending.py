"""Budgets on the path: before a call goes out what it is likely to cost is reserved, when it is over what it cost is spent.

Likely is: the prompt's characters, and as many tokens of answer as the call allows, or `budgets.output_tokens`; at the price table's
prices, in a pool at those of its dearest upstream. A model without a price costs `budgets.unpriced`. Calls by which no model is
asked are not counted: those of tools, and whatever only reads.

Where several sidecars share their budgets, each reserves here first, then asks whether the others leave room for it. While the shared
place is away, what the others had last told counts.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from sidecar.config import Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.estimates import count_allowed, estimate_tokens
from sidecar.core.admit.ledger_lines import tell_reserved, tell_settled, tell_stopped
from sidecar.core.admit.spending_sums import NANO, Balance, Refusal, Reservation, Sum
from sidecar.core.choose.places import Place
from sidecar.core.identify.renaming import name_model
from sidecar.core.observe.pricing import PriceTable
from sidecar.errors import BUDGET_SPENT, SPENDING_STOPPED, Refused
from sidecar.exchange import Cost, Ending, Usage
from sidecar.ports import Clock
from sidecar.progress import Exchange

_EMBEDDINGS: Final = "embeddings"  # gen_ai.operation.name of calls that are answered with no tokens
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_TIER: Final = "openai.request.service_tier"
_ERRORS: Final = 400  # and above: nothing is billed
_NS: Final = 1e9


class Book(Protocol):
    """Where events are written down."""

    def append(self, line: bytes) -> None:
        """Write a line of core.admit.ledger_lines. Does not fail, and does not wait."""
        ...


class SharedSums(Protocol):
    """What other sidecars have spent and reserved."""

    async def agree(self, reservation: Reservation) -> Sum | None:
        """Tell them of a reservation that was made here; return the sum in which they leave no room for it."""
        ...

    async def look(self, sums: Sequence[Sum]) -> None:
        """Find out what they have spent by now."""
        ...

    def tell(self, sums: Sequence[Sum]) -> None:
        """Tell them that these have changed, in the background."""
        ...


class SpendingNotes(Protocol):
    """Who is told of budgets. `tenant`: core.admit.spending_sums.ALL for everybody together."""

    def note_soft_limit(self, tenant: str, window: str) -> None:
        """The soft limit is reached. Once in a window."""
        ...

    def note_budget_spent(self, tenant: str, window: str) -> None:
        """A call was refused for it. Once in a window."""
        ...

    def note_stopped(self, tenant: str, *, is_stopped: bool) -> None:
        """An operator stopped spending, or let it go on."""
        ...


class Overview(NamedTuple):
    """All budgets of the present day and month, and whose spending is stopped."""

    balances: Sequence[Balance]
    stopped: frozenset[str]


class Spending:
    """Reserves and settles. `book`: None where nothing has to be known after a restart; `shared`: None for a sidecar that is alone."""

    def __init__(
        self, settings: Budgets, places: Mapping[str, Place], prices: PriceTable, clock: Clock, accounts: Accounts, book: Book | None,
        shared: SharedSums | None, notes: SpendingNotes,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._places = places
        self._prices = prices
        self._clock = clock
        self._accounts = accounts
        self._book = book
        self._shared = shared
        self._notes = notes

    def connect(self, book: Book | None, shared: SharedSums | None) -> None:
        """Say where events are written down, and who else spends, once that is known."""
        self._book, self._shared = book, shared

    async def reserve(self, exchange: Exchange) -> None:
        """Reserve what a call is likely to cost; nothing where it has been. Raises Refused (`budget_spent`, `spending_stopped`)."""
        if exchange.reserved is not None or _is_free(exchange):
            return
        usd = self._estimate(exchange)
        account = exchange.tenant.account
        wall_s = self._clock.wall_ns() / _NS
        got = self._accounts.reserve(account, usd, wall_s)
        if self._shared is not None and usd is not None:
            got = await self._agree(self._shared, got, account, usd, wall_s)
        if self._accounts.has_turns:
            self._tell_turns()
        if isinstance(got, Refusal):
            exchange.limited = got.limit
            if got.retry_after_s is None:
                raise Refused(SPENDING_STOPPED)
            raise Refused(BUDGET_SPENT, _explain(got.limit), retry_after_s=got.retry_after_s)
        exchange.reserved = got
        if self._book is not None:
            self._book.append(tell_reserved(got))

    def settle(self, exchange: Exchange, cost: Cost | None, now: float) -> None:
        """Count what a call cost that is over, once. `cost`: of its answer, None where it is not known.

        Then the reservation stands for a whole answer, and for one that broke off what is likely up to there. A call that reached
        no upstream, or was answered with an error, costs nothing. `now` says nothing here: a call is of the day on which it began.
        """
        del now
        reservation = exchange.reserved
        if reservation is None:
            return
        exchange.reserved = None
        usd = cost.usd if cost is not None else self._weigh(exchange, reservation)
        for attempt in exchange.attempts:
            if attempt.cost is not None:  # it lost against a rival
                usd += attempt.cost.usd
        nano = self._accounts.settle(reservation, usd)
        if nano is None:
            return
        if self._book is not None:
            self._book.append(tell_settled(reservation, nano))
        if self._shared is not None:
            self._shared.tell(reservation.sums)
        if self._accounts.has_turns:
            self._tell_turns()

    def describe(self) -> Overview:
        """Return how things stand."""
        return Overview(self._accounts.balances(self._clock.wall_ns() / _NS), self._accounts.stopped)

    def halt(self, account: str, is_stopped: bool) -> None:
        """Stop the spending of an account, or of ALL, or let it go on: from the next call on, and after a restart too."""
        (self._accounts.stop if is_stopped else self._accounts.resume)(account)
        if self._book is not None:
            self._book.append(tell_stopped(account, is_stopped=is_stopped))
        self._notes.note_stopped(account, is_stopped=is_stopped)

    async def _agree(
        self, shared: SharedSums, got: Reservation | Refusal, account: str, usd: float, wall_s: float
    ) -> Reservation | Refusal:  # fmt: skip
        accounts = self._accounts
        if isinstance(got, Refusal):
            if got.is_own:
                return got
            await shared.look(accounts.look_up(account, wall_s))  # what is known of the others may be old
            got = accounts.reserve(account, usd, wall_s)
            if isinstance(got, Refusal):
                return got
        try:
            full = await shared.agree(got)
        except BaseException:  # the caller has left meanwhile
            accounts.settle(got, 0.0)
            shared.tell(got.sums)
            raise
        if full is None:
            return got
        refusal = accounts.give_back(got, full, wall_s)
        shared.tell(got.sums)
        return refusal

    def _estimate(self, exchange: Exchange) -> float | None:
        """Return the US dollars that a call is likely to cost. None: its price is nothing."""
        asked = exchange.asked
        tokens = estimate_tokens(exchange.dialect.name, exchange.body, exchange.call.wanted.content_encoding) if exchange.held else 0
        usage = Usage(tokens) if exchange.dialect.operation == _EMBEDDINGS else Usage(tokens, output=self._count_output(exchange))
        model = asked.model if exchange.session is None else exchange.session.tally.model
        highest, is_priced = 0.0, True
        for name in () if exchange.match is None else exchange.match.upstreams:
            place = self._places[name]
            cost = self._price(place, model, usage, asked.params.get(_TIER))
            if cost is None:
                is_priced = False
                highest = max(highest, self._settings.unpriced)
            else:
                highest = max(highest, cost.usd)
        return None if is_priced and highest == 0.0 and sum(usage) > 0 else highest

    def _count_output(self, exchange: Exchange) -> int:
        allowed = count_allowed(exchange.asked)
        return self._settings.output_tokens if allowed is None else max(allowed, 0)

    def _price(self, place: Place, model: str | None, usage: Usage, tier: str | None) -> Cost | None:
        if model is None:
            return None
        models = (name_model(place.models, model), model)
        cost, why = self._prices.charge(place.provider, models, usage, tier)
        return self._prices.charge(place.provider, models, usage, None)[0] if why is not None and tier is not None else cost

    def _weigh(self, exchange: Exchange, reservation: Reservation) -> float:
        """Return the US dollars that a call whose cost nobody told is likely to have cost."""
        trial = exchange.trial
        if not trial.has_sent and not any(attempt.sent is not None for attempt in exchange.attempts):
            return 0.0
        reader = exchange.reader
        seen = None if reader is None else reader.seen
        if trial.head is not None and trial.head.status >= _ERRORS:
            return 0.0
        if seen is not None and seen.error_type is not None and seen.first_token is None:
            return 0.0
        reserved_usd = reservation.nano / NANO
        if exchange.ending is Ending.COMPLETED or exchange.became is not None or exchange.asked.model is None:
            return reserved_usd
        tokens = estimate_tokens(exchange.dialect.name, exchange.body, exchange.call.wanted.content_encoding) if exchange.held else 0
        so_far = Usage(tokens, output=0 if seen is None else seen.chunks)  # a chunk of a stream is about a token
        cost = self._price(trial.place, exchange.asked.model, so_far, None)
        return reserved_usd if cost is None else cost.usd

    def _tell_turns(self) -> None:
        for turn in self._accounts.take_turns():
            (self._notes.note_budget_spent if turn.is_spent else self._notes.note_soft_limit)(turn.tenant, turn.window)


def _is_free(exchange: Exchange) -> bool:
    """Whether no model is asked."""
    return exchange.tool is not None or (exchange.call.method in _READING and exchange.session is None)


def _explain(limit: str) -> str:
    scope, _, window = limit.rpartition("budget_")
    return f"The budget of {'everybody together' if scope else 'the tenant'} for this {window} is spent, or reserved by calls in progress."

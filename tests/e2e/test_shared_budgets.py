"""Budgets that two sidecars share in a real Redis: nothing is overspent, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sidecar import config
from sidecar.config import Budget, Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.ledger_lines import tell_reserved, tell_settled
from sidecar.core.admit.spending_sums import Refusal, Reservation
from sidecar.edge.clock import SystemClock
from sidecar.edge.ledger import Ledger, start_ledger
from sidecar.edge.ledger_reading import open_ledger
from sidecar.edge.shared.budgets import HEARTBEAT_S, SharedBudgets
from sidecar.edge.shared.names import mark_account
from sidecar.edge.shared.shared import Shared
from tests.edge.test_ledger import Notes as LedgerNotes
from tests.rig.redis import RedisServer, needs_cluster, needs_redis, run_cluster, run_redis

pytestmark = needs_redis

CENT = 0.01
DOLLAR = Budgets(tenant=Budget(day=1.0), all=Budget(day=10.0))


class Notes:
    """Nobody listens."""

    def note_shared(self, outcome: str) -> None:
        """Fine."""

    def note_damaged(self) -> None:
        """Fine."""

    def note_put_dropped(self) -> None:
        """Fine."""

    def note_state(self, is_up: bool) -> None:
        """Fine."""


class Side:
    """One sidecar's budgets."""

    def __init__(self, shared: Shared, accounts: Accounts, budgets: SharedBudgets, ledger: Ledger | None) -> None:
        self.shared, self.accounts, self.budgets, self.ledger = shared, accounts, budgets, ledger
        self.wall_s = SystemClock().wall_ns() / 1e9

    async def reserve(self, usd: float = CENT) -> Reservation | Refusal:
        """Reserve here, and agree with the others (sidecar.spending)."""
        got = self.accounts.reserve("a", usd, self.wall_s)
        if isinstance(got, Refusal) and not got.is_own:
            await self.budgets.look(self.accounts.look_up("a", self.wall_s))
            got = self.accounts.reserve("a", usd, self.wall_s)
        if isinstance(got, Refusal):
            return got
        full = await self.budgets.agree(got)
        if full is not None:
            refusal = self.accounts.give_back(got, full, self.wall_s)
            self.budgets.tell(got.sums)
            return refusal
        if self.ledger is not None:
            self.ledger.append(tell_reserved(got))
        return got

    def settle(self, got: Reservation, usd: float = CENT) -> None:
        """Settle, and tell the others."""
        nano = self.accounts.settle(got, usd)
        if self.ledger is not None:
            self.ledger.append(tell_settled(got, nano or 0))
        self.budgets.tell(got.sums)

    async def race(self, calls: int, usd: float = CENT) -> list[Reservation]:
        """Let so many calls begin at once; return those that were let in."""
        got = await asyncio.gather(*(self.reserve(usd) for _ in range(calls)))
        return [each for each in got if isinstance(each, Reservation)]

    @property
    def spent(self) -> float:
        """By all, as far as is known here."""
        return self.accounts.spent("a", "day", self.wall_s)

    async def ask(self) -> float:
        """Ask what all have spent by now."""
        self.accounts.look_up("a", self.wall_s)
        await self.budgets.look(self.accounts.list_sums())
        return round(self.spent, 6)


@asynccontextmanager
async def siding(
    server: RedisServer, name: str, *, file: Path | None = None, timeout_s: float = 2.0, cluster: bool = False
) -> AsyncIterator[Side]:
    """Run one sidecar's budgets until the block ends."""
    accounts = Accounts(DOLLAR)
    clock = SystemClock()
    shared = Shared(config.Redis(url=server.url, timeout=timeout_s, cluster=cluster), clock, Notes(), lambda: 0.0)
    ledger = None if file is None else start_ledger(open_ledger(str(file)), 0.05, accounts, clock.wall_ns() / 1e9, LedgerNotes())
    budgets = SharedBudgets(shared, accounts, "test", name if ledger is None else ledger.instance, clock)
    await shared.start()
    budgets.start()
    await budgets.look([])
    try:
        yield Side(shared, accounts, budgets, ledger)
    finally:
        await budgets.close()
        await shared.close()
        if ledger is not None:
            await ledger.close()


@asynccontextmanager
async def two(server: RedisServer, timeout_s: float = 2.0) -> AsyncIterator[tuple[Side, Side]]:
    """Run two."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(siding(server, "first", timeout_s=timeout_s)),
            await stack.enter_async_context(siding(server, "second", timeout_s=timeout_s)),
        )


async def test_500_racers_on_one_budget_in_two_sidecars(tmp_path: Path) -> None:
    """A hundred cents for 500 that want one each: a hundred are let in, not one more and not one less."""
    with run_redis(tmp_path) as server:
        async with two(server) as (first, second):
            won = [len(each) for each in await asyncio.gather(first.race(250), second.race(250))]
            assert sum(won) == 100, "whoever of them came first"
            assert not await first.race(1) and not await second.race(1)


async def test_what_one_spends_the_other_has_not(tmp_path: Path) -> None:
    """Spent and given back, both are known to the other."""
    with run_redis(tmp_path) as server:
        async with two(server) as (first, second):
            got = await first.reserve(0.9)
            assert isinstance(got, Reservation)
            refusal = await second.reserve(0.2)
            assert isinstance(refusal, Refusal) and refusal.limit == "budget_day" and (refusal.retry_after_s or 0) > 0
            first.settle(got, 0.5)
            await first.ask()
            other = await second.reserve(0.4)
            assert isinstance(other, Reservation)
            second.settle(other, 0.45)  # more than was reserved
            await second.ask()
            assert (await first.ask(), await second.ask()) == (0.95, 0.95)
            assert isinstance(await first.reserve(0.1), Refusal)


async def test_a_flush_opens_no_budget_anew(tmp_path: Path) -> None:
    """In the middle of it all: what the others had spent is still known, and a heartbeat later everything is there again."""
    with run_redis(tmp_path) as server:
        async with two(server) as (first, second):
            for side in (first, second):
                for got in await side.race(40):
                    side.settle(got)
            await second.ask()  # everything is told
            assert (await first.ask(), await second.ask()) == (0.8, 0.8)
            server.ask("FLUSHALL")
            won = await first.race(100)
            assert len(won) <= 20
            await asyncio.sleep(HEARTBEAT_S * 1.2)
            async with siding(server, "third") as third:  # which knows nothing but what the others told anew
                assert await third.ask() == 0.8
                assert len(await third.race(100)) <= 20 - len(won)


async def test_what_was_heard_before_a_flush_is_added_to_what_is_heard_after(tmp_path: Path) -> None:
    """One that is no longer there had spent 40 cents; after the flush another one reserves 30: of 30 own ones, 30 more are too many."""
    with run_redis(tmp_path) as server:
        async with siding(server, "first") as first:
            async with siding(server, "gone") as gone:
                got = await gone.reserve(0.4)
                assert isinstance(got, Reservation)
                gone.settle(got, 0.4)
            own = await first.reserve(0.3)
            assert isinstance(own, Reservation) and await first.ask() == 0.4
            server.ask("FLUSHALL")
            async with siding(server, "third") as third:
                assert isinstance(await third.reserve(0.3), Reservation)
                refusal = await first.reserve(0.3)
                assert isinstance(refusal, Refusal) and not refusal.is_own


async def test_a_sidecar_that_was_killed(tmp_path: Path) -> None:
    """What it had reserved counts until it is back; then it is the same one by its ledger, and counts once."""
    with run_redis(tmp_path) as server:
        async with siding(server, "first") as first:
            dead = siding(server, "", file=tmp_path / "ledger")
            second = await dead.__aenter__()
            won = await second.race(60)
            for got in won[:20]:
                second.settle(got)
            await second.ask()
            copy = (tmp_path / "ledger").read_bytes()  # what is on disk when it is killed
            assert len(await first.race(100)) <= 40
            await dead.__aexit__(None, None, None)
            (tmp_path / "again").write_bytes(copy)
            async with siding(server, "", file=tmp_path / "again") as again:
                assert again.accounts.spent("a", "day", again.wall_s) >= 0.6
                await again.ask()
                assert round(again.spent, 6) == 0.6
                assert await first.ask() == 0.6


async def test_redis_away(tmp_path: Path) -> None:
    """Each goes by its own sums and what it had last heard; when it is back both know all, without a restart."""
    with run_redis(tmp_path) as server:
        async with two(server, 0.2) as (first, second):
            for got in await first.race(50):
                first.settle(got)
            await first.ask()
            assert (await first.ask(), await second.ask()) == (0.5, 0.5)
            server.kill()
            won = await second.race(100)
            assert len(won) == 50  # what was left by what it had heard
            for got in won:
                second.settle(got)
            more = await first.race(100)
            assert len(more) == 50  # it cannot know: the most that is overspent while Redis is away
            for got in more:
                first.settle(got)
            server.start()
            async with asyncio.timeout(20):
                while (await first.ask(), await second.ask()) != (1.5, 1.5):
                    await asyncio.sleep(0.1)
            assert not await first.race(1) and not await second.race(1)


async def test_a_late_write_overwrites_nothing(tmp_path: Path) -> None:
    """An older number changes nothing; what is not ours in a hash, or in its place, is no money."""
    with run_redis(tmp_path) as server:
        async with siding(server, "first") as first:
            got = await first.reserve(0.5)
            assert isinstance(got, Reservation)
            stale = SharedBudgets(first.shared, Accounts(DOLLAR), "test", "first", Backwards())
            await stale.look(Accounts(DOLLAR).look_up("a", first.wall_s))
            key = f"{{test:budgets}}:1:{mark_account('a')}:{got.day}"
            assert b"500000000" in server.ask("HGET", key, "first")
            server.ask("HSET", key, "x", "rubbish")
            assert isinstance(await first.reserve(0.5), Reservation)
            assert isinstance(await first.reserve(0.1), Refusal)
            server.ask("SET", f"{{test:budgets}}:1:{mark_account('')}:{got.day}", "rubbish")
            assert isinstance(await first.reserve(0.1), Refusal)  # its own sums still count


@needs_cluster
async def test_a_cluster(tmp_path: Path) -> None:
    """All sums of one account are in one place there."""
    with run_cluster(tmp_path) as servers:
        async with siding(servers[0], "first", cluster=True) as first, siding(servers[1], "second", cluster=True) as second:
            won = [len(each) for each in await asyncio.gather(first.race(150), second.race(150))]
            assert sum(won) == 100, "whoever of them came first"


class Backwards:
    """A clock that is wrong."""

    def now(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return 10**9

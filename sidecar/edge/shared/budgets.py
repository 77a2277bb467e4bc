"""Budgets that several sidecars share, in Redis.

For each account and period there is a hash with a field for each sidecar, which only that sidecar writes: how much it has spent, and
how much it has reserved. Never a difference, always the whole: a field that is lost, as by a flush, is there again after the next call
or HEARTBEAT_S later; one that is written twice is the same. What is decided is decided in a script, undivided: the fields of
all others and what the asking sidecar has make the sum. No key tells whose it is (edge.shared.names).

A sidecar asks for one script at a time, for all calls that have come meanwhile: they are decided in the order in which they came, and
none is held against another that is refused itself. Writes carry a number that only grows, so that one which was given up and comes
late overwrites nothing newer.

What others had spent by the last look stays so for its period, though the field may be gone: a flush opens no budget anew.
A sidecar that was killed leaves what it had reserved behind, as spent; where it has a ledger it is the same one after its
restart, and puts its field right.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.spending_sums import Reservation, Sum
from sidecar.core.admit.spending_windows import is_day
from sidecar.edge.shared.names import mark_account
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock, Script, SharedRunner

HEARTBEAT_S: Final = 1.0
_FORM: Final = "1"  # version of the keys
_DAY_TTL_S: Final = 3 * 86_400
_MONTH_TTL_S: Final = 35 * 86_400
# Of one run: the server does nothing else meanwhile.
_ASKS_MAX: Final = 64
_CHANGED_MAX: Final = 64
_NS_PER_US: Final = 1000
_ANY_SUM: Final = 2**53 - 1  # the limit where there is none any more

# KEYS: one for each sum. ARGV: the sidecar, the number of this write, how many calls ask; then for each key what this sidecar has
# spent and reserved, what others are known to have spent, the limit, and how long to keep it; then for each call what it is to reserve,
# in how many sums, and in which. Numbers stay below 2^53 and are written with all their digits: Lua would round long ones.
# Returns for each call the sum that has no room (0: all have), then for each key what others have spent and reserved.
AGREE: Final = Script(
    "agree",
    """
local id, number, calls = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local others, known, newer, reserved, told = {}, {}, {}, {}, {}
for i, key in ipairs(KEYS) do
  local at = 4 + (i - 1) * 5
  local spent, open = 0, 0
  local fields = redis.call('HGETALL', key)
  for j = 1, #fields, 2 do
    local n, s, r = string.match(fields[j + 1], '^(%d+) (%d+) (%d+)$')
    if n and fields[j] == id then
      newer[i] = tonumber(n) >= number
    elseif n then
      spent, open = spent + tonumber(s), open + tonumber(r)
    end
  end
  spent = math.max(spent, tonumber(ARGV[at + 2]))
  others[i], reserved[i] = spent + open + tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  told[calls + 2 * i - 1], told[calls + 2 * i] = spent, open
end
local at = 4 + #KEYS * 5
for call = 1, calls do
  local nano, count, full = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), 0
  for j = at + 2, at + 1 + count do
    local i = tonumber(ARGV[j])
    local total, limit = others[i] + reserved[i], tonumber(ARGV[4 + (i - 1) * 5 + 3])
    if full == 0 and (total + nano > limit or total >= limit) then full = i end
  end
  if full == 0 then
    for j = at + 2, at + 1 + count do
      local i = tonumber(ARGV[j])
      reserved[i] = reserved[i] + nano
    end
  end
  told[call] = full
  at = at + 2 + count
end
for i, key in ipairs(KEYS) do
  if not newer[i] then
    local at = 4 + (i - 1) * 5
    redis.call('HSET', key, id, ARGV[2] .. ' ' .. ARGV[at] .. ' ' .. string.format('%.0f', reserved[i]))
    redis.call('EXPIRE', key, ARGV[at + 4])
  end
end
return told
""",
)


class _Ask:
    """A call that waits to be agreed upon. What it reserves is pending until it is, or until it is given back."""

    __slots__ = ("_is_pending", "answer", "nano", "sums")

    def __init__(self, nano: int, sums: Sequence[Sum]) -> None:
        self.nano = nano
        self.sums = sums
        self.answer: asyncio.Future[Sum | None] = asyncio.get_running_loop().create_future()
        self._is_pending = True
        for each in sums:
            each.pending += nano

    def tell(self, full: Sum | None) -> None:
        """Wake who waits. What is agreed upon counts from now on, not only when they are awake."""
        if not self.answer.done():
            self.answer.set_result(full)
            if full is None:
                self.release()

    def release(self) -> None:
        """Nothing of it is pending any more."""
        if self._is_pending:
            self._is_pending = False
            for each in self.sums:
                each.pending -= self.nano


class SharedBudgets:
    """Agrees with other sidecars. `instance`: the name of this one, its own for as long as its ledger is."""

    def __init__(self, runner: SharedRunner, accounts: Accounts, prefix: str, instance: str, clock: Clock) -> None:
        self._runner = runner
        self._accounts = accounts
        self._prefix = f"{{{prefix}:budgets}}:{_FORM}:"
        self._instance = instance
        self._number = clock.wall_ns() // _NS_PER_US  # above all of an earlier process
        self._asks: list[_Ask] = []
        self._changed: dict[tuple[str, str], Sum] = {}
        self._working: asyncio.Task[None] | None = None
        self._heart: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell the others how things stand, now and every HEARTBEAT_S."""
        self._heart = spawn(self._beat(), name="shared budgets: heartbeat")

    async def close(self) -> None:
        """Tell how things stand in the end, and no more from here on."""
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        await self.look(self._accounts.list_sums())

    async def agree(self, reservation: Reservation) -> Sum | None:
        """Tell the others of a reservation that was made here; return the sum in which they leave no room for it.

        While they cannot be asked there is room: this sidecar's own sums had it, with what the others had last told.
        """
        limited = [each for each in reservation.sums if each.limit is not None]
        if not limited:
            return None
        ask = _Ask(reservation.nano, limited)
        self._asks.append(ask)
        try:
            self._work_off()
            return await ask.answer
        finally:
            ask.release()

    async def look(self, sums: Iterable[Sum]) -> None:
        """Exchange what was spent and reserved with the others."""
        self.tell(sums)
        if self._working is not None:
            await asyncio.shield(self._working)

    def tell(self, sums: Iterable[Sum]) -> None:
        """Tell the others of sums that have changed, in the background: in one run all that change meanwhile."""
        for each in sums:
            if each.limit is not None or each.is_shared:
                self._changed[(each.account, each.period)] = each
        self._work_off()

    async def _beat(self) -> None:
        while True:
            await self.look(self._accounts.list_sums())
            await asyncio.sleep(HEARTBEAT_S)

    def _work_off(self) -> None:
        if (self._asks or self._changed) and (self._working is None or self._working.done()):
            self._working = spawn(self._work(), name="shared budgets")

    async def _work(self) -> None:
        asks: list[_Ask] = []
        try:
            while self._asks or self._changed:
                asks = [ask for ask in self._asks[:_ASKS_MAX] if not ask.answer.done()]
                del self._asks[:_ASKS_MAX]
                sums = {key: self._changed.pop(key) for key in list(self._changed)[:_CHANGED_MAX]}
                sums.update(((each.account, each.period), each) for ask in asks for each in ask.sums)
                await self._run(list(sums.values()), asks)
        finally:
            for ask in (*asks, *self._asks):  # nobody waits for what will not come
                ask.tell(None)
            self._asks.clear()

    async def _run(self, sums: Sequence[Sum], asks: Sequence[_Ask]) -> None:
        self._number = number = self._number + 1
        places = {id(each): place for place, each in enumerate(sums, 1)}
        args: list[str | int | float] = [self._instance, number, len(asks)]
        for each in sums:
            ttl_s = _DAY_TTL_S if is_day(each.period) else _MONTH_TTL_S
            limit = _ANY_SUM if each.limit is None else each.limit
            args += [each.spent, each.reserved - each.pending, each.others_spent, limit, ttl_s]
            each.is_shared = True
        for ask in asks:
            args += [ask.nano, len(ask.sums), *(places[id(each)] for each in ask.sums)]
        told = await self._runner.run(AGREE, [f"{self._prefix}{mark_account(each.account)}:{each.period}" for each in sums], args)
        if told is None or not _is_sound(told, len(asks), len(sums)):
            told = None
        else:
            for place, each in enumerate(sums):
                self._accounts.note_others(each, told[len(asks) + 2 * place], told[len(asks) + 2 * place + 1])
        for index, ask in enumerate(asks):
            full = 0 if told is None else told[index]
            ask.tell(sums[full - 1] if full else None)


def _is_sound(told: list[Any], calls: int, sums: int) -> bool:
    is_whole = len(told) == calls + 2 * sums and all(isinstance(number, int) and number >= 0 for number in told)
    return is_whole and all(number <= sums for number in told[:calls])

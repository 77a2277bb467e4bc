"""Budgets that several sidecars share, in Redis.

For each account and period there is a hash with a field for each sidecar, which only that sidecar writes: how much it has spent, and
how much it has reserved. Never a difference, always the whole: a field that is lost, as by a flush, is there again after the next call
or HEARTBEAT_S later; one that is written twice is the same. What is decided is decided in a script, undivided: the fields of
all others and what the asking sidecar has make the sum.

What others had spent by the last look stays so for its period, though the field may be gone: a flush opens no budget anew.
A sidecar that was killed leaves what it had reserved behind, as spent; where it has a ledger it is the same one after its
restart, and puts its field right. Writes carry a number that only grows, so that one which is late overwrites nothing newer.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.spending_sums import Reservation, Sum
from sidecar.core.admit.spending_windows import is_day
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock, Script, SharedRunner

HEARTBEAT_S: Final = 1.0
_FORM: Final = "1"  # version of the keys
_DAY_TTL_S: Final = 3 * 86_400
_MONTH_TTL_S: Final = 35 * 86_400
_KEYS_MAX: Final = 64  # of one run: the server does nothing else meanwhile
_NS_PER_US: Final = 1000

# KEYS: one for each sum. ARGV: the sidecar, the number of this write, what is to be reserved; then for each key what this sidecar has
# spent and reserved (that included), what others are known to have spent, the limit (-1: say nothing of it), and how long to keep it.
# Numbers stay below 2^53, and are written as they came: Lua would round long ones.
# Returns which sum has no room (0: all have), then for each what others have spent and reserved.
AGREE: Final = Script(
    "agree",
    """
local id, number, nano = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local told, newer, full = {}, {}, 0
for i, key in ipairs(KEYS) do
  local at = 4 + (i - 1) * 5
  local known, limit = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local spent, reserved = 0, 0
  local fields = redis.call('HGETALL', key)
  for j = 1, #fields, 2 do
    local n, s, r = string.match(fields[j + 1], '^(%d+) (%d+) (%d+)$')
    if n and fields[j] == id then
      newer[i] = tonumber(n) >= number
    elseif n then
      spent, reserved = spent + tonumber(s), reserved + tonumber(r)
    end
  end
  spent = math.max(spent, known)
  local total = spent + reserved + tonumber(ARGV[at]) + tonumber(ARGV[at + 1])
  if full == 0 and limit >= 0 and (total > limit or total - nano >= limit) then full = i end
  told[2 * i], told[2 * i + 1] = spent, reserved
end
for i, key in ipairs(KEYS) do
  if not newer[i] then
    local at = 4 + (i - 1) * 5
    local reserved = ARGV[at + 1]
    if full > 0 then reserved = string.format('%.0f', math.max(tonumber(reserved) - nano, 0)) end
    redis.call('HSET', key, id, ARGV[2] .. ' ' .. ARGV[at] .. ' ' .. reserved)
    redis.call('EXPIRE', key, ARGV[at + 4])
  end
end
told[1] = full
return told
""",
)


class SharedBudgets:
    """Agrees with other sidecars. `instance`: the name of this one, its own for as long as its ledger is."""

    def __init__(self, runner: SharedRunner, accounts: Accounts, prefix: str, instance: str, clock: Clock) -> None:
        self._runner = runner
        self._accounts = accounts
        self._prefix = f"{{{prefix}:budgets}}:{_FORM}:"
        self._instance = instance
        self._number = clock.wall_ns() // _NS_PER_US  # above all of an earlier process
        self._changed: dict[tuple[str, str], Sum] = {}
        self._telling: asyncio.Task[None] | None = None
        self._heart: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell the others how things stand, now and every HEARTBEAT_S."""
        self._heart = spawn(self._beat(), name="shared budgets")

    async def close(self) -> None:
        """Tell what has not been told, and no more from here on."""
        tasks = [task for task in (self._heart, self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.look(self._accounts.list_sums())

    async def agree(self, reservation: Reservation) -> Sum | None:
        """Tell the others of a reservation that was made here; return the sum in which they leave no room for it.

        While they cannot be asked there is room: this sidecar's own sums had it, with what the others had last told.
        """
        limited = [each for each in reservation.sums if each.limit is not None]
        return await self._run(limited, reservation.nano, decides=True) if limited else None

    async def look(self, sums: Sequence[Sum]) -> None:
        """Exchange what was spent and reserved with the others."""
        limited = [each for each in sums if each.limit is not None]
        for first in range(0, len(limited), _KEYS_MAX):
            await self._run(limited[first : first + _KEYS_MAX], 0, decides=False)

    def tell(self, sums: Iterable[Sum]) -> None:
        """Tell the others of sums that have changed, in the background: one run for all that change meanwhile."""
        for each in sums:
            if each.limit is not None:
                self._changed[(each.account, each.period)] = each
        if self._changed and (self._telling is None or self._telling.done()):
            self._telling = spawn(self._tell(), name="shared budgets: changes")

    async def _tell(self) -> None:
        while self._changed:
            changed, self._changed = self._changed, {}
            await self.look(list(changed.values()))

    async def _beat(self) -> None:
        while True:
            await self.look(self._accounts.list_sums())
            await asyncio.sleep(HEARTBEAT_S)

    async def _run(self, sums: Sequence[Sum], nano: int, *, decides: bool) -> Sum | None:
        self._number = number = self._number + 1
        args: list[str | int | float] = [self._instance, number, nano]
        for each in sums:
            limit = -1 if each.limit is None or not decides else each.limit
            args += [each.spent, each.reserved, each.others_spent, limit, _DAY_TTL_S if is_day(each.period) else _MONTH_TTL_S]
        told = await self._runner.run(AGREE, [f"{self._prefix}{each.account}:{each.period}" for each in sums], args)
        if told is None or not _is_sound(told, len(sums)):
            return None
        for index, each in enumerate(sums):
            self._accounts.note_others(each, told[2 * index + 1], told[2 * index + 2])
        return sums[told[0] - 1] if decides and 0 < told[0] <= len(sums) else None


def _is_sound(told: list[Any], count: int) -> bool:
    return len(told) == 2 * count + 1 and all(isinstance(number, int) for number in told)

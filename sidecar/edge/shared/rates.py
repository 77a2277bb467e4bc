"""Limits that several sidecars keep together: all that a call meets in one script, which Redis runs as one step.

The script counts as core.admit.buckets and core.admit.windows do, by Redis' own clock: their reasons hold here, and a test
compares the two. While Redis answers in time, as much goes through as one limiter would let through, whoever asks. Each
limit is one hash of a few fields, of a window those of its slots beside it, that is gone when nothing in it counts any more.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from sidecar.config import RateLimits
from sidecar.core.admit.buckets import DEBT_S, ROUNDING
from sidecar.core.admit.rates import TOKENS, Left, Rule, Verdict, judge, read_rules
from sidecar.core.admit.windows import SLOTS
from sidecar.edge.shared.names import mark_account
from sidecar.edge.tasks import spawn
from sidecar.ports import Script, SharedRunner

# ARGV: "admit", 1, tokens, 0 or "correct", 0, difference, since; then of each key: "bucket", is it on tokens, size, rate a second;
# or "window", is it on tokens, limit, seconds of a slot.
# Answer: the time; then of each key how long it makes the call wait, what is left, and seconds until nothing is used.
RATES: Final = Script(
    "rates",
    f"local SLOTS, ROUNDING, DEBT_S = {SLOTS}, {ROUNDING!r}, {DEBT_S!r}\n"
    + """
local HELD, KEPT_S_MAX = SLOTS + 1, 32 * 86400
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function keep(key, seconds)
  redis.call('PEXPIRE', key, string.format('%d', math.ceil(math.min(seconds, KEPT_S_MAX) * 1000)))
end

local function read(key, field)
  return tonumber(redis.call('HGET', key, field) or 0) or 0
end

local function open_bucket(key, size, rate)
  local held = redis.call('HMGET', key, 'level', 'last', 'full')
  local level = tonumber(held[1]) or size
  local last, full = tonumber(held[2]) or now, tonumber(held[3]) or now
  if now > last then level = level + (now - last) * rate end
  if level >= size then level, full = size, now end
  return {
    wait = function(amount)
      local short = amount - level
      if short <= ROUNDING then return 0 end
      if amount > size or rate == 0 then return math.huge end
      return short / rate
    end,
    take = function(amount) level = level - amount end,
    correct = function(difference, since)
      if difference >= 0 then
        level = math.max(level - difference, math.min(level, -DEBT_S * rate))
      elseif full <= since then
        level = math.min(level - difference, size)
      end
    end,
    save = function()
      redis.call('HSET', key, 'level', level, 'last', now, 'full', full)
      keep(key, rate > 0 and size / rate + DEBT_S + 1 or KEPT_S_MAX)
    end,
    left = function() return math.max(level, 0) end,
    reset = function()
      if level >= size then return 0 end
      return rate > 0 and (size - level) / rate or math.huge
    end,
  }
end

local function open_window(key, limit, slot_s)
  local held = redis.call('HMGET', key, 'slot', 'place', 'sum')
  local slot, place, sum = tonumber(held[1]), tonumber(held[2]) or 0, tonumber(held[3]) or 0
  local present = math.floor(now / slot_s)
  if not slot then
    slot = present
  elseif present - slot >= HELD then
    redis.call('DEL', key)
    slot, place, sum = present, 0, 0
  elseif present > slot then
    for _ = slot + 1, present do
      place = (place + 1) % HELD
      sum = sum - read(key, place)
      redis.call('HDEL', key, place)
    end
    slot = present
  elseif present < slot - 1 then
    slot = present + 1
  end
  local function read_counts()
    local flat, counts = redis.call('HGETALL', key), {}
    for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
    return function(steps) return counts[string.format('%d', (place + steps) % HELD)] or 0 end
  end
  local function count(at, change)
    local before = read(key, at)
    change = math.max(change, -before)
    redis.call('HSET', key, at, before + change)
    sum = sum + change
  end
  return {
    wait = function(amount)
      local short = sum + amount - limit
      if short <= 0 then return 0 end
      if amount > limit then return math.huge end
      local steps, count_at = 0, read_counts()
      while short > 0 and steps < HELD do
        steps = steps + 1
        short = short - count_at(steps)
      end
      return (slot + steps) * slot_s - now
    end,
    take = function(amount) count(place, amount) end,
    correct = function(difference, since)
      if difference >= 0 then return count(place, difference) end
      local age = slot - math.floor(since / slot_s)
      if age >= 0 and age < HELD then count((place - age) % HELD, difference) end
    end,
    save = function()
      redis.call('HSET', key, 'slot', slot, 'place', place, 'sum', sum)
      keep(key, (HELD + 2) * slot_s)
    end,
    left = function() return math.max(limit - sum, 0) end,
    reset = function()
      if read(key, place) > 0 then return (slot + HELD) * slot_s - now end
      local count_at = read_counts()
      for steps = HELD, 1, -1 do
        if count_at(steps) > 0 then return (slot + steps) * slot_s - now end
      end
      return 0
    end,
  }
end

local mode, requests, tokens, since = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local limits, amounts, waits, refused = {}, {}, {}, false
for i, key in ipairs(KEYS) do
  local at = 4 * i
  local open = ARGV[at + 1] == 'bucket' and open_bucket or open_window
  limits[i] = open(key, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  amounts[i] = ARGV[at + 2] == '1' and tokens or requests
  waits[i] = mode == 'admit' and limits[i].wait(amounts[i]) or 0
  refused = refused or waits[i] > 0
end
local answer = {string.format('%.17g', now)}
for i, limit in ipairs(limits) do
  if mode == 'correct' then
    limit.correct(amounts[i], since)
  elseif not refused then
    limit.take(amounts[i])
  end
  limit.save()
  for _, value in ipairs({waits[i], limit.left(), limit.reset()}) do
    answer[#answer + 1] = string.format('%.17g', value)
  end
end
return answer
""",
)
_TAG: Final = "limits"
_FORMAT: Final = "1"  # of what stands in Redis
_ACCOUNTS_KEPT: Final = 1024
_CORRECTIONS_MAX: Final = 1024  # on their way at once
_PER_KEY: Final = 3  # numbers of the answer


class RedisRates:
    """The limits of all sidecars that share one Redis (ports.SharedRates). `drop`: told of a correction that was given up."""

    def __init__(self, settings: RateLimits, runner: SharedRunner, prefix: str, drop: Callable[[], None]) -> None:
        self._runner = runner
        self._drop = drop
        self._correcting = 0

        self._settings = settings

        def read(account: str, with_tokens: bool, with_requests: bool) -> _Limits:
            rules = read_rules(self._settings, account)
            return _Limits([rule for rule in rules if (with_tokens if rule.what == TOKENS else with_requests)], account, prefix)

        self._read = lru_cache(_ACCOUNTS_KEPT)(read)

    def adopt(self, settings: RateLimits) -> None:
        """Go by other limits from now on. What Redis has counted goes by the limits that it is told with each call."""
        self._settings = settings
        self._read.cache_clear()

    async def admit(self, account: str, tokens: int) -> Verdict | None:
        """Take one call and so many tokens from all limits, or nothing from any. None where Redis is away, or late: it may have counted."""
        limits = self._read(account, tokens > 0, True)
        if not limits.rules or self._runner.is_away:
            return None
        return limits.read(await self._runner.run(RATES, limits.keys, ("admit", 1, tokens, 0, *limits.args)))

    def correct(self, account: str, estimated: int, actual: int, admitted_at: float) -> None:
        """Put right how many tokens a call used, in the background. `admitted_at`: the verdict's."""
        limits = self._read(account, True, False)
        if not limits.rules:
            return
        if self._correcting >= _CORRECTIONS_MAX or self._runner.is_away:
            self._drop()
            return
        self._correcting += 1
        spawn(self._send(limits, ("correct", 0, actual - estimated, repr(admitted_at), *limits.args)), name="correct a rate limit")

    async def _send(self, limits: "_Limits", args: Sequence[str | int]) -> None:
        try:
            await self._runner.run(RATES, limits.keys, args)
        finally:
            self._correcting -= 1


class _Limits:
    """The limits that a call meets, as the script is told of them."""

    def __init__(self, rules: list[Rule], account: str, prefix: str) -> None:
        self.rules = rules
        self.keys = [
            f"{{{prefix}:{_TAG}}}:{_FORMAT}:{rule.name}" + ("" if rule.is_shared else f":{mark_account(account)}") for rule in rules
        ]
        self.args: list[str] = []
        for rule in rules:
            kind, pace = ("window", rule.length_s / SLOTS) if rule.length_s else ("bucket", rule.rate_per_s)
            self.args += (kind, "1" if rule.what == TOKENS else "0", repr(rule.limit), repr(pace))

    def read(self, answer: list[Any] | None) -> Verdict | None:
        """Return what the script's answer says; None where there is none, or one of another program."""
        if answer is None or len(answer) != 1 + _PER_KEY * len(self.rules):
            return None
        try:
            now, *numbers = map(float, answer)
        except (TypeError, ValueError):
            return None
        left = [
            Left(rule.what, rule.limit, left, reset_s)
            for rule, left, reset_s in zip(self.rules, numbers[1::_PER_KEY], numbers[2::_PER_KEY], strict=True)
        ]
        return judge(self.rules, numbers[::_PER_KEY], left, now)

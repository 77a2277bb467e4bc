"""How many calls, and how many tokens, an account may have: all of its limits, and those of all together, as one.

A call is let through by all of them or takes nothing from any. Limits on calls count each call; limits on tokens count what
is estimated when it comes in, corrected when it is over. A call of which no tokens are known (0) passes those.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple

from sidecar.catalogue.reuse import RATE_WINDOWS
from sidecar.config import Rate, RateLimits, Rates
from sidecar.core.admit.buckets import Bucket
from sidecar.core.admit.windows import Window
from sidecar.core.identify.tenants import OTHER

REQUESTS: Final = "requests"
TOKENS: Final = "tokens"
# Accounts are those of the settings, and "other": few. Were there ever more, those that come last would share one.
ACCOUNTS_MAX: Final = 10_000
_SECOND, _MINUTE, _HOUR, _DAY = RATE_WINDOWS
_LENGTHS_S: Final = {_MINUTE: 60.0, _HOUR: 3600.0, _DAY: 86400.0}


class Rule(NamedTuple):
    """One limit."""

    name: str  # one of catalogue.LIMITS
    is_shared: bool  # by everybody together
    what: str  # REQUESTS or TOKENS
    window: str  # one of catalogue.RATE_WINDOWS
    limit: float  # how much at once, or within the window
    rate_per_s: float  # of a bucket
    length_s: float  # of a window; 0: it is a bucket


class Left(NamedTuple):
    """What is left of a limit."""

    what: str  # REQUESTS or TOKENS
    limit: float
    left: float
    reset_s: float  # until nothing is used of it


class Verdict(NamedTuple):
    """Whether a call is let through."""

    limit: str | None  # which one refused it, one of catalogue.LIMITS; None: it is let through
    retry_after_s: float | None  # when it would be, by that; None: never, or it is
    left: tuple[Left, ...]  # of calls and of tokens, what there is least of
    at: float  # when, on the clock by which it was counted


class Admitted(NamedTuple):
    """What settling a call needs to know of how it came in."""

    verdict: Verdict
    tokens: int  # as estimated
    at: float  # on our own clock, by which it was counted here
    shared_at: float | None  # on the clock of the shared place, where it was counted there too


def read_rules(settings: RateLimits, account: str) -> tuple[Rule, ...]:
    """Return the limits of a call on this account: its own, or those of each tenant; then those of all."""
    own = settings.tenants.get(account, settings.tenant)
    return (*_list_rules(own, is_shared=False), *_list_rules(settings.all, is_shared=True))


def _list_rules(rates: Rates, *, is_shared: bool) -> Iterator[Rule]:
    for what, rate in ((REQUESTS, rates.requests), (TOKENS, rates.tokens)):
        named = f"{'all_' if is_shared else ''}{what}"
        if rate.per_second is not None:
            yield Rule(f"{named}_{_SECOND}", is_shared, what, _SECOND, _size(what, rate, rate.per_second), rate.per_second, 0.0)
        for window, limit in ((_MINUTE, rate.per_minute), (_HOUR, rate.per_hour), (_DAY, rate.per_day)):
            if limit is not None:
                yield Rule(f"{named}_{window}", is_shared, what, window, limit, 0.0, _LENGTHS_S[window])


def _size(what: str, rate: Rate, per_second: float) -> float:
    """Return what a bucket holds: less than one call would never let one through."""
    if rate.burst is not None:
        return rate.burst
    return max(per_second, 1.0) if what == REQUESTS and per_second else per_second


def judge(rules: Iterable[Rule], waits: Iterable[float], left: Sequence[Left], at: float) -> Verdict:
    """Return what comes of how long each limit makes a call wait, in seconds: refused is it by the one that does so longest."""
    refuser, longest_s = None, 0.0
    for rule, wait_s in zip(rules, waits, strict=True):
        if wait_s > longest_s:
            refuser, longest_s = rule.name, wait_s
    least = (min((one for one in left if one.what == what), key=_share_left, default=None) for what in (REQUESTS, TOKENS))
    return Verdict(refuser, longest_s if 0.0 < longest_s < inf else None, tuple(one for one in least if one is not None), at)


def _share_left(one: Left) -> float:
    return one.left / one.limit if one.limit else 0.0


class _Meter:
    """One limit as it is counted."""

    __slots__ = ("count", "is_tokens", "limit", "rule", "what")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.what = rule.what
        self.limit = rule.limit
        self.is_tokens = rule.what == TOKENS
        self.count = Window(rule.limit, rule.length_s) if rule.length_s else Bucket(rule.rate_per_s, rule.limit)

    def adopt(self, rule: Rule, now: float) -> None:
        """Go by another rule of the same name from now on; what was counted stays."""
        self.rule, self.limit = rule, rule.limit
        if isinstance(self.count, Window):
            self.count.limit = rule.limit
        else:
            self.count.adopt(rule.rate_per_s, rule.limit, now)


class _Account(NamedTuple):
    all: tuple[_Meter, ...]
    requests: tuple[_Meter, ...]  # those of them that a call without tokens meets
    tokens: tuple[_Meter, ...]
    own: tuple[_Meter, ...]  # not shared with anybody

    def list_left(self, tokens: int, now: float) -> tuple[Left, ...]:
        """Return what there is least of."""
        if not tokens or not self.tokens:
            return (_find_least(self.requests, now),) if self.requests else ()
        least = _find_least(self.tokens, now)
        return (_find_least(self.requests, now), least) if self.requests else (least,)


class Limiter:
    """Counts here what is let through here. One for all calls."""

    def __init__(self, settings: RateLimits) -> None:
        self._settings = settings
        self._accounts: dict[str, _Account] = {}
        self._everybody: tuple[_Meter, ...] = tuple(_Meter(rule) for rule in _list_rules(settings.all, is_shared=True))

    def adopt(self, settings: RateLimits, accounts: Collection[str], now: float) -> None:
        """Go by other limits from now on: what was counted of those that stay, stays. `accounts`: all others are forgotten.

        Calls of accounts that are forgotten can be corrected all the same: of everybody's limits, they count as they did.
        """
        self._settings = settings
        self._everybody = _succeed(self._everybody, _list_rules(settings.all, is_shared=True), now)
        before, self._accounts = self._accounts, {}
        for account, held in before.items():
            if account in accounts:
                own = (rule for rule in read_rules(settings, account) if not rule.is_shared)
                self._accounts[account] = self._put_together(_succeed(held.own, own, now))

    def admit(self, account: str, tokens: int, now: float) -> Verdict:
        """Take one call and so many tokens from all limits of the account and of all, or nothing from any.

        `tokens`: 0 where none are known; limits on tokens do not count then.
        """
        held = self._accounts.get(account) or self._open(account)
        refusal = self._refuse(held, tokens, now)
        if refusal is not None:
            return refusal
        for meter in held.all if tokens else held.requests:
            meter.count.take(tokens if meter.is_tokens else 1, now)
        return Verdict(None, None, held.list_left(tokens, now), now)

    def refuse(self, account: str, tokens: int, now: float) -> Verdict | None:
        """Return the verdict on a call that would be refused; None where it would be let through. Nothing is taken."""
        return self._refuse(self._accounts.get(account) or self._open(account), tokens, now)

    def correct(self, account: str, estimated: int, actual: int, now: float, admitted_at: float) -> None:
        """Put right how many tokens a call used that was let through at `admitted_at`."""
        held = self._accounts.get(account) or self._open(account)
        for meter in held.tokens:
            meter.count.correct(actual - estimated, now, admitted_at)

    def counts_tokens(self, account: str) -> bool:
        """Whether any limit of this account, or of all, is on tokens."""
        return bool((self._accounts.get(account) or self._open(account)).tokens)

    def is_limited(self, account: str) -> bool:
        """Whether there is any limit for this account, or for all."""
        return bool((self._accounts.get(account) or self._open(account)).all)

    def _refuse(self, held: _Account, tokens: int, now: float) -> Verdict | None:
        refuser, longest_s = None, 0.0
        for meter in held.all if tokens else held.requests:
            wait_s = meter.count.wait_s(tokens if meter.is_tokens else 1, now)
            if wait_s > longest_s:
                refuser, longest_s = meter, wait_s
        if refuser is None:
            return None
        return Verdict(refuser.rule.name, longest_s if longest_s < inf else None, held.list_left(tokens, now), now)

    def _open(self, account: str) -> _Account:
        if len(self._accounts) >= ACCOUNTS_MAX and account != OTHER:
            return self._accounts.get(OTHER) or self._open(OTHER)
        rules = read_rules(self._settings, account)
        held = self._accounts[account] = self._put_together(tuple(_Meter(rule) for rule in rules if not rule.is_shared))
        return held

    def _put_together(self, own: tuple[_Meter, ...]) -> _Account:
        meters = (*own, *self._everybody)
        requests = tuple(meter for meter in meters if not meter.is_tokens)
        return _Account(meters, requests, tuple(meter for meter in meters if meter.is_tokens), own)


def _succeed(meters: Iterable[_Meter], rules: Iterable[Rule], now: float) -> tuple[_Meter, ...]:
    """Return the meters of these rules: those that were there already, and new ones."""
    known = {meter.rule.name: meter for meter in meters}
    succeeding = []
    for rule in rules:
        meter = known.get(rule.name)
        if meter is None:
            meter = _Meter(rule)
        else:
            meter.adopt(rule, now)
        succeeding.append(meter)
    return tuple(succeeding)


def _find_least(meters: tuple[_Meter, ...], now: float) -> Left:
    least = meters[0]
    left = least.count.left(now)
    least_share = left / least.limit if least.limit else 0.0
    for meter in meters[1:]:
        other = meter.count.left(now)
        share = other / meter.limit if meter.limit else 0.0
        if share < least_share:
            least, left, least_share = meter, other, share
    return Left(least.what, least.limit, left, least.count.reset_s(now))

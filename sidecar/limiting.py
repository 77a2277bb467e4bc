"""Limits on calls and tokens, on the path: a call is counted when it comes in, and put right when it is over.

Where several sidecars share their limits, Redis counts for all of them, and each counts along what it let through itself. While
Redis answers, all together let through what one would. Is it away, or late, each sidecar goes by its own count, with the full
limits; what it lets through then Redis does not learn. By its own count a sidecar never lets through more than the limit, whatever
Redis says: so within any window it is at most as many times the limit as there are sidecars, also when Redis is late for some,
is emptied or comes back.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final

from sidecar.catalogue.reuse import COALESCED, HIT, STALE
from sidecar.config import Settings
from sidecar.core.admit.estimates import count_allowed, estimate_tokens
from sidecar.core.admit.rates import Admitted, Left, Limiter, Verdict
from sidecar.core.identify.tenants import list_accounts
from sidecar.errors import RATE_LIMITED, Refused
from sidecar.ports import Clock, SharedRates
from sidecar.progress import Exchange

_ANTHROPIC: Final = "anthropic_messages"
_ANSWERED_BY_OTHERS: Final = frozenset({HIT, STALE, COALESCED})
_ALL: Final = "all_"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_RESET_S_MAX: Final = 32 * 86400  # what takes longer is not told: no date may be that far away


class Limiting:
    """Lets calls through, or refuses them. `shared`: where several sidecars count together; None: this one is alone."""

    def __init__(self, settings: Settings, clock: Clock, shared: SharedRates | None) -> None:
        self._limiter = Limiter(settings.limits.rates)
        self._tells = settings.response_headers
        self._clock = clock
        self._shared = shared

    def adopt(self, settings: Settings, now: float) -> None:
        """Go by other settings from now on: what was counted stays."""
        self._limiter.adopt(settings.limits.rates, list_accounts(settings), now)
        self._tells = settings.response_headers

    async def admit(self, exchange: Exchange) -> None:
        """Count a call whose request is here. Raises Refused (`rate_limited`), and then nothing is counted.

        A call that is cancelled while Redis is asked may have been counted there: its tokens are then not given back.
        """
        account, limiter = exchange.tenant.account, self._limiter
        if not limiter.is_limited(account):
            return
        tokens = _estimate(exchange) if limiter.counts_tokens(account) else 0
        now, shared_at = self._clock.now(), None
        shared, verdict = self._shared, None
        if shared is not None:
            verdict = limiter.refuse(account, tokens, now)  # what is too much for all is too much for one
            if verdict is None and (verdict := await shared.admit(account, tokens)) is not None:
                shared_at = verdict.at
                now = self._clock.now()
                if verdict.limit is None:
                    verdict = self._count_along(account, tokens, now, verdict)
        if verdict is None:
            now = self._clock.now()
            verdict = limiter.admit(account, tokens, now)
        exchange.admitted = Admitted(verdict, tokens, now, shared_at)
        if verdict.limit is not None:
            exchange.limited = verdict.limit
            raise Refused(RATE_LIMITED, _tell(verdict, verdict.limit), retry_after_s=verdict.retry_after_s)

    def _count_along(self, account: str, tokens: int, now: float, shared: Verdict) -> Verdict:
        """Count here what the shared place let through; refuse it where meanwhile too much went through here without that place."""
        own = self._limiter.admit(account, tokens, now)
        if own.limit is None:
            return shared
        if self._shared is not None and tokens:
            self._shared.correct(account, tokens, 0, shared.at)
        return own

    def settle(self, exchange: Exchange, usage_total: int | None, now: float) -> None:
        """Put right how many tokens a call used, that is over. `usage_total` None: not known.

        Then its estimate stands, but for one that used none: answered with another call's answer, by an error, or by nobody.
        """
        admitted = exchange.admitted
        if admitted is None:
            return
        exchange.admitted = None
        verdict, estimated, admitted_at, shared_at = admitted
        actual = usage_total
        if actual is None:
            actual = 0 if _used_nothing(exchange) else estimated
        if verdict.limit is not None or actual == estimated:
            return
        account = exchange.tenant.account
        self._limiter.correct(account, estimated, actual, now, admitted_at)
        if self._shared is not None and shared_at is not None:
            self._shared.correct(account, estimated, actual, shared_at)

    def fields(self, exchange: Exchange) -> Sequence[bytes]:
        """Return what is left, as fields of an answer (`Name: value`) in the manner of the caller's provider.

        Nothing where the provider's own are in the answer, or none are to be added to answers that are not ours.
        """
        admitted = exchange.admitted
        if admitted is None:
            return ()
        verdict = admitted.verdict
        if verdict.limit is None:
            head = exchange.trial.head
            if not self._tells or (head is not None and head.limits):
                return ()
        if exchange.dialect.name == _ANTHROPIC:
            told = [field for left in verdict.left for field in _tell_as_anthropic(left, self._clock.wall_ns() / 1e9)]
        else:
            told = [field for left in verdict.left for field in _tell_as_openai(left)]
        return told


def _estimate(exchange: Exchange) -> int:
    prompt = estimate_tokens(exchange.dialect.name, exchange.body, exchange.call.wanted.content_encoding)
    return prompt + (count_allowed(exchange.asked) or 0) if prompt else 0


def _used_nothing(exchange: Exchange) -> bool:
    """Whether a call of which no usage is known is one for which none is billed."""
    if exchange.cache in _ANSWERED_BY_OTHERS:
        return True
    head = exchange.trial.head
    if head is not None and head.status >= 400:
        return True
    # That of an answer which became another caller's is not told as sent here: it is counted there.
    return not exchange.trial.has_sent and not any(attempt.sent is not None for attempt in exchange.attempts)


def _tell(verdict: Verdict, limit: str) -> str:
    what, _, window = limit.removeprefix(_ALL).partition("_")
    who = "all callers together" if limit.startswith(_ALL) else "this tenant"
    told = f"More {what} per {window} than limits.rates allows {who}."
    return told if verdict.retry_after_s is not None else f"{told} This call alone is more than that."


def _tell_as_openai(left: Left) -> Iterator[bytes]:
    what = left.what.encode("ascii")
    yield b"x-ratelimit-limit-%b: %d" % (what, left.limit)
    yield b"x-ratelimit-remaining-%b: %d" % (what, left.left)
    if left.reset_s < _RESET_S_MAX:
        yield b"x-ratelimit-reset-%b: %b" % (what, format_duration(left.reset_s))


def _tell_as_anthropic(left: Left, wall_s: float) -> Iterator[bytes]:
    what = left.what.encode("ascii")
    yield b"anthropic-ratelimit-%b-limit: %d" % (what, left.limit)
    yield b"anthropic-ratelimit-%b-remaining: %d" % (what, left.left)
    if left.reset_s < _RESET_S_MAX:
        moment = datetime.fromtimestamp(ceil(wall_s + left.reset_s), UTC)
        yield b"anthropic-ratelimit-%b-reset: %b" % (what, moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii"))


def format_duration(seconds: float) -> bytes:
    """Return a time as OpenAI writes it, rounded up: 12ms, 59s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return b"%dms" % ceil(seconds * 1000)
    whole = ceil(seconds)
    if whole < _MINUTE_S:
        return b"%ds" % whole
    minutes, rest = divmod(whole, _MINUTE_S)
    if whole < _HOUR_S:
        return b"%dm%ds" % (minutes, rest)
    return b"%dh%dm%ds" % (*divmod(minutes, _MINUTE_S), rest)

"""Limits on the path: what a call is counted as, what becomes of it at its end, who counts when others are away, what is told."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.catalogue.reuse import COALESCED, HIT, MISS
from sidecar.config import Limits, Rate, RateLimits, Rates, Settings
from sidecar.core.admit.rates import REQUESTS, TOKENS, Left, Limiter, Verdict
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.identify.tenants import Tenant
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.dialects.anthropic_messages import AnthropicMessages
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.errors import RATE_LIMITED, Refused
from sidecar.exchange import Asked, Attempt
from sidecar.limiting import Limiting, format_duration
from sidecar.progress import Exchange
from tests.core.attempt.calls import make_call
from tests.path import PlayedClient

PROMPT = b'{"messages": [{"role": "user", "content": "' + b"x" * 400 + b'"}]}'  # 100 tokens
NOW = 1000.0
WALL_NS = 1_700_000_000_000_000_000
MANY = RateLimits(tenant=Rates(Rate(per_minute=10), Rate(per_minute=1000)))


class StillClock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def wall_ns(self) -> int:
        return WALL_NS


class PlayedShared:
    """A shared place that counts like a limiter, on a clock of its own; or is away."""

    def __init__(self, rates: RateLimits) -> None:
        self.limiter = Limiter(rates)
        self.is_away = False
        self.is_late: Iterator[bool] = iter(())  # of each call in turn, whether the answer came too late
        self.time = 5e8
        self.corrections: list[tuple[str, int, int, float]] = []

    async def admit(self, account: str, tokens: int) -> Verdict | None:
        await asyncio.sleep(0)
        if self.is_away:
            return None
        verdict = self.limiter.admit(account, tokens, self.time)
        return None if next(self.is_late, False) else verdict

    def correct(self, account: str, estimated: int, actual: int, admitted_at: float) -> None:
        self.corrections.append((account, estimated, actual, admitted_at))


def limiting_of(rates: RateLimits = MANY, shared: PlayedShared | None = None, *, tells: bool = True) -> Limiting:
    """Return limits on the path."""
    return Limiting(Settings(limits=Limits(rates=rates), response_headers=tells), StillClock(), shared)


def exchange_of(account: str = "a", *, body: bytes = PROMPT, dialect: Any = None, **asked: Any) -> Exchange:
    """Return a call that has been received: a chat of 100 tokens."""
    exchange = Exchange(PlayedClient(make_call()), make_call(), None)
    exchange.tenant = Tenant(account, account)
    exchange.dialect = dialect or OpenAIChat()
    exchange.body = body
    exchange.asked = Asked(params=asked)
    return exchange


def answer_with(exchange: Exchange, status: int, limits: list[bytes] | None = None) -> Exchange:
    """Let an upstream answer."""
    exchange.trial.head = AnswerHead(status, b"", Framing.LENGTH, [], None, "", "", limits or [])
    exchange.attempts.append(Attempt("up", 0.0, 0.0, 0.0, 0.0, 1.0, False, status, "completed"))
    return exchange


async def refusal(limiting: Limiting, exchange: Exchange) -> Refused:
    """Let a call be refused; return how."""
    with pytest.raises(Refused) as raised:
        await limiting.admit(exchange)
    assert raised.value.kind is RATE_LIMITED
    return raised.value


async def tokens_left(limiting: Limiting, account: str = "a") -> float:
    """Return how many tokens are left after one more, by what the next call is told."""
    exchange = exchange_of(account, body=b'{"messages": [{"role": "user", "content": "x"}]}')
    await limiting.admit(exchange)
    assert exchange.admitted is not None
    return next(left.left for left in exchange.admitted.verdict.left if left.what == TOKENS)


async def test_a_call_is_counted_and_then_refused() -> None:
    """With when to come again, and by which limit."""
    limiting = limiting_of(RateLimits(tenant=Rates(Rate(per_minute=2))))
    for _ in range(2):
        await limiting.admit(exchange_of())
    exchange = exchange_of()
    fault = await refusal(limiting, exchange)
    assert fault.retry_after_s == pytest.approx(61.0)
    assert fault.detail == "More requests per minute than limits.rates allows this tenant."
    assert exchange.limited == "requests_minute"
    await limiting.admit(exchange_of("b"))


async def test_all_together() -> None:
    """Whoever comes last is refused, and told that it is not its own doing."""
    limiting = limiting_of(RateLimits(all=Rates(Rate(per_second=1))))
    await limiting.admit(exchange_of("a"))
    fault = await refusal(limiting, exchange_of("b"))
    assert fault.detail == "More requests per second than limits.rates allows all callers together."
    assert fault.retry_after_s == pytest.approx(1.0)


async def test_tokens_are_the_prompts_and_what_the_answer_may_have() -> None:
    """A call that asks for more than there is at all is told that no wait helps."""
    limiting = limiting_of()
    exchange = exchange_of(**{"gen_ai.request.max_tokens": 200, "gen_ai.request.choice.count": 2})
    await limiting.admit(exchange)
    assert exchange.admitted is not None
    assert exchange.admitted.tokens == 500
    too_large = exchange_of(**{"gen_ai.request.max_tokens": 901})
    fault = await refusal(limiting, too_large)
    assert fault.retry_after_s is None
    assert fault.detail.endswith("This call alone is more than that.")


async def test_what_is_no_call_of_a_model_has_no_tokens() -> None:
    """It passes where no tokens are left."""
    limiting = limiting_of(RateLimits(tenant=Rates(tokens=Rate(per_minute=100))))
    await limiting.admit(exchange_of())
    await refusal(limiting, exchange_of())
    await limiting.admit(exchange_of(dialect=OPAQUE))


async def test_the_end_puts_right_what_was_estimated() -> None:
    """Both ways, and once."""
    limiting = limiting_of()
    exchange = exchange_of(**{"gen_ai.request.max_tokens": 400})
    await limiting.admit(exchange)
    limiting.settle(exchange, 50, NOW + 1)
    limiting.settle(exchange, 0, NOW + 1)
    assert await tokens_left(limiting) == 949
    more = exchange_of()
    await limiting.admit(more)
    limiting.settle(more, 300, NOW + 1)
    assert await tokens_left(limiting) == 648


@pytest.mark.parametrize(
    ("status", "cache", "left"),
    [(200, None, 899), (200, MISS, 899), (400, None, 999), (500, None, 999), (None, None, 999), (200, HIT, 999), (200, COALESCED, 999)],
)
async def test_no_usage_known(status: int | None, cache: str | None, left: int) -> None:
    """The estimate stands, but where nobody has used anything: an error, another call's answer, no upstream reached."""
    limiting, exchange = limiting_of(), exchange_of()
    await limiting.admit(exchange)
    exchange.cache = cache
    if status is not None:
        answer_with(exchange, status)
    limiting.settle(exchange, None, NOW + 1)
    assert await tokens_left(limiting) == left


async def test_a_call_that_became_another_callers() -> None:
    """It left before the end of the answer, whose head it had; what was used is counted where the call is told."""
    limiting, exchange = limiting_of(), exchange_of()
    await limiting.admit(exchange)
    exchange.cache = MISS
    answer_with(exchange, 200).attempts.clear()
    limiting.settle(exchange, None, NOW + 1)
    assert await tokens_left(limiting) == 999


async def test_sent_and_never_answered() -> None:
    """The provider may have made all of it."""
    limiting, exchange = limiting_of(), exchange_of()
    await limiting.admit(exchange)
    exchange.attempts.append(Attempt("up", 0.0, 0.0, 0.5, None, 1.0, False, None, "upstream_timeout"))
    limiting.settle(exchange, None, NOW + 1)
    assert await tokens_left(limiting) == 899


async def test_a_refused_call_has_nothing_to_settle() -> None:
    """Nor one that no limit was ever asked about."""
    limiting = limiting_of(RateLimits(tenant=Rates(tokens=Rate(per_minute=150))))
    await limiting.admit(exchange_of())
    refused = exchange_of()
    await refusal(limiting, refused)
    limiting.settle(refused, 0, NOW)
    assert await tokens_left(limiting) == 49
    limiting.settle(exchange_of(), 100, NOW)


async def test_a_call_that_nothing_limits() -> None:
    """Leaves no trace."""
    limiting, exchange = limiting_of(RateLimits(tenants={"b": Rates(Rate(per_day=1))})), exchange_of()
    await limiting.admit(exchange)
    assert exchange.admitted is None
    assert limiting.fields(exchange) == ()


async def test_the_shared_place_decides() -> None:
    """And is told what was used, by its own clock."""
    shared = PlayedShared(MANY)
    limiting, other = limiting_of(shared=shared), limiting_of(shared=shared)
    for _ in range(5):
        await limiting.admit(exchange_of())
        await other.admit(exchange_of())
    exchange = exchange_of()
    fault = await refusal(limiting, exchange)
    assert fault.retry_after_s == pytest.approx(61.0)
    shared.time += 120.0
    await limiting.admit(exchange)
    limiting.settle(exchange, 40, NOW)
    assert shared.corrections == [("a", 100, 40, shared.time)]


async def test_away_each_goes_by_its_own_count() -> None:
    """With the full limits; what it let through before counts, what the others did does not."""
    shared = PlayedShared(MANY)
    limiting, other = limiting_of(shared=shared), limiting_of(shared=shared)
    for _ in range(4):
        await limiting.admit(exchange_of())
    shared.is_away = True
    exchange = exchange_of()
    await limiting.admit(exchange)
    for _ in range(5):
        await limiting.admit(exchange_of())
    await refusal(limiting, exchange_of())
    for _ in range(10):
        await other.admit(exchange_of())
    await refusal(other, exchange_of())
    limiting.settle(exchange, 40, NOW)  # the shared place never counted it
    assert shared.corrections == []


async def test_a_shared_place_that_has_forgotten() -> None:
    """What a sidecar let through itself it knows: emptied again and again, the place makes no more of it."""
    shared = PlayedShared(MANY)
    sidecars = [limiting_of(shared=shared), limiting_of(shared=shared)]
    admitted = 0
    for _ in range(5):
        shared.limiter = Limiter(MANY)
        outcomes = await asyncio.gather(*(sidecars[number % 2].admit(exchange_of()) for number in range(40)), return_exceptions=True)
        admitted += outcomes.count(None)
    assert admitted == 20


async def test_a_shared_place_that_is_late_for_some() -> None:
    """Of calls asked about at once some go by the sidecar's own count: what the place lets through besides is within the limit too."""
    shared = PlayedShared(RateLimits(tenant=Rates(Rate(per_minute=1000))))
    shared.is_late = iter([True] * 9)
    limiting = limiting_of(shared=shared)
    exchanges = [exchange_of() for _ in range(12)]
    outcomes = await asyncio.gather(*(limiting.admit(exchange) for exchange in exchanges), return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [True] * 10 + [False] * 2
    assert shared.corrections == [("a", 100, 0, shared.time)] * 2, "the tokens of those are given back"
    assert [exchange.limited for exchange in exchanges[9:]] == [None, "requests_minute", "requests_minute"]


async def test_what_is_too_much_for_one_is_not_asked_about() -> None:
    """Its own count is enough to refuse it."""
    shared = PlayedShared(MANY)
    limiting = limiting_of(shared=shared)
    for _ in range(10):
        await limiting.admit(exchange_of())
    shared.time += 1e6
    await refusal(limiting, exchange_of())


async def test_racers() -> None:
    """500 at once over two sidecars: exactly the limit while the shared place answers, at most twice it when it is away."""
    rates = RateLimits(tenant=Rates(Rate(per_minute=100)))
    for is_away, expected in ((False, 100), (True, 200)):
        shared = PlayedShared(rates)
        shared.is_away = is_away
        sidecars = [limiting_of(rates, shared), limiting_of(rates, shared)]
        outcomes = await asyncio.gather(*(sidecars[number % 2].admit(exchange_of()) for number in range(500)), return_exceptions=True)
        assert outcomes.count(None) == expected
        assert all(outcome is None or isinstance(outcome, Refused) for outcome in outcomes)


async def test_fields_in_the_manner_of_openai() -> None:
    """What is left of calls and of tokens, and when it is all there again."""
    limiting, exchange = limiting_of(), exchange_of()
    await limiting.admit(exchange)
    assert limiting.fields(exchange) == [
        b"x-ratelimit-limit-requests: 10", b"x-ratelimit-remaining-requests: 9", b"x-ratelimit-reset-requests: 1m1s",
        b"x-ratelimit-limit-tokens: 1000", b"x-ratelimit-remaining-tokens: 900", b"x-ratelimit-reset-tokens: 1m1s",
    ]  # fmt: skip


async def test_fields_in_the_manner_of_anthropic() -> None:
    """The same, with moments."""
    limiting, exchange = limiting_of(), exchange_of(dialect=AnthropicMessages())
    await limiting.admit(exchange)
    assert limiting.fields(exchange) == [
        b"anthropic-ratelimit-requests-limit: 10", b"anthropic-ratelimit-requests-remaining: 9",
        b"anthropic-ratelimit-requests-reset: 2023-11-14T22:14:21Z",
        b"anthropic-ratelimit-tokens-limit: 1000", b"anthropic-ratelimit-tokens-remaining: 900",
        b"anthropic-ratelimit-tokens-reset: 2023-11-14T22:14:21Z",
    ]  # fmt: skip


async def test_fields_only_where_they_are_ours_to_tell() -> None:
    """Not beside the provider's own, nor where answers are to be left as they are; but always with a refusal of ours."""
    rates = RateLimits(tenant=Rates(Rate(per_day=1)))
    theirs, limiting = answer_with(exchange_of(), 200, [b"x-ratelimit-limit-requests: 5"]), limiting_of(rates)
    await limiting.admit(theirs)
    assert limiting.fields(theirs) == ()
    ours = answer_with(exchange_of("b"), 200)
    await limiting.admit(ours)
    assert len(limiting.fields(ours)) == 3
    silent = limiting_of(rates, tells=False)
    exchange = exchange_of()
    await silent.admit(exchange)
    assert silent.fields(exchange) == ()
    refused = exchange_of()
    await refusal(silent, refused)
    assert b"x-ratelimit-remaining-requests: 0" in silent.fields(refused)


async def test_what_never_comes_back_has_no_moment() -> None:
    """Nor what does so in a century."""
    for per_second in (0.0, 1e-12):
        limiting = limiting_of(RateLimits(tenant=Rates(Rate(per_second=per_second, burst=1))))
        for dialect in (OpenAIChat(), AnthropicMessages()):
            exchange = exchange_of(dialect.name, dialect=dialect)
            await limiting.admit(exchange)
            assert len(limiting.fields(exchange)) == 2


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, b"0ms"),
        (0.0115, b"12ms"),
        (1.0, b"1s"),
        (58.2, b"59s"),
        (59.5, b"1m0s"),
        (360, b"6m0s"),
        (3599.5, b"1h0m0s"),
        (86_400 + 61, b"24h1m1s"),
    ],
)
def test_durations(seconds: float, told: bytes) -> None:
    """As OpenAI writes them, never too short."""
    assert format_duration(seconds) == told


def test_the_least_of_each_kind_is_one_field_set() -> None:
    """A verdict has at most one of calls and one of tokens."""
    left = Limiter(RateLimits(tenant=Rates(Rate(per_minute=5, per_hour=7), Rate(per_second=9, per_day=9)))).admit("a", 1, NOW).left
    assert [type(one) for one in left] == [Left, Left]
    assert [one.what for one in left] == [REQUESTS, TOKENS]


async def test_other_limits_count_what_was_counted() -> None:
    """For calls that came before as well, which can end; of tenants that are gone nothing is kept."""
    limiting = limiting_of(RateLimits(tenant=Rates(tokens=Rate(per_minute=150))))
    early = exchange_of()
    await limiting.admit(early)
    rates = RateLimits(tenants={"a": Rates(tokens=Rate(per_minute=199))})
    limiting.adopt(Settings(limits=Limits(rates=rates), response_headers=False), NOW)
    assert limiting.fields(early) == ()
    with pytest.raises(Refused):
        await limiting.admit(exchange_of())
    limiting.settle(early, 10, NOW)
    await limiting.admit(exchange_of())

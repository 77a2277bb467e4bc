"""What README.md says of limits is so: by how much, by which names, and what is told."""

import re

import pytest

from sidecar.config import Limits, Rate, RateLimits, Rates, Settings
from sidecar.core.admit.rates import Limiter
from sidecar.core.admit.windows import SLOTS
from sidecar.core.identify.tenants import Tenant
from sidecar.core.observe.dialects.anthropic_messages import AnthropicMessages
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.core.observe.estimation import CHARS_PER_TOKEN
from sidecar.errors import RATE_LIMITED
from sidecar.limiting import Limiting
from sidecar.progress import Exchange
from tests.core.attempt.calls import make_call
from tests.house.source import ROOT
from tests.path import PlayedClient, TickingClock

README = (ROOT / "README.md").read_text(encoding="utf-8")
LIMITS = re.sub(r"\s+", " ", README[README.index("### Limits") : README.index("### Settings of cache")])


def test_numbers() -> None:
    """Characters of a token, the part of a window, the status."""
    assert CHARS_PER_TOKEN == 4
    assert "(four characters each)" in LIMITS
    assert SLOTS == 60
    assert "a sixtieth of the window late" in LIMITS
    assert f"{RATE_LIMITED.status} `{RATE_LIMITED.id}`" in LIMITS


def test_no_wait_helps_a_call_that_is_larger_than_a_limit() -> None:
    """It is told no time."""
    assert "without it where no wait helps" in LIMITS
    limiter = Limiter(RateLimits(tenant=Rates(tokens=Rate(per_minute=10))))
    assert limiter.admit("a", 11, 1.0).retry_after_s is None
    assert limiter.admit("a", 10, 1.0).limit is None
    assert limiter.admit("a", 1, 1.0).retry_after_s is not None


@pytest.mark.parametrize("dialect", [OpenAIChat(), AnthropicMessages()])
async def test_fields(dialect: OpenAIChat | AnthropicMessages) -> None:
    """Those that are named are those that are sent."""
    rates = RateLimits(tenant=Rates(Rate(per_minute=5), Rate(per_minute=500)))
    exchange = Exchange(PlayedClient(make_call()), make_call(), None)
    exchange.tenant, exchange.dialect, exchange.body = Tenant("a", "a"), dialect, b'{"messages": [{"role": "user", "content": "hi"}]}'
    limiting = Limiting(Settings(limits=Limits(rates=rates)), TickingClock(), None)
    await limiting.admit(exchange)
    sent = {field.partition(b":")[0].decode() for field in limiting.fields(exchange)}
    named = set(re.findall(r"`((?:x|anthropic)-ratelimit-[a-z-]+)`", LIMITS))
    assert len(sent) == 6
    assert len(named & sent) == 1

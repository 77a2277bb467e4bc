"""Limits on real sockets: how much goes through, what the refused are told, and that the official SDKs wait as they are told."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anthropic
import openai
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.caller import Answer, compose, fetch
from tests.rig.payers import CHAT, compose_chat
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator
from tests.rig.upstream import Script, Upstream

MESSAGES: Final[Any] = [{"role": "user", "content": "May I?"}]
PATIENCE_S: Final = 10.0
MESSAGE: Final = "/anthropic/v1/messages"
PLAIN: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that waits only as scripts tell it to."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


@contextmanager
def limiting(folder: Path, provider: str, *, tells: bool = True, **rates: Any) -> Iterator[RunningSidecar]:
    """Run a sidecar with these limits, in front of a provider that speaks as OpenAI and as Anthropic."""
    upstreams = {name: {"url": provider, "provider": name} for name in ("openai", "anthropic")}
    with run_sidecar(
        folder, provider, limits={"rates": rates}, upstreams=upstreams, tenants={"names": ["a", "b"]},
        routes=[{"prefix": f"/{name}/", "upstream": name} for name in upstreams],
        features={"limits": True, "breakers": False, "probes": False}, response_headers=tells,
    ) as side:  # fmt: skip
        yield side


async def knock(side: RunningSidecar, tenant: str, count: int) -> list[Answer]:
    """Make so many calls at once."""
    request = compose_chat("", tokens=1, tenant=tenant)
    return list(await asyncio.gather(*(fetch(side.url, request) for _ in range(count))))


def count_answered(answers: list[Answer]) -> int:
    """Return how many were let through; all others were refused."""
    assert {answer.status for answer in answers} <= {200, 429}
    return sum(answer.status == 200 for answer in answers)


def count_refusals(side: RunningSidecar) -> dict[tuple[str, str], int]:
    """Return how many calls each limit refused, by tenant and limit."""
    samples = read_samples(side.scrape())
    return {
        (labels["tenant"], labels["limit"]): round(value)
        for name, labels, value in samples
        if name == "llm_sidecar_rate_limited_requests_total" and value
    }


async def test_a_bucket_lets_its_burst_through(tmp_path: Path, provider: str) -> None:
    """Of 60 calls at once the burst passes, and what the bucket refilled meanwhile; a second later one second's worth more."""
    with limiting(tmp_path, provider, tenant={"requests": {"per_second": 5, "burst": 12}}) as side:
        began = time.monotonic()
        first = count_answered(await knock(side, "a", 60))
        took_s = time.monotonic() - began
        assert 12 <= first <= 12 + 5 * took_s
        await asyncio.sleep(1.0)
        second = count_answered(await knock(side, "a", 60))
        elapsed_s = time.monotonic() - began
        assert second >= 5 and first + second <= 12 + 5 * elapsed_s
        assert count_refusals(side) == {("a", "requests_second"): 120 - first - second}


async def test_a_minute_is_for_each_tenant_and_for_all_of_them(tmp_path: Path, provider: str) -> None:
    """Each has its own minute, the one that is named another, and together they have no more than everybody has."""
    rates = {
        "all": {"requests": {"per_minute": 45}},
        "tenant": {"requests": {"per_minute": 20}},
        "tenants": {"b": {"requests": {"per_minute": 15}}},
    }
    with limiting(tmp_path, provider, **rates) as side:
        answered = [count_answered(await knock(side, tenant, 50)) for tenant in ("a", "b", "default")]
        assert answered == [20, 15, 10]
        assert count_refusals(side) == {("a", "requests_minute"): 30, ("b", "requests_minute"): 35, ("default", "all_requests_minute"): 40}


async def test_unknown_tenants_are_limited_together(tmp_path: Path, provider: str) -> None:
    """Whoever makes up a new name for each call has no more than one tenant; those that are known are not held up."""
    with limiting(tmp_path, provider, tenant={"requests": {"per_minute": 10}}) as side:
        answers = [answer for number in range(30) for answer in await knock(side, f"made-up-{number}", 1)]
        assert count_answered(answers) == 10 and [answer.status for answer in answers[:10]] == [200] * 10
        assert count_answered(await knock(side, "a", 11)) == 10
        assert count_refusals(side) == {("other", "requests_minute"): 20, ("a", "requests_minute"): 1}


async def test_tokens_are_given_back_that_were_not_used(tmp_path: Path, provider: str) -> None:
    """Ten calls that may each use most of a minute's tokens, and use hardly any, all go through, one after another; whole and streamed."""
    fields = [("x-sim-script", json.dumps({"tokens": 4})), ("anthropic-version", "2023-06-01")]
    with limiting(tmp_path, provider, tenant={"tokens": {"per_minute": 1000}}) as side:
        for tenant, target, stream in (("a", CHAT, False), ("b", CHAT, True), ("default", MESSAGE, False), ("new", MESSAGE, True)):
            body = {"model": "sim-small", "messages": MESSAGES, "max_tokens": 800, "stream": stream}
            request = compose(target, body, fields=[*fields, ("x-sidecar-tenant", tenant)])
            answers = [await fetch(side.url, request) for _ in range(10)]
            assert [(answer.status, answer.whole) for answer in answers] == [(200, True)] * 10
        never = await fetch(side.url, compose(CHAT, {**body, "max_tokens": 5000}))
        assert (never.status, never.field("x-should-retry"), never.field("retry-after")) == (429, "false", None)


async def test_tokens_are_counted_that_nobody_had_announced(tmp_path: Path, provider: str) -> None:
    """A call that says nothing of its answer's length is estimated by its prompt; what it used counts for those after it."""
    with limiting(tmp_path, provider, tenant={"tokens": {"per_minute": 1000}}) as side:
        for tenant, stream in (("a", False), ("b", True)):
            request = compose_chat("", tokens=300, stream=stream, tenant=tenant)  # and 19 of the prompt
            answers = [await fetch(side.url, request) for _ in range(5)]
            assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
            refused = answers[4]
            assert json.loads(refused.body)["error"]["code"] == "rate_limited"
            assert (refused.field("x-ratelimit-limit-tokens"), refused.field("x-ratelimit-remaining-tokens")) == ("1000", "0")
            assert 10 < int(refused.field("retry-after") or 0) <= 120


async def test_openais_sdk_waits_as_it_is_told(tmp_path: Path, provider: str) -> None:
    """Its one retry comes when there is room again, and not after its own half second; an hour it does not wait."""
    with limiting(tmp_path, provider, tenant={"requests": {"per_second": 0.4, "burst": 1}}) as side:
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key="sk-x", max_retries=1) as client:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES)
            began = time.monotonic()
            stream = await client.chat.completions.create(model="sim-small", messages=MESSAGES, stream=True)
            assert [chunk async for chunk in stream]
            assert 2.0 < time.monotonic() - began < 5.0
        assert count_refusals(side) == {("default", "requests_second"): 1}
    with limiting(tmp_path, provider, tenant={"requests": {"per_hour": 1}}) as side:
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key="sk-x", max_retries=3) as client:
            told = await client.chat.completions.with_raw_response.create(model="sim-small", messages=MESSAGES)
            assert told.headers.get_list("x-ratelimit-limit-requests") == ["10000"]  # the provider's, and only it
            with pytest.raises(openai.RateLimitError) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    await client.chat.completions.create(model="sim-small", messages=MESSAGES)
        headers = caught.value.response.headers
        assert caught.value.code == "rate_limited"
        assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("1", "0")
        assert headers["x-ratelimit-reset-requests"].endswith("s") and 3500 <= int(headers["retry-after"]) <= 7200
        assert count_refusals(side) == {("default", "requests_hour"): 1}


async def test_anthropics_sdk_waits_as_it_is_told(tmp_path: Path, provider: str) -> None:
    """As OpenAI's; and the fields and the error are in the manner of Anthropic."""
    call: dict[str, Any] = {"model": "sim-small", "messages": MESSAGES, "max_tokens": 20}
    with limiting(tmp_path, provider, tenant={"requests": {"per_second": 0.4, "burst": 1}}) as side:
        async with anthropic.AsyncAnthropic(base_url=f"{side.url}/anthropic", api_key="sk-x", max_retries=1) as client:
            await client.messages.create(**call)
            began = time.monotonic()
            async with client.messages.stream(**call) as stream:
                assert (await stream.get_final_message()).stop_reason
            assert 2.0 < time.monotonic() - began < 5.0
        assert count_refusals(side) == {("default", "requests_second"): 1}
    with limiting(tmp_path, provider, tenant={"requests": {"per_hour": 1}}) as side:
        async with anthropic.AsyncAnthropic(base_url=f"{side.url}/anthropic", api_key="sk-x", max_retries=3) as client:
            await client.messages.create(**call)
            with pytest.raises(anthropic.RateLimitError) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    await client.messages.create(**call)
        headers, now = caught.value.response.headers, datetime.now(UTC)
        assert caught.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
        assert (headers["anthropic-ratelimit-requests-limit"], headers["anthropic-ratelimit-requests-remaining"]) == ("1", "0")
        reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
        assert timedelta(minutes=55) < reset - now < timedelta(hours=2) and 3500 <= int(headers["retry-after"]) <= 7200
        assert count_refusals(side) == {("default", "requests_hour"): 1}


@pytest.mark.parametrize("tells", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize(("path", "field"), [(CHAT, "x-ratelimit-{}-requests"), (MESSAGE, "anthropic-ratelimit-requests-{}")])
async def test_what_is_left_is_told_where_the_provider_says_nothing(tmp_path: Path, path: str, field: str, tells: bool) -> None:
    """Each answer tells one call less; where answers are to tell nothing of a sidecar, a refusal does, as it is the sidecar's own."""
    upstream = Upstream()
    upstream.otherwise = lambda _: Script([PLAIN])
    await upstream.start()
    try:
        with limiting(tmp_path, upstream.url, tells=tells, tenant={"requests": {"per_minute": 5}}) as side:
            body = {"model": "sim-small", "messages": MESSAGES, "max_tokens": 5}
            answers = [await fetch(side.url, compose(path, body)) for _ in range(6)]
    finally:
        await upstream.stop()
    told = [tuple(answer.field(field.format(what)) for what in ("limit", "remaining")) for answer in answers]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert told == [*(("5", str(left)) if tells else (None, None) for left in (4, 3, 2, 1)), *told[4:]]
    assert told[4:] == [("5", "0") if tells else (None, None), ("5", "0")]

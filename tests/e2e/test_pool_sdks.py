"""The official SDKs, without repetitions of their own, through a pool whose first upstream fails: every call succeeds."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from sidecar.simulator import Profile, start
from tests.rig.faults import Cell, Fault, Phase, script_error, script_fault
from tests.rig.pools import PoolSide, pair, running_settings, upstreams_of
from tests.rig.talks import BY_NAME
from tests.rig.upstream import End, Script

MESSAGES: Final[Any] = [{"role": "user", "content": "Why was order 7 late?"}]
SCRIPT: Final = {"x-sim-seed": "pool", "x-sim-script": json.dumps({"tokens": 12})}
FAILURES: Final = ("429", "500", "reset", "refused head")
NO_TOKEN: Final = "no token"  # a whole answer has no first one

# Of Google's SDK's own making: its class of aiohttp's sessions, and connections that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning"),
]


async def ask_openai(url: str, stream: bool) -> tuple[str, int]:
    """Return text and output tokens of an answer."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        if not stream:
            answer = await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=SCRIPT)
            assert answer.usage is not None
            return answer.choices[0].message.content or "", answer.usage.completion_tokens
        text, tokens = "", 0
        chunks = await client.chat.completions.create(
            model="sim-small", messages=MESSAGES, extra_headers=SCRIPT, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        return text, tokens


async def ask_anthropic(url: str, stream: bool) -> tuple[str, int]:
    """Return text and output tokens of an answer."""
    arguments: dict[str, Any] = {"model": "sim-small", "max_tokens": 100, "messages": MESSAGES, "extra_headers": SCRIPT}
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-x", max_retries=0) as client:
        if stream:
            async with client.messages.stream(**arguments) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await client.messages.create(**arguments)
    return answer.content[0].text, answer.usage.output_tokens


async def ask_gemini(url: str, stream: bool) -> tuple[str, int]:
    """Return text and output tokens of an answer."""
    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url, headers=SCRIPT))
    try:
        if not stream:
            answer = await client.aio.models.generate_content(model="sim-small", contents="Why was order 7 late?")
            assert answer.usage_metadata is not None
            return answer.text or "", answer.usage_metadata.candidates_token_count or 0
        text, tokens = "", 0
        async for chunk in await client.aio.models.generate_content_stream(model="sim-small", contents="Why was order 7 late?"):
            text += chunk.text or ""
            tokens = (chunk.usage_metadata.candidates_token_count if chunk.usage_metadata else None) or tokens
        return text, tokens
    finally:
        await client.aio.aclose()


async def ask_ollama(url: str, stream: bool) -> tuple[str, int]:
    """Return text and output tokens of an answer."""
    client = ollama.AsyncClient(host=url, headers=SCRIPT)
    try:
        if not stream:
            answer = await client.chat(model="sim-small", messages=MESSAGES)
            return answer.message.content or "", answer.eval_count or 0
        text, tokens = "", 0
        async for line in await client.chat(model="sim-small", messages=MESSAGES, stream=True):
            text += line.message.content or ""
            tokens = line.eval_count or tokens
        return text, tokens
    finally:
        await client._client.aclose()


SDKS: Final[dict[str, Callable[[str, bool], Awaitable[tuple[str, int]]]]] = {
    "openai": ask_openai, "anthropic": ask_anthropic, "gemini": ask_gemini, "ollama": ask_ollama,
}  # fmt: skip


def script_failure(what: str, name: str) -> Script:
    """Return how the first upstream fails."""
    talk = BY_NAME[f"{name}_stream"]
    match what:
        case "429":
            return script_error(talk, 429, b"Retry-After: 1\r\n")
        case "500":
            return script_error(talk, 500)
        case "reset":
            return Script([], End.RST)
        case "refused head":
            return script_fault(Cell(Fault.CORRUPT, Phase.BEFORE_HEAD, talk))
        case _:  # NO_TOKEN
            return script_fault(Cell(Fault.RESET, Phase.AFTER_HEAD, talk))


@contextlib.asynccontextmanager
async def failing(name: str, what: str) -> AsyncIterator[tuple[PoolSide, str]]:
    """Run a pool of an upstream that fails and a simulated provider; gives the provider's address as well."""
    simulator = await start(profile=Profile(speed=0))
    try:
        async with upstreams_of(1) as (upstream,):
            upstream.otherwise = lambda visit: script_failure(what, name)
            async with running_settings(pair(upstream, simulator.url, provider=BY_NAME[f"{name}_whole"].provider)) as side:
                yield side, simulator.url
            assert len(upstream.visits) == 1
    finally:
        await simulator.stop()


@pytest.mark.parametrize(("what", "stream"), [*((what, stream) for what in FAILURES for stream in (False, True)), (NO_TOKEN, True)])
@pytest.mark.parametrize("name", SDKS)
async def test_a_failing_first_upstream_is_not_noticed(name: str, what: str, stream: bool) -> None:
    """The answer is the one that the second provider gives directly, and its tokens are booked."""
    async with failing(name, what) as (side, direct):
        expected = await SDKS[name](direct, stream)
        got = await SDKS[name](f"{side.url}/pool", stream)
        scrape = await side.settle()
    assert got == expected
    assert expected[1] == 12 and len(expected[0]) > 12
    assert scrape.count_by("requests_total", "ending") == {"completed": 1}
    assert scrape.sum("failovers_total", **{"from": "first", "to": "second"}) == 1
    assert scrape.sum("tokens_total", type="output") == 12

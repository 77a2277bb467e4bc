"""Kept answers as the official SDKs see them: what a hit gives is what the miss gave, usage included, and what a direct call gives."""

import asyncio
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

from sidecar.config import Cache, Cacheable
from sidecar.simulator import Profile, start
from tests.rig.pools import PoolSide, running_settings
from tests.rig.sharing import BOTH, settle_sharing

MESSAGES: Final[Any] = [{"role": "user", "content": "Why was order 7 late?"}]
SCRIPTS: Final = {"plain": {"tokens": 12}, "gzip": {"tokens": 12, "gzip": True}}
TOGETHER: Final = 5

# Of Google's SDK's own making: its class of aiohttp's sessions, and connections that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning"),
]

Ask = Callable[[str, dict[str, str]], Awaitable[Any]]


async def chat(url: str, fields: dict[str, str]) -> Any:
    """Return a whole chat of OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        answer = await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=fields, temperature=0)
        return answer.model_dump()


async def chat_stream(url: str, fields: dict[str, str]) -> Any:
    """Return all chunks of a chat of OpenAI's SDK, with usage."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        chunks = await client.chat.completions.create(
            model="sim-small", messages=MESSAGES, extra_headers=fields, stream=True, stream_options={"include_usage": True}, seed=1
        )  # fmt: skip
        told = [chunk.model_dump() async for chunk in chunks]
    assert told[-1]["usage"]["completion_tokens"] > 0
    return told


async def respond(url: str, fields: dict[str, str]) -> Any:
    """Return all events of a response of OpenAI's SDK, which the provider is not to remember."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        events = await client.responses.create(model="sim-small", input="hi", stream=True, store=False, extra_headers=fields)
        return [event.model_dump() async for event in events]


async def embed(url: str, fields: dict[str, str]) -> Any:
    """Return embeddings of OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        return (await client.embeddings.create(model="sim-embed", input=["a", "b"], extra_headers=fields)).model_dump()


async def message(url: str, fields: dict[str, str]) -> Any:
    """Return a message of Anthropic's SDK."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-x", max_retries=0) as client:
        answer = await client.messages.create(model="sim-small", max_tokens=100, messages=MESSAGES, extra_headers=fields)
        return answer.model_dump()


async def message_stream(url: str, fields: dict[str, str]) -> Any:
    """Return all events of a message of Anthropic's SDK, and what it makes of them."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-x", max_retries=0) as client:
        arguments: dict[str, Any] = {"model": "sim-small", "max_tokens": 100, "messages": MESSAGES, "extra_headers": fields}
        async with client.messages.stream(**arguments) as events:
            told = [event.model_dump() async for event in events]
            return told, (await events.get_final_message()).model_dump()


async def generate(url: str, fields: dict[str, str]) -> Any:
    """Return content of Google's SDK."""
    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url, headers=fields))
    try:
        answer = await client.aio.models.generate_content(model="sim-small", contents="Why was order 7 late?")
        return answer.model_dump(exclude={"sdk_http_response"})
    finally:
        await client.aio.aclose()


async def generate_stream(url: str, fields: dict[str, str]) -> Any:
    """Return all chunks of content of Google's SDK."""
    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url, headers=fields))
    try:
        chunks = await client.aio.models.generate_content_stream(model="sim-small", contents="Why was order 7 late?")
        return [chunk.model_dump(exclude={"sdk_http_response"}) async for chunk in chunks]
    finally:
        await client.aio.aclose()


async def talk(url: str, fields: dict[str, str]) -> Any:
    """Return a whole chat of Ollama's SDK."""
    async with ollama.AsyncClient(host=url, verify=False, headers=fields) as client:
        return (await client.chat(model="sim-small", messages=MESSAGES)).model_dump()


async def talk_stream(url: str, fields: dict[str, str]) -> Any:
    """Return all lines of a chat of Ollama's SDK."""
    async with ollama.AsyncClient(host=url, verify=False, headers=fields) as client:
        return [line.model_dump() async for line in await client.chat(model="sim-small", messages=MESSAGES, stream=True)]


ASKS: Final[dict[str, tuple[str, Ask]]] = {
    "openai chat": ("openai", chat), "openai chat stream": ("openai", chat_stream), "openai response": ("openai", respond),
    "openai embeddings": ("openai", embed), "anthropic": ("anthropic", message), "anthropic stream": ("anthropic", message_stream),
    "gemini": ("gcp.gemini", generate), "gemini stream": ("gcp.gemini", generate_stream), "ollama": ("ollama", talk),
    "ollama stream": ("ollama", talk_stream),
}  # fmt: skip


@contextlib.asynccontextmanager
async def keeping() -> AsyncIterator[tuple[str, PoolSide]]:
    """Run a simulated provider, and a sidecar in front of it that keeps and shares answers; gives the provider's address as well."""
    simulator = await start(profile=Profile(speed=0))
    try:
        async with running_settings(settle_sharing(simulator.url, features=BOTH, cache=Cache(what=Cacheable.ALL))) as side:
            yield simulator.url, side
    finally:
        await simulator.stop()


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("what", ASKS)
async def test_an_sdk_sees_no_difference(what: str, script: str) -> None:
    """Directly, the first time, from what is kept, and together with others: the same objects with the same usage."""
    provider, ask = ASKS[what]
    fields = {"x-sim-seed": what, "x-sim-script": json.dumps(SCRIPTS[script])}
    async with keeping() as (direct, side):
        url = f"{side.url}/{provider}"
        expected = await ask(direct, fields)
        missed = await ask(url, fields)
        hit = await ask(url, fields)
        others = await asyncio.gather(*(ask(url, {**fields, "x-once": "more"}) for _ in range(TOGETHER)))
        records = await side.records.until(2 + TOGETHER)
        scrape = await side.settle()
    assert missed == expected
    assert hit == missed
    assert others == [expected] * TOGETHER
    assert [record.cache for record in records[:2]] == ["miss", "hit"]
    caches = [record.cache for record in records[2:]]
    assert caches.count("miss") == 1 and set(caches) <= {"miss", "hit", "coalesced"}
    used = [record for record in records if record.usage is not None]
    assert [record.cache for record in used] == ["miss", "miss"]
    assert scrape.sum("tokens_total") == sum(sum(record.usage) for record in used if record.usage)
    assert scrape.sum("cache_stored_total") == 2

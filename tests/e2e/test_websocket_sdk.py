"""The official SDKs' WebSockets through the sidecar: the same events as direct, and every token in the account."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import websockets
from google import genai
from google.genai import types

from sidecar.exchange import Record
from sidecar.simulator import Profile, Simulator, start
from sidecar.simulator.profile import MODELS
from sidecar.simulator.tokens import Tokens
from tests.rig.side import Side, running


@pytest.fixture
async def both() -> AsyncIterator[tuple[Simulator, Side]]:
    """A simulated provider, and a sidecar in front of it."""
    simulator = await start(profile=Profile(speed=0))
    async with running(simulator.url) as side:
        yield simulator, side
    await simulator.stop()


def sdk(base: str, key: str = "sk-x") -> openai.AsyncOpenAI:
    """The OpenAI SDK; the WebSocket's URL follows from the base URL."""
    return openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)


async def talk_realtime(base: str) -> list[Any]:
    """A conversation of three answers."""
    heard: list[Any] = []
    async with sdk(base) as client, client.realtime.connect(model="sim-small") as connection:
        for text in ("Hello there.", "And how are you?", "Good bye."):
            content: Any = [{"type": "input_text", "text": text}]
            await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            await connection.response.create()
            async for event in connection:
                heard.append(event.to_dict())
                if event.type == "response.done":
                    break
    return heard


async def talk_responses(base: str) -> list[Any]:
    """Two answers, each of another model."""
    heard: list[Any] = []
    async with sdk(base) as client, client.responses.connect() as connection:
        for model in ("sim-small", "sim-large"):
            await connection.response.create(model=model, input="Hello there.")
            async for event in connection:
                heard.append(event.to_dict())
                if event.type == "response.completed":
                    break
    return heard


async def talk_live(base: str) -> list[Any]:
    """Two turns. The SDK insists on TLS for this interface alone; here it is told otherwise."""
    client = genai.Client(api_key="key-canary", http_options=types.HttpOptions(base_url=base))
    api: Any = client._api_client
    api._websocket_ssl_ctx = {}
    api._websocket_base_url = lambda http_options=None: base.replace("http", "ws")
    heard: list[Any] = []
    async with client.aio.live.connect(model="sim-large", config={"response_modalities": [types.Modality.TEXT]}) as session:
        for text in ("Hello there.", "Good bye."):
            await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text=text)]), turn_complete=True)
            async for message in session.receive():
                heard.append(message.model_dump(exclude_none=True))
    return heard


TALKS = {
    "realtime": (talk_realtime, "generate_content", "openai_realtime", "sim-small"),
    "responses": (talk_responses, "chat", "openai_responses_session", "sim-small"),
    "live": (talk_live, "generate_content", "gemini_live", "sim-large"),
}


def price(model: str, usage: dict[str, Any]) -> float:
    """What the simulated provider takes for an answer."""
    cached = usage["input_tokens_details"]["cached_tokens"]
    return Tokens(usage["input_tokens"], usage["output_tokens"], cached).cost_usd(MODELS[model].prices)


@pytest.mark.parametrize("name", TALKS)
async def test_the_same_as_direct_and_every_token_in_the_account(both: tuple[Simulator, Side], name: str) -> None:
    """What the ledger says was told is what the record says, to the cent."""
    simulator, side = both
    talk, operation, dialect, model = TALKS[name]
    heard = await talk(f"{side.url}/openai")
    assert heard == await talk(simulator.url)
    record: Record = (await side.records.until(1))[0]
    told = simulator.ledger.entries[0].tell()
    assert (record.ending, record.operation, record.dialect, record.asked.model) == ("completed", operation, dialect, model)
    assert record.usage is not None
    usage = (record.usage.input_total, record.usage.output_total, record.usage.cache_read)
    assert usage == (told["told"]["prompt"], told["told"]["completion"], told["told"]["cached"])
    assert usage[0] > 0
    assert record.cost is not None
    if name != "responses":
        assert record.cost.usd == pytest.approx(told["told_usd"], abs=1e-12)
    else:  # the ledger has one price per session; here each answer has its own
        answers = [event["response"] for event in heard if event["type"] == "response.completed"]
        assert record.cost.usd == pytest.approx(sum(price(answer["model"], answer["usage"]) for answer in answers), abs=1e-12)
    assert "key-canary" not in repr(record) + await side.scrape()


async def test_a_bad_key_is_the_sdks_own_exception(both: tuple[Simulator, Side]) -> None:
    """With the provider's status and body."""
    _, side = both
    async with sdk(f"{side.url}/openai", "sk-bad") as client:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with client.realtime.connect(model="sim-small"):
                pass
    assert caught.value.response.status_code == 401
    assert b"invalid_api_key" in caught.value.response.body
    record = (await side.records.until(1))[0]
    assert (record.ending, record.error_type) == ("rejected", "invalid_api_key")

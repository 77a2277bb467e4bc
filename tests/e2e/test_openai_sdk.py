"""The official SDK, through the sidecar and direct: the same answers, the same errors.

The simulated provider answers a call by its seed and its script alone, so any difference is the sidecar's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import CHATS, SCRIPT, STREAMS, TOOLS, Bases, chat
from tests.rig.process import RunningSidecar

ERRORS: dict[str, tuple[dict[str, Any], type[openai.APIStatusError]]] = {
    "400": (chat(messages=[]), openai.BadRequestError),
    "401": (chat(extra_headers={"authorization": "Bearer sk-bad"}), openai.AuthenticationError),
    "403": (chat(model="sim-embed"), openai.PermissionDeniedError),
    "404": (chat(model="no-such-model"), openai.NotFoundError),
    "409": (chat(script={"status": 409}), openai.ConflictError),
    "422": (chat(script={"status": 422}), openai.UnprocessableEntityError),
    "429": (chat(script={"fault": "rate_limited", "retry_after_s": 7}), openai.RateLimitError),
    "500": (chat(script={"fault": "server_error"}), openai.InternalServerError),
    "503": (chat(script={"fault": "unavailable"}), openai.InternalServerError),
}


def plain(value: BaseModel | list[BaseModel]) -> Any:
    """Return what an application sees of an answer."""
    return [each.to_dict() for each in value] if isinstance(value, list) else value.to_dict()  # type: ignore[attr-defined]


def told(error: openai.APIStatusError) -> tuple[Any, ...]:
    """Return what an application sees of an error."""
    return type(error), error.status_code, error.code, error.type, error.param, error.body, error.response.headers.get("retry-after")


@pytest.fixture
def both(bases: Bases) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    """The synchronous SDK, direct and through."""
    with (
        openai.OpenAI(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        openai.OpenAI(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.fixture
async def both_async(bases: Bases) -> AsyncIterator[tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]]:
    """The asynchronous SDK, direct and through."""
    async with (
        openai.AsyncOpenAI(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        openai.AsyncOpenAI(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.mark.parametrize("what", CHATS)
def test_a_chat_is_the_same(both: tuple[openai.OpenAI, openai.OpenAI], what: str) -> None:
    """A whole chat completion, tools and reasoning included."""
    direct, through = (plain(client.chat.completions.create(**CHATS[what])) for client in both)
    assert through == direct
    assert through["usage"]["completion_tokens"] > 0
    if what == "tools":
        assert through["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look_up"


@pytest.mark.parametrize("what", STREAMS)
def test_a_streamed_chat_is_the_same(both: tuple[openai.OpenAI, openai.OpenAI], what: str) -> None:
    """A streamed chat completion, chunk for chunk."""
    direct, through = (plain(list(client.chat.completions.create(**STREAMS[what], stream=True))) for client in both)
    assert through == direct
    assert len(through) > 2


@pytest.mark.parametrize("what", CHATS)
async def test_an_asynchronous_chat_is_the_same(both_async: tuple[openai.AsyncOpenAI, openai.AsyncOpenAI], what: str) -> None:
    """The asynchronous SDK uses its connections differently."""
    direct, through = await asyncio.gather(*(client.chat.completions.create(**CHATS[what]) for client in both_async))
    assert plain(through) == plain(direct)


@pytest.mark.parametrize("what", STREAMS)
async def test_an_asynchronous_stream_is_the_same(both_async: tuple[openai.AsyncOpenAI, openai.AsyncOpenAI], what: str) -> None:
    """Streams read by the asynchronous SDK, chunk for chunk."""

    async def read(client: openai.AsyncOpenAI) -> Any:
        return plain([chunk async for chunk in await client.chat.completions.create(**STREAMS[what], stream=True)])

    direct, through = await asyncio.gather(*map(read, both_async))
    assert through == direct


def test_a_streamed_tool_call_comes_together(both: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    """The SDK's own accumulator, which is strict about order and ends, makes the same call of it."""

    def accumulate(client: openai.OpenAI) -> Any:
        arguments = STREAMS["tools"]
        with client.chat.completions.stream(**{**arguments, "tools": [{**TOOLS[0], "function": {**TOOLS[0]["function"]}}]}) as stream:
            return plain(stream.get_final_completion())

    direct, through = map(accumulate, both)
    assert through == direct
    assert json.loads(through["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]).keys() == {"place", "days"}


COMPLETION: Any = {"model": "sim-small", "prompt": "Once", "extra_headers": {"x-sim-seed": "c", "x-sim-script": json.dumps(SCRIPT)}}
EMBEDDING: Any = {"model": "sim-embed", "extra_headers": {"x-sim-seed": "e"}}
CALLS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "completion": lambda client: plain(client.completions.create(**COMPLETION)),
    "streamed completion": lambda client: plain(list(client.completions.create(**COMPLETION, stream=True))),
    "embedding": lambda client: plain(client.embeddings.create(**EMBEDDING, input="one")),
    "embeddings as numbers": lambda client: plain(client.embeddings.create(**EMBEDDING, input=["one", "two"], encoding_format="float")),
    "models": lambda client: plain(client.models.list()),
    "model": lambda client: plain(client.models.retrieve("sim-small")),
}


@pytest.mark.parametrize("what", CALLS)
def test_other_calls_are_the_same(both: tuple[openai.OpenAI, openai.OpenAI], what: str) -> None:
    """Completions, embeddings and what is not understood at all."""
    direct, through = map(CALLS[what], both)
    assert through == direct


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_an_error_is_the_same(both: tuple[openai.OpenAI, openai.OpenAI], status: str, stream: bool) -> None:
    """Each class of status is raised as the same exception with the same content."""
    arguments, kind = ERRORS[status]
    errors = []
    for client in both:
        with pytest.raises(kind) as raised:
            client.chat.completions.create(**arguments, stream=stream)
        errors.append(told(raised.value))
    assert errors[1] == errors[0]
    assert errors[1][1] == int(status)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_asynchronous_error_is_the_same(both_async: tuple[openai.AsyncOpenAI, openai.AsyncOpenAI], stream: bool) -> None:
    """Each class of status in the asynchronous SDK."""
    for arguments, kind in ERRORS.values():
        errors = []
        for client in both_async:
            with pytest.raises(kind) as raised:
                await client.chat.completions.create(**arguments, stream=stream)
            errors.append(told(raised.value))
        assert errors[1] == errors[0]


def test_an_error_within_a_stream_is_the_same(both: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    """An error event after a success began is raised from the iteration, after the same chunks."""
    seen = []
    for client in both:
        chunks = []
        with pytest.raises(openai.APIError) as raised:
            for chunk in client.chat.completions.create(**chat(script={"fault": "error_event", "after_chunks": 5}), stream=True):
                chunks.append(chunk.to_dict())
        seen.append((chunks, raised.value.body))
    assert seen[1] == seen[0]
    assert len(seen[1][0]) == 5


def test_a_client_timeout_is_the_same(both: tuple[openai.OpenAI, openai.OpenAI], bases: Bases) -> None:
    """A client that gives up gets its own exception in its own time, and its call ends as the client's doing."""
    arguments = chat(script={"ttft_ms": 30_000}, model="sim-large")
    for client in both:
        began = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**arguments, timeout=0.5)
        assert 0.4 < time.monotonic() - began < 1.5
    deadline = time.monotonic() + 5
    while not count_endings(bases.sidecar, "sim-large").get("client_gone"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count_endings(sidecar: RunningSidecar, model: str) -> dict[str, float]:
    """Return the exchanges of one model by ending."""
    return {
        labels["ending"]: value
        for name, labels, value in read_samples(sidecar.scrape())
        if name == "llm_sidecar_requests_total" and labels["model"] == model and value
    }

"""Google's official SDK, through the sidecar and direct: the same answers, the same errors.

The simulated provider answers a call by its seed and its script alone, so any difference is the sidecar's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import Bases
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator

QUESTION = "Why was order 7 late?"
SCRIPT = {"tokens": 12}
LOOK_UP = types.FunctionDeclaration(
    name="look_up",
    parameters=types.Schema(
        type=types.Type.OBJECT, properties={"place": types.Schema(type=types.Type.STRING), "days": types.Schema(type=types.Type.INTEGER)}
    ),
)


# What the SDK raises where a stream broke off: of its own, or of its transports.
BROKEN_OFF = (errors.ServerError, errors.UnknownApiResponseError, httpx2.TransportError, httpx.TransportError, aiohttp.ClientError)
# Of the SDK's own making: its class of aiohttp's sessions, and connections that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning"),
]


def ask(
    model: str = "sim-small", script: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **config: Any
) -> dict[str, Any]:
    """Return the arguments of a call with a seed and a script of its own."""
    told = {**SCRIPT, **(script or {})}
    seed = json.dumps([model, told, sorted(config)])
    steered = {"x-sim-seed": seed, "x-sim-script": json.dumps(told), **(headers or {})}
    options = types.HttpOptions(headers=steered, timeout=config.pop("timeout_ms", None))
    return {"model": model, "contents": QUESTION, "config": types.GenerateContentConfig(http_options=options, **config)}


CALLS = {
    "whole": ask(),
    "tools": ask(tools=[types.Tool(function_declarations=[LOOK_UP])]),
    "two candidates": ask(candidate_count=2),
    "json": ask(response_mime_type="application/json"),
    "thoughts": ask("sim-reasoning", thinking_config=types.ThinkingConfig(include_thoughts=True)),
    "hidden thoughts": ask("sim-reasoning"),
    "refusal": ask(script={"refusal": True}),
    "bounded": ask(max_output_tokens=3),
    "gzip": ask(script={"gzip": True}),
    "close-delimited": ask(script={"fault": "close_delimited"}),
    "interim answers": ask(script={"fault": "informational"}),
}
STREAMS = {
    **CALLS,
    "cr": ask(script={"newline": "cr"}),
    "byte by byte": ask(script={"chunk_bytes": 1, "tokens": 4}),
}
ERRORS: dict[str, tuple[dict[str, Any], type[errors.APIError]]] = {
    "400": (ask(max_output_tokens=1 << 21), errors.ClientError),
    "401": (ask(headers={"x-goog-api-key": "sk-bad"}), errors.ClientError),
    "403": (ask("sim-embed"), errors.ClientError),
    "404": (ask("no-such-model"), errors.ClientError),
    "429": (ask(script={"fault": "rate_limited"}), errors.ClientError),
    "500": (ask(script={"fault": "server_error"}), errors.ServerError),
    "503": (ask(script={"fault": "unavailable"}), errors.ServerError),
    "504": (ask(script={"status": 504}), errors.ServerError),
}


def plain(value: Any) -> Any:
    """Return what an application sees of an answer; header fields of our own come on top."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    assert isinstance(value, BaseModel)
    return value.model_dump(exclude={"sdk_http_response"}, exclude_none=True)


def told(error: errors.APIError) -> tuple[Any, ...]:
    """Return what an application sees of an error."""
    return type(error), error.code, error.status, error.message, error.details


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """A provider that never waits, and a sidecar in front of it."""
    folder = tmp_path_factory.mktemp("gemini")
    with run_simulator(folder, {"speed": 0}) as provider:
        upstreams = {"gemini": {"url": provider, "provider": "gcp.gemini"}, "down": {"url": "http://127.0.0.1:1"}}
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(folder, provider, upstreams=upstreams, routes=routes) as sidecar:
            yield Bases(provider, f"{sidecar.url}/gemini", sidecar)


def connect(base: str, **more: Any) -> genai.Client:
    """Return a client of one of the two ways."""
    return genai.Client(api_key="sk-x", http_options=types.HttpOptions(base_url=base, **more))


@pytest.fixture(scope="module")
def both(bases: Bases) -> Iterator[tuple[genai.Client, genai.Client]]:
    """The SDK, direct and through."""
    with connect(bases.direct) as direct, connect(bases.through) as through:
        yield direct, through


@pytest.fixture(params=["aiohttp", "httpx"])
async def both_async(bases: Bases, request: pytest.FixtureRequest) -> AsyncIterator[list[Any]]:
    """The asynchronous SDK over each of its transports, direct and through."""
    args = {} if request.param == "aiohttp" else {"async_client_args": {"transport": httpx.AsyncHTTPTransport()}}
    clients = [connect(base, **args).aio for base in (bases.direct, bases.through)]
    yield clients
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize("what", CALLS)
def test_content_is_the_same(both: tuple[genai.Client, genai.Client], what: str) -> None:
    """A whole answer, calls and thoughts included."""
    direct, through = (plain(client.models.generate_content(**CALLS[what])) for client in both)
    assert through == direct
    assert through["usage_metadata"]["total_token_count"] > through["usage_metadata"]["prompt_token_count"]
    if what == "tools":
        assert through["candidates"][0]["content"]["parts"][0]["function_call"]["args"].keys() == {"place", "days"}


@pytest.mark.parametrize("what", STREAMS)
def test_a_stream_is_the_same(both: tuple[genai.Client, genai.Client], what: str) -> None:
    """A streamed answer, event for event."""
    direct, through = (plain(list(client.models.generate_content_stream(**STREAMS[what]))) for client in both)
    assert through == direct
    assert len(through) >= 2


async def test_asynchronous_content_is_the_same(both_async: list[Any]) -> None:
    """The asynchronous SDK uses its connections differently."""
    for arguments in CALLS.values():
        direct, through = await asyncio.gather(*(client.models.generate_content(**arguments) for client in both_async))
        assert plain(through) == plain(direct)


async def read(client: Any, arguments: dict[str, Any]) -> list[Any]:
    """Return all events of an asynchronous stream."""
    return [plain(chunk) async for chunk in await client.models.generate_content_stream(**arguments)]


async def test_asynchronous_streams_are_the_same(both_async: list[Any]) -> None:
    """Streams read by the asynchronous SDK, event for event."""
    for what, arguments in STREAMS.items():
        if what == "cr":
            continue  # over aiohttp the SDK itself cannot read them
        direct, through = await asyncio.gather(*(read(client, arguments) for client in both_async))
        assert through == direct


OTHERS: dict[str, Callable[[genai.Client], Any]] = {
    "embedding": lambda client: client.models.embed_content(model="sim-embed", contents="one", config={"output_dimensionality": 8}),
    "embeddings": lambda client: client.models.embed_content(model="sim-embed", contents=["one", "two"]),
    "a chat of two turns": lambda client: talk(client),
}


def talk(client: genai.Client) -> Any:
    """Return both answers of a conversation."""
    chat = client.chats.create(model="sim-small")
    return [chat.send_message("One.", config=ask()["config"]), chat.send_message("Two.", config=ask()["config"])]


@pytest.mark.parametrize("what", OTHERS)
def test_other_calls_are_the_same(both: tuple[genai.Client, genai.Client], what: str) -> None:
    """Embeddings, and the SDK's own conversations."""
    direct, through = (plain(OTHERS[what](client)) for client in both)
    assert through == direct


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_an_error_is_the_same(both: tuple[genai.Client, genai.Client], status: str, stream: bool) -> None:
    """Each status is raised as the same exception with the same content."""
    arguments, kind = ERRORS[status]
    seen = []
    for client in both:
        with pytest.raises(kind) as raised:
            list(client.models.generate_content_stream(**arguments)) if stream else client.models.generate_content(**arguments)
        seen.append(told(raised.value))
    assert seen[1] == seen[0]
    assert seen[1][1] == int(status)


async def test_an_asynchronous_error_is_the_same(both_async: list[Any]) -> None:
    """Each status in the asynchronous SDK, streamed and not."""
    for arguments, kind in ERRORS.values():
        seen = []
        for client in both_async:
            for call in (client.models.generate_content(**arguments), read(client, arguments)):
                with pytest.raises(kind) as raised:
                    await call
                seen.append(told(raised.value))
        assert seen[:2] == seen[2:]


FAILING = ask(script={"fault": "error_event", "after_chunks": 5})
CUTS = {
    "between events": ask(script={"fault": "cut", "after_chunks": 5}),
    "within an event": ask(script={"fault": "cut", "after_bytes": 1500}),
    "before the first event": ask(script={"fault": "cut", "after_bytes": 0}),
    "reset": ask(script={"fault": "reset", "after_chunks": 5}),
    "compressed": ask(script={"fault": "drop", "after_chunks": 5, "gzip": True}),
}


def test_an_error_within_a_stream_is_the_same(both: tuple[genai.Client, genai.Client]) -> None:
    """An error after a success began is raised from the iteration, after the same events."""
    seen = []
    for client in both:
        chunks = []
        with pytest.raises(errors.ServerError) as raised:
            for chunk in client.models.generate_content_stream(**FAILING):
                chunks.append(plain(chunk))
        seen.append((chunks, told(raised.value)))
    assert seen[1] == seen[0]
    assert len(seen[1][0]) == 5


@pytest.mark.parametrize("what", CUTS)
def test_a_cut_stream_raises(both: tuple[genai.Client, genai.Client], what: str) -> None:
    """No cut stream ends like a whole one; where it stood between events, the SDK tells our error id."""
    with pytest.raises(BROKEN_OFF) as raised:
        list(both[1].models.generate_content_stream(**CUTS[what]))
    if what in ("between events", "before the first event", "reset"):
        assert isinstance(raised.value, errors.ServerError)
        assert raised.value.details["error"]["details"][0]["reason"] == "stream_cut"


async def test_a_cut_asynchronous_stream_raises(both_async: list[Any]) -> None:
    """Nor over the transports of the asynchronous SDK."""
    for what, arguments in CUTS.items():
        with pytest.raises(BROKEN_OFF) as raised:
            await read(both_async[1], arguments)
        assert what not in ("between events", "reset") or "stream_cut" in str(raised.value)


def test_a_cut_goes_unnoticed_without_us(both: tuple[genai.Client, genai.Client]) -> None:
    """Direct, the SDK takes a stream that ends cleanly before its finish reason for a whole one: what we are there for."""
    chunks = list(both[0].models.generate_content_stream(**CUTS["between events"]))
    assert [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates] == [None] * 5


@pytest.mark.parametrize("stream", [False, True])
def test_our_own_refusal_is_the_sdks_exception(bases: Bases, stream: bool) -> None:
    """An upstream that is down is a ServerError whose details hold our error id."""
    with connect(f"{bases.sidecar.url}/down") as client, pytest.raises(errors.ServerError) as raised:
        list(client.models.generate_content_stream(**ask())) if stream else client.models.generate_content(**ask())
    assert (raised.value.code, raised.value.status) == (502, "UNAVAILABLE")
    assert raised.value.details["error"]["details"][0]["reason"] == "upstream_unreachable"


def test_an_array_is_the_same(bases: Bases) -> None:
    """Without `alt=sse` the bytes of the array are those of the provider; one that is cut breaks off."""
    body = {"contents": [{"parts": [{"text": QUESTION}]}]}
    answers = []
    for base in (bases.direct, bases.through):
        headers = {"x-sim-seed": "array", "x-sim-script": json.dumps(SCRIPT)}
        answers.append(httpx.post(f"{base}/v1beta/models/sim-small:streamGenerateContent", params={"key": "k"}, json=body, headers=headers))
    assert answers[1].content == answers[0].content
    assert len(answers[1].json()) == 13
    received = b""
    headers["x-sim-script"] = json.dumps({**SCRIPT, "fault": "cut", "after_chunks": 4})
    url = f"{bases.through}/v1beta/models/sim-small:streamGenerateContent"
    with pytest.raises(httpx.RemoteProtocolError), httpx.stream("POST", url, json=body, headers=headers) as response:
        for piece in response.iter_raw():
            received += piece
    *elements, last = json.loads(received)
    assert len(elements) == 4
    assert last["error"]["details"][0]["reason"] == "stream_cut"


def test_a_client_timeout_is_the_same(both: tuple[genai.Client, genai.Client], bases: Bases) -> None:
    """A client that gives up gets its own exception in its own time, and its call ends as the client's doing."""
    arguments = ask("sim-large", script={"ttft_ms": 30_000}, timeout_ms=500)
    kinds = []
    for client in both:
        began = time.monotonic()
        with pytest.raises(httpx2.TimeoutException) as raised:
            client.models.generate_content(**arguments)
        kinds.append(type(raised.value))
        assert 0.4 < time.monotonic() - began < 1.5
    assert kinds[1] is kinds[0]
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

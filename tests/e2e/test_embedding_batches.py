"""Embeddings that go out together, on real sockets and with the official SDK: fewer calls, the same vectors, each for its own."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from struct import pack
from typing import Any, Final

import openai
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.payers import get_json, read_balance, to_nano
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator
from tests.rig.upstream import Script, Upstream, Visit

CALLERS: Final = 20
TEXTS: Final = [f"Order {number} is late{' again' * number}." for number in range(CALLERS)]
POISON: Final = "poison"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that never waits."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


@contextmanager
def bundling(folder: Path, upstream: str, **more: Any) -> Iterator[RunningSidecar]:
    """Run a sidecar that puts up to five inputs into one call."""
    batches = {"inputs": 5, "wait": "200ms", "wait_max": "1s"}
    features = {"batches": True, "breakers": False, "probes": False, **more.pop("features", {})}
    with run_sidecar(folder, upstream, batches=batches, features=features, **more) as side:
        yield side


@asynccontextmanager
async def clients(url: str, keys: Sequence[str]) -> AsyncIterator[list[openai.AsyncOpenAI]]:
    """Yield one client of the SDK for each key."""
    async with openai.DefaultAsyncHttpxClient() as connections:  # one for all: each would read the system's certificates
        yield [openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=connections) for key in keys]


async def embed(client: openai.AsyncOpenAI, given: Any, **more: Any) -> openai.types.CreateEmbeddingResponse:
    """Ask for vectors."""
    return await client.embeddings.create(model="sim-embed", input=given, **more)


async def list_calls(provider: str) -> list[dict[str, Any]]:
    """Return what the provider was asked."""
    calls: list[dict[str, Any]] = await get_json(provider, "/_sim/ledger")
    return calls


def count_tokens(side: RunningSidecar, source: str) -> int:
    """Return the tokens of embeddings that are counted with this source."""
    samples = read_samples(side.scrape())
    return round(sum(value for name, has, value in samples if name == "llm_sidecar_tokens_total" and has["source"] == source))


async def until_counted(side: RunningSidecar, calls: int) -> None:
    """Wait until so many calls have their record."""
    async with asyncio.timeout(10):
        while calls != sum(value for name, _, value in read_samples(side.scrape()) if name == "llm_sidecar_requests_total"):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("encoding", ["base64", "float"])
async def test_twenty_callers_are_four_calls(tmp_path: Path, provider: str, encoding: Any) -> None:
    """Each gets the vectors that it would have got alone, its usage is its share, and all shares are what the provider billed."""
    async with clients(f"{provider}/v1", ["sk-direct"]) as (direct,):
        wanted = [await embed(direct, text, encoding_format=encoding) for text in TEXTS]
    budgets = {"all": {"day": 1}}
    with bundling(tmp_path, provider, budgets=budgets, features={"budgets": True}) as side:
        before = len(await list_calls(provider))
        async with clients(f"{side.url}/openai/v1", ["sk-x"] * CALLERS) as made:
            got = await asyncio.gather(*(embed(client, text, encoding_format=encoding) for client, text in zip(made, TEXTS, strict=True)))
        calls = (await list_calls(provider))[before:]
        await until_counted(side, CALLERS)
        apportioned, balance = count_tokens(side, "apportioned"), await read_balance(side.admin_url, None)
    assert [call["status"] for call in calls] == [200] * 4
    assert [answer.data[0].embedding for answer in got] == [answer.data[0].embedding for answer in wanted]
    assert all((len(answer.data), answer.data[0].index, answer.model) == (1, 0, "sim-embed") for answer in got)
    billed = sum(call["usage"]["prompt"] for call in calls)
    assert (
        sum(answer.usage.prompt_tokens for answer in got) == apportioned == billed == sum(answer.usage.prompt_tokens for answer in wanted)
    )
    assert to_nano(balance["spent_usd"]) == sum(to_nano(call["cost_usd"]) for call in calls)


async def test_sdks_own_form_lists_and_token_numbers(tmp_path: Path, provider: str) -> None:
    """What the SDK sends by itself, lists whose order matters, and numbers of tokens, which go with their like only."""
    given: list[Any] = ["one", ["two", "three"], ["four"], [5, 6, 7], [[8, 9], [10]], "eleven"]
    async with clients(f"{provider}/v1", ["sk-direct"]) as (direct,):
        wanted = [await embed(direct, each) for each in given]
    before = len(await list_calls(provider))
    with bundling(tmp_path, provider) as side:
        async with clients(f"{side.url}/openai/v1", ["sk-x"] * len(given)) as made:
            got = await asyncio.gather(*(embed(client, each) for client, each in zip(made, given, strict=True)))
    assert [[each.embedding for each in answer.data] for answer in got] == [[each.embedding for each in answer.data] for answer in wanted]
    assert [[each.index for each in answer.data] for answer in got] == [[0], [0, 1], [0], [0], [0, 1], [0]]
    assert len(await list_calls(provider)) - before == 2


async def test_keys_tenants_models_and_sizes_are_kept_apart(tmp_path: Path, provider: str) -> None:
    """Nobody's inputs go out with another's credential, tenant or wish; each kind is a call of its own."""
    before = len(await list_calls(provider))
    with bundling(tmp_path, provider, tenants={"names": ["a", "b"]}) as side:
        async with clients(f"{side.url}/openai/v1", ["sk-x", "sk-y"]) as (one, other):
            kinds: list[tuple[openai.AsyncOpenAI, dict[str, Any]]] = [
                (one, {}), (other, {}), (one, {"dimensions": 8}), (one, {"extra_headers": {"x-sidecar-tenant": "a"}}),
                (other, {"extra_headers": {"x-sidecar-tenant": "b"}}), (one, {"user": "u"}),
            ]  # fmt: skip
            got = await asyncio.gather(*(embed(client, f"text {turn}", **more) for turn in range(2) for client, more in kinds))
    calls = (await list_calls(provider))[before:]
    assert len(calls) == len(kinds) and {call["usage"]["prompt"] for call in calls} == {4}
    assert [len(answer.data[0].embedding) for answer in got] == [256, 256, 8, 256, 256, 256] * 2


def answer_embeddings(visit: Visit) -> Script:
    """Answer as a provider does that rejects a request if it dislikes any of its inputs."""
    asked = json.loads(bytes(visit.body))
    inputs = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    if any(POISON in text for text in inputs):
        body = json.dumps(
            {"error": {"message": f"'$.input' has {POISON}.", "type": "invalid_request_error", "param": "input", "code": None}}
        )
        status = "400 Bad Request"
    else:
        vectors = [b64encode(pack("<2f", len(text), sum(text.encode()))).decode() for text in inputs]
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        used = sum(map(len, inputs))
        usage = {"prompt_tokens": used, "total_tokens": used}
        body, status = json.dumps({"object": "list", "data": data, "model": asked["model"], "usage": usage}), "200 OK"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return Script([head.encode() + body.encode()])


async def test_a_rejected_input_fails_for_its_caller_alone(tmp_path: Path) -> None:
    """The provider rejects a whole call for it: the others of that call get their vectors all the same, the rest go together as ever."""
    texts = [*TEXTS[:7], f"{POISON} for all", *TEXTS[8:]]
    upstream = Upstream()
    upstream.otherwise = answer_embeddings
    await upstream.start()
    try:
        with bundling(tmp_path, upstream.url) as side:
            async with clients(f"{side.url}/openai/v1", ["sk-x"] * CALLERS) as made:
                asked = (embed(client, text) for client, text in zip(made, texts, strict=True))
                got = await asyncio.gather(*asked, return_exceptions=True)
            await until_counted(side, CALLERS)
            counted = count_tokens(side, "apportioned") + count_tokens(side, "reported")
    finally:
        await upstream.stop()
    rejected = got.pop(7)
    assert isinstance(rejected, openai.BadRequestError) and POISON in rejected.message and rejected.param == "input"
    kept = [text for text in texts if POISON not in text]
    answers = [answer for answer in got if isinstance(answer, openai.types.CreateEmbeddingResponse)]
    assert [answer.data[0].embedding for answer in answers] == [[float(len(text)), float(sum(text.encode()))] for text in kept]
    assert sum(answer.usage.prompt_tokens for answer in answers) == counted == sum(map(len, kept))
    assert len(upstream.visits) == 4 + 5  # each of the five by itself


async def test_an_empty_input_never_spoils_a_call(tmp_path: Path, provider: str) -> None:
    """What is known to be rejected goes by itself."""
    before = len(await list_calls(provider))
    with bundling(tmp_path, provider) as side:
        async with clients(f"{side.url}/openai/v1", ["sk-x"] * 6) as made:
            given = ["a", "b", "", "c", "d", "e"]
            got = await asyncio.gather(*(embed(client, each) for client, each in zip(made, given, strict=True)), return_exceptions=True)
    assert [isinstance(answer, openai.BadRequestError) for answer in got] == [False, False, True, False, False, False]
    assert sorted(call["status"] for call in (await list_calls(provider))[before:]) == [200, 400]

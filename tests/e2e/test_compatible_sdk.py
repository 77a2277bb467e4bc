"""The official OpenAI SDK against providers that speak OpenAI's form with additions of their own, direct and through."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from pydantic import BaseModel

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import TOOLS, chat
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator

# A model that no price table has: what it costs can only be the provider's own telling.
BROKERED = {"prices": {"input": 7.0, "output": 31.0, "cached": 1.5}, "first_token_ms": {"median": 1}}
MODELS = {
    "sim-brokered": BROKERED,
    "sim-small": {"prices": {"input": 0.15, "output": 0.60, "cached": 0.075}, "first_token_ms": {"median": 1}},
    "sim-reasoning": {
        "prices": {"input": 1.10, "output": 4.40, "cached": 0.55}, "first_token_ms": {"median": 1}, "reasoning_tokens": {"median": 8},
    },
    "sim-embed": {"prices": {"input": 0.02, "output": 0.0, "cached": 0.02}, "first_token_ms": {"median": 1}, "embeds": True},
}  # fmt: skip
ROUTES = {"openrouter": "/api", "vllm": "/vllm", "azure.ai.openai": ""}


class Two(NamedTuple):
    """The same provider twice."""

    direct: openai.OpenAI
    through: openai.OpenAI
    sidecar: RunningSidecar
    provider: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RunningSidecar]]:
    """A provider that speaks as all of them, and a sidecar with a route for each."""
    folder = tmp_path_factory.mktemp("compatible")
    with run_simulator(folder, {"speed": 0, "models": MODELS}) as provider:
        upstreams = {name: {"url": provider + base, "provider": name} for name, base in ROUTES.items()}
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in ROUTES]
        with run_sidecar(folder, provider, upstreams=upstreams, routes=routes) as sidecar:
            yield provider, sidecar


def open_client(name: str, base: str) -> openai.OpenAI:
    """The SDK as it is set up for a provider at `base`."""
    if name == "azure.ai.openai":
        return openai.AzureOpenAI(azure_endpoint=base, api_key="k", api_version="2024-10-21", max_retries=0)
    return openai.OpenAI(base_url=base + "/v1", api_key="sk-x", max_retries=0)


def open_async_client(name: str, base: str) -> openai.AsyncOpenAI:
    """The same, asynchronous."""
    if name == "azure.ai.openai":
        return openai.AsyncAzureOpenAI(azure_endpoint=base, api_key="k", api_version="2024-10-21", max_retries=0)
    return openai.AsyncOpenAI(base_url=base + "/v1", api_key="sk-x", max_retries=0)


@pytest.fixture(params=ROUTES)
def two(request: pytest.FixtureRequest, running: tuple[str, RunningSidecar]) -> Iterator[Two]:
    """Each provider in turn, direct and through."""
    provider, sidecar = running
    name = request.param
    with open_client(name, provider + ROUTES[name]) as direct, open_client(name, f"{sidecar.url}/{name}") as through:
        yield Two(direct, through, sidecar, name)


def plain(value: BaseModel | list[Any]) -> Any:
    """What an application sees of an answer."""
    return [each.to_dict() for each in value] if isinstance(value, list) else value.to_dict()  # type: ignore[attr-defined]


CALLS: dict[str, dict[str, Any]] = {
    "whole": chat(),
    "tools": chat(tools=TOOLS),
    "reasoning": chat(model="sim-reasoning"),
    "bounded": chat(max_completion_tokens=3),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_chat_is_the_same(two: Two, what: str) -> None:
    """Whole, with what each provider adds to it."""
    direct, through = (plain(client.chat.completions.create(**CALLS[what])) for client in two[:2])
    assert through == direct
    added = {"openrouter": "provider", "vllm": "prompt_logprobs", "azure.ai.openai": "prompt_filter_results"}
    assert added[two.provider] in through


@pytest.mark.parametrize("options", [None, {"include_usage": True}, {"include_usage": False}, {"continuous_usage_stats": True}])
@pytest.mark.parametrize("what", CALLS)
def test_a_streamed_chat_is_the_same(two: Two, what: str, options: dict[str, Any] | None) -> None:
    """Chunk for chunk, whatever is asked for, and whether or not we asked for more."""
    more = {} if options is None else {"stream_options": options}

    def read(client: openai.OpenAI) -> Any:
        return plain(list(client.chat.completions.create(**CALLS[what], **more, stream=True)))

    assert read(two.through) == read(two.direct)


@pytest.mark.parametrize("what", CALLS)
async def test_the_asynchronous_client_sees_the_same(running: tuple[str, RunningSidecar], what: str) -> None:
    """Whole and streamed, each provider's calls side by side."""
    provider, sidecar = running

    async def read(client: openai.AsyncOpenAI) -> list[Any]:
        async with client:
            whole = await client.chat.completions.create(**CALLS[what])
            return [plain(whole), *[chunk.to_dict() async for chunk in await client.chat.completions.create(**CALLS[what], stream=True)]]

    for name, base in ROUTES.items():
        direct, through = await asyncio.gather(
            read(open_async_client(name, provider + base)), read(open_async_client(name, f"{sidecar.url}/{name}"))
        )  # fmt: skip
        assert through == direct
        assert len(through) > 3


ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError, 401: openai.AuthenticationError, 402: openai.APIStatusError, 403: openai.PermissionDeniedError,
    404: openai.NotFoundError, 408: openai.APIStatusError, 422: openai.UnprocessableEntityError, 429: openai.RateLimitError,
    500: openai.InternalServerError, 502: openai.InternalServerError, 503: openai.InternalServerError, 524: openai.InternalServerError,
    529: openai.InternalServerError,
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_an_error_is_the_same(two: Two, status: int, stream: bool) -> None:
    """Class, body and the fields that say when to come again."""
    seen = []
    for client in two[:2]:
        with pytest.raises(ERRORS[status]) as raised:
            client.chat.completions.create(**chat(script={"status": status, "retry_after_s": 3}), stream=stream)
        error = raised.value
        seen.append((type(error), error.status_code, error.body, error.code, error.type, error.response.headers.get("retry-after")))
    assert seen[1] == seen[0]
    assert seen[1][5] == ("3" if status in (429, 503, 529) else None)


def test_an_error_within_a_stream_is_the_same(two: Two) -> None:
    """After the same chunks, with the same body; OpenRouter's stands in an ordinary chunk."""
    seen = []
    for client in two[:2]:
        chunks = []
        with pytest.raises(openai.APIError) as raised:
            for chunk in client.chat.completions.create(**chat(script={"fault": "error_event", "after_chunks": 5}), stream=True):
                chunks.append(chunk.to_dict())
        seen.append((chunks, raised.value.body))
    assert seen[1] == seen[0]
    assert len(seen[1][0]) == 5


def test_a_cut_stream_is_never_a_short_answer(two: Two) -> None:
    """The framing ends well and the answer does not: direct it passes for one, through it is an error with our id."""
    assert list(two.direct.chat.completions.create(**chat(script={"fault": "cut", "after_chunks": 5}), stream=True))
    with pytest.raises(openai.APIError) as raised:
        list(two.through.chat.completions.create(**chat(script={"fault": "cut", "after_chunks": 5}), stream=True))
    assert raised.value.code == "stream_cut"


def test_a_timeout_is_the_clients(two: Two) -> None:
    """Its own exception, in its own time."""
    with pytest.raises(openai.APITimeoutError):
        two.through.chat.completions.create(**chat(script={"ttft_ms": 20_000}), timeout=0.3)


def count(sidecar: RunningSidecar) -> dict[tuple[str, str, str], float]:
    """Tokens by provider and type, and cost by provider and source."""
    counted: dict[tuple[str, str, str], float] = {}
    for name, labels, value in read_samples(sidecar.scrape()):
        if name in ("llm_sidecar_tokens_total", "llm_sidecar_cost_usd_total"):
            key = (name, labels["provider"], labels.get("type", labels["source"]))
            counted[key] = counted.get(key, 0.0) + value
    return counted


MIXED: list[Callable[[openai.OpenAI, str], Any]] = [
    lambda client, model: client.chat.completions.create(**chat(model=model)),
    lambda client, model: list(client.chat.completions.create(**chat(model=model, n=2), stream=True)),
    lambda client, model: list(client.chat.completions.create(**chat(model=model, tools=TOOLS), stream=True)),
    lambda client, model: list(client.chat.completions.create(**chat(model="sim-reasoning"), stream=True)),
    lambda client, model: client.embeddings.create(model="sim-embed", input=["one", "two"]),
]


def test_the_accounts_agree(two: Two, running: tuple[str, RunningSidecar]) -> None:
    """Tokens and cost are the ledger's; OpenRouter's cost is its own figure, the others' is the table's."""
    provider, sidecar = running
    model = "sim-brokered" if two.provider == "openrouter" else "sim-small"
    before, ledger_before = count(sidecar), httpx.get(f"{provider}/_sim/totals").json()["reported"]
    for call in MIXED:
        call(two.through, model)
    after, ledger = count(sidecar), httpx.get(f"{provider}/_sim/totals").json()["reported"]

    def grown(name: str, kind: str) -> float:
        key = (name, two.provider, kind)
        return after.get(key, 0.0) - before.get(key, 0.0)

    gained = {name: ledger[name] - ledger_before[name] for name in ledger}
    tokens = {kind: grown("llm_sidecar_tokens_total", kind) for kind in ("input", "cache_read", "output", "reasoning")}
    assert tokens["input"] + tokens["cache_read"] == gained["prompt"] > 0
    assert tokens["output"] + tokens["reasoning"] == gained["completion"] > 0
    assert tokens["reasoning"] == gained["reasoning"] > 0
    source, other = ("provider", "table") if two.provider == "openrouter" else ("table", "provider")
    assert math.isclose(grown("llm_sidecar_cost_usd_total", source), gained["cost_usd"], abs_tol=1e-9)
    assert grown("llm_sidecar_cost_usd_total", other) == 0


def test_rate_limits_are_shown_where_there_are_any(two: Two) -> None:
    """Azure limits requests and says -1 of tokens; the others tell of none."""
    raw = two.through.chat.completions.with_raw_response.create(**chat())
    shown = {
        labels["kind"]: value
        for name, labels, value in read_samples(two.sidecar.scrape())
        if name == "llm_sidecar_upstream_ratelimit_remaining" and labels["upstream"] == two.provider
    }
    told = raw.headers.get("x-ratelimit-remaining-requests")
    assert shown == ({} if told is None else {"requests": float(told)})
    assert (told is not None) == (two.provider == "azure.ai.openai")


def test_a_deployment_is_the_model(running: tuple[str, RunningSidecar]) -> None:
    """A caller that names it in the path only is counted under it."""
    provider, sidecar = running
    path = "/openai/deployments/sim-small/chat/completions?api-version=2024-10-21"
    body = {"messages": [{"role": "user", "content": "hi"}]}
    direct, through = (
        httpx.post(base + path, json=body, headers={"api-key": "k", "x-sim-seed": "d"})
        for base in (provider, f"{sidecar.url}/azure.ai.openai")
    )
    assert through.content == direct.content
    names = {labels["model"] for name, labels, _ in read_samples(sidecar.scrape()) if labels.get("provider") == "azure.ai.openai"}
    assert "sim-small" in names


def test_an_older_interface_is_not_asked_for_what_it_declines(running: tuple[str, RunningSidecar], tmp_path: Path) -> None:
    """Azure's interfaces before September 2024 decline stream_options: the request passes as it came."""
    _, sidecar = running
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True})
    for version, told in (("2024-06-01", False), ("2024-10-21", True)):
        before = count(sidecar)
        path = f"/azure.ai.openai/openai/deployments/sim-small/chat/completions?api-version={version}"
        assert httpx.post(sidecar.url + path, content=body, headers={"x-sim-seed": "o"}).status_code == 200
        assert (count(sidecar) != before) is told

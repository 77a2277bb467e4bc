"""Ollama's official SDK, through the sidecar and direct: the same answers, the same errors.

The simulated provider answers a call by its seed and its script alone, so any difference is the sidecar's.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import ollama
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import MESSAGES, SCRIPT, TOOLS
from tests.rig.process import RunningSidecar, find_port, run_sidecar, run_simulator
from tests.rig.side import PREFIX, facing
from tests.rig.upstream import Script, Visit

STATUSES = (400, 401, 403, 404, 429, 500, 502, 503)


class Hosts(NamedTuple):
    """Two ways to the same provider, and one to none."""

    direct: str
    through: str
    nowhere: str
    sidecar: RunningSidecar


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A provider that never waits, and a sidecar in front of it, each in its own process."""
    folder = tmp_path_factory.mktemp("ollama")
    with run_simulator(folder, {"speed": 0}) as provider:
        upstreams = {
            "ollama": {"url": provider, "provider": "ollama"},
            "gone": {"url": f"http://127.0.0.1:{find_port()}", "provider": "ollama"},
        }
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(folder, provider, upstreams=upstreams, routes=routes) as sidecar:
            yield Hosts(provider, f"{sidecar.url}/ollama", f"{sidecar.url}/gone", sidecar)


class Told(NamedTuple):
    """A call's arguments, and the header fields that make its answer."""

    arguments: dict[str, Any]
    headers: dict[str, str]


def tell(script: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **arguments: Any) -> Told:
    """Return a call with a seed and a script of its own."""
    whole = {**SCRIPT, **(script or {})}
    seed = json.dumps([arguments, whole], sort_keys=True)
    return Told({"model": "sim-small", **arguments}, {"x-sim-seed": seed, "x-sim-script": json.dumps(whole), **(headers or {})})


CHATS = {
    "plain": tell(messages=MESSAGES),
    "tools": tell(messages=MESSAGES, tools=TOOLS),
    "thinking": tell(messages=MESSAGES, model="sim-reasoning", think=True),
    "no thinking": tell(messages=MESSAGES, model="sim-reasoning", think=False),
    "json": tell(messages=MESSAGES, format="json"),
    "bounded": tell(messages=MESSAGES, options={"num_predict": 3, "seed": 1}),
    "loading": tell(messages=[]),
    "gzip": tell({"gzip": True}, messages=MESSAGES),
    "close-delimited": tell({"fault": "close_delimited"}, messages=MESSAGES),
    "crlf": tell({"newline": "crlf"}, messages=MESSAGES),
    "byte by byte": tell({"chunk_bytes": 1, "tokens": 4}, messages=MESSAGES),
}
PROMPTS = {
    "plain": tell(prompt="Once"),
    "system": tell(prompt="Once", system="Be brief", raw=True),
    "bounded": tell(prompt="Once", options={"num_predict": 2}),
    "loading": tell(prompt=""),
}
CHAT: Callable[..., Any] = lambda client, **arguments: client.chat(**arguments)  # noqa: E731
GENERATE: Callable[..., Any] = lambda client, **arguments: client.generate(**arguments)  # noqa: E731
CALLS = [
    *(pytest.param(CHAT, told, id=f"chat, {name}") for name, told in CHATS.items()),
    *(pytest.param(GENERATE, told, id=f"generate, {name}") for name, told in PROMPTS.items()),
]


def plain(value: Any) -> Any:
    """Return what an application sees of an answer or of all lines of a stream."""
    return value.model_dump() if hasattr(value, "model_dump") else [each.model_dump() for each in value]


# Clients are made without verification: loading certificates, of which there are none here, takes longer than the call.
def ask(host: str, told: Told, call: Callable[..., Any] = CHAT, **more: Any) -> Any:
    """Make a call by the SDK and return what an application sees of it."""
    with ollama.Client(host, verify=False, headers=told.headers) as client:
        return plain(call(client, **told.arguments, **more))


async def ask_async(host: str, told: Told, call: Callable[..., Any] = CHAT, *, stream: bool = False) -> Any:
    """The same by the asynchronous SDK."""
    async with ollama.AsyncClient(host, verify=False, headers=told.headers) as client:
        answer = await call(client, **told.arguments, stream=stream)
        return plain([line async for line in answer]) if stream else plain(answer)


@pytest.mark.parametrize(("call", "told"), CALLS)
def test_an_answer_is_the_same(hosts: Hosts, call: Callable[..., Any], told: Told) -> None:
    """Whole answers, thinking, calls and counts included."""
    direct, through = (ask(host, told, call) for host in hosts[:2])
    assert through == direct
    assert through["done"]
    if "tools" in told.arguments:
        assert through["message"]["tool_calls"][0]["function"]["arguments"].keys() == {"place", "days"}
    if told.arguments.get("think"):
        assert through["message"]["thinking"]


@pytest.mark.parametrize(("call", "told"), CALLS)
def test_a_stream_is_the_same(hosts: Hosts, call: Callable[..., Any], told: Told) -> None:
    """Streams, line for line."""
    direct, through = (ask(host, told, call, stream=True) for host in hosts[:2])
    assert through == direct
    assert through[-1]["done"]
    assert through[-1]["done_reason"] == "load" or through[-1]["eval_count"] > 0


@pytest.mark.parametrize(("call", "told"), CALLS)
async def test_an_asynchronous_call_is_the_same(hosts: Hosts, call: Callable[..., Any], told: Told) -> None:
    """The asynchronous SDK, whole and streamed."""

    for stream in (False, True):
        direct, through = await asyncio.gather(*(ask_async(host, told, call, stream=stream) for host in hosts[:2]))
        assert through == direct


@pytest.mark.parametrize("given", ["one", ["one", "two"]])
async def test_embeddings_are_the_same(hosts: Hosts, given: str | list[str]) -> None:
    """Vectors of one text and of several."""
    told = Told({"model": "sim-embed", "input": given, "dimensions": 8}, {"x-sim-seed": "e"})
    direct, through = (ask(host, told, lambda client, **arguments: client.embed(**arguments)) for host in hosts[:2])
    assert through == direct
    assert len(through["embeddings"]) == (1 if isinstance(given, str) else 2)
    async with ollama.AsyncClient(hosts.through, headers=told.headers) as client:
        assert plain(await client.embed(**told.arguments)) == through


ERRORS = {
    **{str(status): tell({"status": status}, messages=MESSAGES) for status in STATUSES},
    "bad key": tell(headers={"authorization": "Bearer sk-bad"}, messages=MESSAGES),
    "wrong model": tell(messages=MESSAGES, model="sim-embed"),
    "no such model": tell(messages=MESSAGES, model="none"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", ERRORS)
def test_an_error_is_the_same(hosts: Hosts, what: str, stream: bool) -> None:
    """Each status is raised with the same content."""
    told, errors = ERRORS[what], []
    for host in hosts[:2]:
        with pytest.raises(ollama.ResponseError) as raised:
            ask(host, told, stream=stream)
        errors.append((raised.value.status_code, raised.value.error))
    assert errors[1] == errors[0]
    assert errors[1][0] >= 400


async def test_an_asynchronous_error_is_the_same(hosts: Hosts) -> None:
    """Each status in the asynchronous SDK."""
    for told in ERRORS.values():
        errors = []
        for host in hosts[:2]:
            with pytest.raises(ollama.ResponseError) as raised:
                await ask_async(host, told)
            errors.append((raised.value.status_code, raised.value.error))
        assert errors[1] == errors[0]


def read_until_error(host: str, told: Told, kind: type[Exception]) -> tuple[list[Any], Exception]:
    """Return the lines of a streamed chat before its error, and the error."""
    lines: list[Any] = []
    with ollama.Client(host, verify=False, headers=told.headers) as client, pytest.raises(kind) as raised:
        for line in client.chat(**told.arguments, stream=True):
            lines.append(plain(line))
    return lines, raised.value


def test_an_error_within_a_stream_is_the_same(hosts: Hosts) -> None:
    """An error line after a success began is raised from the iteration, after the same lines."""
    told = tell({"fault": "error_event", "after_chunks": 5}, messages=MESSAGES)
    seen = [read_until_error(host, told, ollama.ResponseError) for host in hosts[:2]]
    assert seen[1][0] == seen[0][0]
    assert len(seen[1][0]) == 5
    assert str(seen[1][1]) == str(seen[0][1])


@pytest.mark.parametrize("fault", ["cut", "drop", "reset"])
def test_a_cut_stream_is_raised(hosts: Hosts, fault: str) -> None:
    """A stream that ends before its last line raises an error which says so, after the lines that came.

    Direct, one whose framing ends properly looks like a short answer.
    """
    told = tell({"fault": fault, "after_chunks": 5}, messages=MESSAGES)
    lines, error = read_until_error(hosts.through, told, ollama.ResponseError)
    assert len(lines) == 5
    assert "stream_cut" in str(error)
    if fault == "cut":
        assert ask(hosts.direct, told, stream=True) == lines


async def test_an_asynchronous_cut_stream_is_raised(hosts: Hosts) -> None:
    """The same in the asynchronous SDK."""
    told = tell({"fault": "cut", "after_chunks": 5}, messages=MESSAGES)
    lines = []
    async with ollama.AsyncClient(hosts.through, headers=told.headers) as client:
        with pytest.raises(ollama.ResponseError, match="stream_cut"):
            async for line in await client.chat(**told.arguments, stream=True):
                lines.append(line)
    assert len(lines) == 5


@pytest.mark.parametrize("after_bytes", [1, 150, 301])
def test_a_stream_cut_within_a_line_is_raised(hosts: Hosts, after_bytes: int) -> None:
    """Half a line is never taken for an answer's end: the SDK cannot read what our error makes of it."""
    told = tell({"fault": "cut", "after_bytes": after_bytes}, messages=MESSAGES)
    _, error = read_until_error(hosts.through, told, json.JSONDecodeError)
    assert "stream_cut" in getattr(error, "doc", "")


def test_a_short_body_is_raised(hosts: Hosts) -> None:
    """A whole answer with less than its length breaks through the sidecar as it does direct."""
    told = tell({"fault": "short_body"}, messages=MESSAGES)
    for host in hosts[:2]:
        with pytest.raises(httpx.RemoteProtocolError):
            ask(host, told)


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_raised(hosts: Hosts, stream: bool) -> None:
    """Where there is no provider the error is of the SDK's own class and names ours."""
    with pytest.raises(ollama.ResponseError) as raised:
        ask(hosts.nowhere, tell(messages=MESSAGES), stream=stream)
    assert raised.value.status_code == 502
    assert raised.value.error.startswith("upstream_unreachable: ")


def test_a_client_timeout_is_the_same(hosts: Hosts) -> None:
    """A client that gives up gets its own exception in its own time, and its call ends as the client's doing."""
    told = tell({"ttft_ms": 30_000}, messages=MESSAGES, model="sim-large")
    for host in hosts[:2]:
        began = time.monotonic()
        with ollama.Client(host, verify=False, headers=told.headers, timeout=0.5) as client, pytest.raises(httpx.ReadTimeout):
            client.chat(**told.arguments)
        assert 0.4 < time.monotonic() - began < 1.5
    deadline = time.monotonic() + 5
    while not sum_samples(hosts.sidecar, "llm_sidecar_requests_total", model="sim-large", ending="client_gone"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sum_samples(sidecar: RunningSidecar, name: str, **labels: str) -> float:
    """Return the sum of one metric's samples with these labels."""
    samples = read_samples(sidecar.scrape())
    return sum(value for found, told, value in samples if found == name and labels.items() <= told.items())


def test_loading_is_no_inference(hosts: Hosts) -> None:
    """A reply that only says that the model is loaded is complete, and has neither usage nor times of an answer."""
    names = ("llm_sidecar_requests_total", "llm_sidecar_tokens_total", "llm_sidecar_time_to_first_token_seconds_count")
    before = [sum_samples(hosts.sidecar, name) for name in names]
    assert [line["done_reason"] for line in ask(hosts.through, CHATS["loading"], stream=True)] == ["load"]
    after = [sum_samples(hosts.sidecar, name) for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 0, 0]


def test_the_route_is_shown(hosts: Hosts) -> None:
    """`http.route` is the path, with the route's prefix."""
    ask(hosts.through, CHATS["plain"])
    assert sum_samples(hosts.sidecar, "http_server_request_duration_seconds_count", http_route="/ollama/api/chat") > 0


PROGRESS = b'{"status":"pulling manifest"}\n{"status":"pulling 6e4c38e1172f","digest":"sha256:6e","total":10,"completed":4}\n'
OTHERS: dict[str, tuple[bytes, bytes]] = {
    "/api/tags": (
        b"application/json; charset=utf-8",
        b'{"models":[{"name":"llama3.2:latest","model":"llama3.2:latest","size":2019393189}]}',
    ),
    "/api/ps": (b"application/json; charset=utf-8", b'{"models":[]}'),
    "/api/embeddings": (b"application/json; charset=utf-8", b'{"embedding":[0.5,0.25]}'),
    "/api/pull": (b"application/x-ndjson", PROGRESS),
}


def answer_other(visit: Visit) -> Script:
    """Answer a call that is not inference, as Ollama does."""
    media_type, body = OTHERS[visit.target]
    return Script(
        [b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (media_type, len(body), body)]
    )


async def test_all_else_passes_through() -> None:
    """Lists, the older embeddings and a model's progress, which may end anywhere, are the same and complete."""
    async with facing() as (upstream, side):
        upstream.otherwise = answer_other
        seen = []
        for host in (upstream.url, side.url + PREFIX):
            async with ollama.AsyncClient(host) as client:
                progress = [plain(line) async for line in await client.pull("llama3.2", stream=True)]
                seen.append([progress, *map(plain, (await client.list(), await client.ps(), await client.embeddings("m", "x")))])
        await side.records.until(4)
        assert side.records.endings == {"completed": 4}
    assert seen[1] == seen[0]
    assert len(seen[1][0]) == 2

"""The official Anthropic SDK, through the sidecar and direct: the same answers, the same errors.

The simulated provider answers a call by its seed and its script alone, so any difference is the sidecar's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import anthropic
import httpx
import httpx2
import pytest
from pydantic import BaseModel

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import SCRIPT, Bases
from tests.rig.exchanges import Watcher, ask_provider
from tests.rig.process import find_port, run_sidecar, run_simulator

MESSAGES: Final[Any] = [{"role": "user", "content": "Why was order 7 late?"}]
SCHEMA: Final = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS: Final[Any] = [{"name": "look_up", "input_schema": SCHEMA}]
LONG: Final = "You answer questions about orders. Be brief, be exact. " * 150


def message(**more: Any) -> dict[str, Any]:
    """Return the arguments of a message with a seed and a script of its own."""
    script = {**SCRIPT, **more.pop("script", {})}
    headers = {"x-sim-seed": json.dumps([more, script], sort_keys=True), "x-sim-script": json.dumps(script)}
    headers |= more.pop("extra_headers", {})
    return {"model": "sim-small", "max_tokens": 1000, "messages": MESSAGES, "extra_headers": headers, **more}


CALLS: Final = {
    "whole": message(),
    "tools": message(tools=TOOLS),
    "thinking": message(model="sim-reasoning", thinking={"type": "enabled", "budget_tokens": 1024}),
    "thinking and tools": message(model="sim-reasoning", tools=TOOLS),
    "refusal": message(script={"refusal": True}),
    "bounded": message(max_tokens=3),
    "blocks": message(messages=[{"role": "user", "content": [{"type": "text", "text": "Why?"}]}], system="Be brief."),
    "gzip": message(script={"gzip": True}),
    "close-delimited": message(script={"fault": "close_delimited"}),
    "interim answers": message(script={"fault": "informational"}),
}
STREAMS: Final = {
    **CALLS,
    "crlf": message(script={"newline": "crlf"}),
    "comments": message(script={"comments": True}),
    "byte by byte": message(script={"chunk_bytes": 1, "tokens": 4}),
}
ERRORS: Final[dict[str, tuple[dict[str, Any], type[anthropic.APIStatusError]]]] = {
    "400": (message(messages=[]), anthropic.BadRequestError),
    "401": (message(extra_headers={"authorization": "Bearer sk-bad"}), anthropic.AuthenticationError),
    "402": (message(script={"status": 402}), anthropic.APIStatusError),
    "403": (message(model="sim-embed"), anthropic.PermissionDeniedError),
    "404": (message(model="no-such-model"), anthropic.NotFoundError),
    "409": (message(script={"status": 409}), anthropic.ConflictError),
    "413": (message(script={"status": 413}), anthropic.RequestTooLargeError),
    "422": (message(script={"status": 422}), anthropic.UnprocessableEntityError),
    "429": (message(script={"fault": "rate_limited", "retry_after_s": 7}), anthropic.RateLimitError),
    "500": (message(script={"fault": "server_error"}), anthropic.InternalServerError),
    "503": (message(script={"fault": "unavailable"}), anthropic.ServiceUnavailableError),
    "504": (message(script={"status": 504}), anthropic.DeadlineExceededError),
    "529": (message(script={"status": 529}), anthropic.OverloadedError),
}
CUTS: Final = {
    "ended by its framing": {"fault": "cut", "after_chunks": 9},
    "before message_stop": {"fault": "cut", "after_chunks": 100},
    "within an event": {"fault": "cut", "after_bytes": 1_100},
    "closed": {"fault": "drop", "after_chunks": 9},
    "closed within an event": {"fault": "drop", "after_bytes": 1_100},
    "reset": {"fault": "reset", "after_chunks": 9},
}


def plain(value: BaseModel | list[BaseModel]) -> Any:
    """Return what an application sees of an answer."""
    return [each.to_dict() for each in value] if isinstance(value, list) else value.to_dict()  # type: ignore[attr-defined]


def told(error: anthropic.APIStatusError) -> tuple[Any, ...]:
    """Return what an application sees of an error."""
    headers = error.response.headers
    return type(error), error.status_code, error.type, error.error_code, error.api_message, error.body, headers.get("retry-after")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """A provider that never waits, and a sidecar in front of it by a route for Anthropic, each in its own process."""
    folder = tmp_path_factory.mktemp("sdk")
    with run_simulator(folder, {"speed": 0}) as provider:
        upstreams = {
            "anthropic": {"url": provider, "provider": "anthropic"},
            "nobody": {"url": f"http://127.0.0.1:{find_port()}", "provider": "anthropic"},
        }
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(folder, provider, upstreams=upstreams, routes=routes, timeouts={"idle": "1s", "first_byte": "1s"}) as sidecar:
            yield Bases(provider, f"{sidecar.url}/anthropic", sidecar)


@pytest.fixture
def both(bases: Bases) -> Iterator[tuple[anthropic.Anthropic, anthropic.Anthropic]]:
    """The synchronous SDK, direct and through."""
    with (
        anthropic.Anthropic(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        anthropic.Anthropic(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.fixture
async def both_async(bases: Bases) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic]]:
    """The asynchronous SDK, direct and through."""
    async with (
        anthropic.AsyncAnthropic(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        anthropic.AsyncAnthropic(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.mark.parametrize("what", CALLS)
def test_a_message_is_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic], what: str) -> None:
    """A whole message, tools and thinking included."""
    direct, through = (plain(client.messages.create(**CALLS[what])) for client in both)
    assert through == direct
    assert through["usage"]["output_tokens"] > 0
    kinds = [block["type"] for block in through["content"]]
    assert kinds == ["thinking"] * ("thinking" in what) + (["tool_use"] if "tools" in what else ["text"])


@pytest.mark.parametrize("what", STREAMS)
def test_a_streamed_message_is_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic], what: str) -> None:
    """A streamed message, event for event."""
    direct, through = (plain(list(client.messages.create(**STREAMS[what], stream=True))) for client in both)
    assert through == direct
    assert (through[0]["type"], through[-1]["type"]) == ("message_start", "message_stop")


@pytest.mark.parametrize("what", CALLS)
def test_a_stream_comes_together(both: tuple[anthropic.Anthropic, anthropic.Anthropic], what: str) -> None:
    """The SDK's own accumulator makes the same message of the stream, and the same as unstreamed."""
    finals = []
    for client in both:
        with client.messages.stream(**CALLS[what]) as stream:
            finals.append(plain(stream.get_final_message()))
    assert finals[1] == finals[0]
    whole = plain(both[1].messages.create(**CALLS[what]))
    assert finals[1]["content"] == whole["content"]
    assert finals[1]["usage"] == whole["usage"]
    assert finals[1]["stop_reason"] == whole["stop_reason"]


@pytest.mark.parametrize("what", CALLS)
async def test_an_asynchronous_message_is_the_same(
    both_async: tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic], what: str
) -> None:
    """The asynchronous SDK uses its connections differently."""
    direct, through = await asyncio.gather(*(client.messages.create(**CALLS[what]) for client in both_async))
    assert plain(through) == plain(direct)


@pytest.mark.parametrize("what", STREAMS)
async def test_an_asynchronous_stream_is_the_same(both_async: tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic], what: str) -> None:
    """Streams read by the asynchronous SDK, event for event."""

    async def read(client: anthropic.AsyncAnthropic) -> Any:
        return plain([event async for event in await client.messages.create(**STREAMS[what], stream=True)])

    direct, through = await asyncio.gather(*map(read, both_async))
    assert through == direct


def test_tokens_are_counted_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    """What is not understood passes through: a count, and the beta interface's query."""
    direct, through = (client.messages.count_tokens(model="sim-small", messages=MESSAGES, tools=TOOLS).input_tokens for client in both)
    assert through == direct > 0
    arguments = message()
    direct_beta, through_beta = (plain(client.beta.messages.create(**arguments, betas=["x-1"])) for client in both)
    assert through_beta == direct_beta


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_an_error_is_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic], status: str, stream: bool) -> None:
    """Each status is raised as the same exception with the same content."""
    arguments, kind = ERRORS[status]
    errors = []
    for client in both:
        with pytest.raises(kind) as raised:
            client.messages.create(**arguments, stream=stream)
        errors.append(told(raised.value))
    assert errors[1] == errors[0]
    assert errors[1][1] == int(status)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_asynchronous_error_is_the_same(
    both_async: tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic], stream: bool
) -> None:
    """Each status in the asynchronous SDK."""
    for arguments, kind in ERRORS.values():
        errors = []
        for client in both_async:
            with pytest.raises(kind) as raised:
                await client.messages.create(**arguments, stream=stream)
            errors.append(told(raised.value))
        assert errors[1] == errors[0]


def test_an_error_within_a_stream_is_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    """An error event after a success began is raised from the iteration, after the same events."""
    seen = []
    for client in both:
        events = []
        with pytest.raises(anthropic.APIStatusError) as raised:
            for event in client.messages.create(**message(script={"fault": "error_event", "after_chunks": 6}), stream=True):
                events.append(event.to_dict())
        seen.append((events, told(raised.value)))
    assert seen[1] == seen[0]
    assert len(seen[1][0]) == 5, "six events but the ping"


@pytest.mark.parametrize("newline", ["lf", "crlf"])
@pytest.mark.parametrize("what", CUTS)
def test_a_cut_stream_raises(both: tuple[anthropic.Anthropic, anthropic.Anthropic], what: str, newline: str) -> None:
    """Whatever the provider did, a stream without its end is an error, after the events that came whole."""
    arguments = message(script={**CUTS[what], "newline": newline})
    seed = {"extra_headers": {"x-sim-seed": arguments["extra_headers"]["x-sim-seed"]}}
    whole = plain(list(both[0].messages.create(**message(**seed), stream=True)))
    events = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        for event in both[1].messages.create(**arguments, stream=True):
            events.append(event.to_dict())
    assert raised.value.error_code in ("stream_cut", "upstream_reset")
    assert raised.value.type == "api_error"
    assert events == whole[: len(events)]
    assert 0 < len(events) < len(whole)


async def test_an_asynchronous_cut_stream_raises(both_async: tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic]) -> None:
    """The accumulating helper, which would be content with what it has, raises too."""
    for script in CUTS.values():
        with pytest.raises(anthropic.APIStatusError):
            async with both_async[1].messages.stream(**message(script=script)) as stream:
                await stream.get_final_message()


def test_a_cut_stream_that_is_compressed_raises(both: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    """Into what is compressed no event can be put: the connection is broken off, which is an error too."""
    arguments = message(script={"fault": "cut", "after_chunks": 9, "gzip": True})
    with pytest.raises(httpx2.TransportError):
        list(both[1].messages.create(**arguments, stream=True))


def test_a_cut_message_raises(both: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    """A whole message that breaks off is the same error as direct."""
    raised = []
    for client in both:
        with pytest.raises(anthropic.APIConnectionError) as error:
            client.messages.create(**message(script={"fault": "short_body"}))
        raised.append((type(error.value), type(error.value.__cause__)))
    assert raised[1] == raised[0]


@pytest.mark.parametrize(
    ("script", "kind", "error_id"),
    [
        ({"fault": "reset_before_head"}, anthropic.InternalServerError, "upstream_reset"),
        ({"fault": "garbage_http"}, anthropic.InternalServerError, "upstream_malformed"),
        ({"ttft_ms": 5_000}, anthropic.DeadlineExceededError, "first_byte_timeout"),
    ],
)
def test_an_answer_of_ours_is_an_error_of_the_sdk(
    both: tuple[anthropic.Anthropic, anthropic.Anthropic], script: dict[str, Any], kind: type[anthropic.APIStatusError], error_id: str
) -> None:
    """What the sidecar itself says is raised by its status, with its id where Anthropic names the cause."""
    with pytest.raises(kind) as raised:
        both[1].messages.create(**message(script=script))
    assert raised.value.error_code == error_id
    assert error_id in str(raised.value)


def test_a_provider_that_is_not_there(bases: Bases) -> None:
    """A refused connection is told in Anthropic's form."""
    client = anthropic.Anthropic(base_url=f"{bases.sidecar.url}/nobody", api_key="sk-x", max_retries=0)
    with client, pytest.raises(anthropic.InternalServerError) as raised:
        client.messages.create(**message())
    assert (raised.value.status_code, raised.value.error_code, raised.value.type) == (502, "upstream_unreachable", "api_error")


def test_a_silent_stream_raises(both: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    """A stream that stops without ending is broken off by the sidecar's deadline."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(both[1].messages.create(**message(script={"fault": "stall", "after_chunks": 6}), stream=True))
    assert (raised.value.error_code, raised.value.type) == ("idle_timeout", "timeout_error")


def test_a_client_timeout_is_the_same(both: tuple[anthropic.Anthropic, anthropic.Anthropic], bases: Bases) -> None:
    """A client that gives up gets its own exception in its own time, and its call ends as the client's doing."""
    arguments = message(script={"ttft_ms": 900}, model="sim-large")
    for client in both:
        began = time.monotonic()
        with pytest.raises(anthropic.APITimeoutError):
            client.messages.create(**arguments, timeout=0.4)
        assert 0.3 < time.monotonic() - began < 1.5
    deadline = time.monotonic() + 5
    while not any(
        labels["ending"] == "client_gone" and labels["model"] == "sim-large" and value
        for name, labels, value in read_samples(bases.sidecar.scrape())
        if name == "llm_sidecar_requests_total"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def remembered(ttl: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a message whose system prompt is to be cached, for five minutes or an hour."""
    system = [{"type": "text", "text": f"{ttl}: {LONG}", "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    return message(**{"system": system, "model": "sim-large", **more})


# In this order: a prompt is in the provider's cache once it was asked for.
ACCOUNTED: Final = [
    ("whole", message(), "completed"),
    ("streamed", message(stream=True), "completed"),
    ("tools", message(tools=TOOLS, stream=True), "completed"),
    ("thinking", message(model="sim-reasoning"), "completed"),
    ("thinking, streamed", message(model="sim-reasoning", stream=True), "completed"),
    ("cached for five minutes", remembered("5m"), "completed"),
    ("read from the cache", remembered("5m", max_tokens=900), "completed"),
    ("cached for an hour", remembered("1h"), "completed"),
    ("read from the cache, streamed", remembered("1h", stream=True), "completed"),
    ("rate limited", message(script={"fault": "rate_limited"}), "rate_limited"),
    ("overloaded", message(script={"status": 529}, stream=True), "upstream_error"),
    ("error within", message(script={"fault": "error_event", "after_chunks": 6}, stream=True), "in_band_error"),
    ("cut", message(script={"fault": "cut", "after_chunks": 9}, stream=True), "cut"),
]


async def test_the_accounts_agree(bases: Bases) -> None:
    """Tokens, cost and ending of each call are the provider's own; what is cached for an hour costs more than for minutes."""
    found = {}
    async with (
        httpx.AsyncClient(timeout=30) as plain_client,
        anthropic.AsyncAnthropic(base_url=bases.through, api_key="sk-x", max_retries=0) as client,
    ):
        watcher = Watcher(plain_client, bases.sidecar.admin_url)
        await watcher.look()  # what other tests did
        for what, arguments, ending in ACCOUNTED:
            tag = f"accounted, {what}"
            try:
                answer = await client.messages.create(**{**arguments, "extra_headers": {**arguments["extra_headers"], "x-sim-tag": tag}})
                if arguments.get("stream"):
                    _ = [event async for event in answer]
            except anthropic.APIError:
                pass  # which one is for other tests
            theirs, ours = await ask_provider(plain_client, bases.direct, tag), await watcher.wait()
            assert (ours.ending, ours.tokens) == (ending, theirs.tokens) and theirs.ending == ending, what
            assert ours.cost_usd == pytest.approx(theirs.cost_usd, abs=1e-12), what
            found[what] = ours
    short, long = found["cached for five minutes"], found["cached for an hour"]
    assert short.tokens["cache_write"] == long.tokens["cache_write"] > 1024
    assert long.cost_usd - short.cost_usd == pytest.approx(long.tokens["cache_write"] * (5.00 - 3.125) / 1e6)
    assert found["read from the cache"].tokens["cache_read"] == short.tokens["cache_write"]
    assert found["read from the cache, streamed"].tokens["cache_write"] == 0
    assert found["thinking"].tokens["reasoning"] > 0

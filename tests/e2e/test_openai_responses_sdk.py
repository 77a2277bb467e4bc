"""The official SDK's responses, through the sidecar and direct: the same answers, the same errors, no silent cut."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import SCRIPT, Bases
from tests.rig.exchanges import Account, Watcher, ask_provider
from tests.rig.process import run_sidecar, run_simulator

TOOLS: Any = [
    {
        "type": "function",
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}},
        "strict": False,
    }
]


class Answer(BaseModel):
    """A structured output: the simulated model's JSON has this form."""

    answer: str


def ask(**more: Any) -> dict[str, Any]:
    """Return the arguments of a call with a seed and a script of its own."""
    script = {**SCRIPT, **more.pop("script", {})}
    headers = {"x-sim-seed": json.dumps([repr(more), script]), "x-sim-script": json.dumps(script), **more.pop("extra_headers", {})}
    return {"model": "sim-small", "input": "Why was order 7 late?", "extra_headers": headers, **more}


ASKS = {
    "text": ask(),
    "items and instructions": ask(input=[{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], instructions="Be brief."),
    "tools": ask(tools=TOOLS),
    "a tool's result": ask(tools=TOOLS, input=[{"type": "function_call_output", "call_id": "call_1", "output": "7"}]),
    "reasoning": ask(model="sim-reasoning", reasoning={"effort": "low", "summary": "auto"}),
    "reasoning and tools": ask(model="sim-reasoning", tools=TOOLS),
    "refusal": ask(script={"refusal": True}),
    "incomplete": ask(max_output_tokens=3),
    "failed": ask(script={"failed": True}),
    "gzip": ask(script={"gzip": True}),
    "close-delimited": ask(script={"fault": "close_delimited"}),
}
STREAMS = {
    **ASKS,
    "crlf": ask(script={"newline": "crlf", "bom": True}),
    "comments": ask(script={"comments": True}),
    "byte by byte": ask(script={"chunk_bytes": 1, "tokens": 4}),
    "without padding": ask(stream_options={"include_obfuscation": False}),
    "background": ask(background=True),
}
ERRORS: dict[str, tuple[dict[str, Any], type[openai.APIStatusError]]] = {
    "400": (ask(input=[]), openai.BadRequestError),
    "401": (ask(extra_headers={"authorization": "Bearer sk-bad"}), openai.AuthenticationError),
    "403": (ask(model="sim-embed"), openai.PermissionDeniedError),
    "404": (ask(model="no-such-model"), openai.NotFoundError),
    "409": (ask(script={"status": 409}), openai.ConflictError),
    "422": (ask(script={"status": 422}), openai.UnprocessableEntityError),
    "429": (ask(script={"fault": "rate_limited", "retry_after_s": 7}), openai.RateLimitError),
    "500": (ask(script={"fault": "server_error"}), openai.InternalServerError),
    "503": (ask(script={"fault": "unavailable"}), openai.InternalServerError),
}
BREAKS = ("cut", "drop", "reset")

Both = tuple[openai.OpenAI, openai.OpenAI]
BothAsync = tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]


def plain(value: Any) -> Any:
    """Return what an application sees of an answer."""
    return [each.to_dict() for each in value] if isinstance(value, list) else value.to_dict()


def told(error: openai.APIStatusError) -> tuple[Any, ...]:
    """Return what an application sees of an error."""
    return type(error), error.status_code, error.code, error.type, error.param, error.body, error.response.headers.get("retry-after")


@pytest.fixture
def both(bases: Bases) -> Iterator[Both]:
    """The synchronous SDK, direct and through."""
    with (
        openai.OpenAI(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        openai.OpenAI(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.fixture
async def both_async(bases: Bases) -> AsyncIterator[BothAsync]:
    """The asynchronous SDK, direct and through."""
    async with (
        openai.AsyncOpenAI(base_url=bases.direct, api_key="sk-x", max_retries=0) as direct,
        openai.AsyncOpenAI(base_url=bases.through, api_key="sk-x", max_retries=0) as through,
    ):
        yield direct, through


@pytest.mark.parametrize("what", ASKS)
def test_a_response_is_the_same(both: Both, what: str) -> None:
    """A whole response, tools and reasoning included."""
    direct, through = (client.responses.create(**ASKS[what]) for client in both)
    assert plain(through) == plain(direct)
    status = {"incomplete": "incomplete", "failed": "failed"}.get(what, "completed")
    assert through.status == status
    if what == "tools":
        assert [item.type for item in through.output] == ["function_call"]


@pytest.mark.parametrize("what", STREAMS)
def test_a_streamed_response_is_the_same(both: Both, what: str) -> None:
    """A streamed response, event for event."""
    direct, through = (plain(list(client.responses.create(**STREAMS[what], stream=True))) for client in both)
    assert through == direct
    assert through[-1]["response"]["status"] in ("completed", "incomplete", "failed")


@pytest.mark.parametrize("what", ASKS)
async def test_an_asynchronous_response_is_the_same(both_async: BothAsync, what: str) -> None:
    """The asynchronous SDK uses its connections differently."""
    direct, through = await asyncio.gather(*(client.responses.create(**ASKS[what]) for client in both_async))
    assert plain(through) == plain(direct)


@pytest.mark.parametrize("what", STREAMS)
async def test_an_asynchronous_stream_is_the_same(both_async: BothAsync, what: str) -> None:
    """Streams read by the asynchronous SDK, event for event."""

    async def read(client: openai.AsyncOpenAI) -> Any:
        return plain([event async for event in await client.responses.create(**STREAMS[what], stream=True)])

    direct, through = await asyncio.gather(*map(read, both_async))
    assert through == direct


@pytest.mark.parametrize("what", ["text", "reasoning and tools", "refusal"])
def test_a_stream_comes_together(both: Both, what: str) -> None:
    """The SDK's own accumulator, which is strict about items and their order, makes the same response of it."""

    def accumulate(client: openai.OpenAI) -> Any:
        with client.responses.stream(**ASKS[what]) as stream:
            return plain(stream.get_final_response())

    direct, through = map(accumulate, both)
    assert through == direct
    assert through["status"] == "completed"


async def test_an_asynchronous_stream_comes_together(both_async: BothAsync) -> None:
    """The accumulator of the asynchronous SDK."""

    async def accumulate(client: openai.AsyncOpenAI) -> Any:
        async with client.responses.stream(**ASKS["tools"]) as stream:
            return plain(await stream.get_final_response())

    direct, through = await asyncio.gather(*map(accumulate, both_async))
    assert through == direct
    assert json.loads(through["output"][0]["arguments"]).keys() == {"place", "days"}


def test_structured_output_is_parsed(both: Both) -> None:
    """A response that is asked for as JSON is parsed to the same object, whole and streamed."""
    arguments = ask(script={"tokens": 5})

    def stream(client: openai.OpenAI) -> Any:
        with client.responses.stream(**arguments, text_format=Answer) as events:
            return events.get_final_response().output_parsed

    whole = [client.responses.parse(**arguments, text_format=Answer).output_parsed for client in both]
    assert isinstance(whole[1], Answer)
    assert whole[1] == whole[0] == stream(both[0]) == stream(both[1])


def test_a_stored_response_is_the_same(both: Both) -> None:
    """Fetched whole, replayed from the start and from an event on."""
    made = both[1].responses.create(**ask())
    whole = [plain(client.responses.retrieve(made.id)) for client in both]
    streams = [plain(list(client.responses.retrieve(made.id, stream=True))) for client in both]
    rest = [plain(list(client.responses.retrieve(made.id, stream=True, starting_after=4))) for client in both]
    assert whole[1] == whole[0] == plain(made)
    assert streams[1] == streams[0]
    assert rest[1] == rest[0] == streams[0][5:]


def test_a_response_in_the_background(both: Both) -> None:
    """It is queued at once, and is there when it is asked for."""
    queued = [client.responses.create(**ask(background=True)) for client in both]
    assert plain(queued[1]) == plain(queued[0])
    assert (queued[1].status, queued[1].usage) == ("queued", None)
    assert both[1].responses.retrieve(queued[1].id).status == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_an_error_is_the_same(both: Both, status: str, stream: bool) -> None:
    """Each class of status is raised as the same exception with the same content."""
    arguments, kind = ERRORS[status]
    errors = []
    for client in both:
        with pytest.raises(kind) as raised:
            client.responses.create(**arguments, stream=stream)
        errors.append(told(raised.value))
    assert errors[1] == errors[0]
    assert errors[1][1] == int(status)


async def test_an_asynchronous_error_is_the_same(both_async: BothAsync) -> None:
    """Each class of status in the asynchronous SDK."""
    for arguments, kind in ERRORS.values():
        errors = []
        for client in both_async:
            with pytest.raises(kind) as raised:
                await client.responses.create(**arguments)
            errors.append(told(raised.value))
        assert errors[1] == errors[0]


def test_fetching_what_is_not_there(both: Both) -> None:
    """A response that is not stored is not found."""
    errors = []
    for client in both:
        with pytest.raises(openai.NotFoundError) as raised:
            client.responses.retrieve("resp_none")
        errors.append(told(raised.value))
    assert errors[1] == errors[0]


def test_an_error_within_a_stream_is_the_same(both: Both) -> None:
    """The provider's own error event is handed on as it came: the SDK does not raise it, and neither do we make it."""
    direct, through = (
        plain(list(client.responses.create(**ask(script={"fault": "error_event", "after_chunks": 5}), stream=True))) for client in both
    )  # fmt: skip
    assert through == direct
    assert len(through) == 6
    assert through[-1]["type"] == "error"


@pytest.mark.parametrize("fault", BREAKS)
def test_a_cut_stream_raises(both: Both, fault: str) -> None:
    """However the provider broke off, the events before it arrive and then the SDK raises: never an answer that only looks whole."""
    seen = []
    with pytest.raises(openai.APIError) as raised:
        for event in both[1].responses.create(**ask(script={"fault": fault, "after_chunks": 7}), stream=True):
            seen.append(event)
    assert len(seen) == 7
    assert (raised.value.code, "stream_cut" in str(raised.value.body)) == ("stream_cut", True)


@pytest.mark.parametrize("fault", BREAKS)
async def test_a_cut_stream_raises_asynchronously(both_async: BothAsync, fault: str) -> None:
    """The same for the accumulator of the asynchronous SDK."""
    with pytest.raises(openai.APIError) as raised:
        async with both_async[1].responses.stream(**ask(script={"fault": fault, "after_chunks": 7})) as stream:
            await stream.get_final_response()
    assert raised.value.code == "stream_cut"


def test_a_cut_replay_raises(both: Both) -> None:
    """A replay that breaks off is no shorter response."""
    made = both[1].responses.create(**ask())
    headers = {"x-sim-script": json.dumps({"fault": "cut", "after_chunks": 4})}
    with pytest.raises(openai.APIError) as raised:
        list(both[1].responses.retrieve(made.id, stream=True, extra_headers=headers))
    assert raised.value.code == "stream_cut"


def test_a_cut_response_raises(both: Both) -> None:
    """A whole response that breaks off raises as it does direct."""
    for client in both:
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            client.responses.create(**ask(script={"fault": "short_body"}))


def test_a_client_timeout_is_the_same(both: Both, bases: Bases) -> None:
    """A client that gives up gets its own exception in its own time, and its call ends as the client's doing."""
    for client in both:
        began = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            client.responses.create(**ask(script={"ttft_ms": 30_000}, model="sim-large"), timeout=0.5)
        assert 0.4 < time.monotonic() - began < 1.5
    deadline = time.monotonic() + 5
    while not any(
        value and labels["ending"] == "client_gone"
        for name, labels, value in read_samples(bases.sidecar.scrape())
        if name == "llm_sidecar_requests_total" and labels["model"] == "sim-large"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


SCRIPTED: dict[str, tuple[dict[str, Any], bool]] = {
    "whole": (ask(), False),
    "stream": (ask(), True),
    "reasoning": (ask(model="sim-reasoning"), True),
    "tools": (ask(tools=TOOLS), True),
    "incomplete": (ask(max_output_tokens=3), False),
    "failed": (ask(script={"failed": True}), False),
    "failed, streamed": (ask(script={"failed": True}), True),
    "background": (ask(background=True), False),
    "background, streamed": (ask(background=True), True),
    "error event": (ask(script={"fault": "error_event"}), True),
    "cut": (ask(script={"fault": "cut"}), True),
    "reset": (ask(script={"fault": "reset"}), True),
    "rate limited": (ask(script={"fault": "rate_limited"}), True),
}


async def test_the_accounts_agree(tmp_path: Path) -> None:
    """Of each exchange, and of each fetch of its response, the ledger's tokens, cost and ending are the sidecar's."""
    differences: list[tuple[str, Account, Account]] = []
    with run_simulator(tmp_path, {"speed": 0}) as provider, run_sidecar(tmp_path, provider) as sidecar:
        async with (
            openai.AsyncOpenAI(base_url=f"{sidecar.url}/openai/v1", api_key="sk-x", max_retries=0) as client,
            httpx.AsyncClient() as looker,
        ):
            watcher = Watcher(looker, sidecar.admin_url)

            async def account(what: str, tag: str) -> None:
                theirs, ours = await ask_provider(looker, provider, tag), await watcher.wait()
                if (ours.ending, ours.tokens, ours.cost_usd) != (theirs.ending, theirs.tokens, pytest.approx(theirs.cost_usd, abs=1e-9)):
                    differences.append((what, theirs, ours))

            for number, (what, (arguments, stream)) in enumerate(SCRIPTED.items()):
                made = await make(client, arguments, stream, f"t{number}")
                await account(what, f"t{number}")
                for streamed in (False, True) if made else ():
                    tag = f"f{number}{streamed}"
                    await fetch(client, made, streamed, tag)
                    await account(f"{what}, fetched {streamed}", tag)
        fetched = [
            name
            for name, labels, value in read_samples(sidecar.scrape())
            if value and labels.get("gen_ai_operation_name") == "fetch_response"
        ]
    assert differences == []
    assert {name.rpartition("_")[0] for name in fetched} == {"gen_ai_client_operation_duration_seconds"}


async def make(client: openai.AsyncOpenAI, arguments: dict[str, Any], stream: bool, tag: str) -> str:
    """Make a call that may fail; return the response's id where it got one."""
    headers = {**arguments["extra_headers"], "x-sim-tag": tag}
    try:
        made = await client.responses.create(**{**arguments, "extra_headers": headers}, stream=stream)
        if isinstance(made, Response):
            return made.id
        events = [event async for event in made]
    except openai.APIError:
        return ""
    return str(events[0].response.id) if events[-1].type != "error" else ""


async def fetch(client: openai.AsyncOpenAI, name: str, stream: bool, tag: str) -> None:
    """Fetch a stored response to its end."""
    headers = {"x-sim-tag": tag}
    if not stream:
        await client.responses.retrieve(name, extra_headers=headers)
        return
    async for _ in await client.responses.retrieve(name, stream=True, extra_headers=headers):
        pass

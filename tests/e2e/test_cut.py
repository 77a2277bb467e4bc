"""Streams broken off at every byte: nobody is shown an end that was none, and nothing whole is called cut."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import openai
import pytest

from tests.rig.caller import Caller, compose
from tests.rig.side import CHAT, Side, facing
from tests.rig.streams import Short, draw_short_streams, write_chunk, write_head
from tests.rig.upstream import End, Script, Upstream

STREAMS = 20
CALLERS = 12
BODY = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
EVENTS = [
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n',
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":" two"}}]}\n\n',
    b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
]


def cuts(end: End) -> Iterator[tuple[Short, int]]:
    """Yield every stream with every place at which it can break."""
    for stream in draw_short_streams(STREAMS):
        for sent_bytes in range(len(stream.wire)):
            if sent_bytes or end is End.RST:
                yield stream, sent_bytes


async def break_off(upstream: Upstream, side: Side, stream: Short, sent_bytes: int, end: End, version: str) -> tuple[str, list[str]]:
    """Have one stream broken off; return the recorded ending and what is wrong with it."""
    name = f"{stream.name}-{sent_bytes}-{end}"
    upstream.scripts[name] = Script([stream.wire[:sent_bytes], 0] if sent_bytes else [], end)
    caller = await Caller.connect(side.url)
    answer = await caller.ask(compose(CHAT, BODY, version=version, name=name))
    caller.leave()
    del upstream.scripts[name]
    record = await side.records.of(answer.request_id)
    expected, ending = stream.expect(sent_bytes, reset=end is End.RST), str(record.ending)
    wrong = []
    if ending != expected:
        wrong.append(f"recorded {ending}, is {expected}")
    if expected == "reset" and (answer.status, answer.field("x-sidecar-error"), answer.whole) != (502, "upstream_reset", True):
        wrong.append(f"shown {answer.status} {answer.field('x-sidecar-error')}")
    if expected == "cut" and (answer.whole or b'"code":"stream_cut"' not in answer.body):
        wrong.append(f"shown whole: {answer.whole}, body ends {bytes(answer.body[-60:])!r}")
    if expected == "completed" and not answer.whole:
        wrong.append("shown as broken")
    return ending, [f"{name} ({stream.framing}, HTTP/{version}): {text}" for text in wrong]


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_a_stream_cut_at_any_byte_is_shown_and_counted_as_cut(end: End) -> None:
    """Wherever the connection breaks, by an orderly close or a reset, the caller gets no clean end and the ending is cut.

    Only where closing is the framing's own end, and every choice had its finish reason, is the answer whole.
    """
    places = cuts(end)
    wrong: list[str] = []
    endings: Counter[str] = Counter()
    async with facing() as (upstream, side):

        async def work() -> None:
            for stream, sent_bytes in places:
                # One in eight callers speaks HTTP/1.0, where an orderly close would look like an end.
                version = "1.0" if sent_bytes % 8 == 7 else "1.1"
                ending, found = await break_off(upstream, side, stream, sent_bytes, end, version)
                endings[ending] += 1
                wrong.extend(found)

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(work())
        assert len(side.records.all) == endings.total()
        gauges = await side.gauges()
    print(f"\n{end}: {endings.total()} cuts, {dict(endings)}", *wrong[:40], sep="\n")
    assert wrong == []
    assert gauges == {"in_flight": 0, "active": 0, "idle": gauges["idle"]}


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_a_stream_without_done_after_its_finish_reason_is_whole(framing: str) -> None:
    """Many providers send no [DONE]: after a finish reason the framing's own end is enough."""
    async with facing() as (upstream, side):
        for count in range(50):
            usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n' if count % 2 else b""
            events = [*EVENTS, usage] if usage else EVENTS
            body = b"".join(events)
            wire = b"".join(map(write_chunk, events)) + b"0\r\n\r\n" if framing == "chunked" else body
            upstream.scripts[f"whole{count}"] = Script(
                [write_head(framing, len(body)), 0, wire], End.FIN if framing == "close" else End.KEEP
            )  # fmt: skip
            caller = await Caller.connect(side.url)
            answer = await caller.ask(compose(CHAT, BODY, name=f"whole{count}"))
            caller.leave()
            assert answer.whole
            assert bytes(answer.body) == body
        await side.records.until(50)
    assert side.records.endings == {"completed": 50}


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_a_whole_answer_cut_at_any_byte_has_no_clean_end(framing: str) -> None:
    """An answer that is not a stream can break off as well; JSON that is not whole shows it where the framing does not."""
    body = b'{"id":"a","model":"m","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":null}'
    head = write_head(framing, len(body)).replace(b"text/event-stream; charset=utf-8", b"application/json")
    wire = head + (write_chunk(body) + b"0\r\n\r\n" if framing == "chunked" else body)
    wrong = []
    async with facing() as (upstream, side):
        for sent_bytes in range(len(head), len(wire)):
            name = f"whole-{sent_bytes}"
            upstream.scripts[name] = Script([wire[:sent_bytes], 0], End.FIN)
            caller = await Caller.connect(side.url)
            answer = await caller.ask(compose(CHAT, {"model": "m", "messages": []}, name=name))
            caller.leave()
            record = await side.records.of(answer.request_id)
            if answer.whole or record.ending != "cut":
                wrong.append(f"{sent_bytes} of {len(wire)}: recorded {record.ending}, shown whole: {answer.whole}")
    print(*wrong[:5], sep="\n")
    assert wrong == []


async def test_a_cut_stream_raises_in_the_sdk() -> None:
    """Who reads a stream that breaks off by the official SDK gets what came, and then an exception."""
    async with facing() as (upstream, side):
        upstream.scripts["cut"] = Script([write_head("chunked", 0), 0, *map(write_chunk, EVENTS[:2])], End.FIN)
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key="sk-x", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers={"x-rig": "cut"}
            )  # fmt: skip
            texts = []
            with pytest.raises(openai.APIError) as raised:
                async for chunk in stream:
                    texts.append(chunk.choices[0].delta.content)
            await stream.close()
    assert texts == ["one", " two"]
    assert raised.value.code == "stream_cut"
    assert side.records.endings == {"cut": 1}

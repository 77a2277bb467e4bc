"""Two thousand streams of every shape: what passes is what came, and what is recorded is what was so."""

import asyncio
from collections import Counter
from hashlib import sha256

from sidecar.exchange import Record
from tests.rig.caller import Answer, Caller, compose
from tests.rig.side import CHAT, Side, running
from tests.rig.streams import LONG_BYTES, Stream, draw_stream
from tests.rig.upstream import Upstream

STREAMS = 2000
CALLERS = 8
# Usage is asked for already, so the sidecar has no reason to touch anything.
BODY = {"model": "sim-small", "messages": [], "stream": True, "stream_options": {"include_usage": True}}


async def carry(side: Side, upstream: Upstream, stream: Stream) -> tuple[Answer, Record]:
    """Have one stream carried and return what the caller and the sidecar saw."""
    upstream.scripts[stream.name] = stream.script
    caller = await Caller.connect(side.url)
    answer = await caller.ask(compose(CHAT, BODY, fields=[("accept-encoding", "gzip")], name=stream.name))
    caller.leave()
    del upstream.scripts[stream.name]
    return answer, await side.records.of(answer.request_id)


def differences(stream: Stream, answer: Answer, record: Record) -> list[str]:
    """Return where the two accounts are not the truth."""
    truth, found = stream.truth, []
    body = bytes(answer.body)
    if truth.ending == "cut":
        # What came is passed on; behind it stands at most our own event, and no clean end.
        own = body[len(stream.body) :]
        if not body.startswith(stream.body) or not (own.startswith(b'\n\ndata: {"error"') if not stream.gzip else own == b""):
            found.append("bytes differ")
        if answer.whole:
            found.append("a stream that was cut was shown with a clean end")
    else:
        if sha256(body).digest() != sha256(stream.body).digest():
            found.append(f"bytes differ: {len(body)} for {len(stream.body)}")
        if not answer.whole:
            found.append("no end")
    usage = None if record.usage is None else tuple(record.usage)
    for what, seen, so in (
        ("ending", str(record.ending), truth.ending),
        ("usage", usage, truth.usage),
        ("finish reasons", tuple(record.seen.finish_reasons), truth.finish_reasons),
        ("response bytes", record.response_bytes, len(stream.body)),
        ("observer failed", record.observer_failed, False),
    ):
        if seen != so:
            found.append(f"{what}: recorded {seen}, is {so}")
    return found


async def test_every_stream_passes_as_it_came_and_is_recorded_as_it_was() -> None:
    """Whatever its splits, newlines, framing and coding, a stream's bytes, usage, finish reasons and ending are kept."""
    upstream = Upstream()
    await upstream.start()
    numbers = iter(range(STREAMS))
    wrong: list[str] = []
    shapes: Counter[str] = Counter()
    async with running(upstream.url) as side:

        async def work() -> None:
            for number in numbers:
                stream = draw_stream(number)
                shapes.update((stream.framing, stream.truth.ending, "gzip" if stream.gzip else "plain"))
                shapes["bytes"] += len(stream.body)
                shapes["pieces"] += len(stream.pieces)
                shapes["long"] += len(stream.body) > LONG_BYTES
                answer, record = await carry(side, upstream, stream)
                shape = f"{stream.name} ({stream.framing}, gzip {stream.gzip})"
                wrong.extend(f"{shape}: {text}" for text in differences(stream, answer, record))

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(work())
        assert len(side.records.all) == STREAMS
        assert (await side.gauges())["in_flight"] == 0
    await upstream.stop()
    print(f"\n{STREAMS} streams: {dict(shapes)}", *wrong, sep="\n")
    assert wrong == []

"""Streams of lines broken off at every byte, in an answer whose framing ends as it should: none is shown as whole."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.rig.caller import Caller, compose
from tests.rig.side import PREFIX, Side, facing
from tests.rig.upstream import End, Script, Upstream

CALLERS = 8
BODY = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
LINES = [
    b'{"model":"m","created_at":"2026-03-02T09:15:04.118204417Z","message":{"role":"assistant","content":"} \\"done\\":true"},'
    b'"done":false}\n',
    b'{"model":"m","created_at":"2026-03-02T09:15:04.139581530Z","message":{"role":"assistant","content":""},"done":true,'
    b'"done_reason":"stop","prompt_eval_count":26,"eval_count":5}\n',
]
STREAM = b"".join(LINES)
WHOLE_FROM = len(STREAM) - 1  # the last line needs no line feed
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n"


def script(sent_bytes: int, framing: str) -> Script:
    """Send so much of the stream, and end as the framing says."""
    body = STREAM[:sent_bytes]
    if framing == "close":
        return Script([_HEAD + b"connection: close\r\n\r\n" + body], End.FIN)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return Script([_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"])


def reads_as_whole(body: bytes) -> bool:
    """Whether a client that reads line by line takes this for an answer with its end."""
    try:
        lines = [json.loads(line) for line in body.splitlines()]
    except ValueError:
        return False
    return not any("error" in line for line in lines)


async def break_off(upstream: Upstream, side: Side, sent_bytes: int, framing: str) -> list[str]:
    """Have one stream broken off; return what is wrong with it."""
    name = str(sent_bytes)
    upstream.scripts[name] = script(sent_bytes, framing)
    caller = await Caller.connect(side.url)
    answer = await caller.ask(compose(f"{PREFIX}/api/chat", BODY, name=name))
    caller.leave()
    record = await side.records.of(answer.request_id)
    is_whole = sent_bytes >= WHOLE_FROM
    wrong = []
    if str(record.ending) != ("completed" if is_whole else "cut"):
        wrong.append(f"{name}: recorded {record.ending}")
    if (record.usage is not None) != is_whole:
        wrong.append(f"{name}: usage {record.usage}")
    if answer.whole != is_whole or reads_as_whole(bytes(answer.body)) != is_whole:
        wrong.append(f"{name}: shown whole: {answer.whole}, {bytes(answer.body[-60:])!r}")
    if not is_whole and b"stream_cut" not in answer.body:
        wrong.append(f"{name}: not told")
    return wrong


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_stream_of_lines_cut_at_any_byte_is_shown_and_counted_as_cut(framing: str) -> None:
    """Only the last line makes the answer whole; what broke off before it has an error in it and no clean end."""
    places: Iterator[int] = iter(range(len(STREAM) + 1))
    wrong: list[str] = []
    async with facing() as (upstream, side):

        async def work() -> None:
            for sent_bytes in places:
                wrong.extend(await break_off(upstream, side, sent_bytes, framing))

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(work())
        assert len(side.records.all) == len(STREAM) + 1
    assert wrong == []

"""What providers say of their limits: passed on byte for byte, shown as gauges; replayed answers shown apart."""

import asyncio
from typing import Any

import pytest

from sidecar.core.attempt.compose import LAST_CHUNK, frame_chunk
from sidecar.simulator.accounts import read_samples
from tests.rig.caller import compose, fetch
from tests.rig.side import CHAT, Side, facing
from tests.rig.upstream import Script

BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": []}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
ERROR = b'{"error":{"message":"no","type":"requests","param":null,"code":"rate_limit_exceeded"}}'
EVENTS = (
    b'data: {"id":"c","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\ndata: [DONE]\n\n'
)
FIELDS = [
    b"Retry-After: 7", b"retry-after-ms:  6543", b"X-Should-Retry: true", b"x-ratelimit-limit-requests: 500",
    b"X-RateLimit-Remaining-Requests: 0", b"x-ratelimit-reset-requests: 1m30.5s", b"x-ratelimit-remaining-tokens: -1",
    b"anthropic-ratelimit-input-tokens-remaining: 39000", b"anthropic-ratelimit-input-tokens-reset: 2026-01-01T00:00:00Z",
    b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", b"X-RateLimit-Reset: 1763683200000",
]  # fmt: skip


def write(status: bytes, kind: bytes, fields: list[bytes], body: bytes) -> bytes:
    """A whole answer as an upstream sends it."""
    head = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def read_raw(url: str, request: bytes) -> bytes:
    """All that comes back, byte for byte, to the end of the connection."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def read_levels(side: Side) -> dict[tuple[str, str], float]:
    """Every rate-limit gauge: by measure and kind."""
    prefix = "llm_sidecar_upstream_ratelimit_"
    samples = read_samples(await side.scrape())
    return {(name.removeprefix(prefix), labels["kind"]): value for name, labels, value in samples if name.startswith(prefix)}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (b"429 Too Many Requests", b"application/json", ERROR),
        (b"503 Service Unavailable", b"application/json", ERROR),
        (b"529 Overloaded", b"application/json", ERROR),
        (b"429 Too Many Requests", b"text/event-stream", b"data: " + ERROR + b"\n\n"),
        (b"200 OK", b"text/event-stream", EVENTS),
    ],
)
async def test_what_a_client_goes_by_is_untouched(status: bytes, kind: bytes, body: bytes, stream: bool) -> None:
    """Every field, in its spelling, with its value and in its place, however often it is there."""
    async with facing() as (upstream, side):
        upstream.scripts["it"] = Script([write(status, kind, FIELDS, body)])
        asked = STREAM if stream else BODY
        answer = await read_raw(side.url, compose(CHAT, asked, name="it", fields=[("connection", "close")]))
        assert await read_levels(side) == {
            ("limit", "requests"): 500, ("remaining", "requests"): 0, ("remaining", "input_tokens"): 39000,
        }  # fmt: skip
    head, _, sent = answer.partition(b"\r\n\r\n")
    assert sent == (frame_chunk(body) + LAST_CHUNK if kind == b"text/event-stream" else body)
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 " + status
    first = lines.index(FIELDS[0])
    assert lines[first : first + len(FIELDS)] == FIELDS


async def test_a_replayed_answer_is_told_from_a_call() -> None:
    """OpenRouter's own cache: a request, unbilled, in no histogram of tokens or of streams; the next one is ordinary again."""
    hit = write(b"200 OK", b"text/event-stream", [b"X-OpenRouter-Cache-Status: HIT", b"X-Generation-Id: gen-1"], EVENTS)
    miss = write(b"200 OK", b"text/event-stream", [b"X-OpenRouter-Cache-Status: MISS"], EVENTS)
    async with facing() as (upstream, side):
        upstream.scripts |= {"hit": Script([hit]), "miss": Script([miss])}
        for name, replayed, counted in (("hit", 1, 0), ("miss", 1, 1)):
            answer = await fetch(side.url, compose(CHAT, STREAM, name=name))
            assert answer.body == EVENTS
            found: dict[str, float] = {}
            for sample, _, value in read_samples(await side.scrape()):
                found[sample] = found.get(sample, 0.0) + value
            assert found["llm_sidecar_replayed_answers_total"] == replayed
            assert found.get("llm_sidecar_time_to_first_token_seconds_count", 0) == counted
            assert found.get("gen_ai_client_token_usage_count", 0) == 2 * counted
        records = await side.records.until(2)
        assert [(record.seen.replayed, record.cost and record.cost.source) for record in records] == [(True, "provider"), (False, "table")]

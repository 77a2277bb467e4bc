"""OpenAI's other interfaces: carried untouched, timed, and not judged by a form that is not theirs."""

import json
from random import Random
from typing import Any

import openai
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.caller import Caller, compose
from tests.rig.side import Side, facing
from tests.rig.streams import write_chunk
from tests.rig.upstream import End, Script, Upstream, Visit

SOUND = Random(7).randbytes(300_000)  # every byte value, line ends and boundaries among them
BOUNDARY = "x7d1f2a9"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
).encode() + SOUND + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip
TRANSCRIPT = [
    b'event: transcript.text.delta\ndata: {"type":"transcript.text.delta","delta":"I see"}\n\n',
    b'event: transcript.text.delta\ndata: {"type":"transcript.text.delta","delta":" skies"}\n\n',
    b'event: transcript.text.done\ndata: {"type":"transcript.text.done","text":"I see skies",'
    b'"usage":{"input_tokens":14,"output_tokens":31}}\n\n',
]
IMAGES = [
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"%b"}\n\n'
    % (b"iVBORw0KGgo" * 20_000),
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"%b"}\n\n' % (b"iVBORw0KGgo" * 200_000),
]
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
POSTS = (
    "/audio/speech", "/audio/transcriptions", "/audio/translations", "/images/generations", "/images/edits", "/images/variations",
    "/moderations", "/files", "/uploads", "/batches", "/videos", "/vector_stores", "/conversations", "/fine_tuning/jobs", "/decisions",
)  # fmt: skip
OTHERS = (
    ("POST", "/responses/resp_{}/cancel"), ("POST", "/responses/compact"), ("POST", "/responses/input_tokens"),
    ("DELETE", "/responses/resp_{}"), ("GET", "/responses/resp_{}/input_items"), ("GET", "/files/file-{}/content"),
    ("POST", "/threads/thread_{}/runs"), ("POST", "/vector_stores/vs_{}/files"), ("GET", "/videos/video_{}/content"),
    ("POST", "/uploads/upload_{}/parts"), ("GET", "/batches/batch_{}"), ("POST", "/assistants"), ("GET", "/models/model-{}"),
)  # fmt: skip


def answer_with(body: bytes, content_type: str) -> bytes:
    """Return a whole answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (content_type.encode(), len(body), body)


def stream_with(events: list[bytes], end: End = End.KEEP) -> Script:
    """Return a script that sends a stream, an event at a time; broken off where `end` says so."""
    last = [b"0\r\n\r\n"] if end is End.KEEP else []
    return Script([SSE_HEAD, *(part for event in events for part in (0, write_chunk(event))), *last], end)


async def call(side: Side, request: bytes) -> Any:
    """Make one call; return its answer and its record."""
    caller = await Caller.connect(side.url)
    answer = await caller.ask(request)
    caller.leave()
    return answer, await side.records.of(answer.request_id)


async def test_multipart_passes_untouched() -> None:
    """A form with a sound file arrives byte for byte, with its boundary; nothing of it is taken for a request."""
    async with facing() as (upstream, side):
        upstream.scripts["a"] = Script([answer_with(b'{"text":"I see skies"}', "application/json")])
        fields = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"), ("Content-Length", str(len(FORM)))]
        request = compose("/openai/v1/audio/transcriptions", fields=fields, name="a") + FORM
        answer, record = await call(side, request)
        (visit,) = upstream.visits
    assert bytes(visit.body) == FORM
    assert (b"content-type", fields[0][1].encode()) in visit.headers
    assert bytes(answer.body) == b'{"text":"I see skies"}'
    assert (str(record.ending), record.operation, record.asked.model, record.asked.readable) == ("completed", "http", None, True)
    assert record.template == "/openai/v1/audio/transcriptions"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_sound_passes_untouched(framing: str) -> None:
    """A binary answer arrives byte for byte, however its end is told."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n"
    steps = {
        "length": [head + b"Content-Length: %d\r\n\r\n" % len(SOUND), SOUND],
        "chunked": [head + b"Transfer-Encoding: chunked\r\n\r\n", 0, write_chunk(SOUND), b"0\r\n\r\n"],
        "close": [head + b"\r\n", 0, SOUND],
    }[framing]
    async with facing() as (upstream, side):
        upstream.scripts["a"] = Script(steps, End.FIN if framing == "close" else End.KEEP)
        answer, record = await call(side, compose("/openai/v1/audio/speech", {"model": "tts-1", "input": "x"}, name="a"))
    assert bytes(answer.body) == SOUND
    assert (answer.whole, str(record.ending), record.seen.chunks) == (True, "completed", 0)


@pytest.mark.parametrize(
    "events", [TRANSCRIPT, IMAGES, TRANSCRIPT[:2], [b": only a comment\n\n"]], ids=["text", "image", "no end", "comment"]
)
async def test_streams_of_other_forms_are_not_judged(events: list[bytes]) -> None:
    """An event stream of a form that is not known passes untouched, and whether it came to its own end is not guessed."""
    async with facing() as (upstream, side):
        upstream.scripts["a"] = stream_with(events)
        answer, record = await call(side, compose("/openai/v1/images/generations", {"model": "m", "stream": True}, name="a"))
        samples = list(read_samples(await side.scrape()))
    assert bytes(answer.body) == b"".join(events)
    assert (answer.whole, str(record.ending), record.usage) == (True, "completed", None)
    assert not any(
        name.startswith(("gen_ai", "llm_sidecar_tokens", "llm_sidecar_time_to_first_token")) and value for name, _, value in samples
    )


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_a_stream_of_another_form_that_breaks_off_is_cut(end: End) -> None:
    """What its framing shows to be cut is cut, and nothing that could be taken for content is put into it."""
    async with facing() as (upstream, side):
        upstream.scripts["a"] = stream_with(TRANSCRIPT[:2], end)
        answer, record = await call(side, compose("/openai/v1/audio/transcriptions", {"model": "m"}, name="a"))
    assert (answer.whole, bytes(answer.body), str(record.ending)) == (False, b"".join(TRANSCRIPT[:2]), "cut")


async def test_templates_stay_bounded() -> None:
    """What callers choose is in no label: known paths have names, all others are one."""

    def answer(visit: Visit) -> Script:
        return Script([answer_with(b"{}", "application/json")])

    async with facing() as (upstream, side):
        upstream.otherwise = answer
        caller = await Caller.connect(side.url)
        for end in POSTS:
            await caller.ask(compose(f"/openai/v1{end}", {"model": "m"}))
        for number in range(20):
            for method, path in OTHERS:
                await caller.ask(compose(f"/openai/v1{path.format(f'c4n4ry{number}')}", method=method))
            await caller.ask(compose(f"/openai/v1/responses/resp_c4n4ry{number}", method="GET"))
        caller.leave()
        await side.records.until(len(POSTS) + 20 * (len(OTHERS) + 1))
        scrape = await side.scrape()
    assert "c4n4ry" not in scrape
    routes = {labels["http_route"] for name, labels, _ in read_samples(scrape) if "http_route" in labels}
    known = {f"/openai/v1{end}" for end in POSTS}
    assert routes == known | {"/openai/*", "/openai/*/files", "/openai/v1/responses/{response_id}"}


async def test_the_sdk_uploads_and_downloads() -> None:
    """Files, transcriptions and speech by the official SDK."""
    async with facing() as (upstream, side):
        upstream.otherwise = answer_sdk
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key="sk-x", max_retries=0) as client:
            file = await client.files.create(file=("a.jsonl", b'{"a":1}\n' * 9), purpose="batch")
            speech = await client.audio.speech.create(model="tts-1", voice="alloy", input="x")
            stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", SOUND), stream=True)
            kinds = [event.type async for event in stream]
    assert (file.id, speech.content) == ("file-1", SOUND)
    assert kinds == ["transcript.text.delta", "transcript.text.delta", "transcript.text.done"]
    assert all(SOUND in visit.body for visit in visits_of(upstream, "/v1/audio/transcriptions"))
    assert side.records.endings == {"completed": 3}


def answer_sdk(visit: Visit) -> Script:
    """Answer the calls of the SDK."""
    if visit.target == "/v1/audio/speech":
        return Script([answer_with(SOUND, "audio/mpeg")])
    if visit.target == "/v1/audio/transcriptions":
        return stream_with(TRANSCRIPT)
    file = {
        "id": "file-1",
        "object": "file",
        "bytes": 72,
        "created_at": 1,
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
    }
    return Script([answer_with(json.dumps(file).encode(), "application/json")])


def visits_of(upstream: Upstream, target: str) -> list[Visit]:
    """Return the requests for one target; there is one at least."""
    visits = [visit for visit in upstream.visits if visit.target == target]
    assert visits
    return visits

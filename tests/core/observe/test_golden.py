"""Whole conversations as providers send them, against what must be seen of each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects import DIALECTS as ALL
from sidecar.core.observe.observer import observe, read_media_type

DATA = Path(__file__).parents[2] / "data"
DIALECTS = {dialect.name: dialect for dialect in ALL}
CASES = sorted(path.relative_to(DATA).as_posix() for name in DIALECTS for path in (DATA / name).glob("*"))
STREAM_TAIL = b'data: {"choices":[{"index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":999}}'
LINE_TAIL = b'{"done":true,"done_reason":"length","prompt_eval_count":999,"eval_count":999'
ELEMENT_TAIL = b',{"candidates":[{"index":0,"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":999}'


def open_case(case: str) -> tuple[Observer, bytes, dict[str, Any]]:
    """An observer for the case, its bytes, and what is expected."""
    folder = DATA / case
    meta = json.loads((folder / "meta.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())
    body = next(folder.glob("response.*")).read_bytes()
    observer = observe(
        DIALECTS[folder.parent.name], status=meta["status"], media_type=read_media_type(meta["content_type"]),
        content_encoding=meta["content_encoding"], limits=Limits(), gap_edges=(0.5, 1.0),
    )  # fmt: skip
    return observer, body, expected["seen"]


def describe(observer: Observer, first_token_chunk: int | None) -> dict[str, Any]:
    """What was seen, in the form of the expected files."""
    seen = observer.seen
    return {
        "model": seen.model,
        "response_id": seen.response_id,
        "service_tier": seen.service_tier,
        "finish_reasons": seen.finish_reasons,
        "usage": None if seen.usage is None else seen.usage._asdict() | ({"cache_write_1h": kept} if (kept := seen.cache_write_1h) else {}),
        "cost_usd": seen.cost_usd,
        "error_type": seen.error_type,
        "chunks": seen.chunks,
        "first_token_chunk": first_token_chunk,
        "ended_well": observer.ended_well,
        "skipped": observer.skipped,
    }


def byte_by_byte(observer: Observer, body: bytes) -> int | None:
    """Feed single bytes, a second apart; return which chunk brought the first token."""
    first = None
    for position in range(len(body)):
        observer.feed(body[position : position + 1], float(position))
        if first is None and observer.seen.first_token is not None:
            first = observer.seen.chunks
    observer.finish(float(len(body)))
    return first


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each golden case in turn."""
    yield request.param


def test_whole(case: str) -> None:
    """An answer in one piece is seen as expected."""
    observer, body, expected = open_case(case)
    observer.feed(body, 1.0)
    observer.finish(2.0)
    assert describe(observer, expected["first_token_chunk"]) == expected
    assert (observer.seen.first_token is not None) == (expected["first_token_chunk"] is not None)


def test_byte_by_byte(case: str) -> None:
    """Cut into single bytes it is seen alike, and the first token at the right chunk."""
    observer, body, expected = open_case(case)
    assert describe(observer, byte_by_byte(observer, body)) == expected


def test_in_odd_pieces(case: str) -> None:
    """Cut at every 97th byte it is seen alike."""
    observer, body, expected = open_case(case)
    for start in range(0, len(body), 97):
        observer.feed(body[start : start + 97], float(start))
    observer.finish(9e9)
    assert describe(observer, expected["first_token_chunk"]) == expected


def test_with_a_tail(case: str) -> None:
    """An event that is begun and not ended after it changes nothing, nor do spaces after JSON or padding after gzip."""
    observer, body, expected = open_case(case)
    if case.endswith("gzip"):
        tail = b"\0\0\0\0"
    elif "x-ndjson" in (DATA / case / "meta.json").read_text():
        tail = LINE_TAIL if body.endswith(b"\n") else b" "  # a line needs no end of its own
    elif expected["ended_well"] is not None and "application/json" in (DATA / case / "meta.json").read_text():
        tail = ELEMENT_TAIL
    elif expected["ended_well"] is not None and not case.endswith(("/cut", "/cut_before_blank_line", "/error_without_last_newline")):
        tail = STREAM_TAIL
    else:
        tail = b" "
    observer.feed(body, 1.0)
    observer.feed(tail, 2.0)
    observer.finish(3.0)
    expected["skipped"] = "not_json" if case.endswith("error_empty") else expected["skipped"]
    assert describe(observer, expected["first_token_chunk"]) == expected


def test_request(case: str) -> None:
    """The request is peeked at as expected."""
    folder = DATA / case
    path = json.loads((folder / "meta.json").read_text()).get("path", "/v1")
    asked = DIALECTS[folder.parent.name].ask((folder / "request.json").read_bytes(), path)
    found = msgspec.structs.asdict(asked) | {
        "params": {name: list(value) if isinstance(value, tuple) else value for name, value in asked.params.items()}
    }
    of_tools = {"tool": None, "mcp_method": None}  # what only tool routes have
    assert found == of_tools | json.loads((folder / "expected.json").read_text())["asked"]

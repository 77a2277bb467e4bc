"""Whole exchanges with MCP servers, against what must be seen of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects.mcp import Mcp
from sidecar.core.observe.observer import observe, read_media_type

DATA = Path(__file__).parents[2] / "data" / "mcp"
CASES = sorted(path.name for path in DATA.iterdir())
TAIL = b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"isError":true}}'  # begun and not ended


def open_case(case: str) -> tuple[Mcp, Observer, bytes, dict[str, Any]]:
    """A dialect that has seen the request, an observer, the answer's bytes, and what is expected."""
    folder = DATA / case
    meta = json.loads((folder / "meta.json").read_text())
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    mcp = Mcp()
    asked = mcp.ask((folder / "request.json").read_bytes(), "/mcp")
    assert {"tool": asked.tool, "mcp_method": asked.mcp_method} == expected["asked"]
    assert mcp.awaits
    observer = observe(
        mcp, status=meta["status"], media_type=read_media_type(meta["content_type"]), content_encoding=meta["content_encoding"],
        limits=Limits(), gap_edges=(0.5, 1.0),
    )  # fmt: skip
    return mcp, observer, next(folder.glob("response.*")).read_bytes(), expected["seen"]


def describe(observer: Observer) -> dict[str, Any]:
    """What was seen, in the form of the expected files."""
    seen = observer.seen
    return {"error_type": seen.error_type, "ended_well": observer.ended_well, "resumable": seen.resumable, "skipped": observer.skipped}


@pytest.mark.parametrize("size", [1, 7, 97, 1 << 20])
@pytest.mark.parametrize("case", CASES)
def test_in_pieces(case: str, size: int) -> None:
    """However an answer is cut into pieces, the same is seen of it."""
    _, observer, body, expected = open_case(case)
    for start in range(0, len(body), size):
        observer.feed(body[start : start + size], float(start))
    observer.finish(9e9)
    assert describe(observer) == expected


@pytest.mark.parametrize("case", [case for case in CASES if (DATA / case / "response.txt").exists() and not case.endswith("within")])
def test_with_a_tail(case: str) -> None:
    """An event that is begun and not ended changes nothing."""
    _, observer, body, expected = open_case(case)
    observer.feed(body, 1.0)
    observer.feed(TAIL, 2.0)
    observer.finish(3.0)
    assert describe(observer) == expected

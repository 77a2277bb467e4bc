"""Bytes: what a caller sees through the sidecar is what it would see without it, though usage was asked for."""

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.calls import STREAMS, Bases, chat
from tests.rig.process import RunningSidecar

# Fields that each server writes for itself.
OWN_FIELDS = ("x-sidecar-request-id", "x-sidecar-upstream", "x-sidecar-attempts")


def fields_of(response: httpx.Response) -> list[tuple[str, str]]:
    """Return an answer's fields without those that each hop writes for itself."""
    own = (*OWN_FIELDS, "connection", "transfer-encoding", "x-request-id")
    return [(name, value) for name, value in response.headers.multi_items() if name not in own]


@pytest.mark.parametrize("what", STREAMS)
def test_bytes_are_the_same_though_usage_was_asked_for(bases: Bases, what: str) -> None:
    """The caller of a stream sees the same bytes and fields as without us, and the sidecar has the usage all the same."""
    arguments = {**STREAMS[what], "stream": True}
    headers = {**arguments.pop("extra_headers"), "authorization": "Bearer sk-x"}
    with httpx.Client() as client:
        before = count_usage(bases.sidecar)
        direct, through = (
            client.post(f"{base}/chat/completions", json=arguments, headers=headers) for base in (bases.direct, bases.through)
        )  # fmt: skip
    assert through.status_code == direct.status_code == 200
    assert through.content == direct.content
    # To take an event out it must be readable: a stream for which we ask comes uncompressed.
    assert fields_of(through) == [field for field in fields_of(direct) if what != "gzip" or field[0] != "content-encoding"]
    deadline = time.monotonic() + 5
    while count_usage(bases.sidecar) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    after = count_usage(bases.sidecar)
    gained = {source for source, value in after.items() if value != before[source]}
    # A caller that says no is taken at its word.
    assert gained == ({"absent"} if what == "usage refused" else {"reported"})


def count_usage(sidecar: RunningSidecar) -> dict[str, float]:
    """Return exchanges by where their token counts came from."""
    return {
        labels["source"]: value
        for name, labels, value in read_samples(sidecar.scrape())
        if name == "llm_sidecar_usage_records_total"
    }  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_curl_sees_the_same(bases: Bases, tmp_path: Path, stream: bool) -> None:
    """curl, with its Expect and its own framing: the same body and status."""
    arguments = chat(stream=stream)
    # Large enough for curl to ask before it sends.
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "x" * 1_200_000}], "stream": stream}
    (tmp_path / "body.json").write_text(json.dumps(body), encoding="utf-8")
    seen = []
    for base in (bases.direct, bases.through):
        fields = [f"{name}: {value}" for name, value in arguments["extra_headers"].items()]
        done = subprocess.run(
            ["curl", "-sS", "-N", "--max-time", "20", "-w", "\n%{http_code}", *[part for field in fields for part in ("-H", field)],
             "-H", "content-type: application/json", "--data-binary", f"@{tmp_path / 'body.json'}", f"{base}/chat/completions"],
            capture_output=True, check=True,
        )  # fmt: skip
        seen.append(without_cache(done.stdout))
    assert seen[1] == seen[0]
    assert seen[1].endswith(b"\n200")


def without_cache(body: bytes) -> bytes:
    """Return an answer without the one number that the provider's memory of prompts changes from call to call."""
    start = body.find(b'"cached_tokens":')
    return body if start < 0 else body[:start] + body[body.index(b",", start) :]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
def test_httpx_sees_the_same_of_what_is_not_understood(bases: Bases, method: str) -> None:
    """Any method and path goes through, query and all."""
    with httpx.Client() as client:
        direct, through = (client.request(method, f"{base}/models?limit=2&after=%2F") for base in (bases.direct, bases.through))
    assert (through.status_code, through.content, fields_of(through)) == (direct.status_code, direct.content, fields_of(direct))

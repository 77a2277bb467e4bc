"""sidecar/simulator/traffic.py"""

import asyncio
import time

import pytest
from aiohttp import ClientSession

from sidecar.simulator import Simulator
from sidecar.simulator.errands import Errand, choose_errand
from sidecar.simulator.traffic import Sight, Traffic, run_errand, run_traffic

_CHAT = b'{"model": "sim-small", "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "x"}]}'


def _errand(script: str, **members: object) -> Errand:
    headers = (("x-sim-script", script), ("content-type", "application/json"))
    return Errand(1, "stream", "POST", "/v1/chat/completions", headers, _CHAT)._replace(**members)  # type: ignore[arg-type]


async def _see(simulator: Simulator, script: str, **members: object) -> Sight:
    async with ClientSession() as session:
        return await run_errand(session, simulator.url, _errand(script, **members))


async def test_a_complete_stream(simulator: Simulator) -> None:
    """A caller sees the usage and the bytes that the ledger has."""
    sight = await _see(simulator, '{"tokens": 5}')
    (entry,) = simulator.ledger.entries
    assert (sight.is_complete, sight.status, sight.error, sight.chunks) == (True, 200, None, 8)
    assert sight.usage is not None and sight.usage["completion_tokens"] == entry.reported_tokens.completion == 5
    assert (sight.body_sha256, sight.body_bytes) == (entry.tell()["sha256"], entry.body_bytes)
    assert sight.first_byte_s is not None and sight.started_s <= sight.first_byte_s <= sight.ended_s


async def test_first_token(simulator: Simulator) -> None:
    """A caller's first token is the first that the model wrote, not the role that comes before it."""
    sight = await _see(simulator, '{"tokens": 1, "ttft_ms": 50}')
    assert sight.first_byte_s is not None and sight.first_token_s is not None
    assert sight.first_token_s - sight.first_byte_s >= 0.02
    assert (await _see(simulator, '{"tokens": 0}')).first_token_s is None


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ('{"fault": "reset"}', 200, "ClientPayloadError"), ('{"fault": "drop"}', 200, "ClientPayloadError"),
        ('{"fault": "cut"}', 200, None),
        ('{"fault": "reset_before_head"}', None, "ClientOSError"), ('{"fault": "garbage_http"}', None, "ClientResponseError"),
        ('{"fault": "error_event"}', 200, "server_error"), ('{"status": 429}', 429, "rate_limit_exceeded"),
    ],
)  # fmt: skip
async def test_what_goes_wrong(simulator: Simulator, script: str, status: int | None, error: str | None) -> None:
    """An answer that broke off, or that is an error, is never seen as complete."""
    sight = await _see(simulator, script)
    assert (sight.status, sight.is_complete, sight.error, sight.has_left) == (status, False, error, False)


async def test_without_done(simulator: Simulator) -> None:
    """A finish reason is an end, [DONE] or not."""
    assert (await _see(simulator, '{"fault": "no_done"}')).is_complete


@pytest.mark.parametrize(
    ("script", "members"),
    [('{"gap_ms": 50, "tokens": 500}', {"leaves_after_chunks": 2}), ('{"ttft_ms": 60000}', {"leaves_after_s": 0.02})],
)
async def test_leaving(simulator: Simulator, script: str, members: dict[str, object]) -> None:
    """A caller that hangs up says so, and the provider notices."""
    sight = await _see(simulator, script, **members)
    assert (sight.has_left, sight.is_complete, sight.error) == (True, False, None)
    async with asyncio.timeout(5):
        while simulator.ledger.open_count:
            await asyncio.sleep(0.001)
    assert simulator.ledger.entries[0].outcome == "client_gone"


async def test_bounded_in_number(simulator: Simulator) -> None:
    """So many calls are made, each errand once, and what callers saw is what the ledger says was sent."""
    sights: list[Sight] = []
    await run_traffic(Traffic(simulator.url, seed=3, calls=40, callers=8), sights.append)
    sent = {entry.tag: entry.tell()["sha256"] for entry in simulator.ledger.entries}
    assert sorted(sight.number for sight in sights) == list(range(40))
    assert {f"3-{sight.number}": sight.body_sha256 for sight in sights} == sent
    assert all(sight.is_complete for sight in sights)


async def test_bounded_in_time(simulator: Simulator) -> None:
    """When the time is over no further call begins."""
    began_s = time.monotonic()
    await run_traffic(Traffic(simulator.url, duration_s=0.1, callers=2, think_s=0.05), lambda _: None)
    assert 0.1 <= time.monotonic() - began_s < 3


async def test_told_to_stop(simulator: Simulator) -> None:
    """Callers stop when told, even while they think."""
    stop, sights = asyncio.Event(), list[Sight]()

    def note(sight: Sight) -> None:
        sights.append(sight)
        stop.set()

    async with asyncio.timeout(5):
        await run_traffic(Traffic(simulator.url, callers=1, think_s=0.001), note, stop)
        stop.clear()
        asyncio.get_running_loop().call_soon(stop.set)
        await run_traffic(Traffic(simulator.url, callers=2, think_s=1e9), sights.append, stop)
    assert len(sights) == 1


async def test_errands_are_those_of_the_seed(simulator: Simulator) -> None:
    """Traffic runs the errands that the seed decides."""
    await run_traffic(Traffic(simulator.url, seed=9, calls=5, callers=1), lambda _: None)
    assert [entry.path for entry in simulator.ledger.entries] == [choose_errand(9, number).path for number in range(5)]

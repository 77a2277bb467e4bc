"""A collector that is dead, hangs or refuses: calls notice nothing, lost spans are counted, and the stop is not held up."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.simulator.accounts import read_samples
from tests.edge.telemetry.receiver import receive
from tests.rig.caller import Caller, compose
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.side import CHAT
from tests.rig.upstream import Script, Upstream

BODY = b'{"model":"m","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
ANSWER = Script([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)])
REQUEST = compose(CHAT, {"model": "m", "messages": []}, name="it")
ROUNDS, CALLS, CALLERS = 6, 300, 4
SPANS_PER_CALL = 3
TOTAL = (ROUNDS + 1) * CALLS * SPANS_PER_CALL
SETTLE_S = 20.0  # the exporter rests between slices, so its last batches fail when their turn comes
STOP_S_MAX = 3.0 + 1.5  # three seconds for the collector, and what it takes to end a process
# Little room and little patience, so that spans are lost while the test looks on, and an exporter busier than it usually is.
IMPATIENT = {
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", "OTEL_BSP_MAX_QUEUE_SIZE": "600", "OTEL_BSP_SCHEDULE_DELAY": "50",
    "LLM_SIDECAR__TRACING__CPU_SHARE": "0.1",
}  # fmt: skip
FAILING = ("dead", "hanging", "refusing", "silent port")


@contextlib.contextmanager
def collectors() -> Iterator[dict[str, str | None]]:
    """Give the endpoint of each kind of collector; "none" is none at all."""
    with receive() as good, receive() as hanging, receive() as refusing, socket.socket() as dead, socket.socket() as mute:
        hanging.hanging.set()
        refusing.answers = [(503, {}, b"")]
        dead.bind(("127.0.0.1", 0))  # bound and not listening: refused
        mute.bind(("127.0.0.1", 0))
        mute.listen(16)  # takes connections and says nothing
        yield {
            "none": None, "good": good.url, "hanging": hanging.url, "refusing": refusing.url,
            "dead": f"http://127.0.0.1:{dead.getsockname()[1]}", "silent port": f"http://127.0.0.1:{mute.getsockname()[1]}",
        }  # fmt: skip


async def measure(url: str) -> list[float]:
    """Make calls from some callers at once; return how many seconds each took."""
    delays: list[float] = []

    async def work() -> None:
        caller = await Caller.connect(url)
        for _ in range(CALLS // CALLERS):
            began = time.monotonic()
            answer = await caller.ask(REQUEST)
            delays.append(time.monotonic() - began)
            assert (answer.status, bytes(answer.body)) == (200, BODY)
        caller.leave()

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(work())
    return delays


def p99(delays: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(delays)[int(len(delays) * 0.99)]


def count_spans(side: RunningSidecar) -> tuple[float, float]:
    """Return the spans exported and the spans dropped."""
    exported = dropped = 0.0
    for name, _, value in read_samples(side.scrape()):
        exported += value if name == "llm_sidecar_spans_exported_total" else 0
        dropped += value if name == "llm_sidecar_spans_dropped_total" else 0
    return exported, dropped


async def settle(side: RunningSidecar, expected: int) -> tuple[float, float]:
    """Return the spans exported and dropped once they are `expected` together, or what they are after `SETTLE_S`."""
    deadline = time.monotonic() + SETTLE_S
    while sum(found := await asyncio.to_thread(count_spans, side)) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return found


async def stop(side: RunningSidecar) -> float:
    """Stop a sidecar whose queue is full; return the seconds it took."""
    began = time.monotonic()
    side.program.signal(signal.SIGTERM)
    assert await asyncio.to_thread(side.program.wait) == 0
    return time.monotonic() - began


async def test_no_collector_that_fails_costs_a_call_anything(tmp_path: Path) -> None:
    """The same calls with and without a working collector, in turns: alike fast, and each lost span is counted."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts["it"] = ANSWER
    with contextlib.ExitStack() as stack:
        sides = {}
        for name, endpoint in stack.enter_context(collectors()).items():
            environ = {} if endpoint is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **IMPATIENT}
            sides[name] = await asyncio.to_thread(stack.enter_context, run_sidecar(tmp_path, upstream.url, environ))
        delays: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            await measure(side.url)
        for _ in range(ROUNDS):
            for name, side in sides.items():
                delays[name] += await measure(side.url)
        spans = {name: await settle(side, 0 if name == "none" else TOTAL) for name, side in sides.items()}
        logs = {name: side.program.output for name, side in sides.items()}
        for name, side in sides.items():
            if name in FAILING:
                await measure(side.url)  # something is waiting when the stop comes
        stops = dict(zip(sides, await asyncio.gather(*map(stop, sides.values())), strict=True))
    await upstream.stop()
    worst = {name: p99(found) for name, found in delays.items()}
    print()
    for name in sides:
        exported, dropped = spans[name]
        print(f"{name:12} p99 {worst[name] * 1e3:.2f} ms, exported {exported:.0f}, dropped {dropped:.0f}, stop {stops[name]:.2f} s")
    allowed_s = 3 * worst["none"] + 0.005
    assert {name: seconds for name, seconds in worst.items() if seconds > allowed_s} == {}
    assert {name: seconds for name, seconds in stops.items() if seconds > STOP_S_MAX} == {}
    assert sum(spans["none"]) == 0
    assert sum(spans["good"]) == TOTAL
    assert {name: found for name, found in spans.items() if name in FAILING and found != (0, TOTAL)} == {}
    for name, text in logs.items():
        assert "Traceback" not in text
        # A failure that lasts is one line a minute, not one per batch.
        assert text.count("span_export_failed") == (1 if name in FAILING else 0), name


@pytest.mark.parametrize("kind", ["hanging", "silent port"])
async def test_a_patient_exporter_does_not_hold_the_stop(tmp_path: Path, kind: str) -> None:
    """With the usual timeout of ten seconds, a collector that takes spans and never answers costs the stop three."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts["it"] = ANSWER
    with collectors() as endpoints:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoints[kind] or ""}
        with contextlib.ExitStack() as stack:
            side = await asyncio.to_thread(stack.enter_context, run_sidecar(tmp_path, upstream.url, environ))
            await measure(side.url)
            await asyncio.sleep(1.2)  # the first batch is on its way
            took = await stop(side)
    await upstream.stop()
    print(f"\n{kind}: stopped after {took:.2f} s")
    assert took <= STOP_S_MAX

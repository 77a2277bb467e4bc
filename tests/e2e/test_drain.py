"""SIGTERM amid two hundred streams and callers who go on calling: nothing is lost within the grace, and nothing looks whole past it."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from sidecar.core.reckon.snapshots import add_up
from sidecar.edge.journal import read_snapshots
from tests.edge.telemetry.receiver import receive
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.process import ROOT, Program, RunningSidecar, find_port, run_sidecar, write_config
from tests.rig.talks import BY_NAME, STREAMS, Talk
from tests.rig.upstream import Script, Upstream, Visit

IS_DEEP: Final = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
CALLERS: Final = 200
LENGTHS_S: Final = (10.0, 60.0) if IS_DEEP else (2.0, 8.0)
GRACE_S: Final = 70.0 if IS_DEEP else 12.0
SHORT_GRACE_S: Final = 10.0 if IS_DEEP else 1.5
QUIET_S: Final = 1.0
END_S: Final = 3.0  # after the grace
TOKEN_S: Final = 0.25  # between two tokens
KEPT: Final = 20
ASKING_S: Final = 0.02  # between two new calls
LONG: Final = "x-rig-seconds"
WORD: Final = "drained"
TALKS: Final = {
    talk.provider: talk for talk in STREAMS if talk.name in ("openai_stream", "anthropic_stream", "gemini_stream", "ollama_stream")
}
WHOLE: Final = BY_NAME["openai_whole"]
MODES: Final = ("finish", "serve")


def stretch(talk: Talk, seconds: float) -> list[bytes]:
    """Return the pieces of an answer that takes so long."""
    spoken = talk.speak(WORD)
    tokens = [spoken.tokens[number % len(spoken.tokens)] for number in range(max(1, round(seconds / TOKEN_S)))]
    return [spoken.opening, *tokens, spoken.ending]


def answer(visit: Visit) -> Script:
    """Answer as asked: for so many seconds, or at once."""
    seconds = float(dict(visit.headers).get(LONG.encode(), b"0"))
    if not seconds:
        body = WHOLE.speak(WORD).body
        return Script([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])
    talk = next(talk for talk in TALKS.values() if visit.target.endswith(talk.path))
    steps: list[bytes | float] = [b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % talk.media_type.encode()]
    for piece in stretch(talk, seconds):
        steps += [b"%x\r\n%b\r\n" % (len(piece), piece), TOKEN_S]
    return Script([*steps[:-1], b"0\r\n\r\n"])


def is_whole(told: Answer) -> bool:
    """Whether it is a short answer as it was given."""
    return told.whole and (told.status, bytes(told.body)) == (200, WHOLE.speak(WORD).body)


class Stream(NamedTuple):
    """One caller with a stream."""

    caller: Caller
    talk: Talk
    seconds: float

    @property
    def expected(self) -> bytes:
        """The whole body."""
        return b"".join(stretch(self.talk, self.seconds))

    def until_error(self, body: bytes) -> bytes:
        """Return what came of the answer itself: whole pieces."""
        came = b""
        for piece in stretch(self.talk, self.seconds):
            if not body.startswith(came + piece):
                break
            came += piece
        return came


async def begin_streams(side: RunningSidecar, seed: int) -> list[Stream]:
    """Begin them all, in each dialect; return when each has begun to be answered."""
    dice, providers = random.Random(seed), list(TALKS)
    streams = []
    for number in range(CALLERS):
        provider = providers[number % len(providers)]
        seconds = round(dice.uniform(*LENGTHS_S), 2)
        caller = await Caller.connect(side.url)
        caller.send(compose(f"/{provider}{TALKS[provider].path}", TALKS[provider].request, fields=[(LONG, str(seconds))]))
        streams.append(Stream(caller, TALKS[provider], seconds))
    for stream in streams:
        assert (await stream.caller.until_bytes(1)).status == 200
    return streams


class Asking:
    """Who goes on calling: on new connections, and on those that are kept."""

    def __init__(self, side: RunningSidecar, kept: list[Caller]) -> None:
        self.side = side
        self.outcomes: Counter[str] = Counter()
        self.answers: list[Answer] = []
        self.kept: list[Answer] = []
        self.late: list[Answer] = []  # to who asked after it was told that the sidecar drains
        self._kept = kept
        self.is_told = self.is_over = False

    async def run(self) -> None:
        """Call until told otherwise, or until the process has ended."""
        tasks = []
        while not self.is_over and self.side.program.process.poll() is None:
            if self._kept and len(tasks) % 2 == 0:
                tasks.append(asyncio.create_task(self._ask(self._kept.pop(), self.kept)))
            else:
                tasks.append(asyncio.create_task(self._ask(None, self.answers)))
            await asyncio.sleep(ASKING_S)
        await asyncio.gather(*tasks)

    async def _ask(self, caller: Caller | None, answers: list[Answer]) -> None:
        is_new = caller is None
        try:
            caller = caller or await Caller.connect(self.side.url)
        except ConnectionError:
            self.outcomes["refused"] += 1
            return
        if caller.answer.ended is not None:  # a kept connection that is closed: a caller sees that before it asks
            self.outcomes["refused"] += 1
            return
        is_late = self.is_told
        told = await caller.ask(compose(f"/openai{WHOLE.path}", WHOLE.request))
        answers.append(told)
        if is_late:
            self.late.append(told)
        if is_whole(told):
            self.outcomes["answered"] += 1
        elif told.whole and told.status == 503 and told.field("x-sidecar-error") == "stopping":
            self.outcomes["told"] += 1
        elif is_new and told.head_at is None:
            self.outcomes["turned away"] += 1  # by the system: it stood at the door when that was closed
        else:
            self.outcomes["lost"] += 1
        caller.leave()


@asynccontextmanager
async def draining(folder: Path, mode: str, grace_s: float, environ: Mapping[str, str] | None = None) -> AsyncIterator[RunningSidecar]:
    """Run a sidecar in front of an upstream that speaks all dialects."""
    upstream = Upstream()
    upstream.otherwise = answer
    await upstream.start()
    more: dict[str, Any] = {
        "upstreams": {provider: {"url": upstream.url, "provider": provider} for provider in TALKS},
        "routes": [{"prefix": f"/{provider}/", "upstream": provider} for provider in TALKS],
        "drain": {"mode": mode, "quiet": f"{QUIET_S:.0f}s"}, "timeouts": {"shutdown": f"{grace_s * 1000:.0f}ms"},
        "journal": {"directory": str(folder / "journal")}, "log": {"calls": "all", "format": "json"},
    }  # fmt: skip
    run = run_sidecar(folder, upstream.url, environ, **more)
    side = await asyncio.to_thread(run.__enter__)
    try:
        yield side
    finally:
        await asyncio.to_thread(run.__exit__, None, None, None)
        await upstream.stop()


async def begin(side: RunningSidecar, seed: int) -> tuple[list[Stream], Asking, float]:
    """Let all begin, and tell the sidecar to stop; return when that was."""
    kept = [await Caller.connect(side.url) for _ in range(KEPT)]
    for caller in kept:
        assert is_whole(await caller.ask(compose(f"/openai{WHOLE.path}", WHOLE.request)))
    streams = await begin_streams(side, seed)
    asking = Asking(side, kept)
    side.program.signal(signal.SIGTERM)
    return streams, asking, time.monotonic()


async def ask_admin(side: RunningSidecar, path: str) -> Answer:
    """Ask the admin port."""
    return await fetch(side.admin_url, compose(path, method="GET", fields=[("accept", "text/plain;version=0.0.4")]))


def read_calls(side: RunningSidecar) -> Counter[str]:
    """Return how often each call is told of in the log."""
    lines = [json.loads(line) for line in side.program.output.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if line["event"] in ("started", "stopping", "stopped")] == ["started", "stopping", "stopped"]
    return Counter(line["request_id"] for line in lines if line["event"] in ("call", "call_failed"))


def count_journal(folder: Path) -> int:
    """Return how many calls the journal has."""
    snapshots, problems = read_snapshots(folder / "journal", 0)
    assert problems == []
    return add_up(0, 0, snapshots).total.requests


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_is_lost_within_the_grace(tmp_path: Path, mode: str) -> None:
    """Each stream comes to its own end, byte by byte; who calls meanwhile is answered or, where there is no port, refused."""
    with receive() as receiver:
        async with draining(tmp_path, mode, GRACE_S, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}) as side:
            streams, asking, signalled = await begin(side, 1)
            calling = asyncio.create_task(asking.run())
            while (await ask_admin(side, "/-/ready")).status != 503:
                assert time.monotonic() - signalled < 2.0
            asking.is_told = True
            assert (await ask_admin(side, "/-/healthy")).status == 200
            health = json.loads((await ask_admin(side, "/health")).body)
            assert b"llm_sidecar_in_flight_requests" in (await ask_admin(side, "/metrics")).body
            ends = await asyncio.gather(*(stream.caller.until_end(GRACE_S) for stream in streams))
            last = time.monotonic()
            assert (await ask_admin(side, "/metrics")).status == 200, "it can be scraped to the end"
            asking.is_over = mode == "serve"
            await calling
            for stream in streams:
                stream.caller.leave()
            assert await asyncio.to_thread(side.program.wait) == 0
            took = time.monotonic() - last
            calls = read_calls(side)
            traces = {span.trace_id for span in receiver.spans}
    assert health["checks"]["serving"]["draining"] is True
    lost = [stream for stream, end in zip(streams, ends, strict=True) if not end.whole or bytes(end.body) != stream.expected]
    print(f"\n{mode}: {CALLERS} streams of {LENGTHS_S[0]:g} to {LENGTHS_S[1]:g} s, lost {len(lost)}; beside them {dict(asking.outcomes)}; "
          f"the last stream ended {last - signalled:.1f} s after SIGTERM, the process {took:.2f} s later")  # fmt: skip
    assert lost == []
    assert asking.outcomes["lost"] == asking.outcomes["told"] == 0
    assert len(asking.kept) == KEPT and all(map(is_whole, asking.kept))
    assert asking.late and all(told.field("connection") == "close" for told in asking.late if told.whole)
    if mode == "serve":
        assert asking.outcomes["answered"] > 50 and took >= QUIET_S
        assert asking.outcomes["refused"] == asking.outcomes["turned away"] == 0
    else:
        assert asking.outcomes["refused"] > 50 and asking.outcomes["turned away"] <= 1
    assert took < QUIET_S + 2.0
    total = CALLERS + KEPT + asking.outcomes["answered"]
    assert (len(calls), set(calls.values())) == (total, {1})
    assert count_journal(tmp_path) == len(traces) == total


@pytest.mark.parametrize("mode", MODES)
async def test_past_the_grace_nothing_looks_whole(tmp_path: Path, mode: str) -> None:
    """Each caller reads an error in its own dialect, and then no end; who calls later is told, or refused; the process ends in time."""
    async with draining(tmp_path, mode, SHORT_GRACE_S) as side:
        streams, asking, signalled = await begin(side, 2)
        calling = asyncio.create_task(asking.run())
        ends = await asyncio.gather(*(stream.caller.until_end(SHORT_GRACE_S + 30) for stream in streams))
        cut = time.monotonic()
        code = await asyncio.to_thread(side.program.wait)
        took = time.monotonic() - signalled
        await calling
        calls = read_calls(side)
    print(
        f"\n{mode}: cut {cut - signalled:.2f} s after SIGTERM, ended after {took:.2f} s, grace {SHORT_GRACE_S:g} s; {dict(asking.outcomes)}"
    )
    assert (code, took < SHORT_GRACE_S + END_S) == (0, True)
    for stream, end in zip(streams, ends, strict=True):
        if end.whole:  # it was short enough
            assert bytes(end.body) == stream.expected
            continue
        body = bytes(end.body)
        told = body[len(stream.until_error(body)) :]
        assert b"error" in told and b"The sidecar is stopping" in told, told
        assert stream.talk.speak(WORD).ending not in body
    unfinished = sum(not end.whole for end in ends)
    assert unfinished > CALLERS / 2
    assert asking.outcomes["lost"] == 0
    if mode == "serve":
        assert asking.outcomes["answered"] > 20 and asking.outcomes["told"] > 0
        assert asking.outcomes["turned away"] <= 1
    total = CALLERS + KEPT + asking.outcomes["answered"] + asking.outcomes["told"]
    assert (len(calls), set(calls.values())) == (total, {1})
    assert count_journal(tmp_path) == total


HANGING: Final = """
import os, pathlib, time

sync = os.fsync

def hang(file):
    while pathlib.Path({marker!r}).exists():
        time.sleep(0.05)
    sync(file)

os.fsync = hang
"""


@contextmanager
def black_hole() -> Iterator[str]:
    """Give the address of somebody who lets everybody in and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("is_cut", [False, True], ids=["nothing in progress", "past the grace"])
async def test_it_ends_in_time_whatever_hangs(tmp_path: Path, is_cut: bool) -> None:
    """The collector, the webhook, Redis, and the folder of the journal and of the ledger, all at once."""
    marker = tmp_path / "hang"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HANGING.format(marker=str(marker)), encoding="utf-8")
    grace_s, upstream = 1.0, Upstream()
    upstream.otherwise = answer
    await upstream.start()
    with black_hole() as address:
        (tmp_path / "webhook").write_text(f"http://{address}/hook", encoding="utf-8")
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}"}
        more: dict[str, Any] = {
            "timeouts": {"shutdown": f"{grace_s:g}s"}, "journal": {"directory": str(tmp_path / "journal")},
            "features": {"breakers": False, "probes": False, "budgets": True, "cache": True}, "redis": {"url": f"redis://{address}"},
            "budgets": {"file": str(tmp_path / "ledger"), "all": {"day": 1000}}, "alerts": {"webhook_file": str(tmp_path / "webhook")},
        }  # fmt: skip
        run = run_sidecar(tmp_path, upstream.url, environ, **more)
        side = await asyncio.to_thread(run.__enter__)
        try:
            caller = await Caller.connect(side.url)
            assert is_whole(await caller.ask(compose(f"/openai{WHOLE.path}", WHOLE.request)))
            if is_cut:
                talk = TALKS["openai"]
                caller.send(compose(f"/openai{talk.path}", talk.request, fields=[(LONG, "30")]))
                await caller.until_bytes(1)
            marker.touch()
            began = time.monotonic()
            side.program.signal(signal.SIGTERM)
            code = await asyncio.to_thread(side.program.wait)
            took = time.monotonic() - began
            caller.leave()
        finally:
            marker.unlink(missing_ok=True)
            await asyncio.to_thread(run.__exit__, None, None, None)
    await upstream.stop()
    print(f"\nwith everything hanging: ended {took:.2f} s after SIGTERM, grace {grace_s:g} s")
    assert (code, "Traceback" in side.program.output) == (0, False)
    assert took < grace_s + END_S


async def test_who_waits_for_others_is_told_too(tmp_path: Path) -> None:
    """Past the grace: who is in line, who shares another's call, and the entries of a batch; each is recorded once."""
    upstream = Upstream()
    upstream.otherwise = answer
    await upstream.start()
    more: dict[str, Any] = {
        "upstreams": {"openai": {"url": upstream.url, "provider": "openai", "concurrency": 2}}, "timeouts": {"shutdown": "500ms"},
        "features": {"breakers": False, "probes": False, "coalescing": True}, "log": {"calls": "all", "format": "json"},
        "queue": {"wait": "60s"},
        "routes": [{"prefix": "/openai/", "upstream": "openai"}, {"prefix": "/tools/rig/", "upstream": "openai", "kind": "tool"}],
    }  # fmt: skip
    run = run_sidecar(tmp_path, upstream.url, **more)
    side = await asyncio.to_thread(run.__enter__)
    try:
        talk, shared = TALKS["openai"], {"model": "m", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": "same"}]}
        long = [(LONG, "30")]
        entry = {"path": "/tools/rig/late", "body": {}}
        requests = [
            *[compose(f"/openai{talk.path}", shared, fields=[*long, ("x-sidecar-cache", "shared")]) for _ in range(3)],
            compose(f"/openai{talk.path}", talk.request, fields=long),
            *[compose(f"/openai{WHOLE.path}", WHOLE.request) for _ in range(3)],
            compose("/x-sidecar/batch", [entry]),
        ]
        callers = []
        for request in requests:
            callers.append(await Caller.connect(side.url))
            callers[-1].send(request)
            await asyncio.sleep(0.1)
        assert len(upstream.visits) == 2, "one is shared, the others are in line"
        began = time.monotonic()
        side.program.signal(signal.SIGTERM)
        answers = await asyncio.gather(*(caller.until_end() for caller in callers))
        assert await asyncio.to_thread(side.program.wait) == 0
        assert time.monotonic() - began < 0.5 + END_S
        calls = read_calls(side)
    finally:
        await asyncio.to_thread(run.__exit__, None, None, None)
        await upstream.stop()
    streams, waiting = answers[:4], answers[4:]
    assert all(not told.whole and b"The sidecar is stopping" in told.body for told in streams)
    assert all(told.status == 503 and b"The sidecar is stopping" in told.body for told in waiting)
    assert set(calls.values()) == {1} and len(calls) == len(requests) + 1


def is_blocked(pid: int, number: int) -> bool:
    """Whether a process has a signal taken by a thread of its own: from then on it is not deaf to it (proc(5))."""
    return bool(int(read_status(pid, "SigBlk"), 16) >> (number - 1) & 1)


def read_status(pid: int, name: str) -> str:
    """Return a field of a process (proc(5))."""
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii").partition(f"{name}:")[2].partition("\n")[0].strip()


@pytest.mark.parametrize("later_s", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_it_ends_cleanly_while_it_starts(tmp_path: Path, later_s: float) -> None:
    """Whatever it is about to do: the modules, the files, the ports, the ledger."""
    config = write_config(
        tmp_path, "http://127.0.0.1:1", find_port(), find_port(), journal={"directory": str(tmp_path / "journal")},
        budgets={"file": str(tmp_path / "ledger"), "all": {"day": 1000}}, features={"budgets": True},
    )  # fmt: skip
    program = Program(["run", "--config", str(config)], tmp_path)
    while not is_blocked(program.process.pid, signal.SIGTERM):
        assert program.process.poll() is None
    time.sleep(later_s)
    began = time.monotonic()
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    assert time.monotonic() - began < 2.0
    assert "Traceback" not in program.output
    assert not list(tmp_path.glob("*.damaged*"))


def test_nobody_reads_the_log_any_more(tmp_path: Path) -> None:
    """A pipe whose reader has left is no reason to end, and none to end badly."""
    admin_port = find_port()
    config = write_config(tmp_path, "http://127.0.0.1:1", find_port(), admin_port)
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "run", "--config", str(config)], stdout=writing, stderr=writing, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        os.close(writing)
        await_answer(f"http://127.0.0.1:{admin_port}/-/ready", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a URL answers."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("did not start")


ALONE: Final = ("unshare", "--pid", "--fork", "--kill-child=KILL")
needs_namespaces = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode != 0,
    reason="no namespaces of processes here",
)


@contextmanager
def alone(folder: Path, upstream: str) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """Run a sidecar as process 1 of a namespace; give who waits for it, its id as it is seen from here, and its data port."""
    data_port, admin_port = find_port(), find_port()
    config = write_config(folder, upstream, data_port, admin_port, timeouts={"shutdown": "20s"})
    with (folder / "alone.log").open("wb") as log, subprocess.Popen(
        [*ALONE, sys.executable, "-m", "sidecar", "run", "--config", str(config)], stdout=log, stderr=log, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        try:
            await_answer(f"http://127.0.0.1:{admin_port}/-/ready", process)
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()[0])
            yield process, pid, f"http://127.0.0.1:{data_port}"
        finally:
            process.kill()


@needs_namespaces
@pytest.mark.parametrize("signals", [1, 2])
async def test_as_process_1(tmp_path: Path, signals: int) -> None:
    """The first signal is no less heard, a stream comes to its end; the second ends it at once, and the exit code says so."""
    upstream = Upstream()
    upstream.otherwise = answer
    await upstream.start()
    with alone(tmp_path, upstream.url) as (process, pid, url):
        assert read_status(pid, "NSpid").split()[-1] == "1"
        caller = await Caller.connect(url)
        caller.send(compose(f"/openai{TALKS['openai'].path}", TALKS["openai"].request, fields=[(LONG, "1.5")]))
        await caller.until_bytes(1)
        began = time.monotonic()
        for _ in range(signals):
            os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.2)
        told = await caller.until_end()
        code = await asyncio.to_thread(process.wait, 10)
        took = time.monotonic() - began
    await upstream.stop()
    assert (told.whole, code) == ((True, 0) if signals == 1 else (False, 128 + signal.SIGTERM))
    assert took < (3.0 if signals == 1 else 1.0)


@needs_namespaces
@pytest.mark.skipif(not shutil.which("nsenter"), reason="no nsenter")
def test_process_1_buries_those_who_are_left_to_it(tmp_path: Path) -> None:
    """What somebody runs in the container may leave children behind; they are not ours, and do not stay as zombies."""
    with alone(tmp_path, "http://127.0.0.1:1") as (process, pid, _):
        subprocess.run(["nsenter", "-t", str(pid), "-p", "sh", "-c", "sleep 0.3 & sleep 0.3 & exit 0"], check=True)
        children = Path(f"/proc/{pid}/task/{pid}/children")
        assert len(children.read_text(encoding="ascii").split()) == 2
        time.sleep(0.6)
        assert children.read_text(encoding="ascii").split() == []
        os.kill(pid, signal.SIGTERM)
        assert process.wait(10) == 0

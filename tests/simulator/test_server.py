"""sidecar/simulator/server.py"""

import asyncio
import hashlib
import json
import signal
import sys
from pathlib import Path

import httpx
import openai
import pytest

from sidecar.simulator import Profile, Simulator, serve, start

_MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


async def test_port_and_seed() -> None:
    """A free port is taken and shown; a seed given outranks the profile's."""
    ours, theirs = await start(profile=Profile(speed=0), seed=5), await start(profile=Profile(speed=0, seed=5))
    async with httpx.AsyncClient() as client:
        bodies = [
            (await client.post(f"{each.url}/v1/completions", json={"model": "sim-small", "prompt": "x"})).content for each in (ours, theirs)
        ]  # fmt: skip
    assert bodies[0] == bodies[1]
    await ours.stop()
    await theirs.stop()


async def test_stop_breaks_off() -> None:
    """Stopping leaves no connection and no open entry."""
    simulator = await start(profile=Profile(speed=0))
    async with httpx.AsyncClient(base_url=simulator.url) as client:
        call = asyncio.create_task(
            client.post("/v1/completions", json={"model": "sim-small"}, headers={"x-sim-script": '{"ttft_ms": 60000}'})
        )
        while not simulator.ledger.open_count:
            await asyncio.sleep(0.001)
        await simulator.stop()
        with pytest.raises(httpx.TransportError):
            await call
    assert (simulator.ledger.open_count, simulator.ledger.entries[0].outcome) == (0, "stopped")
    assert simulator.connection_count == 0


async def test_openai_sdk(simulator: Simulator) -> None:
    """The official SDK understands every form, and its usage is the ledger's."""
    async with openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0) as sdk:
        whole = await sdk.chat.completions.create(model="sim-reasoning", messages=_MESSAGES, n=2)
        stream = await sdk.chat.completions.create(
            model="sim-small", messages=_MESSAGES, stream=True, stream_options={"include_usage": True}
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
        vectors = await sdk.embeddings.create(model="sim-embed", input=["a", "b"])
        text = await sdk.completions.create(model="sim-small", prompt="x", max_tokens=3)
        assert [model.id async for model in sdk.models.list()] == list(Profile().models)
        with pytest.raises(openai.NotFoundError):
            await sdk.chat.completions.create(model="no-such-model", messages=_MESSAGES)
    told = [usage and usage.prompt_tokens for usage in (whole.usage, chunks[-1].usage, vectors.usage, text.usage)]
    entries = [entry for entry in simulator.ledger.entries if entry.is_billed]
    assert told == [entry.reported_tokens.prompt for entry in entries]
    assert whole.usage is not None and chunks[-1].usage is not None and text.usage is not None
    assert [whole.usage.completion_tokens, chunks[-1].usage.completion_tokens] == [
        entry.reported_tokens.completion for entry in entries[:2]
    ]  # fmt: skip
    assert text.usage.completion_tokens == 3


async def test_ledger_equals_what_was_received(client: httpx.AsyncClient) -> None:
    """The digest in the ledger is that of the bytes that the caller got."""
    for stream in (True, False):
        response = await client.post("/v1/completions", json={"model": "sim-small", "prompt": "x", "stream": stream})
        entry = (await client.get("/_sim/ledger")).json()[-1]
        assert entry["sha256"] == hashlib.sha256(response.content).hexdigest()
        assert (entry["bytes"], entry["outcome"]) == (len(response.content), "complete")


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:99999", "127.0.0.1:x"])
def test_bad_address(listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is none is one line on standard error and exit code 1."""
    assert serve(listen, None) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", [None, "speed: fast", "[", "\xff"])
def test_bad_profile(text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile that is missing or wrong is one line on standard error and exit code 1."""
    path = tmp_path / "profile.yaml"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    assert serve("127.0.0.1:0", str(path)) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve(number: signal.Signals, tmp_path: Path) -> None:
    """As a process of its own it tells its address, answers, and ends cleanly on a signal."""
    (tmp_path / "profile.yaml").write_text(json.dumps({"speed": 0, "faults": {"unavailable": 1.0}}))
    program = "import sys; from sidecar.simulator import serve; sys.exit(serve('127.0.0.1:0', sys.argv[1]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "profile.yaml"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        url = next(word for word in line.split() if word.startswith("http"))
        async with httpx.AsyncClient() as client:
            assert (await client.post(f"{url}/completions", json={"model": "sim-small"})).status_code == 503
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

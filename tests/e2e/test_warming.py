"""Prompts asked beforehand, on real sockets: the first caller finds the answer, and somebody else's account has paid for it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import openai
import pytest

from tests.rig.payers import get_json, list_events, read_balance, to_nano
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator

KEY: Final = "sk-of-callers"
CHAT: Final = "/openai/v1/chat/completions"
SYSTEM: Final[Any] = {"role": "system", "content": "You answer questions about orders."}


def ask(question: str) -> Any:
    """Return the messages of a question."""
    return [SYSTEM, {"role": "user", "content": question}]


def prompt(question: str, **more: Any) -> dict[str, Any]:
    """Return a line of the file."""
    return {"path": CHAT, "body": {"model": "sim-large", "messages": ask(question), "temperature": 0, **more}}


MESSAGE: Final[dict[str, Any]] = {
    "path": "/anthropic/v1/messages",
    "body": {"model": "sim-large", "max_tokens": 30, "temperature": 0, "messages": ask("By Anthropic?")[1:]},
    "headers": {"anthropic-version": str(anthropic.AsyncAnthropic(api_key="x").default_headers["anthropic-version"])},
}
EMBEDDING: Final = {"path": "/openai/v1/embeddings", "body": {"model": "sim-embed", "input": "an order", "encoding_format": "base64"}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that never waits."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


@contextmanager
def warmed(folder: Path, provider: str, lines: list[Any], *, every: str | None = None, **more: Any) -> Iterator[RunningSidecar]:
    """Run a sidecar that asks these first."""
    write_lines(folder, lines)
    (folder / "key").write_text(KEY + "\n", encoding="utf-8")
    upstreams = {name: {"url": provider, "provider": name} for name in ("openai", "anthropic")}
    warming = {"file": str(folder / "prompts.jsonl"), "key_file": str(folder / "key"), "pace": "10ms", "every": every}
    more["features"] = {"cache": True, "warming": True, "breakers": False, "probes": False, **more.get("features", {})}
    with run_sidecar(
        folder, provider, upstreams=upstreams, routes=[{"prefix": f"/{name}/", "upstream": name} for name in upstreams],
        warming=warming, log={"format": "json"}, **more,
    ) as side:  # fmt: skip
        yield side


def write_lines(folder: Path, lines: list[Any]) -> None:
    """Write the file, in one go: what is no text becomes JSON."""
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (folder / "new").write_text(text, encoding="utf-8")
    (folder / "new").rename(folder / "prompts.jsonl")


async def until_asked(side: RunningSidecar, times: int = 1) -> list[Any]:
    """Wait until all have been asked so often; return what the log says of it."""
    async with asyncio.timeout(20):
        while len(ended := list_events(side.program.output, "warming_ended")) < times:
            await asyncio.sleep(0.02)
    return ended


async def look(client: openai.AsyncOpenAI, question: str, **more: Any) -> str | None:
    """Ask, and return where the answer came from."""
    call = {"model": "sim-large", "messages": ask(question), "temperature": 0, **more}
    told = await client.chat.completions.with_raw_response.create(**call)
    if more.get("stream"):
        assert [chunk async for chunk in told.parse()][-1].choices[0].finish_reason  # type: ignore[attr-defined]
    else:
        assert told.parse().choices[0].message.content
    found: str | None = told.headers.get("x-sidecar-cache")
    return found


async def test_the_first_caller_hits(tmp_path: Path, provider: str) -> None:
    """Whole, streamed, embedded and by Anthropic's SDK: what was asked at the start is there for those with that credential, no others."""
    lines = [prompt("Whole?"), prompt("Streamed?", stream=True), EMBEDDING, MESSAGE]
    before = len(await get_json(provider, "/_sim/ledger"))
    with warmed(tmp_path, provider, lines) as side:
        (ended,) = await until_asked(side)
        assert ended["prompts"] == 4
        asked = (await get_json(provider, "/_sim/ledger"))[before:]
        assert [entry["status"] for entry in asked] == [200] * 4
        base, root = f"{side.url}/openai/v1", f"{side.url}/anthropic"
        async with openai.AsyncOpenAI(base_url=base, api_key=KEY) as client, openai.AsyncOpenAI(base_url=base, api_key="sk-other") as other:
            assert await look(client, "Whole?") == await look(client, "Streamed?", stream=True) == "hit"
            vector = await client.embeddings.with_raw_response.create(model="sim-embed", input="an order")
            assert vector.headers["x-sidecar-cache"] == "hit" and len(vector.parse().data[0].embedding) == 256
            assert await look(client, "Another?") == await look(other, "Whole?") == "miss"
        async with anthropic.AsyncAnthropic(base_url=root, api_key=KEY) as one, anthropic.AsyncAnthropic(base_url=root, api_key="x") as two:
            call: Any = {name: told for name, told in MESSAGE["body"].items() if name != "temperature"}
            found = [await each.messages.with_raw_response.create(**call, extra_body={"temperature": 0}) for each in (one, two)]
            assert [each.headers["x-sidecar-cache"] for each in found] == ["hit", "miss"]
        assert len(await get_json(provider, "/_sim/ledger")) == before + 4 + 3
        assert KEY not in side.program.output


async def test_it_has_a_budget_of_its_own(tmp_path: Path, provider: str) -> None:
    """When that is spent the rest is not asked; what callers may spend is not touched, and both sums are the provider's."""
    questions = [f"Number {number}?" for number in range(6)]
    lines = [prompt(question, max_tokens=20) for question in questions]
    budgets = {"tenants": {"warming": {"day": 500e-6}, "default": {"day": 10}}}
    before = len(await get_json(provider, "/_sim/ledger"))
    with warmed(tmp_path, provider, lines, budgets=budgets, features={"budgets": True}) as side:
        await until_asked(side)
        paid = (await get_json(provider, "/_sim/ledger"))[before:]
        assert 0 < len(paid) < 6
        spent = [(await read_balance(side.admin_url, tenant))["spent_usd"] for tenant in ("warming", "default")]
        assert [to_nano(usd) for usd in spent] == [to_nano(sum(entry["cost_usd"] for entry in paid)), 0]
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key=KEY) as client:
            found = [await look(client, question, max_tokens=20) for question in questions]
        assert found == ["hit"] * len(paid) + ["miss"] * (6 - len(paid))
        bought = (await get_json(provider, "/_sim/ledger"))[before + len(paid) :]
        spent = [(await read_balance(side.admin_url, tenant))["spent_usd"] for tenant in ("warming", "default")]
        assert [to_nano(usd) for usd in spent] == [to_nano(sum(entry["cost_usd"] for entry in part)) for part in (paid, bought)]


async def test_bad_lines_are_told_and_the_file_is_read_again(tmp_path: Path, provider: str) -> None:
    """What is no prompt is named by its number and holds nothing up; what is added is asked at the next turn."""
    lines = [prompt("First?"), "{no", {"path": "/nowhere"}, {**prompt("Second?"), "headers": {"authorization": "Bearer sk-leak"}}]
    with warmed(tmp_path, provider, lines, every="300ms") as side:
        (ended, *_) = await until_asked(side)
        skipped = list_events(side.program.output, "warming_line_skipped")[:3]
        assert (ended["prompts"], [line["line"] for line in skipped], {line["level"] for line in skipped}) == (1, [2, 3, 4], {"warning"})
        write_lines(tmp_path, [prompt("First?"), prompt("Added?")])
        turns = await until_asked(side)
        while turns[-1]["prompts"] != 2:
            turns = await until_asked(side, len(turns) + 1)
        async with openai.AsyncOpenAI(base_url=f"{side.url}/openai/v1", api_key=KEY) as client:
            assert await look(client, "First?") == await look(client, "Added?") == "hit"
        assert "sk-leak" not in side.program.output

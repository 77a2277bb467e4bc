"""Two sidecars on one Redis, as processes: what one keeps the other finds, for whom it is, and nobody else reads it there."""

import asyncio
import base64
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio

from sidecar.core.reuse.packing import unpack
from tests.rig.redis import RedisServer, needs_redis, run_redis
from tests.rig.sidecars import Who, Witness, name_chat, run_sidecars

pytestmark = needs_redis

CACHED: dict[str, Any] = {"cache": True, "breakers": False, "probes": False}
CALLS = int(os.environ.get("LLM_SIDECAR_TEST_CALLS", "400"))  # of random ones
ANSWERS = "*answers*"
CREDENTIAL_CHARS = 6  # as few of a credential may nowhere be


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    """An upstream."""
    upstream = Witness()
    await upstream.start()
    yield upstream
    await upstream.stop()


def settle(server: RedisServer, *, features: dict[str, Any] = CACHED, **more: Any) -> dict[str, Any]:
    """Return settings with that Redis. Nothing is late on a busy machine."""
    return {"features": features, "redis": {"url": server.url, "timeout": "2s", **more}}


def write_key(folder: Path, name: str) -> str:
    """Write a key for encryption; return where."""
    file = folder / name
    file.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    return str(file)


async def until_kept(client: redis.asyncio.Redis, count: int) -> list[bytes]:
    """Wait until so many answers are in Redis; return their keys."""
    async with asyncio.timeout(10):
        while len(keys := [key async for key in client.scan_iter(ANSWERS)]) < count:
            await asyncio.sleep(0.01)
    return keys


async def test_hits_are_shared(witness: Witness, tmp_path: Path) -> None:
    """What one has asked the other has from Redis, then from its own memory; whole or as a stream, the same bytes; so for lists."""
    with run_redis(tmp_path) as server:
        async with (
            run_sidecars(tmp_path, witness.url, settle(server), settle(server)) as both,
            redis.asyncio.from_url(server.url) as client,
        ):
            for count, streamed in enumerate((False, True), 1):
                first = await both.ask(0, "Why?", streamed=streamed)
                assert first.status == 200 and first.field("x-sidecar-cache") == "miss"
                await until_kept(client, count)
                await both.read()
                for level in ("shared", "hot"):
                    again = await both.ask(1, "Why?", streamed=streamed)
                    assert again.field("x-sidecar-cache") == "hit" and again.whole and again.body == first.body
                    _, second = await both.read()
                    assert {name: grown for name, grown in second.items() if name.startswith("cache_hits") and grown} == {
                        f"cache_hits_total{{{level}}}": 1
                    }
                assert (await both.ask(0, "Why?", streamed=streamed)).field("x-sidecar-cache") == "hit"
            assert len(witness.visits) == 2


async def test_nobody_gets_what_is_anothers(witness: Witness, tmp_path: Path) -> None:
    """Two tenants with two credentials each ask a few prompts again and again, at both sidecars, many at once: 0 cross hits."""
    witness.pause_s = 0.002
    chance = random.Random(5)
    everybody = [Who(tenant, f"sk-{key}") for tenant in ("acme", "beta") for key in ("one", "two")]
    found: Counter[str] = Counter()
    crossed = []
    features = {**CACHED, "coalescing": True}

    async def call() -> None:
        who, prompt, streamed = chance.choice(everybody), f"Question {chance.randrange(CALLS // 20)}", chance.random() < 0.5
        answer = await both.ask(chance.randrange(2), prompt, who, streamed=streamed)
        assert answer.status == 200 and answer.whole
        found[answer.field("x-sidecar-cache") or ""] += 1
        if witness.whose(answer) != name_chat(prompt, who, streamed=streamed):
            crossed.append((who, prompt, witness.whose(answer)))

    async def work() -> None:
        for _ in range(CALLS // 20):
            await call()

    with run_redis(tmp_path) as server:
        settings = settle(server, features=features)
        async with run_sidecars(tmp_path, witness.url, settings, settings) as both:
            await asyncio.gather(*(work() for _ in range(20)))
            told = await both.read()
    assert not crossed
    assert sum(found.values()) == CALLS and found["hit"] > CALLS / 10 and found["miss"] == len(witness.visits)
    assert all(each["cache_hits_total{shared}"] > CALLS / 100 for each in told)
    print(dict(found), [each["cache_hits_total{shared}"] for each in told])


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:-20] + bytes([data[-20] ^ 4]) + data[-19:],
    "longer": lambda data: data + b"\0",
    "another's": lambda data: b'{"answer": "This is of another program."}',
    "another form": lambda data: data[:4] + bytes([data[4] + 1]) + data[5:],
    "long": lambda data: os.urandom(9_000_000),
}


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
async def test_what_is_damaged_or_foreign(witness: Witness, tmp_path: Path, is_encrypted: bool) -> None:
    """Such a value under a key is a miss, and counted; the answer is a good one, and takes its place. Encrypted: moved ones as well."""
    with run_redis(tmp_path) as server:
        more = {"encryption_key_file": write_key(tmp_path, "key")} if is_encrypted else {}
        settings = settle(server, **more)
        async with run_sidecars(tmp_path, witness.url, settings, settings) as both, redis.asyncio.from_url(server.url) as client:
            await both.ask(0, "Elsewhere?")
            (elsewhere,) = await until_kept(client, 1)
            moved = {"moved": lambda data: moved_there} if is_encrypted else {}
            moved_there = await client.get(elsewhere)
            for what, spoil in {**SPOILT, **moved, "list": None}.items():
                await client.flushall()
                await both.ask(0, what)
                (key,) = await until_kept(client, 1)
                good = await client.get(key)
                if spoil is None:
                    await client.delete(key)
                    await client.rpush(key, "1")
                else:
                    await client.set(key, spoil(good))
                await both.read()
                answer = await both.ask(1, what)
                assert answer.status == 200 and answer.field("x-sidecar-cache") == "miss", what
                assert witness.whose(answer) == name_chat(what)
                _, second = await both.read()
                assert second["cache_damaged_total"] == 1 and not second["cache_hits_total{shared}"], what
                async with asyncio.timeout(5):
                    while await client.type(key) != b"string" or await client.strlen(key) not in range(len(good) - 9, len(good) + 9):
                        await asyncio.sleep(0.01)


async def test_another_key_reads_nothing(witness: Witness, tmp_path: Path) -> None:
    """Sidecars with keys of their own, and one without: each answers its own callers, and takes nothing that is not for it."""
    with run_redis(tmp_path) as server:
        told = [settle(server, encryption_key_file=write_key(tmp_path, name)) for name in ("a", "b")]
        async with run_sidecars(tmp_path, witness.url, *told, settle(server)) as three, redis.asyncio.from_url(server.url) as client:
            for first, second in ((0, 1), (1, 0), (0, 2), (2, 0)):
                await client.flushall()
                prompt = f"From {first} to {second}?"
                await three.ask(first, prompt)
                await until_kept(client, 1)
                await three.read()
                answer = await three.ask(second, prompt)
                assert answer.field("x-sidecar-cache") == "miss" and witness.whose(answer) == name_chat(prompt)
                assert (await three.read())[second]["cache_damaged_total"] == 1


async def read_redis(server: RedisServer, client: redis.asyncio.Redis) -> dict[bytes, bytes]:
    """Return everything that is in Redis: its file, and of each key its name, what DUMP says, its value, and what that is packed from."""
    await client.config_set("rdbcompression", "no")
    await client.save()
    found = {b"the file": (server.folder / "dump.rdb").read_bytes()}
    async for key in client.scan_iter("*"):
        value = await (client.hgetall(key) if await client.type(key) == b"hash" else client.get(key))
        found[key] = b"\0".join((key, await client.dump(key), repr(value).encode()))
        if isinstance(value, bytes) and value.startswith(b"LSCE"):
            found[key] += msgspec.msgpack.encode(unpack(value))
    return found


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
async def test_nothing_secret_is_in_redis(witness: Witness, tmp_path: Path, is_encrypted: bool) -> None:
    """With a key neither prompts nor answers; without one only answers. Never whose they are: no tenant's name, nothing of a credential."""
    prompt = "Of canaries, zephyrs and quokkas?"
    callers = [Who("zoe.tenant", "sk-proj-9f8e7d6c5b4a"), Who("yves.tenant", "Xq7-Lm2_Wv5.Rt8")]
    more = {"encryption_key_file": write_key(tmp_path, "key")} if is_encrypted else {}
    tenants = [who.tenant for who in callers]
    features = {**CACHED, "limits": True, "budgets": True}
    rates = {name: {"requests": {"per_minute": 1000, "per_second": 1000}, "tokens": {"per_hour": 1_000_000}} for name in tenants}
    budgets = {name: {"day": 10.0, "month": 100.0} for name in tenants}
    with run_redis(tmp_path) as server:
        settings = {**settle(server, features=features, **more), "limits": {"rates": {"tenants": rates}}, "budgets": {"tenants": budgets}}
        async with run_sidecars(tmp_path, witness.url, settings, settings) as both, redis.asyncio.from_url(server.url) as client:
            for who in callers:
                for streamed in (False, True):
                    for side in (0, 1):
                        assert (await both.ask(side, prompt, who, streamed=streamed)).status == 200
                    forms = [("x-api-key", who.credential), ("x-goog-api-key", who.credential), ("cookie", f"session={who.credential}")]
                    await asyncio.gather(*(both.ask(0, prompt, who, streamed=streamed, fields=[form]) for form in forms))
            await until_kept(client, 2 * 2 * 4)
            everything = await read_redis(server, client)
    assert sum(b":limits}" in name for name in everything) >= 6 and sum(b":budgets}" in name for name in everything) >= 4
    pieces = [who.credential[at : at + CREDENTIAL_CHARS] for who in callers for at in range(len(who.credential) - CREDENTIAL_CHARS + 1)]
    secret = [*tenants, *pieces, *("zephyrs", "-told", "chatcmpl-") * is_encrypted]
    found = {(word, name) for name, data in everything.items() for word in secret if word.encode() in data}
    assert not found
    assert is_encrypted or any(b"-told" in data for data in everything.values())  # they were looked for where they would be

"""Canaries where answers are kept, shared and paid for: in every interface, asked together and again, with all features on."""

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any, Final

from tests.edge.telemetry.receiver import receive
from tests.rig.caller import Answer, compose, fetch
from tests.rig.canaries import describe, dump_spans, explain, find_leaks, look_around, mark, say, settle
from tests.rig.conversations import STREAMED, WHOLE, call, make_scripts
from tests.rig.forms import FORMS
from tests.rig.forms_openai import Form
from tests.rig.pools import upstreams_of
from tests.rig.process import run_sidecar
from tests.rig.redis import RedisServer, needs_redis, run_redis
from tests.rig.upstream import Upstream

pytestmark = needs_redis

KINDS: Final = tuple(kind for kind in (*WHOLE, *STREAMED) if kind not in ("silent", "stalled", "gone early"))
TENANT: Final = "canary-tenant"
FEATURES: Final = ("cache", "coalescing", "stale", "refresh", "warming", "batches", "limits", "budgets", "retries")


def configure(folder: Path, upstream: Upstream, redis: RedisServer) -> dict[str, Any]:
    """Return settings with everything on, and everything kept that may be."""
    form = "openai_chat" if "openai_chat" in FORMS else next(iter(FORMS))
    (folder / "aes").write_text(base64.b64encode(os.urandom(32)).decode(), encoding="utf-8")
    (folder / "key").write_text(mark("warming", "key"), encoding="utf-8")
    lines = [
        json.dumps({"path": f"/{form}{FORMS[form].path}", "body": FORMS[form].request(False), "tenant": TENANT}),
        say("warming", "garbage"), json.dumps({"path": f"/{mark('warming', 'path')}", "body": {"said": say("warming", "body")}}),
        json.dumps({"path": f"/{form}{FORMS[form].path}", "headers": {"Authorization": say("warming", "header")}}),
        json.dumps({"path": f"/{form}{FORMS[form].path}", "body": say("warming", "value"), "tenant": say("warming", "t")}),
    ]  # fmt: skip
    (folder / "prompts").write_text("\n".join(lines), encoding="utf-8")
    return settle({name: (upstream.url, form.provider) for name, form in FORMS.items()}, {
        "features": dict.fromkeys(FEATURES, True) | {"breakers": False},
        "cache": {"what": "all", "tools": True, "conversations": True, "refresh_hits": 1, "refresh_share": 1.0},
        "warming": {"file": str(folder / "prompts"), "key_file": str(folder / "key"), "pace": "10ms"},
        "limits": {"rates": {"tenant": {"requests": {"per_minute": 9000}, "tokens": {"per_day": 1000000000}}}},
        "budgets": {"file": str(folder / "ledger"), "tenant": {"day": 1000}, "all": {"month": 10000}, "unpriced": 0.01},
        "redis": {"url": redis.url, "timeout": "3s", "encryption_key_file": str(folder / "aes")},
    })  # fmt: skip


async def test_nothing_that_is_kept_or_shared_comes_out(tmp_path: Path) -> None:
    """No word of a call is in the log, metrics, spans, pages, answers of our own, the ledger, or in Redis, by key or by value."""
    answers: list[Answer] = []
    with run_redis(tmp_path) as redis, receive() as receiver:
        async with upstreams_of(1) as (upstream,):
            upstream.scripts = {f"{name} {kind}": script for name, form in FORMS.items() for kind, script in make_scripts(form).items()}
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
            with run_sidecar(tmp_path, upstream.url, environ, **configure(tmp_path, upstream, redis)) as side:
                for _ in range(3):  # together, and again
                    await asyncio.gather(*(call_twice(side.url, form, answers) for form in FORMS.values()))
                refused = [await fetch(side.url, compose("/openai/", {}, fields=[("x-sidecar-tenant", say("tenant", "name"))]))]
                out = await look_around(side)
                out["explain"] = await asyncio.to_thread(explain, side, environ)
                out["redis"] = await asyncio.to_thread(dump, redis)
            out["log"], out["spans"] = side.program.output.encode(), dump_spans(receiver)
    out["own answers"] = describe([*answers, *refused])
    out["ledger"] = (tmp_path / "ledger").read_bytes()
    leaks = find_leaks(out)
    assert not leaks, leaks[0][:300]
    assert "Traceback" not in side.program.output
    told = [answer.field("x-sidecar-cache") for answer in answers]
    print(f"\n{len(answers)} calls: { {each: told.count(each) for each in set(told)} }")
    counts = [out[where].count(word) for where, word in (("log", b"warming"), ("ledger", b"\n"), ("redis", b"answers"))]
    assert min(counts) >= 4, counts
    assert told.count("hit") > 20 and told.count("coalesced") > 20


async def call_twice(url: str, form: Form, answers: list[Answer]) -> None:
    """Make each call of a form twice at once."""
    kinds = [kind for kind in KINDS if kind in WHOLE or form.events is not None]
    answers += await asyncio.gather(*(call(url, form, kind) for kind in kinds for _ in range(2)))


def dump(redis: RedisServer) -> bytes:
    """Return every key, and what is under it as Redis would dump it."""
    found = []
    for key in redis.ask("KEYS", "*").split(b"\r\n")[2::2]:
        found += [key, redis.ask("DUMP", key.decode())]
    return b"\n".join(found)

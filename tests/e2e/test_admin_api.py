"""The admin port of a real process: upstreams side by side, decisions, what happened to calls, and breakers held by an operator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import script_good
from tests.rig.pools import upstreams_of
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.talks import BY_NAME
from tests.rig.upstream import End, Script
from tests.rig.upstream import Upstream as Told

TALK: Final = BY_NAME["openai_whole"]
TOKEN: Final = "a-token-of-the-operators"
SECRET: Final = "sk-secret-0123456789"
BREAKER: Final = "/api/upstreams/first/breaker"
_RECENT: Final = timedelta(minutes=2)


class Live(NamedTuple):
    """A running sidecar in front of a pool of two and, by another route, of its first alone."""

    side: RunningSidecar
    admin: httpx.AsyncClient
    first: Told

    async def call(self, prefix: str) -> Answer:
        """Make one call with a credential and a query that are nobody's business."""
        return await fetch(
            self.side.url, compose(f"{prefix}{TALK.path}?key={SECRET}", TALK.request, fields=[("Authorization", f"Bearer {SECRET}")])
        )

    async def read(self, path: str) -> Any:
        """Return the JSON that is read at a path."""
        response = await self.admin.get(path)
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
        assert SECRET not in response.text and "order 7" not in response.text
        return response.json()

    async def force(self, state: str, **headers: str) -> httpx.Response:
        """Ask for the breakers of `first` to be held, or let go."""
        return await self.admin.post(BREAKER, json={"force": state}, headers=headers)

    async def show(self, name: str = "first") -> dict[str, Any]:
        """Return one upstream as it is shown."""
        (found,) = [each for each in (await self.read("/api/upstreams"))["upstreams"] if each["name"] == name]
        return dict(found)

    def list_lines(self) -> list[dict[str, Any]]:
        """Return what the process wrote to its standard error about breakers."""
        lines = [json.loads(line) for line in self.side.program.output.splitlines()]
        return [line for line in lines if line["event"].startswith("circuit_breaker_")]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Live]:
    """Run two upstreams and a sidecar."""
    async with upstreams_of(2) as (first, second):
        for upstream, word in ((first, "first"), (second, "second")):
            upstream.otherwise = lambda visit, word=word: script_good(TALK, word)  # type: ignore[misc]
        settings = {
            "upstreams": {
                "first": {"url": first.url, "provider": "openai", "weight": 1000.0, "probe": "off"},
                "second": {"url": second.url, "provider": "openai", "weight": 0.001, "probe": "off"},
            },
            "features": {"probes": False},
            "pools": {"both": {"upstreams": ["first", "second"], "strategy": "weighted"}},
            "routes": [{"prefix": "/pool/", "pool": "both"}, {"prefix": "/only/", "upstream": "first"}],
        }
        with run_sidecar(folder, "", **settings) as side:
            async with httpx.AsyncClient(base_url=side.admin_url, trust_env=False) as client:
                yield Live(side, client, first)


def is_recent(text: str) -> bool:
    """Whether a time as it is shown (RFC 3339, UTC) is of now."""
    return text.endswith("Z") and abs(datetime.fromisoformat(text) - datetime.now(UTC)) < _RECENT


async def test_an_operator_takes_an_upstream_out_and_puts_it_back(tmp_path: Path) -> None:
    """Forced open: calls to it alone get 503, the pool goes on without it; released: all is as before. Lines of the log say so."""
    async with running(tmp_path) as live:
        assert (await live.call("/only")).status == 200
        assert ((await live.show())["breaker"], (await live.show())["healthy"]) == ("closed", True)
        forced = await live.force("open")
        assert (forced.status_code, forced.json()) == (200, {"upstream": "first", "force": "open"})
        refused = await live.call("/only")
        assert (refused.status, refused.field("x-sidecar-error")) == (503, "circuit_open")
        assert int(refused.field("retry-after") or "0") >= 1
        assert (await live.call("/pool")).field("x-sidecar-upstream") == "second"
        shown = await live.show()
        assert (shown["breaker"], shown["healthy"], shown["reason"]) == ("open", False, "circuit_open")
        assert [(each["group"], each["state"], each["force"]) for each in shown["breakers"]] == [("default", "open", "open")]
        assert (await live.force("auto")).json() == {"upstream": "first", "force": "auto"}
        assert ((await live.show())["breaker"], (await live.show())["healthy"]) == ("closed", True)
        assert (await live.call("/only")).status == 200
        lines = live.list_lines()
    assert [(line["event"], line["upstream"], line["from"], line["to"], line["reason"]) for line in lines] == [
        ("circuit_breaker_opened", "first", "closed", "open", "forced"),
        ("circuit_breaker_closed", "first", "open", "closed", "released"),
    ]


async def test_a_forced_opening_is_told_though_it_has_just_opened_by_itself(tmp_path: Path) -> None:
    """What an operator did is not lost among lines of the same kind."""
    async with running(tmp_path) as live:
        live.first.otherwise = lambda visit: Script([], End.RST)
        for _ in range(6):
            await live.call("/only")
        assert (await live.show())["breaker"] == "open"
        for state in ("closed", "open"):
            assert (await live.force(state)).status_code == 200
        told = [(line["event"], line["reason"]) for line in live.list_lines()]
    assert told == [
        ("circuit_breaker_opened", "consecutive_failures"), ("circuit_breaker_closed", "forced"), ("circuit_breaker_opened", "forced"),
    ]  # fmt: skip


async def test_decisions_and_exchanges_tell_what_happened(tmp_path: Path) -> None:
    """A call that was failed over is there with both attempts and both decisions, newest first, and nothing of what was said."""
    async with running(tmp_path) as live:
        await live.call("/pool")
        live.first.otherwise = lambda visit: Script([], End.RST)
        answer = await live.call("/pool")
        exchanges, decisions = await live.read("/debug/exchanges"), (await live.read("/api/decisions"))["decisions"]
        upstream = await live.show()
    assert exchanges["failed"] == []
    call, before = exchanges["calls"]
    assert call["id"] == answer.request_id
    assert [len(each["attempts"]) for each in (call, before)] == [2, 1]
    assert (call["route"], call["pool"], call["upstream"], call["ending"], call["error"]) == ("pool", "both", "second", "completed", None)
    lost, won = call["attempts"]
    assert (lost["upstream"], lost["outcome"], lost["cause"], lost["breaker"]) == ("first", "reset", "reset", "closed")
    assert lost["head_s"] is lost["status"] is None
    assert (won["upstream"], won["outcome"], won["cause"], won["status"]) == ("second", "completed", None, 200)
    assert 0 <= lost["started_s"] <= lost["sent_s"] <= lost["ended_s"] <= won["started_s"] <= won["head_s"] <= call["ended_s"]
    assert won["started_s"] - lost["ended_s"] < 0.1
    assert [each["upstream"] for each in decisions] == ["second", "first", "first"]
    assert {each["exchange"] for each in decisions[:2]} == {answer.request_id}
    assert {each["upstream"]: each["reason"] for each in decisions[0]["candidates"]} == {"first": "tried", "second": None}
    assert (decisions[0]["strategy"], decisions[0]["step"], decisions[0]["reason"]) == ("weighted", "full", "only_one")
    assert all(is_recent(each["at"]) for each in (*decisions, *exchanges["calls"]))
    assert (upstream["calls"], upstream["failures"], upstream["reliability"], upstream["pools"]) == (2, 1, 0.5, ["both"])
    assert (upstream["pending"], upstream["in_use"], upstream["last_probe"]) == (0, 0, None)


async def test_a_refused_call_is_among_the_failed(tmp_path: Path) -> None:
    """It has no attempt, and the decision that found nobody."""
    async with running(tmp_path) as live:
        await live.force("open")
        answer = await live.call("/only")
        (failed,) = (await live.read("/debug/exchanges"))["failed"]
        (call,) = (await live.read("/debug/exchanges"))["calls"]
    assert failed == call
    assert (failed["id"], failed["ending"], failed["error"], failed["status"]) == (answer.request_id, "unavailable", "circuit_open", 503)
    assert failed["attempts"] == []
    assert failed["first_token_s"] is None and failed["queued_s"] == 0


async def test_what_may_not_be_changed(tmp_path: Path) -> None:
    """A state that does not exist, another origin, a form, an upstream that is not there: refused with what is allowed."""
    async with running(tmp_path) as live:
        bad = await live.force("shut")
        foreign = await live.force("open", Origin="http://evil.example")
        form = await live.admin.post(BREAKER, data={"force": "open"})
        unknown = await live.admin.post("/api/upstreams/nobody/breaker", json={"force": "open"})
        got = await live.admin.get(BREAKER)
        shown = await live.show()
    assert (bad.status_code, foreign.status_code, form.status_code, unknown.status_code, got.status_code) == (400, 403, 415, 404, 405)
    assert all(name in bad.json()["error"] for name in ("open", "closed", "disabled", "auto"))
    assert shown["breaker"] == "closed"


async def test_a_token_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    """Without it or with another nothing changes, with it all does; what only reads stays open."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n", encoding="utf-8")
    file.chmod(0o600)
    environ = {"LLM_SIDECAR__ADMIN__TOKEN_FILE": str(file)}
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: script_good(TALK, "only")
        with run_sidecar(tmp_path, upstream.url, environ) as side:
            async with httpx.AsyncClient(base_url=side.admin_url, trust_env=False) as client:
                path, body = "/api/upstreams/openai/breaker", {"force": "open"}
                missing = await client.post(path, json=body)
                wrong = await client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}x"})
                before = (await client.get("/api/upstreams")).json()
                right = await client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
                after = (await client.get("/api/upstreams")).json()
            output = side.program.output
    assert [(each.status_code, each.headers.get("WWW-Authenticate")) for each in (missing, wrong)] == [(401, "Bearer"), (401, "Bearer")]
    assert right.json() == {"upstream": "openai", "force": "open"}
    states = [next(each["breaker"] for each in tree["upstreams"] if each["name"] == "openai") for tree in (before, after)]
    assert states == ["closed", "open"]
    assert TOKEN not in output + missing.text + wrong.text

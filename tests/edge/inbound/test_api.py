"""What the admin port tells programs, and lets them change."""

import asyncio
import json
from typing import Any

import pytest

from sidecar.config import Force, Pool, Settings, Upstream
from sidecar.core.admit.spending_sums import ALL, Balance
from sidecar.core.choose.places import read_places
from sidecar.core.choose.views import BreakerView, ProbeView, UpstreamView
from sidecar.decision import Candidate, Decision
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import make_budgets, make_changes, make_comparison, make_history
from sidecar.edge.telemetry.recent import CALLS_MAX, Recent
from sidecar.exchange import Ending
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_attempt, make_record

DECISION = Decision("chat", "weighted", "full", "openai", "its turn", (Candidate("openai", 1.0, None, None, None, 0, None),))


async def get(respond: Respond, path: str) -> Any:
    """Return the JSON of an answer."""
    response = await respond(web.Request("GET", path))
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    return read(response)


def read(response: web.Response) -> Any:
    """Return what an answer holds."""
    return json.loads(response.body)


async def test_the_last_calls_are_told() -> None:
    """All of them and, apart, the failed ones, with their decisions."""
    recent = Recent()
    pages = make_history(recent)
    assert await get(pages["/debug/exchanges"], "/debug/exchanges") == {"calls": [], "failed": []}
    assert await get(pages["/api/decisions"], "/api/decisions") == {"decisions": []}
    recent.observe(make_record(id="1", ending=Ending.CUT))
    recent.observe(make_record(id="2", pool="chat", attempts=(make_attempt(decision=DECISION),)))
    told = await get(pages["/debug/exchanges"], "/debug/exchanges")
    assert [call["id"] for call in told["calls"]] == ["2", "1"]
    assert [call["id"] for call in told["failed"]] == ["1"]
    [decision] = (await get(pages["/api/decisions"], "/api/decisions"))["decisions"]
    assert (decision["exchange"], decision["upstream"], decision["reason"]) == ("2", "openai", "its turn")
    assert decision["candidates"] == told["calls"][0]["attempts"][0]["decision"]["candidates"]


async def test_calls_go_on_while_it_is_told() -> None:
    """A page of many calls gives the event loop back in between, and is not torn by calls that end meanwhile."""
    recent = Recent()
    for number in range(CALLS_MAX):
        recent.observe(make_record(id=str(number)))
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            recent.observe(make_record(id=f"later {turns}"))

    others = asyncio.ensure_future(go_on())
    told = await get(make_history(recent)["/debug/exchanges"], "/debug/exchanges")
    others.cancel()
    assert turns >= CALLS_MAX // 5 - 1
    assert [call["id"] for call in told["calls"]] == [str(number) for number in reversed(range(CALLS_MAX))]


async def test_upstreams_are_compared() -> None:
    """What whoever chooses says of them, beside where they are, to whom they belong, and their last probe."""
    upstreams = {"a": Upstream("http://a.test", provider="vllm"), "b": Upstream("https://b.test/api")}
    settings = Settings(upstreams=upstreams, pools={"chat": Pool(("a", "b"))})
    asked = []

    def describe(now: float) -> list[UpstreamView]:
        asked.append(now)
        breakers = (BreakerView("default", "closed"),)
        return [
            UpstreamView(name, True, None, "closed", breakers, 0, 0, 100, 1.0, 1.0, None, None, None, 0, 0, None, now + 5)
            for name in upstreams
        ]

    clock = FakeClock(1000.0)
    pages = make_comparison(
        settings, read_places(upstreams, {}), clock, describe, lambda: {"a": ProbeView(999.0, 0.1, None, 0, True), "b": None}
    )
    told = (await get(pages["/api/upstreams"], "/api/upstreams"))["upstreams"]
    assert [(one["name"], one["provider"], one["address"], one["pools"]) for one in told] == [
        ("a", "vllm", "http://a.test", ["chat"]), ("b", "unknown", "https://b.test/api", ["chat"]),
    ]  # fmt: skip
    assert asked == [1000.0]
    assert (told[0]["last_probe"]["at"], told[1]["last_probe"]) == ("1970-01-01T00:16:39.000Z", None)
    assert told[0]["held_until"] == "1970-01-01T00:16:45.000Z"


async def test_breakers_are_forced() -> None:
    """Of the upstream in the path; what cannot be read forces nothing."""
    forced: list[tuple[str, Force]] = []
    changes = make_changes(("a", "b/c"), lambda name, force: forced.append((name, force)))
    assert set(changes) == {"/api/upstreams/a/breaker", "/api/upstreams/b/c/breaker"}
    assert read(changes["/api/upstreams/b/c/breaker"](b'{"force": "open"}')) == {"upstream": "b/c", "force": "open"}
    with pytest.raises(ValueError, match="disabled"):
        changes["/api/upstreams/a/breaker"](b'{"force": "on"}')
    assert forced == [("b/c", Force.OPEN)]


async def test_budgets_are_told_and_spending_is_stopped() -> None:
    """Everybody together is null; a change is answered with how things stand then."""
    stopped: set[str] = set()
    balances = [Balance(ALL, "month", "2026-11", 1.5, 0.5, 2.0, True), Balance("a", "day", "2026-11-20", 0.0, 0.0, None, False)]

    def halt(account: str, is_stopped: bool) -> None:
        (stopped.add if is_stopped else stopped.discard)(account)

    pages, changes = make_budgets(("a", "other"), lambda: (balances, frozenset(stopped)), halt)
    told = await get(pages["/api/budgets"], "/api/budgets")
    assert told == {
        "budgets": [
            {
                "tenant": None, "window": "month", "period": "2026-11", "spent_usd": 1.5, "reserved_usd": 0.5, "limit_usd": 2.0,
                "soft_reached": True,
            },
            {
                "tenant": "a", "window": "day", "period": "2026-11-20", "spent_usd": 0.0, "reserved_usd": 0.0, "limit_usd": None,
                "soft_reached": False,
            },
        ],
        "stopped": [],
    }  # fmt: skip
    change = changes["/api/budgets"]
    assert read(change(b'{"tenant": null, "stopped": true}'))["stopped"] == [None]
    assert read(change(b'{"tenant": "a", "stopped": true}'))["stopped"] == [None, "a"]
    assert read(change(b'{"tenant": null, "stopped": false}'))["stopped"] == ["a"]
    with pytest.raises(ValueError, match="one of a, other"):
        change(b'{"tenant": "b", "stopped": true}')
    assert stopped == {"a"}

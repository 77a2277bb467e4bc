"""Budgets on real sockets: what is spent is what the provider's own ledger says, through races, kill -9 and damage."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.payers import (
    Paid,
    Trouble,
    compose_chat,
    find_numbers,
    get_json,
    list_events,
    pay,
    post_json,
    read_balance,
    read_costs,
    read_file,
    to_nano,
)
from tests.rig.process import ROOT, RunningSidecar, run_sidecar, run_simulator
from tests.rig.prometheus import needs_prometheus, scraping

IS_DEEP: Final = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS: Final = 100 if IS_DEEP else 5
RACERS: Final = 500
CALLERS: Final = 16
SETTLING_S: Final = 0.05  # between the last byte of an answer and its settlement
MIDNIGHT_S: Final = 180.0
ON: Final = {"budgets": True, "breakers": False, "probes": False}
JSON_LOG: Final = {"format": "json"}
CALL_USD: Final = 147.5e-6  # of 19 tokens and 10 of answer, at sim-large's prices


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that waits only as scripts tell it to."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


@contextmanager
def spending(folder: Path, provider: str, budgets: dict[str, Any], **more: Any) -> Iterator[RunningSidecar]:
    """Run a sidecar with budgets and a ledger; another run in the same folder goes on where this one ends."""
    budgets = {"file": str(folder / "ledger"), "all": {"month": 1000}, **budgets}
    more = {"tenants": {"names": ["a", "b"]}, "log": JSON_LOG, **more}
    more["features"] = {**ON, **more.get("features", {})}
    upstreams = {"openai": {"url": provider, "provider": "openai", "connections": RACERS}}
    with run_sidecar(folder, provider, budgets=budgets, upstreams=upstreams, **more) as side:
        yield side


@pytest.fixture(autouse=True)
def young_day() -> None:
    """Begin nothing that would end tomorrow."""
    if seconds_to_midnight() < MIDNIGHT_S:
        time.sleep(MIDNIGHT_S + 1)


def seconds_to_midnight() -> float:
    """Return the seconds until the day ends (UTC)."""
    return 86400 - time.time() % 86400


def read_gauge(side: RunningSidecar, name: str, tenant: str, **labels: str) -> float:
    """Return one tenant's series."""
    wanted = {"tenant": tenant, **labels}
    return next(
        value for told, has, value in read_samples(side.scrape()) if told == "llm_sidecar_" + name and wanted.items() <= has.items()
    )


def read_reservations(ledger: Path) -> list[int]:
    """Return every reservation that a file of the ledger tells, settled or not, in nano-dollars."""
    lines = [json.loads(line.partition(b" ")[2]) for line in ledger.read_bytes().splitlines()]
    return [line[4] for line in lines if line[0] == "reserved"]


async def race(url: str, rounds: int, **call: Any) -> list[Paid]:
    """Let all racers make their calls at once, each one after another; return what each call came to."""

    async def run(racer: int) -> list[Paid]:
        tags = [f"race {racer} {number}" for number in range(rounds)]
        return [await pay(url, tag, compose_chat(tag, tenant="a", stream=bool(racer % 2), **call)) for tag in tags]

    return [paid for each in await asyncio.gather(*map(run, range(RACERS))) for paid in each]


def find_in_flight(paid: Sequence[Paid]) -> list[str]:
    """Return the answered calls that may have been in progress when the first one was refused."""
    refused = [each for each in paid if not each.is_answered]
    known_at, asked_at = min(each.ended_at for each in refused), min(each.sent_at for each in refused)
    return [each.tag for each in paid if each.is_answered and each.sent_at < known_at and each.ended_at > asked_at - SETTLING_S]


async def test_racers_overspend_by_no_more_than_was_in_flight(tmp_path: Path, provider: str) -> None:
    """500 callers, 1,000 calls that each cost twice what is reserved: what is spent too much was in flight, and both accounts agree."""
    limit_usd, output_tokens = 0.6, 50
    budgets = {"tenants": {"a": {"day": limit_usd}}, "output_tokens": output_tokens}
    with spending(tmp_path, provider, budgets) as side:
        paid = await race(side.url, 2, tokens=100, ttft_ms=20)
        balance = await read_balance(side.admin_url, "a")
        told = read_file(tmp_path / "ledger")
    costs = await read_costs(provider)
    answered = [each for each in paid if each.is_answered]
    assert {each.answer.status for each in paid if each.answer} == {200, 429} and all(each.answer for each in paid)
    cost = sum(costs[each.tag] for each in answered)
    assert not {each.tag for each in paid if not each.is_answered} & costs.keys()
    assert to_nano(balance["spent_usd"]) == cost and not told.state.open
    reserved = read_reservations(tmp_path / "ledger")
    assert len(reserved) == len(answered) and max(reserved) < cost / len(answered)
    in_flight = sum(costs[tag] - min(reserved) for tag in find_in_flight(paid))
    over = cost - to_nano(limit_usd)
    print(f"{len(answered)} of {len(paid)} answered, {over / 1e9:.4f} USD over {limit_usd}, {in_flight / 1e9:.4f} USD could be")
    assert 0 < over <= in_flight


async def test_the_ledger_agrees_with_the_providers_after_kill_9(tmp_path: Path, provider: str) -> None:
    """A sidecar killed again and again amid traffic has spent what the provider billed, and for calls open at a kill what was reserved."""
    dice, trouble = random.Random(20), Trouble()
    opened: dict[str, int] = {}
    for _ in range(KILLS):
        with spending(tmp_path, provider, {}) as side:
            callers = [asyncio.create_task(trouble.spend(side.url, dice)) for _ in range(CALLERS)]
            await asyncio.sleep(0.02 + dice.random() * 0.3)
            assert not any(caller.done() for caller in callers), [caller.exception() for caller in callers if caller.done()]
            side.program.signal(signal.SIGKILL)
            side.program.wait()
            await asyncio.gather(*callers)
        left = read_file(tmp_path / "ledger")
        assert left.damaged == 0 and len(left.state.open) <= CALLERS
        for reservation in left.state.open:
            (tag,) = {f"kill {number}" for number in find_numbers(reservation.nano) if number in trouble.paid} - opened.keys()
            opened[tag] = reservation.nano
    with spending(tmp_path, provider, {}) as side:
        balances = [await read_balance(side.admin_url, tenant, "month") for tenant in (None, "a", "b")]
    costs = {tag: nano for tag, nano in (await read_costs(provider)).items() if tag.startswith("kill ")}
    settled = sum(nano for tag, nano in costs.items() if tag not in opened)
    spent = [to_nano(balance["spent_usd"]) for balance in balances]
    billed_open = sum(costs.get(tag, 0) for tag in opened)
    answered_open = sum(trouble.paid[int(tag.split()[1])].is_answered for tag in opened)
    print(f"{KILLS} kills, {len(trouble.paid)} calls; nano-dollars: spent {spent[0]}, provider {sum(costs.values())}")
    print(
        f"open at a kill: {len(opened)} calls, reserved {sum(opened.values())}, of it billed {billed_open}; {answered_open} were answered,"
    )
    print(f"{len(opened.keys() - costs.keys())} had not reached the provider")
    assert spent[0] == spent[1] + spent[2] == settled + sum(opened.values())
    unanswered = {f"kill {number}" for number, paid in trouble.paid.items() if not paid.is_answered}
    assert unanswered & costs.keys() <= opened.keys()
    assert len(opened) >= KILLS


async def test_the_soft_limit_warns_before_the_hard_one_refuses(tmp_path: Path, provider: str) -> None:
    """After 8 of 10 calls there is a line and a gauge; after 10 there is 429 until the day ends, but what is kept is still given."""
    call: dict[str, Any] = {"tokens": 10, "max_tokens": 10, "temperature": 0, "tenant": "a", "model": "sim-large"}
    budgets = {"tenants": {"a": {"day": 10 * CALL_USD}}}
    with spending(tmp_path, provider, budgets, features={"cache": True}) as side:
        seen = []
        for number in range(11):
            paid = await pay(side.url, "", compose_chat(f"soft {number}", user=str(number), **call))
            seen.append((paid.answer and paid.answer.status, read_gauge(side, "budget_soft_limit_reached", "a", window="day")))
        kept = await pay(side.url, "", compose_chat("soft 3", user="3", **call))
        balance = await read_balance(side.admin_url, "a")
        warned, spent = (list_events(side.program.output, name) for name in ("budget_soft_limit_reached", "budget_spent"))
    assert seen == [(200, 0.0)] * 7 + [(200, 1.0)] * 3 + [(429, 1.0)]
    assert [(line["tenant"], line["window"], line["level"]) for line in (*warned, *spent)] == [("a", "day", "warning")] * 2
    assert warned[0]["ts"] < spent[0]["ts"]
    refusal = paid.answer
    assert refusal is not None and json.loads(refusal.body)["error"]["code"] == "budget_spent"
    assert abs(int(refusal.field("retry-after") or 0) - seconds_to_midnight()) < 5 and refusal.field("x-should-retry") == "false"
    assert kept.answer is not None and (kept.answer.status, kept.answer.field("x-sidecar-cache")) == (200, "hit")
    costs = await read_costs(provider)
    assert to_nano(balance["spent_usd"]) == sum(costs[f"soft {number}"] for number in range(10)) == to_nano(10 * CALL_USD)
    assert "soft 10" not in costs


@needs_prometheus
async def test_the_alert_of_the_soft_limit_fires_before_anybody_is_refused(tmp_path: Path, provider: str) -> None:
    """A real Prometheus with the rules that come along fires LLMBudgetNearlySpent, and no other about budgets."""
    budgets = {"tenants": {"a": {"day": 10 * CALL_USD}}}
    with (
        spending(tmp_path, provider, budgets) as side,
        scraping(tmp_path, side.admin_url.removeprefix("http://"), ROOT / "alerts" / "rules.yml") as prometheus,
    ):
        for number in range(9):
            paid = await pay(side.url, "", compose_chat(f"alert {number}", tokens=10, max_tokens=10, tenant="a"))
            assert paid.is_answered
        query = 'ALERTS{alertname=~"LLMBudget.+|LLMSpending.+"}'
        async with asyncio.timeout(20):
            while not (fired := prometheus.query(query)):
                await asyncio.sleep(0.2)
        labels = [{name: each["metric"][name] for name in ("alertname", "alertstate", "tenant", "window")} for each in fired]
        assert labels == [{"alertname": "LLMBudgetNearlySpent", "alertstate": "firing", "tenant": "a", "window": "day"}]
        refused = [value for name, _, value in read_samples(side.scrape()) if name == "llm_sidecar_rate_limited_requests_total"]
        assert not any(refused)


async def test_the_kill_switch_outlasts_kill_9(tmp_path: Path, provider: str) -> None:
    """A stop holds for one tenant or for all from the next call on, after kill -9 too; what is kept is still given; GET shows it."""
    budgets: dict[str, Any] = {}

    async def ask(side: RunningSidecar, tenant: str, user: str = "") -> tuple[int, str | None, str | None]:
        answer = (await pay(side.url, "", compose_chat("stop", tokens=3, temperature=0, tenant=tenant, user=user))).answer
        assert answer is not None
        code = json.loads(answer.body).get("error", {}).get("code")
        return answer.status, code, answer.field("x-sidecar-cache")

    refused = (429, "spending_stopped", "miss")
    with spending(tmp_path, provider, budgets, features={"cache": True}) as side:
        assert await ask(side, "a", "kept") == await ask(side, "b") == (200, None, "miss")
        assert (await post_json(side.admin_url, "/api/budgets", {"tenant": "nobody", "stopped": True}))[0] == 400
        status, told = await post_json(side.admin_url, "/api/budgets", {"tenant": "a", "stopped": True})
        side_tells = await get_json(side.admin_url, "/api/budgets")
        assert (status, told["stopped"], side_tells["stopped"]) == (200, ["a"], ["a"])
        assert await ask(side, "a") == refused and await ask(side, "b", "new") == (200, None, "miss")
        assert await ask(side, "a", "kept") == (200, None, "hit")
        assert [read_gauge(side, "spending_stopped", name) for name in ("a", "b", "*")] == [1.0, 0.0, 0.0]
        side.program.signal(signal.SIGKILL)
    with spending(tmp_path, provider, budgets, features={"cache": True}) as side:
        assert (await get_json(side.admin_url, "/api/budgets"))["stopped"] == ["a"]
        assert await ask(side, "a") == refused and (await ask(side, "b"))[0] == 200
        await post_json(side.admin_url, "/api/budgets", {"tenant": None, "stopped": True})
        await post_json(side.admin_url, "/api/budgets", {"tenant": "a", "stopped": False})
        side.program.signal(signal.SIGKILL)
    with spending(tmp_path, provider, budgets, features={"cache": True}) as side:
        assert (await get_json(side.admin_url, "/api/budgets"))["stopped"] == [None]
        assert await ask(side, "a") == await ask(side, "b", "other") == refused
        assert read_gauge(side, "spending_stopped", "*") == 1.0
        await post_json(side.admin_url, "/api/budgets", {"tenant": None, "stopped": False})
        assert (await ask(side, "a"))[0] == 200


@pytest.mark.parametrize("damage", ["middle", "tail", "foreign"])
async def test_a_damaged_ledger_is_kept_aside_and_said_loudly(tmp_path: Path, provider: str, damage: str) -> None:
    """What can be read of it counts: all but the damaged call, whose reservation stands; of a foreign file nothing."""
    ledger = tmp_path / "ledger"
    with spending(tmp_path, provider, {}) as side:
        for number in range(5):
            assert (await pay(side.url, "", compose_chat(f"{damage} {number}", tokens=10, max_tokens=20, tenant="a"))).is_answered
        await read_balance(side.admin_url, None)
        side.program.signal(signal.SIGKILL)
    costs = await read_costs(provider)
    reserved = read_reservations(ledger)
    lines = ledger.read_bytes().splitlines(keepends=True)
    assert len(lines) == 11
    if damage == "middle":  # a byte of the second call's settlement
        lines[4] = lines[4][:12] + b"\0" + lines[4][13:]
        expected = sum(costs[f"{damage} {number}"] for number in (0, 2, 3, 4)) + reserved[1]
    elif damage == "tail":  # of the last call's settlement only half was written
        lines[10] = lines[10][:20]
        expected = sum(costs[f"{damage} {number}"] for number in range(4)) + reserved[4]
    else:
        lines, expected = [b"To whom it may concern:\n", b"\xff\0\n"], 0
    ledger.write_bytes(b"".join(lines))
    with spending(tmp_path, provider, {}) as side:
        events = list_events(side.program.output, "ledger_damaged")
        balance = await read_balance(side.admin_url, None)
        samples = read_samples(side.scrape())
        failures = [(labels, value) for name, labels, value in samples if name == "llm_sidecar_ledger_failures_total" and value]
    kept = tmp_path / "ledger.damaged-1"
    assert [(line["level"], line["kept_as"]) for line in events] == [("error", kept.name)]
    assert failures == [({"reason": "damaged"}, 1.0)]
    assert kept.read_bytes() == b"".join(lines)
    assert to_nano(balance["spent_usd"]) == expected
    assert not read_file(ledger).damaged

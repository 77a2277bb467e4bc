"""Calls that cost, and what the simulated provider says they cost: an account that owes nothing to the sidecar's."""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from sidecar.core.admit.ledger_lines import Told, read_ledger
from sidecar.core.admit.spending_sums import NANO
from tests.rig.caller import Answer, compose, fetch

CHAT: Final = "/openai/v1/chat/completions"
PROMPT: Final = "What does this call cost, and who is going to pay for it?"
_MAX_TOKENS_FROM: Final = 1000
_STEP_S: Final = 0.01
_PATIENCE_S: Final = 30.0


class Paid(NamedTuple):
    """One call as its caller saw it. Seconds on the monotonic clock."""

    tag: str
    answer: Answer | None  # None: the connection broke before anything came
    sent_at: float
    ended_at: float

    @property
    def is_answered(self) -> bool:
        """Whether the whole answer came, and is one of the provider's."""
        return self.answer is not None and self.answer.whole and self.answer.status == 200


def compose_chat(
    tag: str, *, tokens: int, model: str = "sim-large", tenant: str | None = None, ttft_ms: float = 0.0, gap_ms: float = 0.0,
    fields: Iterable[tuple[str, str]] = (), **more: Any,
) -> bytes:  # fmt: skip
    """Return a call whose answer is that long; the provider's ledger has it by its tag."""
    script = {"tokens": tokens, "ttft_ms": ttft_ms, "gap_ms": gap_ms}
    told = [("x-sim-tag", tag), ("x-sim-script", json.dumps(script)), ("authorization", "Bearer sk-payer"), *fields]
    if tenant is not None:
        told.append(("x-sidecar-tenant", tenant))
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
    return compose(CHAT, body, fields=told)


async def pay(url: str, tag: str, request: bytes) -> Paid:
    """Make a call on a connection of its own, whatever comes of it."""
    sent_at = time.monotonic()
    try:
        answer: Answer | None = await fetch(url, request)
    except OSError:
        answer = None
    return Paid(tag, answer, sent_at, time.monotonic())


async def get_json(url: str, path: str) -> Any:
    """Return what a path tells."""
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        return (await client.get(url + path)).raise_for_status().json()


async def post_json(url: str, path: str, tree: Any) -> tuple[int, Any]:
    """Return the status and the JSON of what a POST is answered with."""
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        answer = await client.post(url + path, json=tree)
    return answer.status_code, answer.json()


async def read_costs(provider: str) -> Mapping[str, int]:
    """Return what each call cost at the provider, by its tag, in nano-dollars, once it is done with all of them."""
    async with asyncio.timeout(_PATIENCE_S):
        while (await get_json(provider, "/_sim/totals"))["open"]:
            await asyncio.sleep(_STEP_S)
    costs: dict[str, int] = {}
    for entry in await get_json(provider, "/_sim/ledger"):
        costs[entry["tag"]] = costs.get(entry["tag"], 0) + round(entry["cost_usd"] * NANO)
    return costs


async def read_balance(admin: str, tenant: str | None, window: str = "day") -> Mapping[str, Any]:
    """Return one budget as the admin port tells it, once no call is in progress. `tenant` None: everybody together."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            told = await get_json(admin, "/api/budgets")
            found: dict[str, Any] = next(each for each in told["budgets"] if (each["tenant"], each["window"]) == (tenant, window))
            if not found["reserved_usd"]:
                return found
            await asyncio.sleep(_STEP_S)


def to_nano(usd: float) -> int:
    """Return US dollars as whole nano-dollars."""
    return round(usd * NANO)


def read_file(path: Path) -> Told:
    """Return what a file of the ledger tells."""
    return read_ledger(path.read_bytes().splitlines(keepends=True))


def list_events(output: str, name: str) -> list[Any]:
    """Return the lines of a log, in JSON, that tell of one event."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == name]


class Trouble:
    """Callers at work until their sidecar is gone, each call with a reservation like no other."""

    def __init__(self) -> None:
        self.paid: dict[int, Paid] = {}  # by max_tokens

    async def spend(self, url: str, dice: random.Random) -> None:
        """Make calls, whole and streamed, until one of them is not answered."""
        while True:
            number = len(self.paid) + _MAX_TOKENS_FROM
            self.paid[number] = Paid(f"kill {number}", None, 0.0, 0.0)
            request = compose_chat(
                f"kill {number}", tokens=dice.randrange(4, 40), max_tokens=number, stream=dice.random() < 0.5,
                model=dice.choice(("sim-large", "sim-small")), ttft_ms=dice.random() * 20, gap_ms=dice.random() * 2,
                tenant=dice.choice("ab"),
            )  # fmt: skip
            self.paid[number] = paid = await pay(url, f"kill {number}", request)
            if not paid.is_answered:
                assert paid.answer is None or not paid.answer.whole, paid.answer.status
                return


def find_numbers(nano: int) -> set[int]:
    """Return of what `max_tokens` a reservation may be, by either model's prices; it is rounded up to whole nano-dollars."""
    prompt, numbers = -(-len(PROMPT) // 4), set()
    for asked, answered in ((2500, 10_000), (150, 600)):
        number = round((nano - prompt * asked) / answered)
        if 0 <= nano - prompt * asked - number * answered <= 1:
            numbers.add(number)
    return numbers

"""Whose calls are, on real sockets: by header, key and path, as SDKs send them; and names that are none."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

import anthropic
import openai
import pytest

from sidecar.simulator.accounts import read_samples
from tests.rig.caller import compose, fetch
from tests.rig.payers import CHAT, get_json
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator

MESSAGES: Final[Any] = [{"role": "user", "content": "Whose am I?"}]
BODY: Final = {"model": "sim-small", "messages": MESSAGES, "max_tokens": 4}
MESSAGE: Final = "/anthropic/v1/messages"
GEMINI: Final = "/gemini/v1beta/models/sim-small:generateContent"
CONTENTS: Final = {"contents": [{"role": "user", "parts": [{"text": "Whose am I?"}]}]}
KEY: Final = "sk-of-acme"
CANARY: Final = "Canary7"


class Place(NamedTuple):
    """A sidecar that listens to header, key and path, in this order, and the provider behind it."""

    provider: str
    side: RunningSidecar

    def count(self) -> dict[str, int]:
        """Return how many calls each tenant has made."""
        samples = read_samples(self.side.scrape())
        return {has["tenant"]: round(value) for name, has, value in samples if name == "llm_sidecar_tenant_requests_total" and value}

    async def until(self, before: dict[str, int]) -> dict[str, int]:
        """Wait for the record of one more call; return whose it is."""
        async with asyncio.timeout(10):
            while (now := self.count()) == before:
                await asyncio.sleep(0.01)
        return {name: count - before.get(name, 0) for name, count in now.items() if count != before.get(name, 0)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run both."""
    folder = tmp_path_factory.mktemp("tenants")
    providers = {"openai": "openai", "anthropic": "anthropic", "gemini": "gcp.gemini"}
    tenants = {"sources": ["header", "key", "path"], "keys": {sha256(KEY.encode()).hexdigest(): "acme"}, "names": ["team-a", "team/b"]}
    with run_simulator(folder, {"speed": 0}) as provider:
        upstreams = {name: {"url": provider, "provider": told} for name, told in providers.items()}
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(folder, provider, upstreams=upstreams, routes=routes, tenants=tenants, log={"format": "json"}) as side:
            yield Place(provider, side)


@pytest.mark.parametrize(
    ("target", "fields", "whose"),
    [
        (CHAT, [], "default"),
        (CHAT, [("x-sidecar-tenant", "team-a")], "team-a"),
        (CHAT, [("X-SIDECAR-TENANT", "team/b")], "team/b"),
        (CHAT, [("x-sidecar-tenant", "made-up")], "other"),
        (CHAT, [("authorization", f"Bearer {KEY}")], "acme"),
        (CHAT, [("api-key", KEY)], "acme"),
        (CHAT, [("authorization", "Bearer sk-of-nobody")], "default"),
        (MESSAGE, [("x-api-key", KEY)], "acme"),
        (GEMINI, [("x-goog-api-key", KEY)], "acme"),
        (f"{GEMINI}?key={KEY}", [], "acme"),
        (f"/tenants/team-a{CHAT}", [], "team-a"),
        (f"/tenants/team%2Fb{CHAT}", [], "team/b"),
        (f"/tenants/made-up{MESSAGE}", [], "other"),
        (f"/tenants/team-a{CHAT}", [("x-sidecar-tenant", "team/b"), ("authorization", f"Bearer {KEY}")], "team/b"),
        (f"/tenants/team-a{CHAT}", [("authorization", f"Bearer {KEY}")], "acme"),
    ],
)
async def test_whose_a_call_is(place: Place, target: str, fields: list[tuple[str, str]], whose: str) -> None:
    """The first source that tells counts; the provider sees nothing of it."""
    before, asked = place.count(), len(await get_json(place.provider, "/_sim/ledger"))
    answer = await fetch(place.side.url, compose(target, CONTENTS if GEMINI in target else BODY, fields=fields))
    assert answer.status == 200, answer.body
    assert await place.until(before) == {whose: 1}
    (entry,) = (await get_json(place.provider, "/_sim/ledger"))[asked:]
    path = target.partition("?")[0]
    assert entry["path"] == path[path.index("/v1") :]
    assert not [name for name in entry["header_names"] if "sidecar" in name]


async def test_sdks_need_no_more_than_a_base_url_or_a_key(place: Place) -> None:
    """A tenant in the path of base_url, one by the SDK's own key, and one by a default header."""
    before = place.count()
    async with openai.AsyncOpenAI(base_url=f"{place.side.url}/tenants/team-a/openai/v1", api_key="sk-x") as client:
        await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert await place.until(before) == {"team-a": 1}
    before = place.count()
    async with anthropic.AsyncAnthropic(base_url=f"{place.side.url}/anthropic", api_key=KEY) as other:
        await other.messages.create(model="sim-small", messages=MESSAGES, max_tokens=4)
    assert await place.until(before) == {"acme": 1}
    before, told = place.count(), {"x-sidecar-tenant": "team/b"}
    async with openai.AsyncOpenAI(base_url=f"{place.side.url}/openai/v1", api_key=KEY, default_headers=told) as client:
        await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert await place.until(before) == {"team/b": 1}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"{CANARY} b", "bad_tenant"), (f"{CANARY}\tb", "bad_tenant"), (f"-{CANARY}", "bad_tenant"), (f"{CANARY}\xe4", "bad_tenant"),
        (f"{CANARY}{{}}", "bad_tenant"), (f'{CANARY}"', "bad_tenant"), ("", "bad_tenant"), (CANARY + "x" * 58, "bad_tenant"),
        (CANARY + "x" * 10240, "bad_tenant"),
        (f"{CANARY}\0b", "bad_request"), (f"{CANARY}\x01b", "bad_request"), (f"{CANARY}\x7f", "bad_request"),
        (f"{CANARY}\rb", "bad_request"), (f"{CANARY}\x1b[31m", "bad_request"),
    ],
)  # fmt: skip
async def test_a_name_in_the_header_that_is_none(place: Place, name: str, error: str) -> None:
    """It is refused, whoever refuses it first, and repeated nowhere: not in the answer, the log, the metrics."""
    asked = len(await get_json(place.provider, "/_sim/ledger"))
    answer = await fetch(place.side.url, compose(CHAT, BODY, fields=[("x-sidecar-tenant", name), ("authorization", f"Bearer {KEY}")]))
    assert (answer.status, answer.field("x-sidecar-error")) == (400, error)
    assert CANARY.encode() not in bytes(answer.body)
    assert CANARY not in place.side.program.output and CANARY not in place.side.scrape()
    assert len(await get_json(place.provider, "/_sim/ledger")) == asked


@pytest.mark.parametrize(
    "segment", [f"{CANARY}%00", f"{CANARY}%0Ab", f"{CANARY}%20b", f"%2D{CANARY}", f"{CANARY}%C3%A4", "", CANARY + "x" * 10240]
)
async def test_a_name_in_the_path_that_is_none(place: Place, segment: str) -> None:
    """As in a header; what is not a name is no other tenant's call either."""
    asked = len(await get_json(place.provider, "/_sim/ledger"))
    answer = await fetch(place.side.url, compose(f"/tenants/{segment}{CHAT}", BODY, fields=[("authorization", f"Bearer {KEY}")]))
    assert (answer.status, answer.field("x-sidecar-error")) == (400, "bad_tenant")
    assert CANARY.encode() not in bytes(answer.body)
    assert CANARY not in place.side.program.output and CANARY not in place.side.scrape()
    assert len(await get_json(place.provider, "/_sim/ledger")) == asked


async def test_two_headers_are_refused(place: Place) -> None:
    """Whoever stands before us could take another of them than we do."""
    fields = [("x-sidecar-tenant", "team-a"), ("x-sidecar-tenant", "team/b")]
    answer = await fetch(place.side.url, compose(CHAT, BODY, fields=fields))
    assert (answer.status, answer.field("x-sidecar-error")) == (400, "bad_tenant")


async def test_names_that_nobody_configured_make_no_series(place: Place) -> None:
    """A hundred of them are one tenant in metrics."""
    for number in range(100):
        request = compose(CHAT, BODY, fields=[("x-sidecar-tenant", f"new-{number}")])
        assert (await fetch(place.side.url, request)).status == 200
    tenants = {has["tenant"] for _, has, _ in read_samples(place.side.scrape()) if "tenant" in has}
    assert tenants == {"default", "acme", "team-a", "team/b", "other"}

"""Prompts of a file, asked one after another: what is a prompt, how it is asked, and that it stops."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Limits, Route, RouteKind, Tenants
from sidecar.config import Warming as WarmingSettings
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenant
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError
from sidecar.exchange import Ending
from sidecar.warming import Warming, read_prompt
from tests.path import JSON, SETTINGS, Played, PlayedAnswer, TickingClock

ROUTES = (*SETTINGS.routes, Route("/gemini/", "other"), Route("/tools/", "other", kind=RouteKind.TOOL))
ROUTER = Router(ROUTES)
CHAT = "/openai/v1/chat/completions"
KEY = "sk-secret-0123456789"


def line_of(path: str = CHAT, **more: Any) -> bytes:
    """Return a line of the file."""
    return json.dumps({"path": path, "body": {"model": "m", "temperature": 0}, **more}).encode()


class Sidecar:
    """What a Warming needs, played: a file, and a path that takes notes."""

    def __init__(self, *lines: bytes, key: str | None = None, **settings: Any) -> None:
        self.files: list[bytes | OSError] = [b"\n".join(lines)]
        self.carried: list[tuple[ErrandClient, Errand]] = []
        self.rests: list[float] = []
        self.reports: list[tuple[int, str]] = []
        self.at_rest: list[Exception] = []
        self.ended: list[int] = []
        changed = replace(SETTINGS, warming=WarmingSettings(file="prompts", **settings), limits=Limits(body=1000))
        self.warming = Warming(
            changed, key, ROUTER, TickingClock(), self._carry, name_call=lambda: f"w{len(self.carried)}", read=self._read,
            rest=self._rest, report=lambda number, problem: self.reports.append((number, problem)),
            note_ended=self.ended.append,
        )  # fmt: skip

    def _read(self) -> bytes:
        file = self.files.pop(0) if len(self.files) > 1 else self.files[0]
        if isinstance(file, OSError):
            raise file
        return file

    async def _carry(self, client: ErrandClient, errand: Errand) -> None:
        self.carried.append((client, errand))

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        if len(self.rests) > 9:
            raise asyncio.CancelledError

    async def run(self) -> list[str]:
        """Start and run; return the models that were asked for."""
        self.warming.start()
        await self.warming.run()
        return self.asked()

    def asked(self) -> list[str]:
        """Return the models that were asked for."""
        return [json.loads(errand.body)["model"] for _, errand in self.carried]


def models(*names: str) -> Iterable[bytes]:
    """Return a line for each model."""
    return (line_of(body={"model": name}) for name in names)


async def test_prompts_are_asked_in_order_and_paced() -> None:
    """Once, at start, with a rest between one and the next."""
    sidecar = Sidecar(*models("a", "b", "c"), pace=2.5)
    assert await sidecar.run() == ["a", "b", "c"]
    assert sidecar.rests == [2.5, 2.5]
    assert sidecar.reports == [] and sidecar.ended == [3]


async def test_an_errand_is_whose_the_line_says_and_paid_for_by_warming() -> None:
    """An id for each, the body as it was written, anew, as those who tell no tenant ask by default."""
    body = b'{"temperature":0.0,  "model":"m"}'
    sidecar = Sidecar(b'{"path":"%s","tenant":"a","body":%s}' % (CHAT.encode(), body), line_of(), tenant="payer")
    await sidecar.run()
    (client, first), (_, second) = sidecar.carried
    assert (first.body, first.origin, first.tenant) == (body, "warming", Tenant("a", "payer"))
    assert second.tenant == Tenant("default", "payer")
    assert (first.call.id, second.call.id) == ("w0", "w1")
    assert (first.call.method, first.call.target, first.call.wanted.own) == ("POST", CHAT, {"x-sidecar-cache": "no-cache"})
    assert client.call is first.call


def fields_of(line: bytes, key: str | None = None) -> dict[str, str]:
    """Return the fields of a line's call."""
    return {name.decode(): value.decode() for name, value in read_prompt(line, ROUTER, key, 1000).headers}


def test_a_prompt_comes_with_the_fields_that_sdks_send() -> None:
    """Unless it says otherwise; without a body it is a GET, and says nothing of one."""
    usual = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Content-Type": "application/json"}
    assert fields_of(line_of()) == usual
    told = {"accept": "*/*", "Anthropic-Version": "2023-06-01"}
    assert fields_of(line_of(headers=told)) == {**told, **{name: usual[name] for name in ("Accept-Encoding", "Content-Type")}}
    for body in ({}, {"body": None}):
        prompt = read_prompt(json.dumps({"path": "/openai/v1/models?x=1", **body}).encode(), ROUTER, None, 1000)
        assert (prompt.method, prompt.target, prompt.body) == ("GET", "/openai/v1/models?x=1", b"")
        assert [name for name, _ in prompt.headers] == [b"Accept", b"Accept-Encoding"]


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (CHAT, {}, ("Authorization", f"Bearer {KEY}")),
        ("/openai/openai/deployments/d/chat/completions?api-version=1", {}, ("api-key", KEY)),
        ("/gemini/v1beta/models/m:generateContent", {}, ("x-goog-api-key", KEY)),
        ("/other/v1/messages", {"x-api-key": "{key}"}, ("x-api-key", KEY)),
        ("/tools/search", {"Authorization": "Basic {key}"}, ("Authorization", f"Basic {KEY}")),
    ],
)
def test_the_credential_has_its_place(path: str, headers: dict[str, str], expected: tuple[str, str]) -> None:
    """As the SDK of each form puts it, or where the line says; and in one place only."""
    fields = fields_of(line_of(path, headers=headers), KEY)
    assert [field for field in fields.items() if KEY in field[1]] == [expected]


def test_a_tool_is_not_shown_the_key_of_a_model() -> None:
    """Unless the line says so."""
    assert KEY not in repr(read_prompt(line_of("/tools/search"), ROUTER, KEY, 1000))


BAD = [
    (b"nonsense", "not a prompt"),
    (b"[]", "not a prompt"),
    (b"\xff", "not a prompt"),
    (b"[" * 100_000, "not a prompt"),
    (b'{"body":{}}', "path"),
    (line_of(prompt="x"), "prompt"),
    (line_of(CHAT + "#x"), "path"),
    (line_of("/openai/../x"), "path"),
    (line_of("http://x/"), "path"),
    (line_of("/nowhere"), "route"),
    (line_of("/x-sidecar/batch"), "route"),
    (line_of(tenant="a\nb"), "tenant"),
    (line_of(tenant=""), "tenant"),
    (line_of(tenant="a" * 10_000), "tenant"),
    (line_of(body="x" * 1000), "limits.body"),
    (line_of(headers={"a b": "c"}), "field"),
    (line_of(headers={"a": "b\r\nc: d"}), "field"),
    (line_of(headers={"a": "é\u20ac"}), "field"),
    (line_of(headers={"a": 1}), "headers"),
    (line_of(headers={"X-API-Key": KEY}), "key_file"),
    (line_of(headers={"cookie": "s=1"}), "key_file"),
    (line_of(headers={"x-api-key": "{key}"}), "key_file"),
]


@pytest.mark.parametrize(("line", "problem"), BAD, ids=range(len(BAD)))
def test_a_line_that_is_no_prompt_says_why(line: bytes, problem: str) -> None:
    """And repeats nothing that could be a secret."""
    with pytest.raises(ValueError, match=problem) as caught:
        read_prompt(line, ROUTER, None, 1000)
    assert KEY not in str(caught.value)


async def test_bad_lines_are_told_by_their_number_and_the_others_are_asked() -> None:
    """Empty lines are nothing; a file from another system has its line ends."""
    sidecar = Sidecar(b"", line_of(body={"model": "a"}) + b"\r", b"  ", b"nonsense", *models("b"), b"{}", b"")
    assert await sidecar.run() == ["a", "b"]
    assert [number for number, _ in sidecar.reports] == [4, 6]


async def test_reports_are_bounded() -> None:
    """However many bad lines there are."""
    sidecar = Sidecar(*[b"x"] * 1000, *models("a"))
    assert await sidecar.run() == ["a"]
    assert len(sidecar.reports) == 21
    assert sidecar.reports[-1] == (21, "and 979 more lines that are no prompts")


async def test_prompts_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is passed over, and said."""
    monkeypatch.setattr("sidecar.warming._PROMPTS_MAX", 2)
    sidecar = Sidecar(*models("a", "b", "c", "d"))
    assert await sidecar.run() == ["a", "b"]
    assert [number for number, _ in sidecar.reports] == [3]
    monkeypatch.setattr("sidecar.warming.FILE_BYTES_MAX", len(line_of(body={"model": "a"})) + 1)
    sidecar = Sidecar(*models("a", "b"))
    assert await sidecar.run() == ["a"]
    assert [number for number, _ in sidecar.reports] == [0]


async def test_a_file_that_is_missing_at_start_is_said_at_start() -> None:
    """By the setting that names it."""
    sidecar = Sidecar()
    sidecar.files = [OSError(2, "No such file or directory")]
    with pytest.raises(ConfigError, match=r"warming\.file.*No such file"):
        sidecar.warming.start()


async def test_on_a_schedule_the_file_is_read_again() -> None:
    """What is in it then is asked; while it cannot be read, what was in it before."""
    sidecar = Sidecar(*models("a", "b"), every=3600.0, pace=1.0)
    sidecar.files += [OSError(5, "Input/output error"), b"\n".join(models("c")), b""]
    sidecar.warming.start()
    with pytest.raises(asyncio.CancelledError):
        await sidecar.warming.run()
    assert sidecar.asked() == ["a", "b", "a", "b", "c"]
    assert sidecar.rests[:5] == [1.0, 3600.0, 1.0, 3600.0, 3600.0]
    assert sidecar.reports == [(0, "the file cannot be read (Input/output error)")]


@pytest.mark.parametrize("resting", [False, True])
async def test_it_stops_at_once(resting: bool) -> None:
    """In the middle of a call, or between two: nothing more is asked."""
    path = Played(PlayedAnswer(200, JSON, at_head=None if resting else asyncio.get_running_loop().create_future(), body=[b"{}"]))
    at_rest = asyncio.Event()

    async def rest(seconds: float) -> None:
        at_rest.set()
        await asyncio.get_running_loop().create_future()

    async def carry(client: ErrandClient, errand: Errand) -> None:
        await path.pipeline.carry(client)

    warming = Warming(
        SETTINGS, None, ROUTER, path.clock, carry, name_call=lambda: "w", read=lambda: b"\n".join(models("a", "b")), rest=rest,
        report=lambda number, problem: None, note_ended=lambda prompts: None,
    )  # fmt: skip
    warming.start()
    task = asyncio.ensure_future(warming.run())
    async with asyncio.timeout(5):
        while not (at_rest.is_set() if resting else path.used):
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    path.check_rest()
    assert [record.ending for record in path.records[0]] == [Ending.COMPLETED if resting else Ending.REFUSED]


def test_the_sidecars_own_paths_are_no_prompts() -> None:
    """Even where a route takes every path."""
    everything = Router((*ROUTES, Route("/", "other")))
    assert read_prompt(line_of("/nowhere"), everything, None, 1000).target == "/nowhere"
    with pytest.raises(ValueError, match="no route"):
        read_prompt(line_of("/x-sidecar/batch"), everything, None, 1000)


async def test_what_is_asked_in_the_same_way_need_not_begin_anew() -> None:
    """The prompts, their pace and schedule, on whose account, with which key: all of it counts, and nothing else."""

    def make(*lines: bytes, key: str | None = None, default: str = "default", **settings: Any) -> Warming:
        sidecar = Sidecar(*lines, key=key, **settings)
        changed = replace(SETTINGS, warming=WarmingSettings(file="prompts", **settings), tenants=Tenants(default=default))
        sidecar.warming.adopt(changed, ROUTER)
        sidecar.warming.read()
        return sidecar.warming

    one = make(*models("a", "b"))
    assert make(*models("a", "b")).asks_as(one)
    for other in (
        make(*models("a", "c")), make(*models("a", "b"), pace=9.0), make(*models("a", "b"), tenant="x"), make(*models("a", "b"), key=KEY),
        make(*models("a", "b"), default="y"),
    ):  # fmt: skip
        assert not other.asks_as(one)


async def test_reading_tells_nothing_until_it_is_wanted() -> None:
    """What is read beforehand may never be asked."""
    sidecar = Sidecar(b"{", *models("a"))
    sidecar.warming.read()
    assert sidecar.reports == []
    sidecar.warming.tell_problems()
    sidecar.warming.tell_problems()
    assert [number for number, _ in sidecar.reports] == [1]

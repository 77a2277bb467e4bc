"""A single upstream that is dead: left alone after a few failures, callers told so at once, asked again once it lives."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Final

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types

from sidecar.config import Breaker, Features, Force, Probes, Probing
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.faults import script_good
from tests.rig.pools import PoolSide, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME, TALKS, Talk
from tests.rig.upstream import Closed, End, Script
from tests.rig.upstream import Upstream as Told

REACHED_MAX: Final = 7
OPEN_ANSWER_S: Final = 0.005
OPEN_S: Final = 30.0
INTERVAL_S: Final = 0.5
JITTER: Final = 1.25  # of the interval of probes
SLACK_S: Final = 0.15  # what a busy machine needs
RESET: Final = Script([], End.RST)
OPENAI: Final = BY_NAME["openai_whole"]
MODELS: Final = Script([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":[]}'])


def posts(upstream: Told) -> int:
    """Return how many calls came: probes are none."""
    return sum(visit.method == "POST" for visit in upstream.visits)


def ask(talk: Talk, prefix: str = "/only") -> bytes:
    """Return the request."""
    return compose(prefix + talk.path, talk.request)


async def open_breaker(side: PoolSide, talk: Talk = OPENAI) -> list[Answer]:
    """Make calls, one after the other, until one is refused; return their answers."""
    answers = []
    for _ in range(20):
        answers.append(await fetch(side.url, ask(talk)))
        if answers[-1].field("x-sidecar-error") == "circuit_open":
            break
    return answers


def read_code(talk: Talk, body: bytes) -> Any:
    """Return our error id as it stands in an error of the caller's form."""
    tree = json.loads(body)
    match talk.provider:
        case "openai":
            assert set(tree["error"]) == {"message", "type", "param", "code"}
            return tree["error"]["code"]
        case "anthropic":
            assert tree["type"] == "error" and tree["error"]["message"]
            return tree["error"]["details"]["error_code"]
        case "gcp.gemini":
            assert (tree["error"]["code"], tree["error"]["status"]) == (503, "UNAVAILABLE")
            return tree["error"]["details"][0]["reason"]
        case _:
            return tree["error"].split(":")[0]


@contextlib.asynccontextmanager
async def dead(settings: dict[str, Any], *, provider: str = "openai") -> AsyncIterator[tuple[Told, PoolSide]]:
    """Run an upstream that resets every connection, and a sidecar in front of it."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: RESET
        async with running_settings(single(upstream, provider=provider, **settings)) as side:
            yield upstream, side


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
async def test_an_open_breaker_answers_at_once_in_the_callers_form(talk: Talk) -> None:
    """At most seven calls reach a dead upstream; all others get 503 with Retry-After in milliseconds, and the scrape shows it."""
    async with dead({"breaker": Breaker(open=OPEN_S)}, provider=talk.provider) as (upstream, side):
        answers = await open_breaker(side, talk)
        refused = answers.pop()
        reached = posts(upstream)
        lasted = []
        caller = await Caller.connect(side.url)
        for _ in range(40):
            began = time.monotonic()
            refused = await caller.ask(ask(talk))
            lasted.append(time.monotonic() - began)
            assert refused.field("x-sidecar-error") == "circuit_open"
        caller.leave()
        scrape = await side.settle()
        assert posts(upstream) == reached <= REACHED_MAX
    assert {answer.field("x-sidecar-error") for answer in answers} == {"upstream_reset"}
    assert (refused.status, refused.whole) == (503, True)
    assert 1 <= int(refused.field("retry-after") or "0") <= OPEN_S * 1.1 + 1
    assert read_code(talk, bytes(refused.body)) == "circuit_open"
    assert statistics.median(lasted) < OPEN_ANSWER_S, sorted(lasted)
    assert scrape.sum("circuit_breaker_state", upstream="only") == 2
    assert scrape.count_by("circuit_breaker_transitions_total", "to", upstream="only") == {"open": 1}
    assert scrape.count_by("circuit_breaker_openings_total", "reason", upstream="only") == {"consecutive_failures": 1}
    assert scrape.sum("circuit_breaker_rejected_total", upstream="only") == 41
    assert scrape.count_by("requests_total", "ending") == {"reset": len(answers), "unavailable": 41}
    assert scrape.count_by("attempts_total", "outcome", upstream="only") == {"reset": reached}


async def test_a_refused_connection_opens_it_as_well() -> None:
    """Nobody listens: the same, by the sidecar's own count of attempts."""
    closed = Closed()
    async with running_settings(single(closed.url)) as side:
        answers = await open_breaker(side)
        scrape = await side.settle()
    closed.close()
    assert answers[-1].status == 503
    assert scrape.sum("attempts_total", upstream="only", outcome="connect_failed") == scrape.sum("attempts_total") <= REACHED_MAX


async def test_a_stream_that_breaks_counts() -> None:
    """An upstream that begins each answer and never ends one is dead, too."""
    talk = BY_NAME["openai_stream"]
    spoken = talk.speak("only")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: Script([head + spoken.opening + spoken.tokens[0], 0.01], End.RST)
        async with running_settings(single(upstream)) as side:
            answers = await open_breaker(side, talk)
            scrape = await side.settle()
            assert posts(upstream) <= REACHED_MAX
    assert answers[-1].field("x-sidecar-error") == "circuit_open"
    assert scrape.count_by("requests_total", "ending") == {"cut": posts(upstream), "unavailable": 1}


@pytest.mark.parametrize("status", [400, 401, 404, 429])
async def test_a_callers_mistakes_and_limits_open_nothing(status: int) -> None:
    """What is no failure of the upstream is passed on for ever."""
    told = OPENAI.error(status)
    answer = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(told)) + told
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: Script([answer])
        async with running_settings(single(upstream)) as side:
            for _ in range(30):
                answered = await fetch(side.url, ask(OPENAI))
                assert (answered.status, bytes(answered.body)) == (status, told)
            scrape = await side.settle()
            assert posts(upstream) == 30
    assert scrape.sum("circuit_breaker_state", upstream="only") == 0
    assert scrape.has("circuit_breaker_state", upstream="only")


# -- recovery ------------------------------------------------------------------------------


async def until_served(side: PoolSide, patience_s: float) -> float:
    """Ask again and again; return how many seconds it took until a call was answered."""
    began = time.monotonic()
    caller = await Caller.connect(side.url)
    async with asyncio.timeout(patience_s):
        while (await caller.ask(ask(OPENAI))).status != 200:
            await asyncio.sleep(0.01)
    caller.leave()
    return time.monotonic() - began


def heal(upstream: Told) -> None:
    """From now on it answers, calls and probes."""
    upstream.otherwise = lambda visit: MODELS if visit.method == "GET" else script_good(OPENAI, "only")


async def check_recovered(side: PoolSide) -> None:
    """After a few good calls the breaker is closed, and each step can be seen."""
    for _ in range(3):
        assert (await fetch(side.url, ask(OPENAI))).status == 200
    scrape = await side.until(lambda scrape: not scrape.sum("circuit_breaker_state", upstream="only"))
    transitions = {
        (before, after): scrape.sum("circuit_breaker_transitions_total", **{"upstream": "only", "from": before, "to": after})
        for before, after in (("closed", "open"), ("open", "half_open"), ("half_open", "closed"))
    }
    assert transitions == {("closed", "open"): 1, ("open", "half_open"): 1, ("half_open", "closed"): 1}


async def test_recovery_is_noticed_within_one_interval_of_probes() -> None:
    """The breaker would be open for long yet: a probe that succeeds lets calls through again."""
    probing = {
        "more": {"probe": Probing.ON}, "probes": Probes(interval=INTERVAL_S, timeout=0.3), "features": Features(probes=True),
        "breaker": Breaker(open=OPEN_S, open_max=60),
    }  # fmt: skip
    async with dead(probing) as (upstream, side):
        assert (await open_breaker(side))[-1].status == 503
        down = await side.until(lambda scrape: scrape.sum("probes_total", upstream="only") >= 2, 3 * INTERVAL_S * JITTER + SLACK_S)
        down = await side.until(lambda scrape: not scrape.sum("upstream_healthy", upstream="only"), 2 * INTERVAL_S * JITTER)
        assert down.has("upstream_healthy", upstream="only")
        calls = posts(upstream)
        heal(upstream)
        lasted = await until_served(side, 5)
        assert lasted <= INTERVAL_S * JITTER + SLACK_S
        assert posts(upstream) == calls + 1, "a probe is not a call"
        up = await side.scrape()
        assert up.sum("upstream_healthy", upstream="only") == 1
        await check_recovered(side)


async def test_recovery_without_probes_takes_the_open_time() -> None:
    """When it is over calls go through, at most so many at once as breaker.probes says."""
    async with dead({"breaker": Breaker(open=0.4, open_max=1.0, probes=2)}) as (upstream, side):
        await open_breaker(side)
        heal(upstream)
        lasted = await until_served(side, 5)
        assert 0.35 <= lasted <= 0.4 * JITTER + SLACK_S
        await check_recovered(side)


async def test_half_open_admits_so_many_and_no_more() -> None:
    """Of many callers at once as many reach the upstream as breaker.probes says, until one of those was answered."""
    async with dead({"breaker": Breaker(open=0.3, probes=2)}) as (upstream, side):
        await open_breaker(side)
        calls = posts(upstream)
        slow = [0.3, *script_good(OPENAI, "only").steps]
        upstream.otherwise = lambda visit: Script(slow)
        await asyncio.sleep(0.3 * JITTER + 0.05)
        answers = await asyncio.gather(*(fetch(side.url, ask(OPENAI)) for _ in range(20)))
        assert posts(upstream) == calls + 2
    assert sorted(answer.status for answer in answers) == [200] * 2 + [503] * 18


async def test_a_failed_probe_call_opens_it_for_longer() -> None:
    """Each time it opens again it stays open for longer, up to breaker.open_max."""
    async with dead({"breaker": Breaker(open=0.2, open_max=0.4, probes=1)}) as (upstream, side):
        await open_breaker(side)
        moments = []
        async with asyncio.timeout(10):
            while len(moments) < 4:
                calls = posts(upstream)
                await fetch(side.url, ask(OPENAI))
                if posts(upstream) > calls:
                    moments.append(time.monotonic())
                await asyncio.sleep(0.005)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(0.35 <= gap <= 0.4 * JITTER + SLACK_S for gap in gaps), gaps


@pytest.mark.parametrize(("force", "served"), [(Force.OPEN, 0), (Force.CLOSED, 12), (Force.DISABLED, 12)])
async def test_an_operator_has_the_last_word(force: Force, served: int) -> None:
    """A breaker that is forced is not moved by results."""
    async with dead({"more": {"breaker": force}}) as (upstream, side):
        answers = [await fetch(side.url, ask(OPENAI)) for _ in range(12)]
        assert posts(upstream) == served
    assert {answer.field("x-sidecar-error") for answer in answers} == {"upstream_reset" if served else "circuit_open"}


async def test_breakers_can_be_switched_off() -> None:
    """features.breakers: false: every call reaches the upstream."""
    async with dead({"features": Features(probes=False, breakers=False)}) as (upstream, side):
        for _ in range(12):
            await fetch(side.url, ask(OPENAI))
        assert posts(upstream) == 12


# -- the official SDKs ---------------------------------------------------------------------

_ASKED: Final[Any] = [{"role": "user", "content": "Why?"}]


async def ask_openai(url: str) -> tuple[type[Exception], int, Any]:
    """OpenAI's."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-x", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model="sim-small", messages=_ASKED)
    assert raised.value.response.headers["retry-after"]
    return type(raised.value), raised.value.status_code, raised.value.code


async def ask_anthropic(url: str) -> tuple[type[Exception], int, Any]:
    """Anthropic's."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-x", max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await client.messages.create(model="sim-small", max_tokens=9, messages=_ASKED)
    body: Any = raised.value.body
    return type(raised.value), raised.value.status_code, body["error"]["details"]["error_code"]


async def ask_gemini(url: str) -> tuple[type[Exception], int, Any]:
    """Google's."""
    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url=url))
    with pytest.raises(errors.APIError) as raised:
        await client.aio.models.generate_content(model="sim-small", contents="Why?")
    await client.aio.aclose()
    return type(raised.value), raised.value.code, raised.value.details["error"]["details"][0]["reason"]


async def ask_ollama(url: str) -> tuple[type[Exception], int, Any]:
    """Ollama's."""
    client = ollama.AsyncClient(host=url)
    with pytest.raises(ollama.ResponseError) as raised:
        await client.chat(model="sim-small", messages=_ASKED)
    await client._client.aclose()
    return type(raised.value), raised.value.status_code, raised.value.error.split(":")[0]


SDKS: Final = {
    "openai_whole": (ask_openai, openai.InternalServerError),
    "anthropic_whole": (ask_anthropic, anthropic.InternalServerError),
    "gemini_whole": (ask_gemini, errors.ServerError),
    "ollama_whole": (ask_ollama, ollama.ResponseError),
}


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
@pytest.mark.parametrize("name", SDKS)
async def test_an_sdk_raises_its_own_error(name: str) -> None:
    """Who calls by an official SDK sees a server that is not available, and why."""
    asking, expected = SDKS[name]
    talk = BY_NAME[name]
    async with dead({}, provider=talk.provider) as (_, side):
        await open_breaker(side, talk)
        kind, status, code = await asking(f"{side.url}/only")
    assert issubclass(kind, expected)
    assert (status, code) == (503, "circuit_open")

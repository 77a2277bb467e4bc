"""What a caller may wish of whoever answers: honoured, refused with the reason, or met as nearly as possible where it is urgent."""

import json
from typing import Any, Final

import pytest

from sidecar.config import Strategy
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import script_good
from tests.rig.pools import PoolSide, pair, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME, WHOLES, Talk
from tests.rig.upstream import Upstream as Told

OPENAI: Final = BY_NAME["openai_whole"]
QUALITIES: Final[dict[str, Any]] = {"one": {"quality": 0.5}, "two": {"quality": 0.8}}
HIGH: Final = ("x-sidecar-urgency", "high")


def goods(upstreams: list[Told], talk: Talk = OPENAI) -> None:
    """Let both answer well, each in its own word."""
    for upstream, word in zip(upstreams, ("first", "second"), strict=True):
        upstream.otherwise = lambda visit, word=word: script_good(talk, word)  # type: ignore[misc]


async def wish(side: PoolSide, *fields: tuple[str, str], talk: Talk = OPENAI, prefix: str = "/pool") -> Answer:
    """Make one call with wishes."""
    return await fetch(side.url, compose(prefix + talk.path, talk.request, fields=fields))


MALFORMED: Final = [
    ("x-sidecar-max-response-time", "soon"), ("x-sidecar-max-response-time", "0"), ("x-sidecar-max-response-time", "-1"),
    ("x-sidecar-max-response-time", "nan"), ("x-sidecar-min-quality", "good"), ("x-sidecar-min-quality", "1.5"),
    ("x-sidecar-min-quality", "-0.1"), ("x-sidecar-min-reliability", "2"), ("x-sidecar-min-reliability", "99%"),
    ("x-sidecar-urgency", "now"), ("x-sidecar-urgency", ""), ("x-sidecar-timeout", "never"),
]  # fmt: skip


@pytest.mark.parametrize("field", MALFORMED, ids=lambda field: f"{field[0].removeprefix('x-sidecar-')}={field[1]}")
async def test_a_malformed_wish_is_the_callers_mistake(field: tuple[str, str]) -> None:
    """400, in the caller's form, with the header's name and what is allowed; nobody is asked."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        goods(upstreams)
        answer = await wish(side, field)
        scrape = await side.settle()
        assert not any(upstream.visits for upstream in upstreams)
    assert (answer.status, answer.field("x-sidecar-error"), answer.whole) == (400, "bad_request", True)
    message = json.loads(answer.body)["error"]["message"]
    assert field[0] in message and "allowed" in message
    assert scrape.count_by("requests_total", "ending") == {"client_fault": 1}
    assert scrape.sum("attempts_total") == 0


@pytest.mark.parametrize(
    ("fields", "upstream"),
    [
        ([("x-sidecar-exclude", "first")], "second"), ([("x-sidecar-exclude", "second")], "first"),
        ([("x-sidecar-exclude", "nobody")], "first"), ([("x-sidecar-prefer", "second")], "second"),
        ([("x-sidecar-prefer", "first, second")], "first"), ([("x-sidecar-min-quality", "0.7")], "second"),
        ([("x-sidecar-min-quality", "0.4")], "first"), ([("x-sidecar-max-response-time", "30")], "first"),
        ([("x-sidecar-min-reliability", "0.9")], "first"), ([("x-sidecar-urgency", "low")], "first"),
    ],
)  # fmt: skip
async def test_a_wish_is_honoured(fields: list[tuple[str, str]], upstream: str) -> None:
    """Each call goes where the caller wants it, and no header of ours goes with it."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, **QUALITIES)) as side:
        goods(upstreams)
        for _ in range(3):
            answer = await wish(side, *fields)
            assert (answer.status, answer.field("x-sidecar-upstream"), answer.field("x-sidecar-degraded")) == (200, upstream, None)
        sent = {name for each in upstreams for visit in each.visits for name, _ in visit.headers}
    assert not any(name.startswith(b"x-sidecar") for name in sent)


UNMET: Final = {
    "quality": ([("x-sidecar-min-quality", "0.9")], "quality"),
    "exclude": ([("x-sidecar-exclude", "first, second")], "exclude"),
    "several": ([("x-sidecar-exclude", "second"), ("x-sidecar-min-quality", "0.7")], "quality"),
}


@pytest.mark.parametrize("what", UNMET)
async def test_a_wish_that_nobody_meets_is_refused_with_the_reason(what: str) -> None:
    """503 that says which wish, and of whom it could not be met; it is our policy and no error of the service."""
    fields, word = UNMET[what]
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, **QUALITIES)) as side:
        goods(upstreams)
        answer = await wish(side, *fields)
        scrape = await side.settle()
        assert not any(upstream.visits for upstream in upstreams)
    assert (answer.status, answer.field("x-sidecar-error"), answer.whole) == (503, "wish_unmet", True)
    message = json.loads(answer.body)["error"]["message"]
    assert word in message and "first" in message and "second" in message, message
    assert scrape.count_by("requests_total", "ending") == {"refused": 1}
    assert scrape.sum("wishes_refused_total") >= 1


@pytest.mark.parametrize("talk", WHOLES, ids=lambda talk: talk.name)
async def test_a_refusal_has_the_callers_form(talk: Talk) -> None:
    """Each SDK can read it."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, provider=talk.provider, **QUALITIES)) as side:
        goods(upstreams, talk)
        answer = await wish(side, ("x-sidecar-min-quality", "0.9"), talk=talk)
    assert answer.status == 503
    assert "error" in json.loads(answer.body)


async def test_urgency_is_given_the_nearest() -> None:
    """Who cannot wait is served as nearly as possible, and told so."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, **QUALITIES)) as side:
        goods(upstreams)
        for _ in range(3):
            answer = await wish(side, ("x-sidecar-min-quality", "0.9"), HIGH)
            assert (answer.status, answer.field("x-sidecar-degraded")) == (200, "simple")
        scrape = await side.settle()
    assert scrape.count_by("degraded_requests_total", "step") == {"simple": 3}
    assert scrape.count_by("requests_total", "ending") == {"completed": 3}


async def test_a_preferred_upstream_that_is_not_there() -> None:
    """A preference is no condition: somebody else answers."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, strategy=Strategy.ROUND_ROBIN)) as side:
        goods(upstreams)
        answer = await wish(side, ("x-sidecar-prefer", "nobody"))
    assert answer.status == 200


async def test_a_failover_keeps_to_the_wishes() -> None:
    """Who was excluded is not asked when the other one fails, either."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        goods(upstreams)
        await upstreams[0].stop()
        answer = await wish(side, ("x-sidecar-exclude", "second"))
        assert not upstreams[1].visits
    assert answer.status == 502


async def test_wishes_of_a_single_upstream() -> None:
    """There is one to choose from: what it does not meet is refused all the same."""
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, more={"quality": 0.5})) as side:
        upstream.otherwise = lambda visit: script_good(OPENAI, "first")
        assert (await wish(side, ("x-sidecar-min-quality", "0.4"), prefix="/only")).status == 200
        assert (await wish(side, ("x-sidecar-min-quality", "0.9"), prefix="/only")).field("x-sidecar-error") == "wish_unmet"
        assert (await wish(side, ("x-sidecar-exclude", "only"), prefix="/only")).field("x-sidecar-error") == "wish_unmet"
        assert (await wish(side, ("x-sidecar-min-quality", "0.9"), HIGH, prefix="/only")).status == 200

"""What follows a failure depends on its cause: limits, credentials, contexts, policies, and what is the caller's own mistake."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.config import Features, Retries, Strategy
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.pools import PoolSide, pair, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME, WHOLES, Talk
from tests.rig.upstream import Script, Visit
from tests.rig.upstream import Upstream as Told

OPENAI: Final = BY_NAME["openai_whole"]
KEY: Final = ("Authorization", "Bearer sk-caller")


async def ask(side: PoolSide, talk: Talk = OPENAI, prefix: str = "/pool", fields: tuple[tuple[str, str], ...] = (KEY,)) -> Answer:
    """Make one call."""
    return await fetch(side.url, compose(prefix + talk.path, talk.request, fields=fields))


def goods(upstreams: list[Told], talk: Talk = OPENAI) -> None:
    """Let both answer well, each in its own word."""
    for upstream, word in zip(upstreams, ("first", "second"), strict=True):
        upstream.otherwise = lambda visit, word=word: script_good(talk, word)  # type: ignore[misc]


def fails(upstream: Told, script: Script) -> None:
    """Let one fail."""
    upstream.otherwise = lambda visit: script


def whose(answer: Answer) -> str:
    """Return whose answer it is, by its body."""
    assert answer.whole
    return next((word for word in ("first", "second") if word.encode() in answer.body), str(answer.status))


def counts(upstreams: list[Told]) -> tuple[int, ...]:
    """Return how many calls came to each."""
    return tuple(len(upstream.visits) for upstream in upstreams)


# -- limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
async def test_an_upstream_that_asks_for_a_pause_gets_it(status: int) -> None:
    """The next one answers at once; the one that asked is not asked again while its pause lasts, and is afterwards."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, status, b"Retry-After: 1\r\n"))
        began = time.monotonic()
        answer = await ask(side)
        assert whose(answer) == "second"
        assert upstreams[1].visits[0].begun_at - upstreams[0].visits[0].begun_at < 0.1
        goods(upstreams)
        while time.monotonic() - began < 0.8:
            assert whose(await ask(side)) == "second"
            await asyncio.sleep(0.02)
        assert len(upstreams[0].visits) == 1
        await asyncio.sleep(began + 1.1 - time.monotonic())
        assert whose(await ask(side)) == "first"
        scrape = await side.settle()
    assert scrape.sum("circuit_breaker_transitions_total", upstream="first") == 0, "a pause is not a failure"
    assert scrape.sum("failovers_total", **{"from": "first", "to": "second"}) == 1
    assert scrape.sum("retry_after_ignored_total") == 0


async def test_a_pause_is_that_of_one_credential() -> None:
    """Another key has limits of its own."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, 429, b"Retry-After: 30\r\n"))
        assert whose(await ask(side)) == "second"
        goods(upstreams)
        assert whose(await ask(side)) == "second"
        assert whose(await ask(side, fields=(("Authorization", "Bearer sk-another"),))) == "first"


async def test_all_ask_for_a_pause() -> None:
    """Who is held is asked rather than nobody: a pause refuses no call by itself, and the last failure is passed on as it came."""
    script = script_error(OPENAI, 429, b"Retry-After: 30\r\n")
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        for upstream in upstreams:
            fails(upstream, script)
        for _ in range(3):
            answer = await ask(side)
            assert (answer.status, answer.field("retry-after"), bytes(answer.body)) == (429, "30", OPENAI.error(429))
            assert answer.field("x-sidecar-error") is None
        goods(upstreams)
        assert whose(await ask(side)) in ("first", "second")


async def test_a_single_upstreams_pause_is_the_callers_affair() -> None:
    """A 429 is passed on as it came, and the next call goes there all the same."""
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream)) as side:
        fails(upstream, script_error(OPENAI, 429, b"Retry-After: 30\r\n"))
        answers = [await ask(side, prefix="/only") for _ in range(3)]
        assert len(upstream.visits) == 3
    assert {(answer.status, answer.field("retry-after"), bytes(answer.body)) for answer in answers} == {(429, "30", OPENAI.error(429))}


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (b"31536000", "capped"), (b"Fri, 31 Dec 2100 23:59:59 GMT", "capped"), (b"9" * 400, "capped"),
        (b"soon", "unreadable"), (b"-5", "unreadable"), (b"", None),
    ],
    ids=["a year", "a date far away", "more than a float", "soon", "negative", "empty"],
)  # fmt: skip
async def test_a_pause_that_makes_no_sense(told: bytes, problem: str | None) -> None:
    """A year is capped, nonsense ignored, and each is counted; the upstream is asked again after the cap."""
    settings = {"retries": Retries(retry_after_max=0.5)}
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, **settings)) as side:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, 429, b"Retry-After: " + told + b"\r\n"))
        began = time.monotonic()
        assert whose(await ask(side)) == "second"
        goods(upstreams)
        if problem == "capped":
            assert whose(await ask(side)) == "second"
            assert time.monotonic() - began < 0.5
        await asyncio.sleep(began + 0.6 - time.monotonic())
        assert whose(await ask(side)) == "first"
        scrape = await side.settle()
    ignored = scrape.count_by("retry_after_ignored_total", "reason")
    assert ignored == ({problem: 1} if problem else ignored)


async def test_retry_after_in_milliseconds() -> None:
    """retry-after-ms, as OpenAI sends it, is read as well."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, 429, b"retry-after-ms: 300\r\n"))
        began = time.monotonic()
        assert whose(await ask(side)) == "second"
        goods(upstreams)
        assert whose(await ask(side)) == "second"
        await asyncio.sleep(began + 0.4 - time.monotonic())
        assert whose(await ask(side)) == "first"


async def test_with_retries_a_short_pause_is_waited_for() -> None:
    """With features.retries a single upstream is asked again after the pause that it asked for."""
    settings: dict[str, Any] = {"features": Features(probes=False, retries=True)}
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, **settings)) as side:
        scripts = iter([script_error(OPENAI, 429, b"Retry-After: 1\r\n"), script_good(OPENAI, "first")])
        upstream.otherwise = lambda visit: next(scripts)
        answer = await ask(side, prefix="/only")
        gap_s = upstream.visits[1].begun_at - upstream.visits[0].begun_at
        scrape = await side.settle()
    assert whose(answer) == "first"
    assert answer.field("x-sidecar-attempts") == "2"
    assert 1.0 <= gap_s < 1.6
    assert scrape.count_by("retries_total", "reason") == {"rate_limited": 1}


async def test_no_pause_beyond_the_deadline_is_waited_for() -> None:
    """Where waiting would take longer than the caller does, the failure is passed on at once."""
    settings: dict[str, Any] = {"features": Features(probes=False, retries=True)}
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, **settings)) as side:
        fails(upstream, script_error(OPENAI, 429, b"Retry-After: 2\r\n"))
        began = time.monotonic()
        answer = await ask(side, prefix="/only", fields=(KEY, ("x-sidecar-timeout", "1")))
        assert time.monotonic() - began < 0.5
        assert len(upstream.visits) == 1
    assert (answer.status, answer.field("retry-after"), bytes(answer.body)) == (429, "2", OPENAI.error(429))


async def test_without_retries_a_single_upstreams_errors_pass() -> None:
    """SDKs repeat by themselves: an answered failure goes to the caller at once."""
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream)) as side:
        for status in (500, 502, 503, 529, 408, 409):
            fails(upstream, script_error(OPENAI, status))
            answer = await ask(side, prefix="/only")
            assert (answer.status, bytes(answer.body)) == (status, OPENAI.error(status))
        assert len(upstream.visits) <= 6


# -- credentials ---------------------------------------------------------------------------


def key_file(folder: Path, name: str = "key") -> dict[str, Any]:
    """Return a credential of the upstream's own."""
    file = folder / name
    file.write_text(f"sk-{name}\n", encoding="utf-8")
    return {"api_key_file": str(file)}


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_bad_credentials_go_on_to_other_credentials_only(status: int, tmp_path: Path) -> None:
    """What one key may not do another may; the same key is not tried elsewhere."""
    async with upstreams_of(2) as upstreams:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, status))
        async with running_settings(pair(*upstreams)) as side:
            answer = await ask(side)
            assert (answer.status, bytes(answer.body)) == (status, OPENAI.error(status))
            assert counts(upstreams) == (1, 0)
        async with running_settings(pair(*upstreams, two=key_file(tmp_path))) as side:
            assert whose(await ask(side)) == "second"
            assert counts(upstreams) == (2, 1)
    assert (b"authorization", b"Bearer sk-key") in upstreams[1].visits[0].headers
    assert not any(b"sk-caller" in value for _, value in upstreams[1].visits[0].headers)


async def test_the_callers_key_does_not_reach_an_upstream_with_its_own(tmp_path: Path) -> None:
    """After a failover each upstream has seen the credential that is meant for it."""
    async with upstreams_of(2) as upstreams:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, 500))
        async with running_settings(pair(*upstreams, one=key_file(tmp_path, "one"), two=key_file(tmp_path, "two"))) as side:
            assert whose(await ask(side)) == "second"
    sent = [[value for name, value in upstream.visits[0].headers if name == b"authorization"] for upstream in upstreams]
    assert sent == [[b"Bearer sk-one"], [b"Bearer sk-two"]]


# -- what the request is -------------------------------------------------------------------

TOO_LONG: Final = {
    "openai_whole": {
        "error": {"message": "This model's maximum context length is 8192 tokens.", "type": "invalid_request_error", "param": "messages",
                  "code": "context_length_exceeded"},
    },
    "anthropic_whole": {
        "type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
    },
    "gemini_whole": {
        "error": {"code": 400, "status": "INVALID_ARGUMENT",
                  "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."},
    },
}  # fmt: skip
REFUSED: Final = {
    "openai_whole": {
        "error": {"message": "The request was rejected by the safety system.", "type": "invalid_request_error", "param": None,
                  "code": "content_policy_violation"},
    },
    "azure": {
        "error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                  "type": None, "param": "prompt", "code": "content_filter", "status": 400,
                  "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}},
    },
}  # fmt: skip


def script_told(status: int, told: Any) -> Script:
    """Return an error with this body."""
    return script_error(OPENAI, status, body=json.dumps(told).encode())


@pytest.mark.parametrize("name", TOO_LONG)
async def test_what_is_too_long_goes_on_to_a_larger_context_only(name: str) -> None:
    """A smaller one, one of the same size, or one of which nothing is known, would say the same."""
    talk = BY_NAME[name]
    bad = script_told(400, TOO_LONG[name])
    for context, goes_on in ((2_000_000, True), (8_000, False), (None, False), (4_000, False)):
        async with upstreams_of(2) as upstreams:
            goods(upstreams, talk)
            fails(upstreams[0], bad)
            settings = pair(*upstreams, provider=talk.provider, one={"context": 8_000}, two={"context": context})
            async with running_settings(settings) as side:
                answer = await ask(side, talk)
                scrape = await side.settle()
            assert counts(upstreams) == (1, int(goes_on)), context
            if goes_on:
                assert whose(answer) == "second"
            else:
                assert (answer.status, json.loads(answer.body)) == (400, TOO_LONG[name])
            assert scrape.sum("circuit_breaker_transitions_total") == 0


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_content_is_passed_on_as_it_came(name: str, tmp_path: Path) -> None:
    """A policy is not routed around, and the provider's reason reaches the caller byte for byte."""
    script = script_told(400, REFUSED[name])
    async with upstreams_of(2) as upstreams:
        goods(upstreams)
        fails(upstreams[0], script)
        settings = pair(*upstreams, two={**key_file(tmp_path), "context": 1_000_000}, features=Features(probes=False, retries=True))
        async with running_settings(settings) as side:
            answer = await ask(side)
        assert counts(upstreams) == (1, 0)
    assert (answer.status, bytes(answer.body)) == (400, json.dumps(REFUSED[name]).encode())
    assert answer.field("x-sidecar-error") is None


async def test_a_moderation_that_answers_403_is_no_matter_of_credentials(tmp_path: Path) -> None:
    """OpenRouter refuses content with 403: other credentials would not help."""
    told = {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"], "flagged_input": "..."}}}
    async with upstreams_of(2) as upstreams:
        goods(upstreams)
        fails(upstreams[0], script_told(403, told))
        async with running_settings(pair(*upstreams, provider="openrouter", two=key_file(tmp_path))) as side:
            answer = await ask(side)
        assert counts(upstreams) == (1, 0)
    assert (answer.status, json.loads(answer.body)) == (403, told)


@pytest.mark.parametrize("status", [400, 404, 405, 413, 422])
@pytest.mark.parametrize("talk", WHOLES, ids=lambda talk: talk.name)
async def test_a_callers_mistake_is_passed_on(talk: Talk, status: int) -> None:
    """Nobody else is asked for what is wrong with the request."""
    async with upstreams_of(2) as upstreams:
        goods(upstreams, talk)
        fails(upstreams[0], script_error(talk, status))
        settings = pair(*upstreams, provider=talk.provider, features=Features(probes=False, retries=True))
        async with running_settings(settings) as side:
            answer = await ask(side, talk)
        assert counts(upstreams) == (1, 0)
    assert (answer.status, bytes(answer.body), answer.whole) == (status, talk.error(status), True)


async def test_the_last_failure_is_passed_on() -> None:
    """Where nobody is left the caller gets what the last one said, whole and as it came, and whose it is."""
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        fails(upstreams[0], script_error(OPENAI, 500))
        fails(upstreams[1], script_error(OPENAI, 503, b"x-request-id: req-2\r\n"))
        answer = await ask(side)
        scrape = await side.settle()
    assert (answer.status, bytes(answer.body), answer.whole) == (503, OPENAI.error(503), True)
    assert (answer.field("x-request-id"), answer.field("x-sidecar-upstream"), answer.field("x-sidecar-attempts")) == (
        "req-2",
        "second",
        "2",
    )
    assert scrape.count_by("requests_total", "ending") == {"upstream_error": 1}


async def test_an_error_larger_than_what_is_held_is_passed_on() -> None:
    """Of an error's body so much is held and no more; whatever it is, the caller misses no byte of it."""
    told = b'{"error": {"message": "' + b"x" * 300_000 + b'"}}'
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams)) as side:
        for upstream in upstreams:
            fails(upstream, script_error(OPENAI, 400, body=told))
        answer = await ask(side)
        assert counts(upstreams) == (1, 0)
    assert (answer.status, bytes(answer.body), answer.whole) == (400, told, True)


async def test_failover_can_be_switched_off() -> None:
    """features.failover: false: the first upstream's failure is the answer."""
    settings: dict[str, Any] = {"features": Features(probes=False, failover=False)}
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, **settings)) as side:
        goods(upstreams)
        fails(upstreams[0], script_error(OPENAI, 500))
        answer = await ask(side)
        assert counts(upstreams) == (1, 0)
    assert answer.status == 500


async def test_a_form_that_nobody_understands_is_not_repeated() -> None:
    """What may have been carried out, and is not known to be harmless, is not sent again; a connection that never was is another matter."""

    def fail(visit: Visit) -> Script:
        return script_error(OPENAI, 500)

    async with upstreams_of(2) as upstreams:
        goods(upstreams)
        upstreams[0].otherwise = fail
        async with running_settings(pair(*upstreams)) as side:
            answer = await fetch(side.url, compose("/pool/v1/fine_tuning/jobs", {"a": 1}))
            assert (answer.status, counts(upstreams)) == (500, (1, 0))
            answer = await fetch(side.url, compose("/pool/v1/models", method="GET"))
            assert (whose(answer), counts(upstreams)) == ("second", (2, 1))
        await upstreams[0].stop()
        async with running_settings(pair(*upstreams, strategy=Strategy.WEIGHTED)) as side:
            assert whose(await fetch(side.url, compose("/pool/v1/fine_tuning/jobs", {"a": 1}))) == "second"

"""A model is called by each upstream's own name for it, and what an answer cost is booked where it came from."""

import json
from typing import Any, Final

import pytest

from tests.rig.caller import compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.pools import pair, running_settings, single, upstreams_of
from tests.rig.talks import INPUT_TOKENS, MODEL, OUTPUT_TOKENS, TALKS, Talk
from tests.rig.upstream import Script, Visit

OTHER: Final = "sim-large"
OTHER_USD: Final = (INPUT_TOKENS * 2.50 + OUTPUT_TOKENS * 10.00) / 1e6  # the price table's
ELSEWHERE: Final = "elsewhere"


def script_other(talk: Talk) -> Script:
    """Return the second upstream's answer: under its own name of the model, in one length."""
    body = talk.speak("second").body.replace(MODEL.encode(), OTHER.encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (talk.media_type.encode(), len(body))
    return Script([head + body])


def asked_model(visit: Visit) -> str:
    """Return the model that an upstream was asked for, wherever that stands."""
    if "/models/" in visit.target:
        return visit.target.split("/models/")[1].split(":")[0]
    model: str = json.loads(visit.body)["model"]
    return model


@pytest.mark.parametrize("known_as", [MODEL, "*"])
@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
async def test_each_upstream_is_asked_by_its_own_name(talk: Talk, known_as: str) -> None:
    """The first one fails; the second gets its name for the model, all else as the caller wrote it, and the account."""
    two: dict[str, Any] = {"models": {known_as: OTHER}, "provider": ELSEWHERE}
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: script_error(talk, 500)
        upstreams[1].otherwise = lambda visit: script_other(talk)
        async with running_settings(pair(*upstreams, provider=talk.provider, two=two)) as side:
            answer = await fetch(side.url, compose(f"/pool{talk.path}", talk.request))
            scrape = await side.settle()
        (failed,), (answered,) = upstreams[0].visits, upstreams[1].visits
        record = side.records.all[0]
    assert (answer.status, answer.field("x-sidecar-upstream")) == (200, "second")
    assert bytes(answer.body) == talk.speak("second").body.replace(MODEL.encode(), OTHER.encode())
    assert (asked_model(failed), asked_model(answered)) == (MODEL, OTHER)
    assert (bytes(failed.body), failed.target) == (talk.request, talk.path)
    if "/models/" in talk.path:
        assert (bytes(answered.body), answered.target) == (talk.request, talk.path.replace(MODEL, OTHER))
    else:
        assert bytes(answered.body) == talk.request.replace(MODEL.encode(), OTHER.encode())
    assert [(each.upstream, each.model) for each in record.attempts] == [("first", None), ("second", OTHER)]
    assert scrape.count_by("requests_total", "provider") == {ELSEWHERE: 1}
    assert scrape.count_by("tokens_total", "type") == {"input": INPUT_TOKENS, "output": OUTPUT_TOKENS}
    assert set(scrape.count_by("tokens_total", "provider")) == {ELSEWHERE}
    assert scrape.sum("cost_usd_total", provider=ELSEWHERE) == pytest.approx(OTHER_USD, abs=1e-12)
    assert scrape.sum("cost_usd_total") == pytest.approx(OTHER_USD, abs=1e-12)


async def test_a_single_upstream_has_its_own_names_as_well() -> None:
    """What is not in its list goes by the caller's name."""
    talk = TALKS[1]
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: script_good(talk, "first")
        async with running_settings(single(upstream, more={"models": {MODEL: "org/model:free@1"}})) as side:
            for model in (MODEL, "unlisted", f"{MODEL}-2"):
                body = talk.request.replace(MODEL.encode(), model.encode())
                assert (await fetch(side.url, compose(f"/only{talk.path}", body))).status == 200
        names = [asked_model(visit) for visit in upstream.visits]
    assert names == ["org/model:free@1", "unlisted", f"{MODEL}-2"]

"""Upstreams and circuit breakers, good and bad."""

from collections.abc import Sequence

import pytest

from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Pool, Route, Settings, Upstream
from sidecar.core.choose import reasons
from sidecar.core.choose.places import read_places
from sidecar.core.choose.views import BreakerView, ProbeView, UpstreamView
from sidecar.core.reckon.connectivity import Probed, check_breakers, check_upstreams
from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present
from sidecar.thresholds import Terms

PRESENT = Present(1000.0, 1_700_000_000_000_000_000)
SETTINGS = Settings(
    upstreams={"a": Upstream("http://a.test"), "b": Upstream("http://b.test"), **BUILT_IN_UPSTREAMS},
    pools={"both": Pool(("a", "b"))}, routes=(Route("/both/", pool="both"), Route("/a/", "a"), *BUILT_IN_ROUTES),
)  # fmt: skip
PLACES = read_places(SETTINGS.upstreams, {"a": "sk-secret"})
CLOSED = BreakerView("default", "closed")
OPEN = BreakerView("default", "open", 12.4)
FORCED = BreakerView("default", "open", 60.0, "open")
HALF = BreakerView("default", "half_open")


def view(
    name: str, *breakers: BreakerView, reason: str | None = None, calls: int = 0, failures: int = 0, held: float | None = None
) -> UpstreamView:  # fmt: skip
    """Return an upstream as whoever chooses sees it."""
    breakers = breakers or (CLOSED,)
    ranks = ("closed", "half_open", "open")
    state = max((breaker.state for breaker in breakers), key=ranks.index)
    reason = reasons.CIRCUIT_OPEN if state == "open" else reason
    return UpstreamView(
        name, reason is None, reason, state, breakers, 0, 0, 100, 1.0, 1.0, None, None, None, calls, failures, None, held
    )  # fmt: skip


def check(views: Sequence[UpstreamView], probes: Probed | None = None) -> Check:
    """Check them beside built-in ones that nobody ever asked."""
    all_views = [*views, *(view(name) for name in BUILT_IN_UPSTREAMS if name not in {each.name for each in views})]
    return check_upstreams(all_views, probes or {}, PLACES, SETTINGS, PRESENT, Terms())


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        (view("a"), Status.HEALTHY, "not asked lately"),
        (view("a", calls=30, failures=1), Status.HEALTHY, "It answers"),
        (view("a", calls=20, failures=1), Status.HEALTHY, "It answers"),
        (view("a", calls=30, failures=2), Status.DEGRADED, "2 of its last 30 calls failed"),
        (view("a", calls=19, failures=10), Status.HEALTHY, "It answers"),  # too few for a share
        (view("a", calls=3, failures=3), Status.DEGRADED, "3 of its last 3 calls failed"),
        (view("a", calls=2, failures=2), Status.HEALTHY, "It answers"),
        (view("a", OPEN), Status.UNHEALTHY, "tried again in 12 s"),
        (view("a", FORCED), Status.UNHEALTHY, "An operator"),
        (view("a", OPEN, CLOSED), Status.DEGRADED, "some of its models"),
        (view("a", HALF), Status.DEGRADED, "half-open"),
        (view("a", reason=reasons.DOWN), Status.UNHEALTHY, "probe fails (status_503)"),
        (view("a", reason=reasons.EJECTED), Status.DEGRADED, "set aside"),
        (view("a", held=1010.0), Status.DEGRADED, "pause until 2023-11-14T22:13:30"),
    ],
)
def test_each_upstream_tells_how_it_stands(found: UpstreamView, status: Status, said: str) -> None:
    """From what calls, probes and breakers found, with a reason and what to do."""
    whole = check([found, view("b")], {"a": ProbeView(990.0, 0.01, "status_503", 2, False)} if found.reason == reasons.DOWN else None)
    part = whole.parts["a"]
    assert part.status is status and said in part.reason
    assert (part.remedy is not None) is (status is not Status.HEALTHY and found.state != "half_open")
    assert part.facts["address"] == "http://a.test" and "secret" not in str(whole)
    assert whole.status is (Status.HEALTHY if status is Status.HEALTHY else Status.DEGRADED)


def test_the_last_probe_is_told() -> None:
    """When it was, how long it took, what was wrong; an upstream that a probe reached answers."""
    part = check([view("a"), view("b")], {"a": ProbeView(990.0, 0.01, None, 0, True), "b": None}).parts["a"]
    assert part.facts["lastProbe"] == {"at": "2023-11-14T22:13:10.000Z", "seconds": 0.01, "problem": None}
    assert part.reason == "It answers."


def test_it_is_unhealthy_when_no_route_leads_anywhere() -> None:
    """As long as one route in use has an upstream that can be asked, it is degraded. Built-in routes nobody uses do not count."""
    one = check([view("a", OPEN), view("b")])
    assert one.status is Status.DEGRADED and one.facts == {"closedRoutes": ["/a/"]} and "a" in one.reason
    none = check([view("a", OPEN), view("b", FORCED)])
    assert none.status is Status.UNHEALTHY and none.facts == {"closedRoutes": ["/both/", "/a/"]} and none.remedy is not None
    used = check([view("a", OPEN), view("b", OPEN), view("ollama", calls=1)])
    assert used.status is Status.DEGRADED
    also = check([view("a", OPEN), view("b", OPEN), view("ollama", OPEN)])
    assert also.status is Status.UNHEALTHY and also.facts["closedRoutes"] == ["/both/", "/a/", "/ollama/"]


def test_what_a_probe_found_dead_is_asked_where_no_other_is_left() -> None:
    """So the sidecar can still serve."""
    assert check([view("a", reason=reasons.DOWN), view("b", reason=reasons.DOWN)]).status is Status.DEGRADED


def test_breakers_that_are_not_closed_are_told() -> None:
    """Each with its group; those that an operator holds with how to let go; one held closed is no problem."""
    good = check_breakers([view("a"), view("b", BreakerView("default", "closed", 0.0, "closed"))], is_on=True)
    assert (good.status, good.reason, good.remedy) == (Status.HEALTHY, "All 2 are closed.", None)
    assert [each["upstream"] for each in good.facts["held"]] == ["b"] and good.facts["notClosed"] == []
    bad = check_breakers([view("a", OPEN, CLOSED), view("b", HALF)], is_on=True)
    assert (bad.status, bad.reason) == (Status.DEGRADED, "2 of 3 are not closed.") and bad.remedy is not None
    assert bad.facts["notClosed"][0] == {
        "upstream": "a", "group": "default", "state": "open", "retryAfterSeconds": 12.4, "force": "auto",
    }  # fmt: skip
    forced = check_breakers([view("a", FORCED)], is_on=True)
    assert forced.status is Status.DEGRADED and "/api/upstreams/" in (forced.remedy or "")
    assert check_breakers([view("a", OPEN)], is_on=False).status is Status.HEALTHY

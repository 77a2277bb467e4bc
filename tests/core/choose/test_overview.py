"""What there is to see of an upstream."""

from sidecar.config import Force
from sidecar.core.choose import reasons
from sidecar.core.choose.views import UpstreamView
from tests.core.choose.pools import GROUPED, Rig, plain


def view_of(rig: Rig, name: str) -> UpstreamView:
    """Return one upstream's view."""
    return next(view for view in rig.routing.describe(rig.now) if view.name == name)


def test_of_nothing_measured_nothing_is_told() -> None:
    """And it is healthy: nothing speaks against it."""
    view = view_of(Rig(plain("a", "b")), "a")
    assert (view.healthy, view.reason, view.state, view.share, view.calls) == (True, None, "closed", 1.0, 0)
    assert (view.response_time_s, view.reliability, view.quality, view.ejected_until, view.held_until) == (None, None, None, None, None)


def test_calls_are_seen_while_they_are_there() -> None:
    """Pending until the first data, in a slot until the end."""
    rig = Rig(plain("a", "b", concurrency=7))
    grant = rig.begin_at("a")
    view = view_of(rig, "a")
    assert (view.pending, view.in_use, view.concurrency) == (1, 1, 7)
    rig.routing.note_first_data(grant, rig.now)
    assert (view_of(rig, "a").pending, view_of(rig, "a").in_use) == (0, 1)
    rig.settle(grant)
    assert (view_of(rig, "a").pending, view_of(rig, "a").in_use) == (0, 0)


def test_what_was_measured_is_put_together_over_groups() -> None:
    """Each group has its own breaker and its own standing; an upstream is all of them."""
    rig = Rig(plain("a"), breaker=GROUPED, breakers=False)
    for model, time_s in (("large-1", 3.0), ("small", 1.0)):
        grant = rig.routing.begin(rig.routing.decide("", ("a",), rig.ask(model), rig.now), rig.ask(model), rig.now)
        assert grant is not None
        rig.settle(grant, response_time_s=time_s)
    view = view_of(rig, "a")
    assert (view.calls, view.failures, view.response_time_s, view.reliability) == (2, 0, 2.0, 1.0)
    assert [breaker.group for breaker in view.breakers] == ["default", "large"]


def test_why_an_upstream_is_not_healthy() -> None:
    """An open breaker, a probe that fails, an ejection: the first of these."""
    rig = Rig(plain("a", "b", "c"))
    rig.seat_of("a").ejected_until = rig.now + 5.0
    assert (view_of(rig, "a").reason, view_of(rig, "a").ejected_until) == (reasons.EJECTED, rig.now + 5.0)
    rig.routing.note_probe("a", False, rig.now)
    assert view_of(rig, "a").reason == reasons.DOWN
    rig.breakers.force("a", Force.OPEN, rig.now)
    view = view_of(rig, "a")
    assert (view.healthy, view.reason, view.state, view.breakers[0].force) == (False, reasons.CIRCUIT_OPEN, "open", "open")


def test_a_hold_is_seen_until_it_ends() -> None:
    """Once a call has met with it."""
    rig = Rig(plain("a", "b"))
    rig.holds.note(("a", None, ""), rig.now + 5.0, rig.now)
    rig.decide()
    assert view_of(rig, "a").held_until == rig.now + 5.0
    rig.now += 5.0
    assert view_of(rig, "a").held_until is None


def test_a_slow_start_is_seen() -> None:
    """As the share that it is given."""
    rig = Rig(plain("a", "b"))
    rig.seat_of("a").standing.come_back(rig.now - 15.0)
    assert view_of(rig, "a").share == 0.5

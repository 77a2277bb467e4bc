"""How near limits are."""

import pytest

from sidecar.config import Budget, Budgets, Features, Limits, Rate, RateLimits, Rates, Settings, Upstream
from sidecar.core.reckon.capacity import CALLS, COST, FORESIGHT, TOKENS, Ceiling, foresee, list_ceilings, list_places
from tests.core.reckon.histories import HOUR_S, MIDNIGHT

RATES = RateLimits(all=Rates(Rate(per_second=2.0, per_minute=60.0), Rate(per_day=240.0)))
BUDGETS = Budgets(all=Budget(day=48.0, month=7200.0))


def grow(start: float, per_point: float, points: int = 60, step_s: float = 60.0) -> list[tuple[float, float]]:
    """Return points on a line."""
    return [(MIDNIGHT + place * step_s, start + per_point * place) for place in range(points)]


def test_limits_are_those_in_force() -> None:
    """Each rate and budget on all calls, per hour; none whose feature is off. Upstreams take as many calls as they have connections."""
    settings = Settings(limits=Limits(rates=RATES), budgets=BUDGETS, features=Features(limits=True, budgets=True))
    assert list(list_ceilings(settings)) == [
        Ceiling("limits.rates.all.requests.per_second", CALLS, 7200.0, 1.0),
        Ceiling("limits.rates.all.requests.per_minute", CALLS, 3600.0, 60.0),
        Ceiling("limits.rates.all.tokens.per_day", TOKENS, 10.0, 86_400.0),
        Ceiling("budgets.all.day", COST, 2.0, 86_400.0),
        Ceiling("budgets.all.month", COST, 10.0, 30 * 86_400.0),
    ]
    assert not list(list_ceilings(Settings(limits=Limits(rates=RATES), budgets=BUDGETS)))
    upstreams = {"a": Upstream("https://a"), "b": Upstream("https://b", concurrency=7)}
    assert [place.most for place in list_places(Settings(upstreams=upstreams)).values()] == [100.0, 7.0]


def test_growth_reaches_its_limit_when_it_does() -> None:
    """After as much time as is left at the slope; what lies further ahead than one can tell is not told."""
    hint = foresee(Ceiling("x", CALLS, 200.0, 60.0), grow(100, 1), 60.0)
    assert hint is not None and hint.per_hour == pytest.approx(60.0)
    assert hint.used == 159.0 and hint.reached_in_s == pytest.approx((200 - 159) * 60)
    looked_back_s = 59 * 60.0
    edge = 159 + FORESIGHT * looked_back_s / 60
    for most, is_told in ((edge - 1, True), (edge + 1, False)):
        hint = foresee(Ceiling("x", CALLS, most, 60.0), grow(100, 1), 60.0)
        assert hint is not None and (hint.reached_in_s is not None) is is_told


def test_what_does_not_grow_is_not_foretold() -> None:
    """Stable, falling, too short, or beyond the limit already."""
    ceiling = Ceiling("x", CALLS, 200.0, 60.0)
    for points in (grow(100, 0), grow(100, -1), grow(100, 1, points=4)):
        hint = foresee(ceiling, points, 60.0)
        assert hint is not None and hint.reached_in_s is None
    for points in (grow(300, 0), grow(300, 1)):
        hint = foresee(ceiling, points, 60.0)
        assert hint is not None and hint.reached_in_s == 0.0
    assert foresee(ceiling, [], 60.0) is None


def test_what_counts_over_a_day_is_compared_with_a_days_mean() -> None:
    """The last 24 hours' mean for a limit per day, their busiest hour for one per minute."""
    hours = [(MIDNIGHT + place * HOUR_S, 1000.0 if place < 24 else 24.0 if place == 30 else 1.0) for place in range(48)]
    by_day, by_minute = (foresee(Ceiling("x", CALLS, 9000.0, over_s), hours, HOUR_S) for over_s in (86_400.0, 60.0))
    assert by_day is not None and by_day.used == pytest.approx(47 / 24)
    assert by_minute is not None and by_minute.used == 24.0

"""What there is to see of an upstream: its standings for all groups of models, put together."""

from collections.abc import Sequence

from sidecar.config import Balancing
from sidecar.core.choose import reasons
from sidecar.core.choose.neighbours import Admission
from sidecar.core.choose.standings import NEVER, Post, Standing
from sidecar.core.choose.transitions import State
from sidecar.core.choose.views import BreakerView, UpstreamView


def describe_upstream(post: Post, standings: Sequence[Standing], admission: Admission, balancing: Balancing, now: float) -> UpstreamView:
    """Return one upstream as whoever chooses sees it. `standings`: of all groups, at least one."""
    breakers = [standing.breaker for standing in standings]
    states = [breaker.state(now) for breaker in breakers]
    seats = [seat for standing in standings for seat in standing.seats]
    ejected_until = max((seat.ejected_until for seat in seats), default=NEVER)
    calls, failures, total_s = _sum_up(standings, now)
    reason = _find_flaw(post, states, ejected_until, now)
    return UpstreamView(
        name=post.name,
        healthy=reason is None,
        reason=reason,
        state=max(states).label,
        breakers=tuple(
            BreakerView(breaker.group, state.label, breaker.retry_after_s(now), breaker.forced.value)
            for breaker, state in zip(breakers, states, strict=True)
        ),
        pending=post.pending,
        in_use=admission.in_use(post.name),
        concurrency=admission.limit(post.name),
        weight=post.weight,
        share=min((seat.share(balancing.slow_start, now) for seat in seats), default=1.0),
        response_time_s=total_s / calls if calls else None,
        reliability=1.0 - failures / calls if calls else None,
        quality=post.quality,
        calls=calls,
        failures=failures,
        ejected_until=ejected_until if ejected_until > now else None,
        held_until=post.held_until if post.held_until > now else None,
    )


def _find_flaw(post: Post, states: Sequence[State], ejected_until: float, now: float) -> str | None:
    """Return why an upstream is not healthy; None where it is."""
    if State.OPEN in states:
        return reasons.CIRCUIT_OPEN
    if post.is_down:
        return reasons.DOWN
    return reasons.EJECTED if ejected_until > now else None


def _sum_up(standings: Sequence[Standing], now: float) -> tuple[int, int, float]:
    """Return calls, failures and seconds of all windows."""
    for standing in standings:
        standing.track.sum_up(now)
    tracks = [standing.track for standing in standings]
    return sum(track.calls for track in tracks), sum(track.failures for track in tracks), sum(track.total_s for track in tracks)

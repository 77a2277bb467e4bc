"""What strategies compare upstreams by: parts between 0 and 1, the higher the better, and how they are weighed.

| part | formula | over |
|---|---|---|
| response time | least time to an answer ÷ its own | the window, or live |
| reliability | calls that did not fail ÷ calls | the window, or live |
| quality | as configured, and as those who got the answers rate them | the last hours |
| load | weight * share of calls answered lately ÷ (calls pending + 1), ÷ the greatest of these | now |
| history | (response time + reliability) ÷ 2 | the last `balancing.window` calls, ten minutes at most |
| live | (response time + reliability) ÷ 2 | each call has the weight of `balancing.learning_rate`; a minute at most |
| wishes | mean of how well each stated wish is met: 1 - expected ÷ wished time; quality; reliability | the window |

The time to an answer is all time spent, by answers given: what calls are expected to take when failed ones are made again. Failed
calls are in it with their penalty. What is unknown of an upstream is taken to be the mean of the others, so that it is held neither
against it nor for it; where it is known of none, it is 1 for all.
"""

from collections.abc import Sequence
from typing import Final

from sidecar.core.choose.rosters import Seat
from sidecar.core.choose.standings import LIVE_S
from sidecar.core.identify.wishes import NO_WISHES, Wishes

PERFORMANCE: Final = (0.4, 0.3, 0.3)  # response time, reliability, quality
ADAPTIVE: Final = (0.25, 0.30, 0.30, 0.15)  # load, history, live, wishes


def score_performance(seats: Sequence[Seat], now: float) -> list[float]:
    """Return each one's 0.4 * response time + 0.3 * reliability + 0.3 * quality."""
    of_time, of_reliability, of_quality = PERFORMANCE
    times, reliabilities = _measure(seats, now)
    qualities = fill_unknown([seat.standing.post.quality for seat in seats])
    return [
        of_time * time + of_reliability * reliability + of_quality * quality
        for time, reliability, quality in zip(times, reliabilities, qualities, strict=True)
    ]


def score_adaptive(seats: Sequence[Seat], wishes: Wishes, now: float) -> list[float]:
    """Return each one's 0.25 * load + 0.30 * history + 0.30 * live + 0.15 * wishes."""
    of_load, of_history, of_live, of_wishes = ADAPTIVE[0], ADAPTIVE[1] / 2, ADAPTIVE[2] / 2, ADAPTIVE[3]
    times, reliabilities = _measure(seats, now)
    since = now - LIVE_S
    standings = [seat.standing for seat in seats]
    live_times = compare_times([standing.live_s if standing.live_at > since else None for standing in standings])
    live_works = fill_unknown([standing.works if standing.live_at > since else None for standing in standings])
    loads = compare_loads(seats, now)
    met = None if wishes is NO_WISHES else _rate_wishes(seats, wishes)
    return [
        of_load * loads[at]
        + of_history * (times[at] + reliabilities[at])
        + of_live * (live_times[at] + live_works[at])
        + of_wishes * (1.0 if met is None else met[at])
        for at in range(len(seats))
    ]


def compare_times(times_s: Sequence[float | None]) -> list[float]:
    """Return the least time ÷ each one's own. Times are seconds; None: not measured."""
    known = [time_s for time_s in times_s if time_s is not None]
    if not known:
        return [1.0] * len(times_s)
    least_s = min(known)
    if len(known) == len(times_s) and least_s > 0:
        return [least_s / time_s for time_s in known]
    return fill_unknown([None if time_s is None else least_s / time_s if time_s > least_s else 1.0 for time_s in times_s])


def compare_loads(seats: Sequence[Seat], now: float) -> list[float]:
    """Return each one's weight and share of calls answered ÷ (calls pending + 1), ÷ the greatest of these."""
    since = now - LIVE_S
    free = []
    for seat in seats:
        standing = seat.standing
        post = standing.post
        worth = post.weight * standing.usefulness if standing.used_at > since else post.weight
        free.append(worth / ((post.load(now) if post.ghosts else post.pending) + 1))
    most = max(free)
    return [one / most for one in free] if most > 0 else [1.0] * len(free)


def fill_unknown(values: Sequence[float | None]) -> list[float]:
    """Return the values, with the mean of those that are known for each that is not; 1 where none is."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return known
    mean = sum(known) / len(known) if known else 1.0
    return [mean if value is None else value for value in values]


def _measure(seats: Sequence[Seat], now: float) -> tuple[list[float], list[float]]:
    """Return response time and reliability of each over its window."""
    times_s: list[float | None] = []
    reliabilities: list[float | None] = []
    for seat in seats:
        track = seat.standing.track
        if now >= track.stale_at:
            track.sum_up(now)
        times_s.append(track.answer_s)
        reliabilities.append(track.reliability)
    return compare_times(times_s), fill_unknown(reliabilities)


def _rate_wishes(seats: Sequence[Seat], wishes: Wishes) -> list[float]:
    """Return how well each one meets the wishes that were stated; all of them that may be chosen do meet them."""
    ratings: list[list[float]] = [[] for _ in seats]
    if wishes.max_response_time_s is not None:
        expected = [seat.standing.track.mean_s for seat in seats]
        rated = fill_unknown([None if mean_s is None else max(0.0, 1.0 - mean_s / wishes.max_response_time_s) for mean_s in expected])
        _add(ratings, rated)
    if wishes.min_quality is not None:
        _add(ratings, fill_unknown([seat.standing.post.quality for seat in seats]))
    if wishes.min_reliability is not None:
        _add(ratings, fill_unknown([seat.standing.track.reliability for seat in seats]))
    return [sum(rated) / len(rated) if rated else 1.0 for rated in ratings]


def _add(ratings: list[list[float]], rated: list[float]) -> None:
    for one, more in zip(ratings, rated, strict=True):
        one.append(more)

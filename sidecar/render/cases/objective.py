"""Cases of the alert on an error budget that is used up too fast: each pace by itself, in minutes after the start.

Paces come in order: the limit of each is lower than that of the one before, its windows and its hold are longer. So calls that
fail just beyond one limit are told by that pace first, and by those after it only much later.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.cases.case import Case, Check, Firing, Reading
from sidecar.render.cases.series import NEAR, Phase, Series, climb, just_enough, name_series, too_few
from sidecar.render.figures import print_percentage
from sidecar.render.rules.objective import RATIO, Pace, allow_errors, list_paces
from sidecar.thresholds import Terms

_ALERT: Final = "LLMErrorBudgetBurn"
_REQUESTS: Final = "llm_sidecar_requests_total"
_MANY: Final = 3  # times what a short window needs, per minute
# Minutes without an outage, by the shorter window: the longer one knows of them, the shorter does not.
_CALMS: Final = {5: 8, 30: 120, 120: 240, 360: 480}
_ALWAYS: Final = 0.9  # of the limit: what fails without an outage
# An outage that is over while the longer window still remembers it: minutes of it, and the minute at which the short window has
# forgotten, before the pace after this one tells.
_OUTAGES: Final = {5: (8, 14), 30: (20, 57), 120: (50, 177), 360: (60, 428)}
_FIRST_MIN: Final = 6  # minutes until a rate over 5 minutes is one of 5 minutes
_TIMES: Final = 2.8  # the limit: less than that of the pace before


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases of every pace that the objective can be missed at."""
    paces = list_paces(terms)
    return (
        *(_check_limit(terms, pace) for pace in paces),
        *(_check_short_outage(terms, pace) for pace in paces),
        *(_check_end(terms, pace) for pace in paces),
        *(_check_traffic(terms, pace) for pace in paces),
        _check_endings(terms, paces[0]),
        _check_idle(terms, paces),
    )


def _draw(
    job: str, per_minute: float, *shares: Phase, ending: Ending = Ending.UPSTREAM_ERROR, instance: str = "a:9464"
) -> Iterable[Series]:
    """Draw calls of which such a share fails, for so many minutes each."""
    labels = {"route": "chat", "provider": "openai", "model": "m", "instance": instance}
    failed = tuple((share * per_minute, minutes) for share, minutes in shares)
    good = tuple(((1 - share) * per_minute, minutes) for share, minutes in shares)
    yield climb(name_series(_REQUESTS, job, **labels, ending=str(ending)), *failed)
    yield climb(name_series(_REQUESTS, job, **labels, ending="completed"), *good)


def _fire(pace: Pace, job: str, share: float) -> Firing:
    return Firing(pace.severity, {"job": job, "long": pace.long, "short": pace.short}, print_percentage(share))


def _list_beyond(terms: Terms, pace: Pace) -> float:
    """Return a share of failing calls just beyond the limit of a pace."""
    limit = allow_errors(terms, pace)
    return min(limit * (1 + NEAR), (limit + 1) / 2)


def _check_limit(terms: Terms, pace: Pace) -> Case:
    """Both sidecars of a job count, and each route. Two samples are needed: it applies from the first minute on."""
    beyond, fires, per_minute = _list_beyond(terms, pace), 1 + pace.hold_min, _MANY * terms.traffic.calls
    series = [
        *_draw("app", per_minute / 2, (beyond, fires + 5)),
        *_draw("app", per_minute / 2, (beyond, fires + 5), instance="b:9464"),
        *_draw("short", per_minute, (allow_errors(terms, pace) * (1 - NEAR), fires + 5)),
    ]
    checks = (Check(f"{fires - 1}m", _ALERT), Check(f"{fires}m", _ALERT, (_fire(pace, "app", beyond),)))
    name = f"Failures at {pace.factor:g} times the pace that the budget lasts for are told after {pace.hold}, and not short of it."
    return Case(name, tuple(series), checks)


def _check_short_outage(terms: Terms, pace: Pace) -> Case:
    """A short window alone would tell of it: it is beyond its limit for longer than the hold, the longer one never."""
    limit, calm = allow_errors(terms, pace), _CALMS[pace.short_min]
    # Minutes of failures at the limit, on top of what always fails: not enough for the longer window to be beyond its limit.
    more = min(0.4 * pace.short_min, 0.9 * (1 - _ALWAYS) * calm)
    minutes = max(2, math.ceil(more * limit / (1 - _ALWAYS * limit)))
    outage = (limit * (_ALWAYS + more / minutes), minutes)
    # A window of 5 minutes knows of an outage at once; the rates that longer ones are made of a little later.
    told = calm + minutes + pace.hold_min + (_FIRST_MIN if pace.short_min > 5 else 0)
    series = _draw("app", _MANY * terms.traffic.calls, (limit * _ALWAYS, calm), outage, (limit * _ALWAYS, pace.short_min))
    # Of those after it both windows are beyond their lower limits. The first minutes weigh less: 5 of them as much as 3.
    share = limit * (_ALWAYS + more / (told - 2))
    later = [each for each in list_paces(terms) if each.short_min > pace.short_min and each.hold_min + _FIRST_MIN <= told]
    name = f"An outage that {pace.short} are full of and {pace.long} are not is not told."
    return Case(name, tuple(series), (Check(f"{told}m", _ALERT, tuple(_fire(each, "app", share) for each in later)),))


def _check_end(terms: Terms, pace: Pace) -> Case:
    """A longer window alone would go on telling of it."""
    outage, over = _OUTAGES[pace.short_min]
    limit = allow_errors(terms, pace)
    shares = (min(1.0, _TIMES * limit), outage), ((1 - NEAR) * limit, over - outage)
    name = f"An outage that {pace.short} have nothing of is over, though {pace.long} remember it."
    return Case(name, tuple(_draw("app", _MANY * terms.traffic.calls, *shares)), (Check(f"{over}m", _ALERT),))


def _check_traffic(terms: Terms, pace: Pace) -> Case:
    """All calls fail. Once the first minutes are out of the shorter window, which had fewer, it holds as many as can be."""
    least, fires = terms.traffic.calls, pace.short_min + _FIRST_MIN + pace.hold_min
    # A longer window holds more calls: what is too little for this pace is enough for those after it, and some have fired by now.
    later = [each for each in list_paces(terms) if each.short_min > pace.short_min and each.hold_min + _FIRST_MIN <= fires]
    series = [
        *_draw("rare", too_few(least) / pace.short_min, (1, fires + 5)),
        *_draw("enough", just_enough(least, pace.short_min) / pace.short_min, (1, fires + 5)),
        *_draw("idle", 0, (1, fires + 5)),
    ]
    firing = [*(_fire(each, job, 1) for each in later for job in ("rare", "enough")), _fire(pace, "enough", 1)]
    name = f"A budget is not judged by {pace.short} in which there were too few calls."
    return Case(name, tuple(series), (Check(f"{fires}m", _ALERT, tuple(firing)),))


def _check_endings(terms: Terms, pace: Pace) -> Case:
    """What the caller did, or a limit, is no failure."""
    beyond, fires, per_minute = _list_beyond(terms, pace), 1 + pace.hold_min, _MANY * terms.traffic.calls
    series = [
        each
        for ending in Ending
        if ending is not Ending.COMPLETED
        for each in _draw(str(ending), per_minute, (beyond, fires + 5), ending=ending)
    ]
    firing = tuple(_fire(pace, str(ending), beyond) for ending in Ending if ending in SERVICE_ERRORS)
    name = "Every way in which a call can fail uses up the budget, and what callers, limits and policies end does not."
    return Case(name, tuple(series), (Check(f"{fires}m", _ALERT, firing),))


def _check_idle(terms: Terms, paces: Sequence[Pace]) -> Case:
    """A ratio of nothing would be no number, and look like a value."""
    series = (*_draw("app", _MANY * terms.traffic.calls, (1, 10)), *_draw("idle", 0, (1, 10)))
    windows = dict.fromkeys(window for pace in paces for window in (pace.long, pace.short))
    readings = tuple(Reading("8m", f"{RATIO}{window}", ((f'{RATIO}{window}{{job="app"}}', 1.0),)) for window in windows)
    return Case("Where there were no calls, there is no share of them that failed.", series, (), readings=readings)

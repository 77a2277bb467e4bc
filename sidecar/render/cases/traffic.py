"""Cases of the alert on calls that stay away."""

from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case
from sidecar.render.cases.series import Phase, Series, Subject, climb, list_near, name_series, stand, watch
from sidecar.render.figures import print_number
from sidecar.thresholds import Terms

_WARNING: Final = Severity.WARNING
_REQUESTS: Final = "llm_sidecar_requests_total"
_HOLD: Final = {_WARNING: 15}
_KEEP: Final = 10


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    near = dict(list_near(terms.thresholds.requests_per_minute))
    few, enough = near["beyond-warning"], near["short-of-warning"]
    return _check_few(few, enough), _check_recovered(few, enough)


def _draw(job: str, *phases: Phase, instance: str = "a:9464") -> tuple[Series, ...]:
    """Draw calls per minute of two routes, an instance that is there included."""
    build = stand(name_series("llm_sidecar_build_info", job, instance, version="1", python="3"), 1)
    calls = {"provider": "openai", "model": "m", "ending": "completed"}
    halves = tuple((per_minute / 2, minutes) for per_minute, minutes in phases)
    return (build, *(climb(name_series(_REQUESTS, job, instance, route=route, **calls), *halves) for route in ("chat", "embed")))


def _check_few(few: float, enough: float) -> Case:
    """Two sidecars of a job are judged together; one that has counted nothing carries nothing; a job that is not there is not judged."""
    series = (
        *_draw("few", (few, 60)),
        *_draw("enough", (enough, 60)),
        *_draw("pair", (enough / 2, 60)),
        *_draw("pair", (enough / 2, 60), instance="b:9464"),
        stand(name_series("llm_sidecar_build_info", "none", version="1", python="3"), 1),
        stand(name_series("up", "gone"), 0),
    )
    # Until there have been calls for 10 minutes, they are fewer; nobody is told of that.
    subjects = [
        Subject({"job": "few"}, (_WARNING,), print_number(few), start=0),
        Subject({"job": "none"}, (_WARNING,), "0", start=0),
    ]
    name = "Fewer calls than there always are, and none at all, are told of all sidecars of a job together."
    return Case(name, series, watch("LLMLowTraffic", subjects, _HOLD, _KEEP))


def _check_recovered(few: float, enough: float) -> Case:
    series = _draw("app", (few, 30), (10 * enough, 30))
    subject = Subject({"job": "app"}, (_WARNING,), print_number(few), start=0, end=30)
    name = "Calls that come again are told a while longer, and then no more."
    return Case(name, series, watch("LLMLowTraffic", [subject], _HOLD, _KEEP))

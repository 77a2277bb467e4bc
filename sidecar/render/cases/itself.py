"""Cases of the alerts on the sidecar itself."""

from collections.abc import Mapping
from typing import Final

from sidecar.catalogue import OVERHEAD_EDGES
from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import (
    Series,
    Subject,
    grow,
    grow_histogram,
    list_near,
    list_passed,
    name_series,
    spread,
    stand,
    step,
    too_few,
    watch,
)
from sidecar.render.figures import print_duration, print_percentage
from sidecar.render.rules.itself import RESTARTS
from sidecar.thresholds import Terms

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
_BUILD: Final = "llm_sidecar_build_info"
_STARTED: Final = "process_start_time_seconds"
_RESIDENT: Final = "process_resident_memory_bytes"
_ALLOWED: Final = "llm_sidecar_memory_limit_bytes"
_OVERHEAD: Final = "llm_sidecar_overhead_seconds"
_LOADED: Final = "llm_sidecar_config_last_reload_successful"
_SHARED: Final = "llm_sidecar_shared_up"
_COMMANDS: Final = "llm_sidecar_shared_commands_total"
_VERSION: Final = {"version": "1", "python": "3"}
_BYTES: Final = 1e9


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    overhead = Judged(
        "LLMSidecarOverheadHigh", "Calls that the sidecar makes slow", terms.thresholds.overhead_p99, terms.traffic.timed_calls,
        print_duration, {_WARNING: 10}, 10, "job", _draw_overhead, {},
    )  # fmt: skip
    return (
        _check_down(),
        _check_restarting(),
        _check_memory(terms),
        *judge(overhead),
        _check_answers(terms),
        _check_one_slow(terms),
        _check_reload(),
        _check_shared_store(),
    )


def _check_down() -> Case:
    """Prometheus cannot scrape many things; only what was a sidecar is one."""
    target = {"namespace": "prod", "pod": "app-1", "container": "sidecar", "endpoint": "metrics"}
    series = (
        step(name_series("up", **target), (1, 10), (0, 20), (1, 30)),
        (name_series(_BUILD, **target, **_VERSION), "1x9 _x20 1x30"),
        stand(name_series("up", instance="b:9464"), 1),
        stand(name_series(_BUILD, instance="b:9464", **_VERSION), 1),
        stand(name_series("up", "another"), 0),
    )
    subject = Subject({"job": "app", "instance": "a:9464", **target}, (_CRITICAL,), start=10, end=29)
    name = "A sidecar that cannot be scraped is told, by its name, until it can."
    return Case(name, series, watch("LLMSidecarDown", [subject], {_CRITICAL: 5}))


def _check_restarting() -> Case:
    """The fourth process within a quarter of an hour is too much; the third may be a deployment that was taken back."""
    starts = [(10.0 * place, 3) for place in range(RESTARTS + 1)]
    series = (
        step(name_series(_STARTED), *starts, (100, 50)),
        stand(name_series(_BUILD, **_VERSION), 1),
        step(name_series(_STARTED, instance="b:9464"), *starts[:-1], (100, 50)),
        stand(name_series(_BUILD, instance="b:9464", **_VERSION), 1),
        # As many, but spread over more than a quarter of an hour.
        step(name_series(_STARTED, instance="c:9464"), *((began, 8) for began, _ in starts), (100, 40)),
        stand(name_series(_BUILD, instance="c:9464", **_VERSION), 1),
        # Not a sidecar.
        step(name_series(_STARTED, "another"), *starts, (100, 50)),
    )
    last = 3 * len(starts)
    alert, firing = "LLMSidecarRestarting", (Firing(_WARNING, {"job": "app", "instance": "a:9464"}, str(RESTARTS + 1)),)
    # The first start was 15 minutes ago a minute earlier or later, where the beginning of the window counts.
    checks = (
        Check(f"{last - 1}m", alert),
        Check(f"{last}m", alert, firing),
        Check("16m", alert, firing),
        Check("19m", alert),
    )
    return Case("A sidecar that starts again and again is told, by its name, and one that was started anew is not.", series, checks)


def _check_memory(terms: Terms) -> Case:
    """Each severity by itself, one beyond both, and one of which it is not known what it may take."""
    threshold, subjects, series = terms.thresholds.memory_used, list[Subject](), list[Series]()
    for place, (_, used) in enumerate(list_near(threshold)):
        target = {"instance": f"{place}:9464", "namespace": "prod"}
        series += [step(name_series(_RESIDENT, **target), (1, 10), (used * _BYTES, 25), (1, 30))]
        series += [stand(name_series(_ALLOWED, **target), _BYTES)]
        subjects.append(Subject({"job": "app", **target}, list_passed(threshold, used), print_percentage(used), start=10, end=34))
    series += [stand(name_series(_RESIDENT, "unknown"), 100 * _BYTES)]
    name = (
        "A sidecar that uses up its memory is told at each limit, where it is known what it may take, and a while longer once it is over."
    )
    return Case(name, tuple(series), watch("LLMSidecarMemoryHigh", subjects, {_WARNING: 10, _CRITICAL: 2}, 10))


def _draw_overhead(
    labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None, side: str = "request"
) -> tuple[Series, ...]:
    return grow_histogram(_OVERHEAD, {**labels, "side": side}, spread(OVERHEAD_EDGES, 0.99, value, inside=0.01), per_minute, until)


def _check_answers(terms: Terms) -> Case:
    """What is judged is the way out, and how many calls took it; on the way back only the caller's reading may be slow."""
    near, enough = dict(list_near(terms.thresholds.overhead_p99)), terms.traffic.timed_calls
    slow, fast = near["beyond-warning"], near["short-of-warning"]
    series = (
        *_draw_overhead({"job": "slow back"}, fast, enough),
        *_draw_overhead({"job": "slow back"}, 2 * slow, enough, side="response"),
        *_draw_overhead({"job": "rarely out"}, slow, too_few(enough) / 5),
        *_draw_overhead({"job": "rarely out"}, slow, enough, side="response"),
    )
    return Case("What answers are held up by is not judged.", series, (Check("30m", "LLMSidecarOverheadHigh"),))


def _check_one_slow(terms: Terms) -> Case:
    """The slowest hundredth of all calls, however they are spread: here one sidecar has all that are quick, and the other the rest."""
    slow, per_minute = dict(list_near(terms.thresholds.overhead_p99))["beyond-warning"], 100.0 * terms.traffic.timed_calls
    (low, quick), (high, middle) = spread(OVERHEAD_EDGES, 0.99, slow, inside=0.01)
    rest = (middle - quick) / (1 - quick)
    series = (
        *grow_histogram(_OVERHEAD, {"side": "request"}, ((low, 1.0), (high, 1.0)), per_minute * quick),
        *grow_histogram(_OVERHEAD, {"side": "request", "instance": "b:9464"}, ((low, 0.0), (high, rest)), per_minute * (1 - quick)),
    )
    subject = Subject({"job": "app"}, (_WARNING,), print_duration(slow), start=1)
    name = "A sidecar that makes a share of all calls slow is told, though the other has most of them and makes none slow."
    return Case(name, series, watch("LLMSidecarOverheadHigh", [subject], {_WARNING: 10}))


def _check_reload() -> Case:
    """Scraped every 45 seconds: no window begins where a sample is."""
    series = (
        step(name_series(_LOADED), (1, 15), (0, 45), (1, 20)),
        stand(name_series(_LOADED, instance="b:9464"), 1, 80),
        step(name_series(_LOADED, "once"), (1, 15), (0, 5), (1, 60)),
        stand(name_series(_LOADED, "good"), 1, 80),
    )
    subject = Subject({"job": "app"}, (_WARNING,), start=16, end=44)
    name = "A configuration that one sidecar could not load is told, and no more once it could; one that failed once is not."
    return Case(name, series, watch("LLMConfigReloadFailed", [subject], {_WARNING: 10}), "45s")


def _check_shared_store() -> Case:
    """A store that nobody asks is not known to be there or not."""
    series = (
        step(name_series(_SHARED), (1, 10), (0, 20), (1, 30)),
        stand(name_series(_SHARED, instance="b:9464"), 1),
        grow(name_series(_COMMANDS, outcome="away"), 5),
        stand(name_series(_SHARED, "good"), 1),
        grow(name_series(_COMMANDS, "good", outcome="ok"), 5),
        stand(name_series(_SHARED, "unasked"), 0),
        stand(name_series(_COMMANDS, "unasked", outcome="failed"), 5),
    )
    subject = Subject({"job": "app"}, (_WARNING,), start=10, end=29)
    name = "A shared store that does not answer one sidecar is told while somebody asks it."
    return Case(name, series, watch("LLMSharedStoreDown", [subject], {_WARNING: 2}, 5))

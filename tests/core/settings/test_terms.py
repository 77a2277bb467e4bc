"""The file of terms: what is taken, what is refused, and that nothing is half taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue import COMPARED
from sidecar.core.settings.terms import read_terms
from sidecar.core.settings.tree import Document, Fault
from sidecar.errors import ConfigError
from sidecar.thresholds import Band, Links, Objective, Side, Terms, Thresholds, Traffic


def read(tree: Any) -> Terms:
    """Return the terms that a tree says."""
    return read_terms(Document("f.yaml", tree, {}))


def refuse(tree: Any) -> list[str]:
    """Return what is said of a tree that is refused."""
    with pytest.raises(ConfigError) as raised:
        read(tree)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize("tree", [{}, {"thresholds": None}, {"thresholds": {"quality": None}, "traffic": {}}])
def test_nothing_said_is_the_defaults(tree: Any) -> None:
    """An empty file, and headings with nothing under them, change nothing."""
    assert read(tree) == Terms()


def test_what_is_said_goes_over_the_defaults() -> None:
    """Each limit on its own; the others of the same signal, and other signals, stay as they are."""
    found = read({
        "thresholds": {
            "mean_latency": {"warning": 2, "critical": "10s", "grades": ["2s", 3, 10.0]},
            "error_ratio": {"warning": 0.1},
            "time_to_first_token_p95": {"bands": {"good": "2560ms"}},
            "output_tokens_per_second": {"warning": 5, "bands": {"excellent": 100}},
            "cost_spike": {"warning": 5},
            "requests_per_minute": {"target": 1000},
        },
        "traffic": {"calls": 100, "cost_usd_per_hour": 0.5},
        "objective": {"success_ratio": 0.999},
        "links": {"runbook": "https://example.com/a%20b/runbook.md", "dashboards": "/grafana/"},
    })  # fmt: skip
    default = Thresholds()
    assert found.thresholds == default._replace(
        mean_latency=default.mean_latency._replace(warning=2.0, critical=10.0, grades=(2.0, 3.0, 10.0)),
        error_ratio=default.error_ratio._replace(warning=0.1),
        time_to_first_token_p95=default.time_to_first_token_p95._replace(
            bands=(Band("excellent", 1.0), Band("good", 2.56), Band("slow", None))
        ),
        output_tokens_per_second=default.output_tokens_per_second._replace(
            warning=5.0, bands=(Band("excellent", 100.0), *default.output_tokens_per_second.bands[1:])
        ),
        cost_spike=default.cost_spike._replace(warning=5.0),
        requests_per_minute=default.requests_per_minute._replace(target=1000.0),
    )
    assert found.traffic == Traffic(calls=100, cost_usd_per_hour=0.5)
    assert found.objective == Objective(0.999)
    assert found.links == Links("https://example.com/a%20b/runbook.md", "/grafana/")


SIGNALS = ", ".join(Thresholds._fields)
RATIO = "a ratio above 0, at most 1, such as 0.05"
DURATION = "a duration above zero, such as 250ms or 3s, or seconds"
CALLS = "an inner edge of the buckets of gen_ai_client_operation_duration_seconds and http_server_request_duration_seconds"
REFUSED: list[tuple[Any, str]] = [
    ({"mean_latency": {"critical": 2}}, "mean_latency.critical: found 2s; allowed: above warning at 3s"),
    ({"mean_latency": {"critical": 3}}, "mean_latency.critical: found 3s; allowed: above warning at 3s"),
    ({"mean_latency": {"warning": 10}}, "mean_latency.warning: found 10s; allowed: below critical at 5s"),
    ({"mean_latency": {"warning": 5, "critical": 3}}, "mean_latency.critical: found 3s; allowed: above warning at 5s"),
    ({"mean_latency": {"grades": [2, 5, 3]}}, "mean_latency.grades[2]: found 3s; allowed: above grade B at 5s"),
    ({"mean_latency": {"grades": [2, 3]}}, "mean_latency.grades: found a list of 2; allowed: a list of three limits, where A, B and C end"),
    ({"mean_latency": {"grades": 2}}, "mean_latency.grades: found 2; allowed: a list of three limits, where A, B and C end"),
    ({"mean_latency": {"warning": 4}}, f"mean_latency.warning: found 4; allowed: {CALLS}; the nearest are 2s, 3s, 5s, 10s"),
    ({"mean_latency": {"warning": "4s"}}, f"mean_latency.warning: found '4s'; allowed: {CALLS}; the nearest are 2s, 3s, 5s, 10s"),
    ({"mean_latency": {"warning": None}}, f"mean_latency.warning: found nothing; allowed: {DURATION}"),
    ({"mean_latency": {"warning": "soon"}}, f"mean_latency.warning: found 'soon'; allowed: {DURATION}"),
    ({"mean_latency": {"info": 1}}, "mean_latency.info: found a limit that this signal does not have; allowed: warning, critical, grades"),
    ({"mean_latency": {"wraning": 1}}, "mean_latency.wraning: found a key that is not known; "
     "allowed: warning, critical, grades; did you mean warning?"),
    ({"mean_latency": 3}, "mean_latency: found 3; allowed: a mapping of warning, critical, grades"),
    ({"overhead_p99": {"warning": "40ms"}}, "overhead_p99.warning: found '40ms'; allowed: an inner edge of the buckets of "
     "llm_sidecar_overhead_seconds; the nearest are 10ms, 25ms, 50ms, 100ms"),
    ({"output_tokens_per_second": {"warning": 11}}, "output_tokens_per_second.warning: found 11; allowed: an inner edge of the buckets of "
     "llm_sidecar_output_tokens_per_second; the nearest are 5, 10, 20, 30"),
    ({"output_tokens_per_second": {"bands": {"good": 5}}}, "output_tokens_per_second.bands.good: found 5; "
     "allowed: above band acceptable at 10"),
    ({"response_time": {"bands": [2, 3]}}, "response_time.bands: found a list; allowed: a mapping of excellent, good, slow"),
    ({"response_time": {"bands": {"very slow": 3}}}, "response_time.bands.'very slow': found a key that is not known; "
     "allowed: excellent, good, slow; did you mean slow?"),
    ({"response_time": {"warning": 3}}, "response_time.warning: found a limit that this signal does not have; allowed: bands"),
    ({"ratelimit_remaining": {"warning": 0.2}}, "ratelimit_remaining.warning: found 0.2; allowed: below info at 0.2"),
    ({"requests_per_minute": {"target": 5}}, "requests_per_minute.target: found 5; allowed: above warning at 10"),
    ({"error_ratio": {"grades": [0.1, 0.2, 0.5]}}, "error_ratio.grades[2]: found 0.5; allowed: below grade F at 0.5"),
    ({"error_ratio": {"critical": 7}}, f"error_ratio.critical: found 7; allowed: {RATIO}"),
    ({"error_ratio": {"warning": 0}}, f"error_ratio.warning: found 0; allowed: {RATIO}"),
    ({"error_ratio": {"warning": -0.1}}, f"error_ratio.warning: found -0.1; allowed: {RATIO}"),
    ({"error_ratio": {"warning": float("nan")}}, f"error_ratio.warning: found nan; allowed: {RATIO}"),
    ({"error_ratio": {"warning": float("inf")}}, f"error_ratio.warning: found inf; allowed: {RATIO}"),
    ({"error_ratio": {"warning": 10**400}}, f"error_ratio.warning: found a very large number; allowed: {RATIO}"),
    ({"error_ratio": {"warning": "5%"}}, f"error_ratio.warning: found '5%'; allowed: {RATIO}"),
    ({"error_ratio": {"warning": True}}, f"error_ratio.warning: found true; allowed: {RATIO}"),
    ({"latency_p95": {"critical": 655.36}}, f"latency_p95.critical: found 655.36; allowed: {CALLS}; the nearest are 163.84s, 327.68s"),
    ({"output_tokens_per_second": {"warning": 1}}, "output_tokens_per_second.warning: found 1; allowed: an inner edge of the buckets of "
     "llm_sidecar_output_tokens_per_second; the nearest are 2, 5"),
    ({"cost_spike": {"warning": 1}}, "cost_spike.warning: found 1; allowed: a number above 1, at most 1000000"),
    ({"latency": {}}, f"latency: found a key that is not known; allowed: {SIGNALS}; did you mean latency_p95?"),
]  # fmt: skip


@pytest.mark.parametrize(("signals", "said"), REFUSED, ids=[said.partition(";")[0] for _, said in REFUSED])
def test_a_limit_that_makes_no_sense_is_refused(signals: Any, said: str) -> None:
    """One mistake is one problem: where it is, what was found, what is allowed."""
    assert refuse({"thresholds": signals}) == [f"thresholds.{said}"]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"trafic": {}}, "trafic: found a key that is not known; allowed: thresholds, traffic, objective, links; did you mean traffic?"),
        ({1: {}}, "f.yaml: found the key 1, which is not text; allowed: one of thresholds, traffic, objective, links"),
        ({"thresholds": [1]}, f"thresholds: found a list; allowed: a mapping of {SIGNALS}"),
        ({"traffic": {"calls": 0}}, "traffic.calls: found 0; allowed: a whole number from 1 to 1000000"),
        ({"traffic": {"calls": 2.5}}, "traffic.calls: found 2.5; allowed: a whole number from 1 to 1000000"),
        ({"traffic": {"cost_usd_per_hour": 0}}, "traffic.cost_usd_per_hour: found 0; allowed: a number above 0, at most 1000000"),
        (
            {"objective": {"success_ratio": 1}},
            "objective.success_ratio: found 1; allowed: a ratio from 0.95 to 0.99999: the share of calls that do not fail",
        ),
        ({"links": {"runbook": 1}}, "links.runbook: found 1; allowed: an http or https URL or a path, without query or fragment"),
    ],
)
def test_other_parts_are_refused_as_well(tree: Any, said: str) -> None:
    """Guards of traffic, the objective and links have their own ranges."""
    assert refuse(tree) == [said]


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "ftp://h/x", "//h/x", "https://", "https://u:p@h/x", "https://h/x#y", "https://h/x?y", "a b", "{{ x }}",
        "https://h/{{ x }}", 'a"b', "a\nb", "https://h/$x", "mailto:x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", Links._fields)
def test_a_link_that_leads_nowhere_is_refused(name: str, link: str) -> None:
    """Neither other schemes nor credentials, and nothing that a template or a shell would read."""
    (said,) = refuse({"links": {name: link}})
    assert said.startswith(f"links.{name}: found ")
    assert "u:p" not in said


@pytest.mark.parametrize("link", ["https://h", "http://h:3000/grafana/", "https://[::1]/x", "docs/runbook.md", "/a/b", "../x.md"])
def test_links_that_lead_somewhere(link: str) -> None:
    """Absolute ones over HTTP, and paths; without the dashboards' root, links start at the host they are read on."""
    assert read({"links": {"runbook": link, "dashboards": link}}).links == Links(link, link)
    assert read({"links": {"dashboards": ""}}).links.dashboards == ""
    assert len(refuse({"links": {"runbook": ""}})) == 1


def test_every_problem_is_told_at_once() -> None:
    """In the order of lines; a faulty value is not blamed a second time for its order, and what YAML found is told, too."""
    tree = {"traffic": {"calls": "x"}, "thresholds": {"mean_latency": {"warning": "x", "critical": 1}, "nope": 1}, "more": 1}
    lines = {("traffic", "calls"): 9, ("thresholds", "mean_latency", "warning"): 2, ("thresholds", "mean_latency", "critical"): 3,
             ("thresholds", "nope"): 4, ("more",): 1, ("traffic",): 8}  # fmt: skip
    with pytest.raises(ConfigError) as raised:
        read_terms(Document("f.yaml", tree, lines, (Fault(("traffic",), "the same key", "each key once"),)))
    assert [(problem.line, problem.path) for problem in raised.value.problems] == [
        (1, "more"), (2, "thresholds.mean_latency.warning"), (3, "thresholds.mean_latency.critical"), (4, "thresholds.nope"),
        (8, "traffic"), (9, "traffic.calls"),
    ]  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([0.1, 2, 3, 5, 10, "3s", "https://h"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("warning", "critical", "grades", "bands", "x")), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from((*Terms._fields, "x")),
        st.dictionaries(st.sampled_from((*Thresholds._fields, *Traffic._fields, *Objective._fields, *Links._fields)), VALUES) | VALUES,
    )
)
def test_whatever_is_written_is_taken_whole_or_refused(tree: Any) -> None:
    """Terms that are taken are in order, and on edges; all else is a ConfigError, never another exception."""
    try:
        found = read(tree)
    except ConfigError:
        return
    for name, threshold in found.thresholds._asdict().items():
        steps = [limit for limit in (threshold.target, threshold.info, threshold.warning, threshold.critical) if limit is not None]
        assert steps == sorted(set(steps), reverse=threshold.bad is Side.BELOW)
        assert all(limit > 0 for limit in threshold.limits)
        assert all(set(threshold.limits) <= set(metric.buckets[1:-1]) for metric in COMPARED.get(name, ()))
        assert [band.limit is None for band in threshold.bands] == [False] * (len(threshold.bands) - 1) + [True] * bool(threshold.bands)
    assert all(least > 0 for least in found.traffic)

"""The board of resilience and routing: numbers at a glance, and the table of upstreams."""

import re
from pathlib import Path
from typing import Any

from sidecar.catalogue import ATTEMPT_OUTCOMES_ONLY, ATTEMPTS
from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.board import build_board
from sidecar.render.boards.resilience import make_board
from sidecar.thresholds import Terms, Thresholds
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

BOARD = build_board(make_board(Terms()))
STATE = "llm_sidecar_circuit_breaker_state"


@needs_promtool
def test_upstreams_are_counted_once(tmp_path: Path) -> None:
    """An upstream that two sidecars leave alone is one, half-open is not open; without sidecars there is no number."""
    series = {
        f'{STATE}{{job="a",instance="i",upstream="x"}}': "2x20",
        f'{STATE}{{job="a",instance="j",upstream="x"}}': "2x20",
        f'{STATE}{{job="a",instance="i",upstream="y"}}': "1x20",
        'llm_sidecar_upstream_healthy{job="a",instance="i",upstream="x"}': "0x20",
        'llm_sidecar_upstream_healthy{job="a",instance="j",upstream="x"}': "1x20",
        'llm_sidecar_upstream_healthy{job="a",instance="i",upstream="y"}': "1x20",
    }
    for title in ("Open circuit breakers", "Unhealthy upstreams"):
        check_value(tmp_path, find_query(BOARD, title), series, "10m", {"{}": 1})
        check_value(tmp_path, find_query(BOARD, title), {}, "10m", {})


@needs_promtool
def test_groups_of_models_are_shown_when_there_is_something_to_tell(tmp_path: Path) -> None:
    """One that was open within the time shown is there before and after; one that never was is not."""
    name = "llm_sidecar_circuit_breaker_group_state"
    series = {f'{name}{{job="a",upstream="x",group="large"}}': "0x10 2x10 0x20", f'{name}{{job="a",upstream="x",group="default"}}': "0x40"}
    query = find_query(BOARD, "Circuit breaker state by group of models")
    labels = '{upstream="x",group="large"}'
    check_value(tmp_path, query.replace(" @ end()", ""), series, "15m", {labels: 2})
    check_value(tmp_path, query.replace(" @ end()", ""), series, "35m", {labels: 0})
    assert "[$__range] @ end())" in query


@needs_promtool
def test_what_nobody_refused_is_zero_while_there_are_calls(tmp_path: Path) -> None:
    """Calls without an upstream have no series until there is one: 0 while calls are made, nothing where none are known."""
    calls = 'llm_sidecar_requests_total{job="a",route="r",provider="p",model="m",ending="%s"}'
    query = find_query(BOARD, "Without an upstream")
    check_value(tmp_path, query, {calls % "completed": "0+60x20"}, "10m", {"{}": 0})
    check_value(tmp_path, query, {calls % "completed": "0+60x20", calls % "unavailable": "0+30x20"}, "10m", {"{}": 0.5})
    check_value(tmp_path, query, {}, "10m", {})


@needs_promtool
def test_an_upstreams_row(tmp_path: Path) -> None:
    """Failures of an upstream, of all its attempts; what it said is left of the limit that is nearest to its end."""
    attempts = 'llm_sidecar_attempts_total{job="a",upstream="x",outcome="%s"}'
    left, limit = (f'llm_sidecar_upstream_ratelimit_{name}{{job="a",upstream="x",kind="%s"}}' for name in ("remaining", "limit"))
    series = {
        attempts % "completed": "0+54x20", attempts % "upstream_error": "0+6x20", attempts % "client_gone": "0+60x20",
        left % "tokens": "300x20", limit % "tokens": "1000x20", left % "requests": "40x20", limit % "requests": "50x20",
    }  # fmt: skip
    titles = [override["matcher"]["options"] for override in find_table()["fieldConfig"]["overrides"]][1:]
    expected = {"Attempts": 2.0, "Failed": 0.05, "Least left of a limit": 0.3}
    for title, value in expected.items():
        check_value(tmp_path, find_query(BOARD, "Upstreams now", titles.index(title)), series, "10m", {'{upstream="x"}': value})
    check_value(tmp_path, find_query(BOARD, "Least left of a limit"), series, "10m", {"{}": 0.3})
    # Of several sidecars the one that heard the worst.
    series |= {left.replace('"a"', '"a",instance="j"') % "tokens": "900x20", limit.replace('"a"', '"a",instance="j"') % "tokens": "1000x20"}
    told = {'{upstream="x",kind="tokens"}': 0.3, '{upstream="x",kind="requests"}': 0.8}
    check_value(tmp_path, find_query(BOARD, "Share left of rate limits"), series, "10m", told)


def find_table() -> dict[str, Any]:
    """Return the table of upstreams."""
    return next(panel for panel in list_panels(BOARD) if panel["title"] == "Upstreams now")


def test_failed_attempts_are_those_of_the_service() -> None:
    """Of the outcomes there are, the errors that the code counts."""
    query = find_query(BOARD, "Failed attempts")
    (told,) = {frozenset(match.split("|")) for match in re.findall(r'outcome=~"([^"]*)"', query)}
    assert told == set(map(str, SERVICE_ERRORS))
    outcomes = set(ATTEMPTS.labels[1].values)
    assert told & outcomes and not told & set(ATTEMPT_OUTCOMES_ONLY)


def test_the_table_leads_to_traces_and_to_one_upstream() -> None:
    """From the name of an upstream, by the attribute that spans of attempts have."""
    (links,) = [
        prop["value"] for override in find_table()["fieldConfig"]["overrides"] for prop in override["properties"] if prop["id"] == "links"
    ]
    assert ["span.llm_sidecar.upstream" in link["url"] for link in links] == [False, True]
    assert "var-upstream=${__data.fields.Upstream}" in links[0]["url"]


def test_colours_and_texts_follow_the_terms() -> None:
    """Numbers, lines and columns change colour where the terms say, and texts say so."""
    table = Thresholds()
    changed = Terms(
        table._replace(
            error_ratio=table.error_ratio._replace(warning=0.07, critical=0.3),
            rate_limited_ratio=table.rate_limited_ratio._replace(warning=0.25),
            ratelimit_remaining=table.ratelimit_remaining._replace(info=0.4, warning=0.1),
        )
    )
    panels = {panel["title"]: panel for panel in list_panels(build_board(make_board(changed)))}

    def limits(field: dict[str, Any]) -> list[float]:
        return [step["value"] for step in field["thresholds"]["steps"] if step["value"] is not None]

    shown = {title: limits(panel["fieldConfig"]["defaults"]) for title, panel in panels.items() if panel["type"] in ("stat", "timeseries")}
    assert shown["Error ratio"] == shown["Failed attempts"] == [0.07, 0.3]
    assert shown["Answered with 429"] == [0.25]
    assert shown["Least left of a limit"] == shown["Share left of rate limits"] == [0.1, 0.4]
    columns = {each["matcher"]["options"]: each["properties"] for each in panels["Upstreams now"]["fieldConfig"]["overrides"]}
    coloured = {title: limits({each["id"]: each["value"] for each in columns[title]}) for title in ("Failed", "Least left of a limit")}
    assert coloured == {"Failed": [0.07, 0.3], "Least left of a limit": [0.1, 0.4]}
    assert "7%, 30%" in panels["Error ratio"]["description"] and "above 25%" in panels["Answered with 429"]["description"]
    assert "40%, 10%" in panels["Least left of a limit"]["description"]

"""The runbook: a heading for everything that can be told, and nothing in it that is not so."""

import re
from functools import cache

import pytest

from sidecar import catalogue
from sidecar.errors import ERRORS
from sidecar.render.alerting import Alert, Recording, list_alerts
from sidecar.render.board import build_board
from sidecar.render.boards import list_boards
from sidecar.render.rules import list_files, list_groups, list_optional
from sidecar.render.runbook import render_runbook
from sidecar.thresholds import Terms
from tests.promql import find_unknown, list_series, read_names
from tests.render.terms import BOTH, DEFAULT, OTHER

PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
every_terms = pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH)


@cache
def render(terms: Terms) -> str:
    """Return the whole runbook."""
    return render_runbook(list_groups(terms), list_optional(terms), terms)


def list_all(terms: Terms) -> list[Alert]:
    """Return every alert, those of optional files as well."""
    return [alert for groups in list_files(terms).values() for alert in list_alerts(groups)]


def split(text: str) -> dict[str, str]:
    """Return the sections by their headings, in order."""
    return dict(re.findall(r"^## (\S+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))


def list_titles(terms: Terms) -> set[str]:
    """Return the titles of all panels, those in closed rows as well."""
    boards = map(build_board, list_boards(terms).values())
    return {panel["title"] for board in boards for row in board["panels"] for panel in (row, *row.get("panels", ()))}


@every_terms
def test_everything_has_a_heading(terms: Terms) -> None:
    """One per alert, in the order of the files, then one per error id: where links and ids lead."""
    assert list(split(render(terms))) == [*(alert.name for alert in list_all(terms)), *(kind.id for kind in ERRORS)]


@every_terms
def test_sections_have_four_parts_and_queries(terms: Terms) -> None:
    """Each says what it means, whom it hurts, where to look, what to do; none leaves a query out."""
    for heading, section in split(render(terms)).items():
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == PARTS, heading
        assert "```promql\n" in section, heading
        assert section.count("```") % 2 == 0
        for line in re.sub(r"```.*?```", "", section, flags=re.DOTALL).splitlines():
            assert len(line) <= 120 or line.startswith("|"), line


@every_terms
def test_queries_can_be_asked(terms: Terms) -> None:
    """Over metrics and labels that exist, or that the same rules record; brackets are closed, and nothing is left to fill in."""
    recorded: dict[str, set[str]] = {}
    for rule in (rule for groups in list_files(terms).values() for group in groups for rule in group.rules):
        if isinstance(rule, Recording):
            known = list_series() | recorded
            recorded[rule.record] = set().union(*(known.get(name, set()) for name in read_names(rule.expr).selected))
    queries = re.findall(r"```promql\n(.*?)\n```", render(terms), re.DOTALL)
    assert len(queries) > len(ERRORS)
    for query in queries:
        assert find_unknown(query, recorded) == [], query
        assert all(query.count(opening) == query.count(closing) for opening, closing in ("()", "{}", "[]")), query
        assert "$" not in query and not query.endswith(("and", "or", "by")), query


@every_terms
def test_panels_that_are_named_exist(terms: Terms) -> None:
    """What stands between quotes is the title of a panel on one of the boards."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", render(terms), flags=re.DOTALL)
    named = set(re.findall(r'"([A-Z][^"]+)"', re.sub(r"\s+", " ", prose)))
    assert len(named) > 10
    assert named - list_titles(terms) == set()


@every_terms
def test_alerts_and_log_lines_that_are_named_exist(terms: Terms) -> None:
    """A runbook that leads to what is no longer there helps nobody."""
    text = re.sub(r"\s+", " ", render(terms))
    assert set(re.findall(r"\bLLM[A-Z]\w+", text)) == {alert.name for alert in list_all(terms)}
    told = {name for said in re.findall(r"log lines? ((?:`\w+`(?:, | and | or )?)+)", text) for name in re.findall(r"`(\w+)`", said)}
    assert told and told <= {event.name for event in catalogue.LOG_EVENTS}


@every_terms
def test_metrics_and_attributes_that_are_named_exist(terms: Terms) -> None:
    """In prose as in queries."""
    prose = re.sub(r"```.*?```", "", render(terms), flags=re.DOTALL)
    known = list_series().keys() | {metric.name for metric in (*catalogue.METRICS, *catalogue.PROCESS_METRICS)}
    assert set(re.findall(r"`((?:llm_sidecar|gen_ai|http|process)_\w+)`", prose)) - known == set()
    attributes = {attribute.name for span in catalogue.SPANS for attribute in span.attributes}
    assert set(re.findall(r"`(llm_sidecar\.[\w.]+)`", prose)) - attributes == set()


def test_links_to_boards_lead_to_boards() -> None:
    """The head names every board, and no other file."""
    assert re.findall(r"\]\(\.\./dashboards/(\w+)\.json\)", render(DEFAULT)) == list(list_boards(DEFAULT))


def test_numbers_are_those_of_the_terms() -> None:
    """With other thresholds each alert that has one says so in its article; of what is relative, the head tells how to change it."""
    default, other = split(render(DEFAULT)), split(render(OTHER))
    assert {name for name, section in default.items() if section == other[name]} >= {kind.id for kind in ERRORS}
    changed = [one.name for one, another in zip(list_all(DEFAULT), list_all(OTHER), strict=True) if one.tiers != another.tiers]
    assert len(changed) > 20 and [name for name in changed if default[name] == other[name]] == []
    assert "relative to the folder" in render(DEFAULT) and "relative to the folder" not in render(OTHER)


def test_optional_files_are_told() -> None:
    """Alerts that not everyone has say which file they are of."""
    sections = split(render(DEFAULT))
    for file, groups in list_optional(DEFAULT).items():
        for alert in list_alerts(groups):
            assert f"[{file}]({file})" in sections[alert.name]

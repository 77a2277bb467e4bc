"""All that is rendered, together: what is committed, and what comes of other thresholds."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sidecar.edge.folders import replace_files
from sidecar.render.boards import list_boards
from sidecar.render.cases import list_cases
from sidecar.render.figures import print_percentage
from sidecar.render.files import render_files
from sidecar.render.rules import RULES, list_files, list_groups, list_optional
from sidecar.render.runbook import render_runbook
from sidecar.thresholds import Terms
from tests.house.source import ROOT
from tests.render.terms import BOTH, DEFAULT, OTHER

FOLDERS = ("alerts", "dashboards")
RUNBOOK = "runbook"
# Of these the sidecar measures nothing yet (quality), or shows no board how far it is reached.
SHOWN_NOWHERE = {("quality", "warning"), ("quality", "target"), ("requests_per_minute", "target")}
LIMITS = [
    (name, limit)
    for name, threshold in DEFAULT.thresholds._asdict().items()
    for limit in ("target", "info", "warning", "critical", "grades", "bands")
    if getattr(threshold, limit) and (name, limit) not in SHOWN_NOWHERE
]
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@pytest.fixture(scope="module", params=BOTH.values(), ids=BOTH)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything in it, by default and for other terms."""
    made = tmp_path_factory.mktemp("rendered")
    replace_files(str(made), render(request.param))
    return made


@cache
def render(terms: Terms) -> dict[str, str]:
    """Return the text of every file."""
    return render_files(terms)


@cache
def list_parts(terms: Terms) -> dict[str, Any]:
    """Return everything that depends on thresholds, as data: boards, rules and cases by file, and the runbook."""
    return {
        **list_boards(terms),
        **list_files(terms),
        **{f"tests of {file}": cases for file, cases in list_cases(terms).items()},
        RUNBOOK: render_runbook(list_groups(terms), list_optional(terms), terms),
    }


def list_changed(terms: Terms) -> set[str]:
    """Return what is other than by default."""
    default, other = list_parts(DEFAULT), list_parts(terms)
    assert default.keys() == other.keys()
    return {name for name, part in default.items() if part != other[name]}


def test_what_is_committed_is_what_is_rendered() -> None:
    """dashboards/ and alerts/ hold exactly what `llm-sidecar render` makes without a file of thresholds, and nothing else."""
    rendered = render(DEFAULT)
    files = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert sorted(str(path.relative_to(ROOT)) for path in files) == sorted(rendered)
    assert [name for name, text in rendered.items() if (ROOT / name).read_text(encoding="utf-8") != text] == []


def test_shares_are_told_as_they_are() -> None:
    """No text rounds a limit: every percentage is one of the terms, or one that does not depend on them."""
    ratios = [limit for threshold in OTHER.thresholds for limit in threshold.limits if threshold.unit == "1" and limit <= 1]
    objective = OTHER.objective.success_ratio
    burning = [pace * (1 - objective) for pace in (14.4, 6, 3, 1)]  # the Site Reliability Workbook, chapter 5
    limits = {print_percentage(limit) for limit in (*ratios, objective, *burning)}
    for name, text in render(OTHER).items():
        if name.endswith("tests.yml"):  # there, values near the limits are told as well
            continue
        told = set(re.findall(r"\b[\d.]+ ?%", text))
        fixed = set(re.findall(r"\b[\d.]+ ?%", render(DEFAULT)[name]))
        assert told - fixed - limits == set(), name


def test_the_same_terms_make_the_same_bytes() -> None:
    """In every process: no set decides on an order."""
    script = "from sidecar.render.files import render_files; from sidecar.thresholds import Terms; print(render_files(Terms()))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


@needs_promtool
def test_prometheus_takes_all_rules(folder: Path) -> None:
    """Also those that are loaded by choice, whatever the thresholds are."""
    files = sorted(folder.glob("alerts/*.yml"))
    rules = [str(file) for file in files if file.name in list_files(DEFAULT)]
    assert len(rules) == len(list_files(DEFAULT))
    done = subprocess.run(["promtool", "check", "rules", "--lint-fatal", *rules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_what_was_rendered_with_other_terms_passes_its_own_tests(tmp_path: Path) -> None:
    """Cases follow the thresholds as the rules do: whoever changes them has tests that hold. Those that are committed: test_alerts."""
    replace_files(str(tmp_path), render(OTHER))
    tests = sorted(file.name for file in tmp_path.glob("alerts/*tests.yml"))
    assert len(tests) == len(list_cases(DEFAULT))
    done = subprocess.run(["promtool", "test", "rules", *tests], cwd=tmp_path / "alerts", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "limit"), LIMITS, ids=[".".join(pair) for pair in LIMITS])
def test_a_limit_changes_in_all_places_together(name: str, limit: str) -> None:
    """A severity changes its rule, the cases of the rule and its article; grades and bands change boards. No other alert changes."""
    threshold = getattr(DEFAULT.thresholds, name)._replace(**{limit: getattr(getattr(OTHER.thresholds, name), limit)})
    terms = DEFAULT._replace(thresholds=DEFAULT.thresholds._replace(**{name: threshold}))
    changed = list_changed(terms)
    if limit in ("grades", "bands"):
        assert changed & list_boards(DEFAULT).keys() and RUNBOOK not in changed
    elif (name, limit) == ("budget_spent", "warning"):  # where a budget is warned of is a setting of the sidecar's: budgets.soft
        assert changed == {"cost"}
    else:
        (file,) = changed & list_files(DEFAULT).keys()
        assert changed >= {file, f"tests of {file}", RUNBOOK}
        assert len(list_alerts_changed(terms, file)) == 1


def list_alerts_changed(terms: Terms, file: str) -> set[str]:
    """Return the alerts of a rule file whose expressions are other than by default."""
    pairs = zip(list_files(DEFAULT)[file], list_files(terms)[file], strict=True)
    rules = [pair for one, another in pairs for pair in zip(one.rules, another.rules, strict=True)]
    return {rule.name for rule, other in rules if hasattr(rule, "tiers") and hasattr(other, "tiers") and rule.tiers != other.tiers}


@pytest.mark.parametrize("name", DEFAULT.traffic._fields)
def test_a_guard_changes_in_all_places_together(name: str) -> None:
    """Rules, cases and articles ask for the same least traffic."""
    terms = DEFAULT._replace(traffic=DEFAULT.traffic._replace(**{name: getattr(OTHER.traffic, name)}))
    assert list_changed(terms) >= {RULES, f"tests of {RULES}", RUNBOOK}
    assert list_alerts_changed(terms, RULES)


def test_the_objective_changes_burn_rates_only() -> None:
    """Another objective is another error budget, in its rules, their cases and their article."""
    assert list_changed(DEFAULT._replace(objective=OTHER.objective)) == {"burn-rate.yml", "tests of burn-rate.yml", RUNBOOK}


def test_links_lead_where_they_are_said_to() -> None:
    """Every alert leads to the runbook and to a board, at the addresses of the file."""
    for name, text in render(OTHER).items():
        for kind, start in (("runbook", "https://wiki.example/runbook.md#llm"), ("dashboard", "https://grafana.example/d/llm-sidecar-")):
            assert [url for url in re.findall(rf"{kind}_url: (.*)", text) if not url.startswith(start)] == [], name


def test_nothing_but_numbers_and_links_depends_on_terms() -> None:
    """With other terms every file says the same: nothing is left out, nothing added."""
    for name, text in render(DEFAULT).items():
        if not name.endswith((".md", ".tmpl", "alertmanager-config.yaml")):  # where a link is relative, they say so
            assert mask(text) == mask(render(OTHER)[name]), name


def mask(text: str) -> str:
    """Return a text on one line, without its numbers and links."""
    text = re.sub(r"https://(?:grafana\.example|wiki\.example/)|alerts/(?=runbook)", "", re.sub(r"\s+", " ", text))
    return re.sub(r"(?<!\w)\d[\d.]*(?:m?s\b)?", "0", text)

"""Rules with one thing wrong each, and whether the cases notice: what a rule says and no case depends on is not tested."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from sidecar.render.alerting import Alert, Group, Recording, Severity, Tier, build_rules
from sidecar.render.cases.case import Case, Check, Firing, render_cases
from sidecar.thresholds import Links
from tests.promql import Names, read_names

Rule = Alert | Recording

_MASKED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d+[smhdwy]\b')
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_COMPARISON: Final = re.compile(r">=|<=|==|!=|>|<")
_SWAPPED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "!=", "!=": "=="}
_POSITIVE: Final = re.compile(r"\s*> 0(?![.\d])")
_JOINED: Final = re.compile(r"\b(?:and|or|unless)\b")
_AGGREGATION: Final = re.compile(r"\b(?:sum|min|max)(?= without| by|\()")
_OTHER_AGGREGATION: Final = {"sum": "max", "min": "max", "max": "min"}
_SMALL: Final = 30  # whole numbers below are nudged by one
_AT_ONCE: Final = 2
_SHORT_MIN: Final = 100


class Mutant(NamedTuple):
    """One rule of a file with one thing changed."""

    file: str
    name: str  # of the rule
    change: str
    rule: Rule
    tier: int | None = None  # of an alert: the place of the severity that is changed, where one is


class Suite(NamedTuple):
    """A rule file and its cases."""

    file: str
    groups: tuple[Group, ...]
    cases: tuple[Case, ...]

    def list_rules(self) -> list[Rule]:
        """Return all rules, in order."""
        return [rule for group in self.groups for rule in group.rules]


def name_rule(rule: Rule) -> str:
    """Return what a rule is called."""
    return rule.name if isinstance(rule, Alert) else rule.record


@cache
def _read(expr: str) -> Names:
    return read_names(expr)


def list_expressions(rule: Rule) -> list[str]:
    """Return the expressions of a rule."""
    return [tier.expr for tier in rule.tiers] if isinstance(rule, Alert) else [rule.expr]


def mutate(suite: Suite) -> Iterator[Mutant]:
    """Return every mutant of a file."""
    for rule in suite.list_rules():
        if isinstance(rule, Recording):
            for change, expr in mutate_expression(rule.expr):
                yield Mutant(suite.file, rule.record, change, rule._replace(expr=expr))
        else:
            for change, alert, place in _mutate_alert(rule):
                yield Mutant(suite.file, rule.name, change, alert, place)


def _mutate_alert(alert: Alert) -> Iterator[tuple[str, Alert, int | None]]:
    severities = [tier.severity for tier in alert.tiers]
    for place, tier in enumerate(alert.tiers):
        found = [(change, tier._replace(expr=expr)) for change, expr in mutate_expression(tier.expr)]
        if tier.hold:
            found += [("without for", tier._replace(hold="")), ("twice for", tier._replace(hold=_double(tier.hold)))]
        others = [severity for severity in severities if severity is not tier.severity] or [
            Severity.CRITICAL if tier.severity is Severity.WARNING else Severity.WARNING
        ]
        found.append((f"{others[0]} in place of {tier.severity}", tier._replace(severity=others[0])))
        for change, changed in found:
            yield f"{tier.severity}: {change}", alert._replace(tiers=(*alert.tiers[:place], changed, *alert.tiers[place + 1 :])), place
    if alert.keep:
        yield "without keep_firing_for", alert._replace(keep=""), None


def _double(hold: str) -> str:
    return re.sub(r"\d+", lambda found: str(2 * int(found[0])), hold)


def mutate_expression(expr: str) -> Iterator[tuple[str, str]]:
    """Return each change that can be made to an expression, and what it becomes."""
    shape = _MASKED.sub(lambda found: "·" * len(found[0]), expr)
    for found in _NUMBER.finditer(shape):
        for nudged in _nudge(found[0], expr[: found.start()]):
            yield _change(expr, found.start(), found.end(), nudged)
    for found in _COMPARISON.finditer(shape):
        yield _change(expr, found.start(), found.end(), _SWAPPED[found[0]])
    for found in _POSITIVE.finditer(shape):
        yield _change(expr, found.start(), found.end(), "")
    for found in _JOINED.finditer(_mask_but_words(expr)):
        yield from _unjoin(expr, found[0], found.start(), found.end())
    for found in _AGGREGATION.finditer(expr):
        yield _change(expr, found.start(), found.end(), _OTHER_AGGREGATION[found[0]])
    for found in re.finditer(r"\{[^}]*\}", expr):
        yield _change(expr, found.start(), found.end(), "")


def _mask_but_words(expr: str) -> str:
    """Return the expression without what is in quotes, braces and brackets."""
    return re.sub(r'"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]', lambda found: "·" * len(found[0]), expr)


def _nudge(number: str, before: str) -> tuple[str, ...]:
    value = float(number)
    if before.endswith(("histogram_quantile(", "quantile_over_time(")):
        return f"{(1 + value) / 2:g}", f"{0.85 * value:g}"
    if value == 0:
        return "1", "-1"
    if value.is_integer() and value < _SMALL:
        return f"{value + 1:g}", f"{value - 1:g}"
    return f"{1.15 * value:.6g}", f"{0.85 * value:.6g}"


def _unjoin(expr: str, word: str, start: int, end: int) -> Iterator[tuple[str, str]]:
    """Leave out what is joined by `and`, `or` or `unless`; of `or` one side, then the other."""
    stops = r"\bor\b" if word == "or" else r"\b(?:and|or|unless)\b"
    yield _change(expr, start, _find_end(expr, end, stops), "")
    if word == "or":
        yield _change(expr, _find_start(expr, start), end, "")


def _find_end(expr: str, place: int, stops: str) -> int:
    depth, shape = 0, _mask_but_words(expr)
    for at in range(place, len(expr)):
        depth += (expr[at] == "(") - (expr[at] == ")")
        if depth < 0 or (depth == 0 and re.match(stops, shape[at:]) and not shape[at - 1].isalnum()):
            return at
    return len(expr)


def _find_start(expr: str, place: int) -> int:
    depth = 0
    for at in range(place - 1, -1, -1):
        depth += (expr[at] == ")") - (expr[at] == "(")
        if depth < 0:
            return at + 1
    return 0


def _change(expr: str, start: int, end: int, text: str) -> tuple[str, str]:
    line = expr[:start].count("\n") + 1
    said = " ".join(expr[start:end].split())
    at = len(expr[:start].splitlines()[-1]) if expr[:start].splitlines() else 0
    return f"{line}:{at} {said or '·'} → {text or 'nothing'}", f"{expr[:start]}{text}{expr[end:]}"


def list_readers(suite: Suite, name: str) -> set[str]:
    """Return the names of a rule and of all that read it, directly or not."""
    found = {name}
    for rule in suite.list_rules():
        if any(_read(expr).selected.keys() & found for expr in list_expressions(rule)):
            found.add(name_rule(rule))
    return found


def list_needed(rules: Sequence[Rule], wanted: Iterable[str]) -> list[Rule]:
    """Return the rules named and those that they read, directly or not, in order."""
    needed, found = set(wanted), list[Rule]()
    for rule in reversed(rules):
        if name_rule(rule) in needed:
            found.append(rule)
            needed.update(*(_read(expr).selected for expr in list_expressions(rule)))
    return found[::-1]


def pick_cases(suite: Suite, names: set[str]) -> list[Case]:
    """Return the cases that concern the rules named, without what they say of others."""
    found = list[Case]()
    for case in suite.cases:
        checks = tuple(check for check in case.checks if check.alert in names)
        readings = tuple(reading for reading in case.readings if _read(reading.expr).selected.keys() & names)
        if checks or readings:
            found.append(case._replace(checks=checks, readings=readings))
    return found


def measure_minutes(case: Case) -> int:
    """Return how long a case is."""
    return max(int(at.removesuffix("m")) for at in (*(check.at for check in case.checks), *(reading.at for reading in case.readings)))


def split_cases(cases: Iterable[Case]) -> list[list[Case]]:
    """Return the short cases together, and each of the long ones, which take their time, by itself."""
    short, long = list[Case](), list[Case]()
    for case in cases:
        (short if measure_minutes(case) <= _SHORT_MIN else long).append(case)
    return [*([short] if short else []), *([case] for case in long)]


def keep_tier(cases: Iterable[Case], tier: Tier) -> list[Case]:
    """Return the cases of an alert without what they say of its other severities."""
    return [case._replace(checks=tuple(check._replace(firing=_keep_firing(check, tier)) for check in case.checks)) for case in cases]


def _keep_firing(check: Check, tier: Tier) -> tuple[Firing, ...]:
    labels = dict(tier.labels).items()
    return tuple(firing for firing in check.firing if firing.severity is tier.severity and labels <= firing.labels.items())


class Trial(NamedTuple):
    """Cases of one severity of an alert, or of what is recorded, as a file, and the rules that they need."""

    rules: frozenset[str]
    tier: int | None
    cases: str
    minutes: int


class Court:
    """Runs mutants against the cases that concern them."""

    def __init__(self, suites: Iterable[Suite]) -> None:
        self._suites = {suite.file: suite for suite in suites}
        self._list_trials: Callable[[str, str, int | None], tuple[Trial, ...]] = cache(self._find_trials)

    def list_escaped(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """Return the mutants that no case notices."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [mutant for mutant, caught in zip(mutants, pool.map(self._is_caught, mutants), strict=True) if not caught]

    def list_failed(self) -> list[str]:
        """Return the rules of which a trial fails as they are: whatever is changed, such a trial would seem to notice."""
        rules = [(suite, rule) for suite in self._suites.values() for rule in suite.list_rules()]
        as_they_are = [Mutant(suite.file, name_rule(rule), "nothing", rule) for suite, rule in rules]
        caught = {(mutant.file, mutant.name) for mutant in as_they_are} - {
            (mutant.file, mutant.name) for mutant in self.list_escaped(as_they_are)
        }
        return sorted(name for _, name in caught)

    def _find_trials(self, file: str, name: str, tier: int | None) -> tuple[Trial, ...]:
        """Return trials for each reader of a rule, the shortest first: the first that notices is enough."""
        suite = self._suites[file]
        readers, rules = list_readers(suite, name), suite.list_rules()
        trials = list[Trial]()
        for alert in (rule for rule in rules if isinstance(rule, Alert) and rule.name in readers):
            cases = pick_cases(suite, {alert.name})
            for place, each in enumerate(alert.tiers):
                if tier == place if tier is not None else alert.name == name or _read(each.expr).selected.keys() & readers:
                    told = keep_tier(cases, each)
                    trials += [self._make_trial(suite, {alert.name}, place, some) for some in split_cases(told)]
        recorded = readers & {rule.record for rule in rules if isinstance(rule, Recording)}
        trials += [self._make_trial(suite, recorded, None, some) for some in split_cases(pick_cases(suite, recorded))]
        return tuple(sorted(trials, key=lambda trial: trial.minutes))

    def _make_trial(self, suite: Suite, rules: set[str], tier: int | None, cases: Sequence[Case]) -> Trial:
        text = render_cases(cases, [Group("one", tuple(suite.list_rules()))], Links(), "rules.yml")
        return Trial(frozenset(rules), tier, text, sum(map(measure_minutes, cases)))

    def _is_caught(self, mutant: Mutant) -> bool:
        rules = [mutant.rule if name_rule(rule) == mutant.name else rule for rule in self._suites[mutant.file].list_rules()]
        trials = self._list_trials(mutant.file, mutant.name, mutant.tier)
        return any(is_failed(_trim(rules, trial), trial.cases, mutant.change) for trial in trials)


def _trim(rules: Iterable[Rule], trial: Trial) -> list[Rule]:
    """Return what a trial needs: one severity of its alert, and what that reads."""
    trimmed = [
        rule._replace(tiers=(rule.tiers[trial.tier],))
        if trial.tier is not None and isinstance(rule, Alert) and rule.name in trial.rules
        else rule
        for rule in rules
    ]
    return list_needed(trimmed, trial.rules)


def is_failed(rules: Sequence[Rule], cases: str, said_of_it: str = "") -> bool:
    """Whether rules fail their cases. JSON is YAML, and quicker to write."""
    with TemporaryDirectory() as folder:
        Path(folder, "rules.yml").write_text(json.dumps(build_rules([Group("one", tuple(rules))], Links())), "utf-8")
        Path(folder, "tests.yml").write_text(cases, "utf-8")
        command = ["promtool", "test", "rules", "tests.yml"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"GOGC": "400"})
    said = done.stdout + done.stderr
    # A rule that is no PromQL any more would be no mutant.
    assert "parse" not in said, f"{said_of_it}\n{said}"
    return done.returncode != 0

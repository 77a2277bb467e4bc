"""The table by which breakers move, and its picture."""

import re

from sidecar.catalogue import BREAKER_REASONS, OPENING_REASONS
from sidecar.core.choose.transitions import REASONS, TRANSITIONS, Event, State, draw_diagram
from tests.house.source import ROOT


def test_the_worst_state_is_the_highest() -> None:
    """Numbers are those of the metric, and their maximum is the worst."""
    assert [(state.label, int(state)) for state in sorted(State)] == [("closed", 0), ("half_open", 1), ("open", 2)]


def test_every_event_moves_something_and_nothing_stays() -> None:
    """Each event stands in the table, no row leads to where it began, and each state can be reached and left."""
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert [before for (before, _), move in TRANSITIONS.items() if before is move.after] == []
    assert {before for before, _ in TRANSITIONS} == {move.after for move in TRANSITIONS.values()} == set(State)


def test_reasons_are_those_of_the_catalogue() -> None:
    """What metrics and log lines may say is what the table says, of all moves and of openings."""
    assert set(REASONS) == set(BREAKER_REASONS)
    assert {move.reason for move in TRANSITIONS.values() if move.after is State.OPEN} == set(OPENING_REASONS)


def test_the_diagram_has_every_row() -> None:
    """Read back, its arrows are the table's rows, no more and no fewer."""
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", draw_diagram(), re.MULTILINE)
    drawn = {(before, after, reason) for before, after, reasons in arrows for reason in reasons.split(", ")}
    assert drawn == {(before.label, move.after.label, move.reason) for (before, _), move in TRANSITIONS.items()}


def test_the_readme_shows_this_diagram() -> None:
    """The picture in the README is drawn from the table in force."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{draw_diagram()}```\n" in readme[readme.index("### Circuit breakers") :]

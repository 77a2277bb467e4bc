"""What README.md says of what keeping and sharing comes to is what the benchmarks measure, and what they were told."""

import re

from tests.bench.before_after import FAULTS, MEASURES, draw_workload, find_repeated, make_parser
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("### What keeping and sharing comes to") : README.index("### Settings of cache")]
FLAT = " ".join(PART.split())
ROWS = {
    row[0]: row[1:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in PART.splitlines() if line.startswith("| "))
}


def read_number(cell: str) -> float:
    """Return the median that a cell tells."""
    found = re.match(r"[-+]?[\d.]+", cell)
    assert found is not None, cell
    return float(found.group())


def test_the_workload_is_the_one_that_is_carried() -> None:
    """The defaults, how much of it repeats, how many fail."""
    told = make_parser().parse_args([])
    assert f"{told.calls} calls, {told.rate:g} a second, of {told.prompts} prompts" in FLAT
    assert f"exponent {told.zipf:g}" in FLAT and (told.rounds, "three rounds" in FLAT) == (3, True)
    share = find_repeated(draw_workload(told.calls, told.rate, told.prompts, told.zipf))
    assert f"{share * 100:.1f} % of the calls repeat an earlier one" in FLAT
    assert f"fail {sum(FAULTS.values()) * 100:.1f} % of theirs" in FLAT
    (other,) = re.findall(r"`(--prompts [^`]+)`", FLAT)
    unrepeated = make_parser().parse_args(other.split())
    assert find_repeated(draw_workload(told.calls, told.rate, unrepeated.prompts, unrepeated.zipf)) < 0.005


def test_the_table_is_the_commands_own() -> None:
    """Its rows in their order, its goals, and a verdict that follows from what is measured."""
    names = [measure.what for measure in MEASURES]
    assert [name for name in ROWS if name] == [name for name in names if name in ROWS] and len(ROWS) > 4
    for measure in MEASURES:
        if measure.is_reached is None:
            continue
        off, on, _, goal, reached = ROWS[measure.what]
        scale = 0.01 if measure.form.endswith("%") else 1.0
        assert goal == measure.goal
        assert (reached == "yes") == measure.is_reached(read_number(off) * scale, read_number(on) * scale), measure.what

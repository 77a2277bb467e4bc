"""What README.md says of changing the configuration while it runs is so."""

import re

from sidecar import catalogue
from sidecar.config import Reload
from sidecar.core.settings.changes import HELD, Outcome, show_outcome
from sidecar.core.settings.tree import spell
from sidecar.edge.inbound.reload import PATH, make_reload
from sidecar.errors import ConfigProblem
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("### Changing it while it runs") :]
PART = re.sub(r"\s+", " ", PART[: PART.index("\n## ")])


def test_all_that_waits_for_a_restart_is_named() -> None:
    """In full, and nothing else."""
    told = PART[PART.index("To wait have ") : PART.index("; the rest")]
    assert sorted(re.findall(r"`([\w.]+)`", told)) == sorted(map(spell, HELD))


def test_times_are_the_defaults() -> None:
    """Of both settings, where they are told and where they are named."""
    default = Reload()
    assert default.watch
    assert f"every {default.interval:.0f} s" in PART and f"as it is for {default.debounce:.0f} s" in PART
    assert f"`interval` ({default.interval:.0f}s)" in PART and f"`debounce` ({default.debounce:.0f}s)" in PART


def test_what_is_answered_is_as_told() -> None:
    """Members, path and events are those that there are."""
    assert list(make_reload(lambda: 1 / 0)) == [PATH] and f"`POST {PATH}`" in PART  # type: ignore[arg-type,return-value]
    good = show_outcome(Outcome("a"))
    bad = show_outcome(Outcome("a", problems=(ConfigProblem("x", "y", "z"),)))
    answered = PART[PART.index("It answers with") : PART.index("To wait have")]
    assert set(re.findall(r"`(\w+)`", answered)) == {*good, *bad} - {"source", "error"}
    assert f"`{catalogue.REFUSED.name}`" in PART

"""What README.md says of budgets is so."""

import re

from sidecar.config import Budgets, Features
from sidecar.core.admit.spending_sums import ALL
from sidecar.core.admit.stops import read_stop
from sidecar.core.observe.estimation import CHARS_PER_TOKEN
from sidecar.edge.inbound.api import make_budgets
from sidecar.edge.ledger import FAILURES
from sidecar.errors import BUDGET_SPENT, SPENDING_STOPPED
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("### Budgets") : README.index("### Settings of cache")]
FLAT = " ".join(PART.split())


def test_the_numbers_are_the_defaults() -> None:
    """And budgets are off."""
    told = Budgets()
    assert f"`budgets.output_tokens` ({told.output_tokens})" in FLAT and f"`budgets.soft` ({told.soft:.0%})".replace("%", " %") in FLAT
    assert f"`budgets.sync` ({told.sync:.0f} s)" in FLAT and told.unpriced == 0.0
    assert "four characters a token" in FLAT and CHARS_PER_TOKEN == 4
    assert not Features().budgets and "features: {budgets: true}" in FLAT


def test_errors_and_the_path_are_the_ones_there_are() -> None:
    """Refusals by their names, and what is told where."""
    assert f"{BUDGET_SPENT.status} `{BUDGET_SPENT.id}`" in FLAT and SPENDING_STOPPED.status == BUDGET_SPENT.status
    pages, changes = make_budgets((), lambda: ((), frozenset()), print)
    assert pages.keys() == changes.keys() == set(re.findall(r"`GET (\S+)`", PART))
    assert f"http://127.0.0.1:9464{next(iter(changes))}" in PART
    assert "damaged" in FAILURES and "`FILE.damaged-N`" in FLAT


def test_the_kill_switch_is_worked_as_told() -> None:
    """The example stops everybody."""
    (body,) = re.findall(r"-d '([^']+)'", PART)
    assert read_stop(body.encode(), ()) == (ALL, True)
    assert read_stop(body.replace("true", "false").encode(), ()) == (ALL, False)

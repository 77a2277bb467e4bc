"""A ledger that is opened, and not yet written to."""

from pathlib import Path

import pytest

from sidecar.config import Budget, Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.ledger_lines import tell_state
from sidecar.core.admit.spending_sums import ALL, State
from sidecar.edge.ledger import start_ledger
from sidecar.edge.ledger_reading import open_ledger
from sidecar.errors import ConfigError
from tests.edge.test_ledger import NOON, Notes

DAY = "2026-11-20"


def test_it_is_ours_until_it_is_let_go_of(tmp_path: Path) -> None:
    """Nobody else opens it meanwhile; nothing is written, not even where nothing was."""
    file = tmp_path / "ledger"
    opened = open_ledger(str(file))
    assert opened.told.lines == 0 and not file.exists()
    with pytest.raises(ConfigError, match="another sidecar"):
        open_ledger(str(file))
    opened.release()
    opened.release()
    open_ledger(str(file)).release()


def test_what_was_left_behind_is_read(tmp_path: Path) -> None:
    """With the name of who wrote it."""
    file = tmp_path / "ledger"
    file.write_bytes(b"".join(tell_state(State({("a", DAY): 5}, (), frozenset({ALL})), "me")))
    before = file.read_bytes()
    opened = open_ledger(str(file))
    assert (opened.told.instance, opened.told.state.spent, opened.told.state.stopped) == ("me", {("a", DAY): 5}, {ALL})
    assert file.read_bytes() == before
    opened.release()


@pytest.mark.parametrize("place", ["nowhere/ledger", "."])
def test_what_can_be_nobodys_ledger_is_refused(tmp_path: Path, place: str) -> None:
    """A path in no directory, and one at which there is no file."""
    with pytest.raises(ConfigError) as caught:
        open_ledger(str(tmp_path / place))
    assert [problem.path for problem in caught.value.problems] == ["budgets.file"]


async def test_who_takes_it_over_has_it_alone(tmp_path: Path) -> None:
    """It is held until that one closes it, and letting go of what is not there any more changes nothing."""
    file = tmp_path / "ledger"
    opened = open_ledger(str(file))
    ledger = start_ledger(opened, 1.0, Accounts(Budgets(tenant=Budget(day=1.0))), NOON, Notes())
    opened.release()
    with pytest.raises(ConfigError):
        open_ledger(str(file))
    await ledger.close()
    open_ledger(str(file)).release()

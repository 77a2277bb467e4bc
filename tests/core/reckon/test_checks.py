"""Each check, good and bad."""

import pickle
import sys
from dataclasses import replace
from typing import NamedTuple

import pytest

from sidecar.config import Features
from sidecar.core.admit.spending_sums import ALL, Balance
from sidecar.core.reckon.checks import (
    ConfigurationView,
    ExportView,
    LedgerView,
    Losses,
    SharedView,
    check_budgets,
    check_cache,
    check_configuration,
    check_event_loop,
    check_export,
    check_features,
    check_journal,
    check_memory,
    check_serving,
    check_shared,
)
from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present
from sidecar.errors import ConfigProblem
from sidecar.thresholds import Terms

PRESENT = Present(1000.0, 1_700_000_000_000_000_000)
TERMS = Terms()
GOOD = (Status.HEALTHY, False)
BAD = (Status.DEGRADED, True)


class Journaled(NamedTuple):
    """How a journal stands."""

    problem: str | None
    saved: float | None
    damaged: int
    lost: int


def judge(check: Check) -> tuple[Status, bool]:
    """Return how something stands, and whether it is said what to do. A reason is always given, as a sentence."""
    assert check.reason.endswith(".") and check.reason[0].isupper() | check.reason[0].isdigit()
    return check.status, check.remedy is not None


def test_who_takes_no_calls_is_unhealthy() -> None:
    """The data port, before the start and when it stops."""
    good = check_serving(is_ready=True, is_draining=False, data_url="http://127.0.0.1:4000", in_flight=3)
    assert judge(good) == GOOD and good.facts == {"dataUrl": "http://127.0.0.1:4000", "inFlight": 3, "draining": False}
    bad = check_serving(is_ready=False, is_draining=False, data_url="", in_flight=0)
    assert judge(bad) == (Status.UNHEALTHY, True) and bad.facts["dataUrl"] is None
    leaving = check_serving(is_ready=False, is_draining=True, data_url="http://127.0.0.1:4000", in_flight=1)
    assert judge(leaving) == (Status.UNHEALTHY, True) and leaving.facts["draining"] is True
    assert leaving.reason != bad.reason


def test_a_configuration_that_is_not_in_force_is_told() -> None:
    """Changed on disk, not to be used, waiting for a restart: each with what to do, and what of it does itself."""
    view = ConfigurationView("a.yaml", 990.0)
    good = check_configuration(view, PRESENT)
    assert judge(good) == GOOD
    assert good.facts == {
        "source": "a.yaml", "loadedAt": "2023-11-14T22:13:10.000Z", "changedSince": False, "problems": [], "restart": [],
    }  # fmt: skip
    changed = check_configuration(view._replace(is_stale=True), PRESENT)
    assert judge(changed) == BAD and changed.facts["changedSince"] is True and "SIGHUP" not in (changed.remedy or "")
    assert "SIGHUP" in (check_configuration(view._replace(is_stale=True, is_watched=False), PRESENT).remedy or "")
    problem = ConfigProblem("prices.file", "no such file", "a readable price table")
    missing = check_configuration(view._replace(problems=[problem], is_stale=True, held=["listen"]), PRESENT)
    assert judge(missing) == BAD and missing.facts["problems"] == ["prices.file: no such file"]
    assert "a readable price table" in (missing.remedy or "") and "as soon as" in (missing.remedy or "")
    held = check_configuration(view._replace(held=["listen", "redis.url"]), PRESENT)
    assert judge(held) == BAD and held.facts["restart"] == ["listen", "redis.url"] and "listen, redis.url" in (held.remedy or "")


@pytest.mark.parametrize(
    ("rss", "limit", "judged", "share"),
    [(80, 100, GOOD, 0.8), (81, 100, BAD, 0.81), (None, 100, GOOD, None), (80, None, GOOD, None), (80, 0, GOOD, None)],
)  # fmt: skip
def test_memory(rss: int | None, limit: int | None, judged: tuple[Status, bool], share: float | None) -> None:
    """From the threshold on it is short; what is not known is no problem, and no number."""
    check = check_memory(rss, limit, TERMS)
    assert judge(check) == judged
    assert check.facts == {"rssBytes": rss, "limitBytes": limit, "share": share}


def test_a_cache_without_room_is_told() -> None:
    """Where memory is short by its own measure; off is no problem."""
    levels = {"hot": (2, 100), "warm": (3, 50)}
    good = check_cache(levels, check_memory(79, 100, TERMS), 0.8, is_on=True)
    assert judge(good) == GOOD and good.reason == "5 answers are kept."
    assert good.facts == {"levels": {"hot": {"entries": 2, "bytes": 100}, "warm": {"entries": 3, "bytes": 50}}}
    assert judge(check_cache(levels, check_memory(80, 100, TERMS), 0.8, is_on=True)) == BAD
    assert judge(check_cache(levels, check_memory(None, 100, TERMS), 0.8, is_on=True)) == GOOD
    assert judge(check_cache({}, check_memory(80, 100, TERMS), 0.8, is_on=False)) == GOOD


def test_a_shared_store_that_is_away_is_told() -> None:
    """With what was wrong; one that answers again has nothing wrong with it."""
    assert judge(check_shared(None)) == GOOD and judge(check_shared(SharedView(None, None))) == GOOD
    back = check_shared(SharedView(True, "refused"))
    assert judge(back) == GOOD and back.facts == {"problem": None}
    away = check_shared(SharedView(False, "refused"))
    assert judge(away) == BAD and "(refused)" in away.reason and away.facts == {"problem": "refused"}
    assert judge(check_shared(SharedView(False, None))) == BAD


def test_an_export_that_fails_or_loses_is_told() -> None:
    """The last batch decides, then the share of spans that was lost lately."""
    good = check_export(ExportView(10, 0, 2, 995.0, None), 0.0, PRESENT, TERMS)
    assert judge(good) == GOOD
    assert good.facts == {"exported": 10, "dropped": 0, "waiting": 2, "lastSuccess": "2023-11-14T22:13:15.000Z", "problem": None}
    assert judge(check_export(None, None, PRESENT, TERMS)) == GOOD
    fresh = check_export(ExportView(0, 0, 0, None, None), None, PRESENT, TERMS)
    assert judge(fresh) == GOOD and fresh.facts["lastSuccess"] is None
    dead = check_export(ExportView(0, 9, 0, None, "ConnectionRefusedError"), 0.0, PRESENT, TERMS)
    assert judge(dead) == BAD and "(ConnectionRefusedError)" in dead.reason
    assert judge(check_export(ExportView(98, 2, 0, 995.0, None), 0.02, PRESENT, TERMS)) == BAD
    assert judge(check_export(ExportView(99, 1, 0, 995.0, None), 0.01, PRESENT, TERMS)) == GOOD


def balance(tenant: str, spent: float, reserved: float, limit: float | None, *, is_soft: bool = False) -> Balance:
    """Return one budget of a day."""
    return Balance(tenant, "day", "2023-11-14", spent, reserved, limit, is_soft)


def test_budgets_that_stop_everybody_are_told() -> None:
    """Not those that stop one tenant, which is what they are for; and a ledger that is not written."""
    assert judge(check_budgets(None, None)) == GOOD
    tenants = [balance("a", 1.0, 0.0, 1.0, is_soft=True), balance("b", 0.9, 0.0, 1.0, is_soft=True), balance(ALL, 1.9, 0.0, None)]
    good = check_budgets((tenants, frozenset({"b"})), LedgerView(None))
    assert judge(good) == GOOD
    assert good.facts == {"spent": 1, "nearlySpent": 1, "stopped": 1, "ledger": {"problem": None}}
    assert judge(check_budgets(([balance(ALL, 0.6, 0.4, 1.0)], frozenset()), None)) == BAD
    assert judge(check_budgets(([], frozenset({ALL})), None)) == BAD
    unwritten = check_budgets(([], frozenset()), LedgerView("No space left on device"))
    assert judge(unwritten) == BAD and "No space left" in unwritten.reason


def test_a_journal_that_is_not_written_is_told() -> None:
    """With what the system said."""
    assert judge(check_journal(None, PRESENT)) == GOOD
    good = check_journal(Journaled(None, 999.0, 1, 2), PRESENT)
    assert judge(good) == GOOD
    assert good.facts == {"lastSaved": "2023-11-14T22:13:19.000Z", "problem": None, "damagedFiles": 1, "lostCalls": 2}
    bad = check_journal(Journaled("Read-only file system", None, 0, 0), PRESENT)
    assert judge(bad) == BAD and "Read-only file system" in bad.reason and bad.facts["lastSaved"] is None


def test_an_event_loop_that_is_late_again_and_again_is_told() -> None:
    """One pause is no state; a tenth of all turns is."""
    fresh = check_event_loop((), TERMS)
    assert judge(fresh) == GOOD and fresh.facts == {"lagSeconds": None, "worstSeconds": None}
    assert judge(check_event_loop((0.06,) * 19, TERMS)) == GOOD
    assert judge(check_event_loop((0.06,) * 20, TERMS)) == BAD
    good = check_event_loop((0.001,) * 110 + (2.0,) * 9, TERMS)
    assert judge(good) == GOOD and good.facts == {"lagSeconds": 0.001, "worstSeconds": 2.0}
    assert judge(check_event_loop((0.001,) * 100 + (0.06,) * 20, TERMS)) == BAD


def test_features_are_told_by_name() -> None:
    """All of them, on or off."""
    check = check_features(replace(Features(), cache=True, failover=False))
    assert judge(check) == GOOD
    assert check.facts["features"].keys() == Features.__dataclass_fields__.keys()
    assert check.facts["features"]["cache"] is True and check.facts["features"]["failover"] is False


def test_losses_are_those_of_the_last_minutes() -> None:
    """What was lost before is forgotten; without spans there is no share."""
    losses = Losses(300.0)
    assert losses.note(0, 0, 0.0) is None
    assert losses.note(90, 10, 100.0) == 0.1
    assert losses.note(190, 10, 300.0) == 0.05
    assert losses.note(190, 10, 400.0) == 0.0
    assert losses.note(190, 10, 700.0) is None


def test_losses_remember_no_more_the_oftener_they_are_told() -> None:
    """A thousand times a second for ten minutes, and still right."""
    losses = Losses(300.0)
    share = None
    before = sys.getsizeof(pickle.dumps(losses))
    for number in range(600_000):
        share = losses.note(number, number // 4, number / 1000)
    assert share == pytest.approx(0.2, rel=1e-3)
    assert sys.getsizeof(pickle.dumps(losses)) - before < 10_000

"""The last calls, those that failed, and the last decisions."""

import itertools

import pytest

from sidecar.decision import Decision
from sidecar.edge.telemetry.recent import CALLS_MAX, DECISIONS_MAX, FAILED_MAX, Recent
from sidecar.exchange import Ending, Said
from tests.edge.telemetry.records import make_attempt, make_record, make_seen

CHOSEN = Decision("chat", "weighted", "full", "openai", "its turn", ())
NOBODY = CHOSEN._replace(upstream=None, reason="circuit_open")


def test_so_many_are_kept_and_no_more() -> None:
    """The newest first; a busy hour pushes no failure out."""
    recent = Recent()
    recent.observe(make_record(id="failed", ending=Ending.CUT))
    for number in range(CALLS_MAX + 50):
        recent.observe(make_record(id=str(number), ended=102.0 + number))
    assert [record.id for record in recent.calls] == [str(number) for number in reversed(range(50, CALLS_MAX + 50))]
    assert [record.id for record in recent.failed] == ["failed"]
    for number in range(FAILED_MAX + 1):
        recent.observe(make_record(id=str(number), ending=Ending.RESET))
    assert [record.id for record in recent.failed] == [str(number) for number in reversed(range(1, FAILED_MAX + 1))]
    assert len(recent.calls) == CALLS_MAX


def test_of_very_many_that_went_well_a_part_is_kept() -> None:
    """All of a burst that there is room for, then so many a second; of what failed, or took more than one attempt, all."""
    recent = Recent()
    for number in range(10_000):
        recent.observe(make_record(id=str(number), ended=102.0 + number / 10_000))
    kept = [int(record.id) for record in recent.calls]
    assert len(kept) == CALLS_MAX and kept[0] >= 9_900
    assert [before - after for before, after in itertools.pairwise(kept[:50])] == [pytest.approx(100, abs=1)] * 49
    recent.observe(make_record(id="twice", attempts=(make_attempt(), make_attempt()), ended=103.0))
    recent.observe(make_record(id="pool", pool="chat", ended=103.0))
    recent.observe(make_record(id="failed", ending=Ending.CUT, ended=103.0))
    assert [record.id for record in recent.calls[:3]] == ["failed", "pool", "twice"]


def test_of_very_many_hits_a_part_is_kept() -> None:
    """Answers that were kept are as ordinary as answers get, in a pool too; one that failed is not."""
    recent = Recent()
    for number in range(10_000):
        recent.observe(make_record(attempts=(), cache="hit", pool="chat", ended=102.0 + number / 10_000, id=str(number)))
    kept = [int(record.id) for record in recent.calls]
    assert [before - after for before, after in itertools.pairwise(kept[:50])] == [pytest.approx(100, abs=1)] * 49
    recent.observe(make_record(id="cut", attempts=(), cache="coalesced", ending=Ending.CUT, ended=103.0))
    assert recent.calls[0].id == "cut"


@pytest.mark.parametrize("ending", list(Ending))
def test_what_counts_as_failed(ending: Ending) -> None:
    """All but those that came to their end and those whose caller left."""
    recent = Recent()
    recent.observe(make_record(ending=ending))
    assert bool(recent.failed) is (ending not in (Ending.COMPLETED, Ending.CLIENT_GONE))
    assert len(recent.calls) == 1


def test_decisions_of_pools_are_kept_with_their_calls() -> None:
    """One for each attempt for which there was a choice, and the one that found nobody; none of single upstreams."""
    recent = Recent()
    attempts = (make_attempt(started=100.5, decision=CHOSEN), make_attempt(), make_attempt(started=101.0, decision=CHOSEN))
    recent.observe(make_record(id="one", pool="chat", attempts=attempts, decision=NOBODY))
    recent.observe(make_record(id="two", attempts=attempts, decision=NOBODY))
    assert [(record.id, decision.reason, taken) for record, decision, taken in recent.decisions] == [
        ("one", "circuit_open", 102.0), ("one", "its turn", 101.0), ("one", "its turn", 100.5),
    ]  # fmt: skip
    for _ in range(DECISIONS_MAX):
        recent.observe(make_record(id="three", pool="chat", attempts=attempts))
    assert [record.id for record, _, _ in recent.decisions] == ["three"] * DECISIONS_MAX


def test_nothing_large_is_kept() -> None:
    """Neither what was said, nor what was read last, nor a path that goes on and on; and nobody else's record is changed."""
    recent = Recent()
    said = Said("openai_chat", b"prompt", b"", b"answer", ())
    large = make_record(id="large", said=said, path="/" + "x" * 60_000, seen=make_seen(running=b"x" * 1_000_000, first_token=100.5))
    recent.observe(large)
    [kept] = recent.calls
    assert (kept.said, kept.seen.running, len(kept.path)) == (None, None, 512)
    assert (kept.id, kept.seen.model, kept.seen.first_token, kept.attempts) == ("large", "gpt-4o-2024-08-06", 100.5, large.attempts)
    assert large.said is said and said.request == b"prompt" and large.seen.running is not None
    plain = make_record()
    recent.observe(plain)
    assert recent.calls[0] is plain

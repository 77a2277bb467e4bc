"""sidecar/simulator/ledger.py"""

from hashlib import sha256

import pytest

from sidecar.simulator.ledger import Entry, Ledger
from sidecar.simulator.profile import Prices
from sidecar.simulator.reply import Marks, Outcome
from sidecar.simulator.tokens import NOTHING, Tokens

_PRICES = Prices(input=2.5, output=10.0, cached=1.25)


def _entry(number: int = 1, tag: str = "") -> Entry:
    """An entry of a stream: 3 tokens, 1 of them reasoning, ending at bytes 10, 20, 30, usage at 40."""
    entry = Entry(number, "POST", "/v1/chat/completions", 100.0)
    entry.provider, entry.model, entry.status, entry.tag, entry.is_billed = "openai", "m", 200, tag, True
    entry.prompt_tokens, entry.cached_tokens, entry.prices = 2000, 1024, _PRICES
    entry.marks = Marks((10, 20, 30), (10,), ((40, Tokens(2000, 3, 1024, 1)),), streamed=True)
    return entry


def test_what_was_written() -> None:
    """Times, bytes and digest are those of the body as it went out."""
    entry = _entry()
    entry.wrote(b"", 101.0)
    entry.wrote(b"x" * 9, 102.0)
    assert (entry.first_byte_s, entry.first_token_s) == (101.0, None)
    entry.wrote(b"y", 103.0)
    assert (entry.first_token_s, entry.body_bytes) == (103.0, 10)
    assert entry.tell()["sha256"] == sha256(b"x" * 9 + b"y").hexdigest()


@pytest.mark.parametrize(
    ("written", "true", "is_reported"),
    [(0, Tokens(2000, 0, 1024, 0), False), (29, Tokens(2000, 2, 1024, 1), False), (40, Tokens(2000, 3, 1024, 1), True)],
)
def test_true_and_reported(written: int, true: Tokens, is_reported: bool) -> None:
    """Tokens are true once sent, and reported once the usage was sent in full."""
    entry = _entry()
    entry.wrote(b"x" * written, 1.0)
    assert (entry.true_tokens, entry.is_reported) == (true, is_reported)
    assert entry.reported_tokens == (true if is_reported else NOTHING)


def test_what_is_not_billed() -> None:
    """An error answer costs nothing, whatever the prompt."""
    entry = _entry()
    entry.is_billed = False
    assert entry.true_tokens == NOTHING


def test_totals() -> None:
    """Totals add up by provider, model, status and outcome, true and reported apart."""
    ledger = Ledger()
    for number, written in enumerate((40, 15)):
        entry = _entry(number)
        ledger.begin(entry)
        assert ledger.open_count == 1
        entry.wrote(b"x" * written, 1.0)
        ledger.seal(entry, Outcome.COMPLETE if written == 40 else Outcome.CUT, 2.0)
    totals = ledger.tell_totals()
    assert (totals["requests"], totals["open"]) == (2, 0)
    assert (totals["true"]["completion"], totals["reported"]["completion"]) == (4, 3)
    assert totals["reported"]["cost_usd"] == pytest.approx(Tokens(2000, 3, 1024, 1).cost_usd(_PRICES))
    assert [(row["outcome"], row["requests"]) for row in totals["rows"]] == [("complete", 1), ("cut", 1)]


def test_providers_are_apart() -> None:
    """A model of the same name at another provider is another row."""
    ledger = Ledger()
    for provider in ("openai", "gcp.gemini", "openai"):
        entry = _entry()
        entry.provider = provider
        ledger.begin(entry)
        ledger.seal(entry, Outcome.COMPLETE, 2.0)
    assert {row.provider: row.requests for row in ledger.rows} == {"openai": 2, "gcp.gemini": 1}


@pytest.mark.parametrize("is_sealed_first", [True, False])
def test_a_repeated_request_counts_once(is_sealed_first: bool) -> None:
    """The same tag again is the same request: the later attempt counts, tokens of both do."""
    ledger, first, second = Ledger(), _entry(1, "t"), _entry(2, "t")
    ledger.begin(first)
    first.wrote(b"x" * 15, 1.0)
    if is_sealed_first:
        ledger.seal(first, Outcome.RESET, 2.0)
    ledger.begin(second)
    if not is_sealed_first:
        ledger.seal(first, Outcome.RESET, 2.0)
    second.wrote(b"x" * 40, 3.0)
    ledger.seal(second, Outcome.COMPLETE, 4.0)
    assert first.tell()["superseded"]
    assert {row.outcome: row.requests for row in ledger.rows} == {Outcome.RESET: 0, Outcome.COMPLETE: 1}
    assert ledger.tell_totals()["true"]["completion"] == 4


_WON = (Outcome.COMPLETE, 200)
_LEFT = (Outcome.CLIENT_GONE, 200)
_FAILED = (Outcome.COMPLETE, 503)


@pytest.mark.parametrize(
    ("first_to_end", "first", "second", "stands"),
    [
        (1, _LEFT, _WON, 2), (2, _LEFT, _WON, 2), (1, _WON, _LEFT, 1), (2, _WON, _LEFT, 1), (1, _WON, _WON, 1), (2, _WON, _WON, 2),
        (1, _FAILED, _WON, 2), (2, _WON, _FAILED, 1), (1, _FAILED, _FAILED, 2), (2, _FAILED, _FAILED, 1), (1, _LEFT, _LEFT, 2),
        (1, (Outcome.STALLED, 200), _WON, 2), (2, (Outcome.CUT, 200), _LEFT, 1), (1, (Outcome.CUT, 200), _LEFT, 1),
    ],
)  # fmt: skip
def test_one_of_two_at_the_same_time_stands(
    first_to_end: int, first: tuple[Outcome, int], second: tuple[Outcome, int], stands: int
) -> None:  # fmt: skip
    """Of two attempts that were under way together, the one counts that answered, or that failed last; what the other told does not."""
    ledger = Ledger()
    pair = {1: _entry(1, "t"), 2: _entry(2, "t")}
    for number, (_, status) in ((1, first), (2, second)):
        ledger.begin(pair[number])
        pair[number].status = status
        pair[number].wrote(b"x" * 40, 1.0)
    for number in (first_to_end, 3 - first_to_end):
        ledger.seal(pair[number], (first, second)[number - 1][0], 2.0)
    assert [number for number, entry in pair.items() if not entry.is_superseded] == [stands]
    assert (sum(row.requests for row in ledger.rows), sum(row.replaced for row in ledger.rows)) == (1, 1)
    assert sum(row.reported.completion for row in ledger.rows) == 3
    assert sum(row.true.completion for row in ledger.rows) == 6


def test_an_attempt_after_two_at_the_same_time() -> None:
    """A third attempt replaces whichever of the two stood."""
    ledger, entries = Ledger(), [_entry(number, "t") for number in (1, 2, 3)]
    ledger.begin(entries[0])
    ledger.begin(entries[1])
    ledger.seal(entries[1], Outcome.CLIENT_GONE, 1.0)
    assert not entries[0].is_superseded
    ledger.seal(entries[0], Outcome.CUT, 2.0)
    ledger.begin(entries[2])
    ledger.seal(entries[2], Outcome.COMPLETE, 3.0)
    assert [entry.is_superseded for entry in entries] == [True, True, False]
    assert {row.outcome: (row.requests, row.replaced) for row in ledger.rows} == {
        Outcome.CLIENT_GONE: (0, 1), Outcome.CUT: (0, 1), Outcome.COMPLETE: (1, 0),
    }  # fmt: skip


def test_bounds() -> None:
    """Only the last entries are kept; totals count all."""
    ledger = Ledger(entries_max=2)
    for number in range(3):
        entry = _entry(number)
        ledger.begin(entry)
        ledger.seal(entry, Outcome.COMPLETE, 1.0)
    assert [entry.number for entry in ledger.entries] == [1, 2]
    assert ledger.tell_totals()["requests"] == 3


def test_clear() -> None:
    """Clearing forgets what is over; what is open still counts when it ends."""
    ledger, over, still_open = Ledger(), _entry(1), _entry(2)
    ledger.begin(over)
    ledger.begin(still_open)
    ledger.seal(over, Outcome.COMPLETE, 1.0)
    ledger.clear()
    assert ledger.entries == (still_open,)
    assert ledger.tell_totals()["requests"] == 0
    ledger.seal(still_open, Outcome.COMPLETE, 2.0)
    assert (ledger.tell_totals()["requests"], ledger.open_count) == (1, 0)

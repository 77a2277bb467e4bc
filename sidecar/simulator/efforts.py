"""What it took to answer: attempts that were replaced by others, breakers, hedges; as the sidecar's metrics tell, and the ledger.

A call that was made again is one answer to its caller and several requests to providers, so that the accounts of calls say
nothing of the others. Here these are told and compared, too.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from sidecar.catalogue import BREAKER_STATES, HEDGE_LOST
from sidecar.exchange import Ending
from sidecar.simulator.accounts import Endings, expected_ending, read_samples
from sidecar.simulator.ledger import Row

# Of an attempt that is given up the provider sees no more than that its caller has gone, if it was not done by then.
_GIVEN_UP: Final = frozenset((
    Ending.COMPLETED, Ending.CLIENT_GONE, Ending.FIRST_BYTE_TIMEOUT, Ending.IDLE_TIMEOUT, Ending.TOTAL_TIMEOUT,
))  # fmt: skip
_PREFIX: Final = "llm_sidecar_"
Counts = Mapping[str, int]


class Efforts(NamedTuple):
    """What the sidecar did for its answers, by its own metrics."""

    replaced: Counts  # attempts that failed and were followed by another, by outcome
    given_up: int  # attempts whose answer was waited for no more: a rival's came first, or it was silent
    failovers: int
    retries: int
    hedges: Counts  # by outcome
    states: Mapping[str, str]  # of each upstream's circuit breaker
    openings: Counts  # of circuit breakers, by upstream
    closings: Counts
    probes: int


def read_efforts(text: str, apart: Endings) -> Efforts:
    """Read them from an exposition. `apart`: calls that had no attempt of their own, as in `read_scrape`."""
    attempts: dict[str, int] = {}
    requests: dict[str, int] = {}
    for counts in apart.values():
        for ending, count in counts.items():
            _add(requests, ending, -count)
    states: dict[str, str] = {}
    sums: dict[str, dict[str, int]] = {}
    for name, labels, value in read_samples(text):
        short, count = name.removeprefix(_PREFIX), round(value) if value == value else 0
        if short == "attempts_total":
            _add(attempts, labels["outcome"], count)
        elif short == "requests_total":
            _add(requests, labels["ending"], count)
        elif short == "circuit_breaker_state":
            states[labels["upstream"]] = BREAKER_STATES[count]
        elif short == "circuit_breaker_transitions_total":
            _add(sums.setdefault(labels["to"], {}), labels["upstream"], count)
        elif short in ("failovers_total", "retries_total", "probes_total"):
            _add(sums.setdefault(short, {}), "", count)
        elif short == "hedges_total":
            _add(sums.setdefault(short, {}), labels["outcome"], count)
    # Each call with an attempt ends as its last one does: what is more was followed by another.
    more = {outcome: count - requests.get(outcome, 0) for outcome, count in attempts.items() if count > requests.get(outcome, 0)}
    return Efforts(
        {outcome: count for outcome, count in more.items() if outcome not in _GIVEN_UP and outcome != HEDGE_LOST},
        sum(count for outcome, count in more.items() if outcome in _GIVEN_UP or outcome == HEDGE_LOST),
        sums.get("failovers_total", {}).get("", 0), sums.get("retries_total", {}).get("", 0), sums.get("hedges_total", {}),
        states, sums.get("open", {}), sums.get("closed", {}), sums.get("probes_total", {}).get("", 0),
    )  # fmt: skip


def read_replaced(rows: Iterable[Row]) -> dict[str, int]:
    """Read from the ledger how requests went that were replaced by others, but for those that were given up."""
    replaced: dict[str, int] = {}
    for row in rows:
        ending = expected_ending(row.status, row.outcome)
        if row.replaced and ending not in _GIVEN_UP:
            _add(replaced, str(ending), row.replaced)
    return replaced


def compare_replaced(provider: Counts, efforts: Efforts) -> list[str]:
    """Every difference, one line each.

    The provider may have failed a few more: of attempts that were given up the sidecar did not wait to see how they end.
    """
    different = []
    unseen = efforts.given_up
    for outcome in sorted(provider.keys() | efforts.replaced.keys()):
        theirs, ours = provider.get(outcome, 0), efforts.replaced.get(outcome, 0)
        if 0 < theirs - ours <= unseen:
            unseen -= theirs - ours
        elif theirs != ours:
            different.append(f"attempts that ended {outcome} and were replaced: provider {theirs}, sidecar {ours}")
    return different


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count

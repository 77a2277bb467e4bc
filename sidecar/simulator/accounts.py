"""Two accounts of the same traffic, in the same terms: the provider's ledger and the sidecar's scrape.

Both are brought to requests by ending and billable tokens as disjoint kinds, per provider and model.
Where the provider did not tell its usage in full nobody downstream can know it, so the comparison is
over what was told; what was truly generated is kept beside it. Where one call took several attempts,
both tell of the one that was answered: the others are in `efforts`. Calls for which nobody was asked, as they
were answered with another one's answer or refused by a limit or a budget, are the sidecar's alone.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from sidecar.exchange import SERVICE_ERRORS, Ending, UsageSource
from sidecar.simulator.ledger import Row
from sidecar.simulator.reply import Outcome
from sidecar.simulator.tokens import Tokens

KINDS: Final = ("input", "cache_read", "cache_write", "output", "reasoning")
COST_TOLERANCE_USD: Final = 1e-9  # both sides add floats, each in its own order
_ENDINGS: Final = {
    Outcome.ERROR_EVENT: Ending.IN_BAND_ERROR,
    Outcome.CUT: Ending.CUT,
    Outcome.RESET: Ending.CUT,
    Outcome.STALLED: Ending.IDLE_TIMEOUT,
    Outcome.UNANSWERED: Ending.RESET,
    Outcome.GARBAGE: Ending.MALFORMED,
    Outcome.CLIENT_GONE: Ending.CLIENT_GONE,
    Outcome.STOPPED: Ending.CUT,
}
_UNAVAILABLE: Final = frozenset((Ending.UNAVAILABLE, Ending.OVERLOADED))
# Nobody was asked, and so no provider can know of it.
UNASKED: Final = _UNAVAILABLE | {Ending.REFUSED}
# What providers reported, be it of several calls together.
_TOLD: Final = frozenset((UsageSource.REPORTED, UsageSource.APPORTIONED))
_SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: \S+)?")
_REQUESTS: Final = "llm_sidecar_requests_total"
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Tally:
    """What happened with one model of one provider."""

    __slots__ = ("cost_usd", "endings", "tokens")

    def __init__(self) -> None:
        self.endings: dict[str, int] = {}
        self.tokens = dict.fromkeys(KINDS, 0)
        self.cost_usd = 0.0

    @property
    def requests(self) -> int:
        """Exchanges, however they ended."""
        return sum(self.endings.values())

    @property
    def errors(self) -> int:
        """Errors of the service: not those of its callers, nor a provider's limits."""
        return sum(count for ending, count in self.endings.items() if ending in SERVICE_ERRORS)

    def add(self, other: "Tally") -> None:
        """Take another tally in."""
        for ending, count in other.endings.items():
            self.endings[ending] = self.endings.get(ending, 0) + count
        for kind, count in other.tokens.items():
            self.tokens[kind] += count
        self.cost_usd += other.cost_usd


Account = dict[tuple[str, str], Tally]  # by provider and model; "" where the request names none
# Calls by provider and model, and by how they ended.
Endings = Mapping[tuple[str, str], Mapping[str, int]]
_NOWHERE: Final[Endings] = MappingProxyType({})


def total(account: Account) -> Tally:
    """All providers and models together."""
    tally = Tally()
    for each in account.values():
        tally.add(each)
    return tally


def sum_by_provider(account: Account) -> dict[str, Tally]:
    """All models of each provider together."""
    sums: dict[str, Tally] = {}
    for (provider, _), tally in account.items():
        sums.setdefault(provider, Tally()).add(tally)
    return sums


def expected_ending(status: int | None, outcome: Outcome) -> Ending:
    """How a sidecar must record what the provider did."""
    if outcome is not Outcome.COMPLETE:
        return _ENDINGS[outcome]
    if status == 429:
        return Ending.RATE_LIMITED
    if status is None or status < 400:
        return Ending.COMPLETED
    return Ending.REJECTED if status < 500 else Ending.UPSTREAM_ERROR


def read_ledger(rows: Iterable[Row], *, true: bool = False) -> Account:
    """The provider's account: of what it told, or of what is `true`."""
    account: Account = {}
    for row in rows:
        tally = account.setdefault((row.provider, row.model), Tally())
        if row.requests:
            ending = str(expected_ending(row.status, row.outcome))
            tally.endings[ending] = tally.endings.get(ending, 0) + row.requests
        tokens: Tokens = row.true if true else row.reported
        tally.tokens["input"] += tokens.prompt - tokens.cached - tokens.written
        tally.tokens["cache_read"] += tokens.cached
        tally.tokens["cache_write"] += tokens.written
        tally.tokens["output"] += tokens.completion - tokens.reasoning
        tally.tokens["reasoning"] += tokens.reasoning
        tally.cost_usd += row.true_usd if true else row.reported_usd
    return account


def read_scrape(text: str, apart: Endings = _NOWHERE) -> Account:
    """The sidecar's account: its counters of requests that went to a provider, of tokens that were reported, and of what they cost.

    `apart`: those among the requests that did not, by the sidecar's own records.
    """
    account: Account = {}
    for name, labels, value in read_samples(text):
        if not value or labels.get("ending") in UNASKED:
            continue
        key = (labels.get("provider", ""), labels.get("model", ""))
        if name == _REQUESTS:
            endings = account.setdefault(key, Tally()).endings
            endings[labels["ending"]] = endings.get(labels["ending"], 0) + round(value)
        elif name == "llm_sidecar_tokens_total" and labels.get("source") in _TOLD:
            account.setdefault(key, Tally()).tokens[labels["type"]] += round(value)
        elif name == "llm_sidecar_cost_usd_total" and labels.get("source") != "estimated":
            account.setdefault(key, Tally()).cost_usd += value
    for key, counts in apart.items():
        endings = account.setdefault(key, Tally()).endings
        for ending, count in counts.items():
            endings[ending] = endings.get(ending, 0) - count
    return account


def count_unasked(text: str) -> int:
    """How many calls the sidecar answered itself, because there was no provider that could be asked."""
    told = (value for name, labels, value in read_samples(text) if name == _REQUESTS and labels["ending"] in _UNAVAILABLE)
    return round(sum(told))


def read_samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample of a Prometheus text exposition (0.0.4); comments are passed over."""
    for line in text.splitlines():
        match = None if line.startswith("#") else _SAMPLE.fullmatch(line)
        if match:
            labels = {name: re.sub(r"\\.", _unescape, value) for name, value in _LABEL.findall(match["labels"] or "")}
            yield match["name"], labels, float(match["value"])


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0], match[0])


def compare(provider: Account, sidecar: Account) -> list[str]:
    """Every difference, one line each; none where both agree."""
    return [
        f"{name} {model or '(no model)'}: {difference}"
        for name, model in sorted(provider.keys() | sidecar.keys())
        for difference in find_differences(provider.get((name, model)) or Tally(), sidecar.get((name, model)) or Tally())
    ]


def find_differences(provider: Tally, sidecar: Tally) -> Iterator[str]:
    """Every difference between two accounts of one thing."""
    for ending in sorted(provider.endings.keys() | sidecar.endings.keys()):
        theirs, ours = provider.endings.get(ending, 0), sidecar.endings.get(ending, 0)
        if theirs != ours:
            yield f"requests that ended {ending}: provider {theirs}, sidecar {ours}"
    for kind in KINDS:
        if provider.tokens[kind] != sidecar.tokens[kind]:
            yield f"{kind} tokens: provider {provider.tokens[kind]}, sidecar {sidecar.tokens[kind]}"
    if not math.isclose(provider.cost_usd, sidecar.cost_usd, rel_tol=0, abs_tol=COST_TOLERANCE_USD):
        yield f"cost: provider {provider.cost_usd:.9f} USD, sidecar {sidecar.cost_usd:.9f} USD"

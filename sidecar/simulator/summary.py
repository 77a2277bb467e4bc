"""What the demo shows: two lines per second while it runs, three tables when it ends."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from sidecar.catalogue import BREAKER_STATES, HEDGE_OUTCOMES
from sidecar.exchange import Ending
from sidecar.simulator.accounts import KINDS, Account, Tally, compare, find_differences, sum_by_provider, total
from sidecar.simulator.efforts import Counts, Efforts, compare_replaced
from sidecar.simulator.savings import Savings, compare_tenants
from sidecar.simulator.sight import Sight

_WINDOW_S: Final = 10.0
_SIGHTS_MAX: Final = 20_000
_HEADINGS: Final = (
    "provider", "model", "account", "requests", "errors", "input", "cached", "written", "output", "reasoning", "cost USD",
)  # fmt: skip
_ACCOUNT_HEADINGS: Final = ("tenant", "requests", "tokens", "cost USD", "over limit", "over budget", "budget USD")
_WORDED: Final = 3  # columns that hold words; the rest hold numbers
_NONE: Final = "-"
_INDENT: Final = " " * 10
_REFUSED: Final = HEDGE_OUTCOMES[-1]
_CLOSED: Final = BREAKER_STATES[0]


class Pulse:
    """How it goes, as the callers feel it: the last ten seconds."""

    def __init__(self) -> None:
        self._recent: deque[Sight] = deque(maxlen=_SIGHTS_MAX)
        self.seen_count = 0

    def note(self, sight: Sight) -> None:
        """One more call is over."""
        self._recent.append(sight)
        self.seen_count += 1

    def tell(self, now: float, account: Account, efforts: Efforts, savings: Savings) -> str:
        """Totals from the sidecar's own account, latencies of the last ten seconds, what it takes to answer, and what it does not."""
        while self._recent and self._recent[0].ended_s < now - _WINDOW_S:
            self._recent.popleft()
        good = [sight for sight in self._recent if sight.is_complete]
        lasted_s = [sight.ended_s - sight.started_s for sight in good]
        first_s = [sight.first_token_s - sight.started_s for sight in good if sight.first_token_s is not None]
        sums = total(account)
        return (
            f"requests {sums.requests:>6}  errors {sums.errors:>4}  p50 {_show_s(quantile(lasted_s, 0.5))}  "
            f"p95 {_show_s(quantile(lasted_s, 0.95))}  first token p50 {_show_s(quantile(first_s, 0.5))}  "
            f"{_show_rate(good)}  cost {sums.cost_usd:.4f} USD  "
            f"failovers {efforts.failovers:>3}  hedges {_count_hedges(efforts):>2}{_tell_states(efforts)}\n"
            f"{_INDENT}{_tell_saved(savings)}"
        )


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value below which this share of the values lies (nearest rank); None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _show_s(value: float | None) -> str:
    return f"{_NONE:>7}" if value is None else f"{value * 1000:>4.0f} ms"


def _show_rate(sights: Sequence[Sight]) -> str:
    """Median events per second of streams: every token of the simulated provider is an event."""
    rates = [
        sight.chunks / (sight.ended_s - sight.first_token_s)
        for sight in sights
        if sight.first_token_s is not None and sight.ended_s > sight.first_token_s
    ]
    median = quantile(rates, 0.5)
    return f"{_NONE if median is None else f'{median:.0f}':>4} tok/s"


def summarise(
    told: Account, true: Account, sidecar: Account, replaced: Counts, efforts: Efforts, savings: Savings, unasked: int
) -> tuple[str, bool]:  # fmt: skip
    """The closing tables with their verdict, and whether both accounts agree.

    `told` is the provider's account of the usage it put on the wire in full, `true` of all it
    generated, `sidecar` what the sidecar recorded. A model of which both say the same has one row.
    `replaced`: of attempts after which another was made, by the ledger; `efforts`: what the sidecar
    says of them. `savings`: what it says of answers that were kept or shared, and of limits and budgets. `unasked`: calls for
    which no provider could be asked.
    """
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for provider, model in sorted(told.keys() | sidecar.keys()):
        theirs, ours = told.get((provider, model)) or Tally(), sidecar.get((provider, model)) or Tally()
        rows += _compare_rows(provider, model or "(no model)", theirs, ours)
    rows += [
        _row("total", "", "sidecar", total(sidecar)),
        _row("", "", "provider", total(told)),
        _row("", "", "generated", total(true)),
    ]  # fmt: skip
    differences = [*compare(told, sidecar), *compare_replaced(replaced, efforts), *compare_tenants(savings, total(sidecar))]
    parts = [
        _lay_out(rows, _WORDED),
        "",
        _tell_endings(told, sidecar),
        "",
        *_tell_efforts(replaced, efforts),
        "",
        *_tell_savings(savings, total(sidecar).requests),
    ]
    if unasked:
        parts.append(f"{unasked} calls were answered by the sidecar itself: no provider could be asked.")
    parts.append(_tell_untold(total(told), total(true)))
    if differences:
        parts += ["The sidecar and the provider differ:", *(f"  {difference}" for difference in differences)]
    else:
        parts.append("The sidecar and the provider agree.")
    return "\n".join(parts), not differences


def _compare_rows(provider: str, model: str, theirs: Tally, ours: Tally) -> list[tuple[str, ...]]:
    if any(find_differences(theirs, ours)):
        return [_row(provider, model, "sidecar", ours), _row("", "", "provider", theirs)]
    return [_row(provider, model, "both", ours)]


def _row(provider: str, model: str, account: str, tally: Tally) -> tuple[str, ...]:
    return (
        provider, model, account, str(tally.requests), str(tally.errors), *(str(tally.tokens[kind]) for kind in KINDS),
        f"{tally.cost_usd:.6f}",
    )  # fmt: skip


def _lay_out(rows: Sequence[Sequence[str]], worded: int) -> str:
    """Columns side by side: the first ones are words, the rest numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < worded else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _tell_endings(told: Account, sidecar: Account) -> str:
    """Every way of ending that occurred, as both counted it, by provider."""
    theirs, ours = sum_by_provider(told), sum_by_provider(sidecar)
    columns = [(name, theirs.get(name) or Tally(), ours.get(name) or Tally()) for name in sorted(theirs.keys() | ours.keys())]
    columns.append(("total", total(told), total(sidecar)))
    rows: list[list[str]] = [["ended (sidecar / provider)", *(name for name, _, _ in columns)]]
    for ending in Ending:
        counts = [(mine.endings.get(ending, 0), other.endings.get(ending, 0)) for _, other, mine in columns]
        if any(map(any, counts)):
            rows.append([f"  {ending.value}", *(f"{mine} / {other}" if mine or other else _NONE for mine, other in counts)])
    return _lay_out(rows, 1)


def _tell_untold(told: Tally, true: Tally) -> str:
    """Why the generated tokens are more than those accounted for."""
    untold = sum(true.tokens.values()) - sum(told.tokens.values())
    return (
        f"{untold} tokens ({true.cost_usd - told.cost_usd:.6f} USD) were generated for answers that broke off before their usage, "
        "were not asked for it, or were given up for another's: only the provider knows of them."
    )


def _tell_efforts(replaced: Counts, efforts: Efforts) -> list[str]:
    """What it took: attempts that are in no table above, and what the sidecar did."""
    lines = []
    endings = [ending.value for ending in Ending if ending in replaced or ending in efforts.replaced]
    if endings:
        told = ", ".join(f"{name} {efforts.replaced.get(name, 0)} / {replaced.get(name, 0)}" for name in endings)
        lines.append(f"made again after an attempt had ended (sidecar / provider): {told}")
    hedges = ", ".join(f"{count} {outcome}" for outcome, count in efforts.hedges.items() if count) or "none"
    lines.append(f"failovers {efforts.failovers}, retries {efforts.retries}, hedges: {hedges}, probes {efforts.probes}")
    for upstream, opened in sorted(efforts.openings.items()):
        if opened:
            closed, state = efforts.closings.get(upstream, 0), efforts.states.get(upstream, _NONE)
            lines.append(f"circuit breaker of {upstream}: opened: {opened}, closed again: {closed}, now {state}")
    return lines


def _show_share(share: float | None) -> str:
    return _NONE if share is None else f"{share * 100:.0f} %"


def _tell_saved(savings: Savings) -> str:
    """What did not have to be asked, and who is held back."""
    ratio = savings.hit_ratio
    limited = sum(spent.limited for spent in savings.tenants.values())
    budgets = "".join(
        f"  budget of {tenant} {_show_share(spent.budget_spent_usd / spent.budget_usd)}"
        for tenant, spent in sorted(savings.tenants.items())
        if spent.budget_usd
    )
    return (
        f"hits {_show_share(ratio)}  saved {savings.tokens} tokens, {savings.usd:.4f} USD  "
        f"coalesced {savings.coalesced}  limited {limited}{budgets}"
    )


def _tell_savings(savings: Savings, asked: int) -> list[str]:
    """What was answered without asking anew, and a table of those on whose account calls ran."""
    hits = sum(savings.hits.values())
    levels = ", ".join(f"{level} {count}" for level, count in sorted(savings.hits.items())) or "none"
    calls = sum(spent.requests for spent in savings.tenants.values())
    lines = [
        f"of {calls} calls {asked} went to a provider or a tool; saved: {savings.tokens} tokens, {savings.usd:.6f} USD",
        f"kept answers: {hits} hits of {savings.lookups} looked for ({_show_share(savings.hit_ratio)}; {levels}), "
        f"{savings.stale} expired ones in place of an error, {savings.warmed} asked beforehand",
        f"shared: {savings.coalesced} calls with another one's answer, {savings.batched_inputs} embeddings in {savings.batches} calls",
        "",
    ]
    rows = [_ACCOUNT_HEADINGS]
    for tenant, spent in sorted(savings.tenants.items()):
        if spent.requests:
            budget = f"{spent.budget_spent_usd:.4f} of {spent.budget_usd:.4f}" if spent.budget_usd else _NONE
            refused = (str(spent.limited), str(spent.unpaid))
            rows.append((tenant, str(spent.requests), str(spent.tokens), f"{spent.cost_usd:.6f}", *refused, budget))
    return [*lines, _lay_out(rows, 1), ""]


def _count_hedges(efforts: Efforts) -> int:
    """Attempts that were made beside others."""
    return sum(count for outcome, count in efforts.hedges.items() if outcome != _REFUSED)


def _tell_states(efforts: Efforts) -> str:
    """Circuit breakers that are not closed."""
    return "".join(f"  {upstream} {state}" for upstream, state in sorted(efforts.states.items()) if state != _CLOSED)

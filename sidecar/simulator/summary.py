"""What the demo shows: a line per second while it runs, a table when it ends."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from sidecar.exchange import Ending
from sidecar.simulator.accounts import Account, Tally, compare, total
from sidecar.simulator.traffic import Sight

_WINDOW_S: Final = 10.0
_SIGHTS_MAX: Final = 20_000
_HEADINGS: Final = ("model", "account", "requests", "errors", "input", "cached", "output", "reasoning", "cost USD")
_WORDED: Final = 2  # columns that hold words; the rest hold numbers
_NONE: Final = "-"


class Pulse:
    """How it goes, as the callers feel it: the last ten seconds."""

    def __init__(self) -> None:
        self._recent: deque[Sight] = deque(maxlen=_SIGHTS_MAX)
        self.seen_count = 0

    def note(self, sight: Sight) -> None:
        """One more call is over."""
        self._recent.append(sight)
        self.seen_count += 1

    def tell(self, now: float, account: Account) -> str:
        """One line: totals from the sidecar's own account, latencies of the last ten seconds."""
        while self._recent and self._recent[0].ended_s < now - _WINDOW_S:
            self._recent.popleft()
        good = [sight for sight in self._recent if sight.is_complete]
        lasted_s = [sight.ended_s - sight.started_s for sight in good]
        first_s = [sight.first_token_s - sight.started_s for sight in good if sight.first_token_s is not None]
        sums = total(account)
        return (
            f"requests {sums.requests:>6}  errors {sums.errors:>4}  p50 {_show_s(quantile(lasted_s, 0.5))}  "
            f"p95 {_show_s(quantile(lasted_s, 0.95))}  first token p50 {_show_s(quantile(first_s, 0.5))}  "
            f"{_show_rate(good)}  cost {sums.cost_usd:.4f} USD"
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


def summarise(told: Account, true: Account, sidecar: Account) -> tuple[str, bool]:
    """The closing table with its verdict, and whether both accounts agree.

    `told` is the provider's account of the usage it put on the wire in full, `true` of all it
    generated, `sidecar` what the sidecar recorded.
    """
    lines: list[tuple[str, ...]] = [_HEADINGS]
    for model in sorted(told.keys() | sidecar.keys()):
        lines += [
            _row(model or "(no model)", "sidecar", sidecar.get(model) or Tally()),
            _row("", "provider", told.get(model) or Tally()),
        ]  # fmt: skip
    lines += [
        _row("total", "sidecar", total(sidecar)),
        _row("", "provider", total(told)),
        _row("", "generated", total(true)),
    ]  # fmt: skip
    differences = compare(told, sidecar)
    parts = [_lay_out(lines), "", _tell_endings(total(told), total(sidecar)), "", _tell_untold(total(told), total(true))]
    if differences:
        parts += ["The sidecar and the provider differ:", *(f"  {difference}" for difference in differences)]
    else:
        parts.append("The sidecar and the provider agree.")
    return "\n".join(parts), not differences


def _row(model: str, account: str, tally: Tally) -> tuple[str, ...]:
    tokens = tally.tokens
    return (
        model, account, str(tally.requests), str(tally.errors), str(tokens["input"] + tokens["cache_write"]),
        str(tokens["cache_read"]), str(tokens["output"]), str(tokens["reasoning"]), f"{tally.cost_usd:.6f}",
    )  # fmt: skip


def _lay_out(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < _WORDED else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _tell_endings(provider: Tally, sidecar: Tally) -> str:
    """Every way of ending that occurred, as both counted it."""
    lines = ["ended (sidecar / provider):"]
    lines += [
        f"  {ending.value:<16} {sidecar.endings.get(ending, 0):>6} / {provider.endings.get(ending, 0)}"
        for ending in Ending
        if ending in sidecar.endings or ending in provider.endings
    ]
    return "\n".join(lines)


def _tell_untold(told: Tally, true: Tally) -> str:
    """Why the generated tokens are more than those accounted for."""
    untold = sum(true.tokens.values()) - sum(told.tokens.values())
    return (
        f"{untold} tokens ({true.cost_usd - told.cost_usd:.6f} USD) were generated for answers that broke off before their usage, "
        "or were not asked for it: only the provider knows of them."
    )

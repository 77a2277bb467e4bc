"""What a report says of some calls: one column for each figure, for people."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sidecar.core.reckon.grades import grade
from sidecar.core.reckon.report import Report
from sidecar.core.reckon.sketch import Sketch
from sidecar.core.reckon.snapshots import DAY_S, Snapshot
from sidecar.core.reckon.tally import Tally
from sidecar.render.figures import print_number
from sidecar.thresholds import Thresholds

ABSENT: Final = "-"  # what was not measured
_SIGNALS: Final = {"error_ratio": "errors", "mean_latency": "mean latency"}


class Column(NamedTuple):
    """One figure of a tally."""

    title: str
    show: Callable[[Tally, Thresholds], str]
    help: str
    in_text: bool = True  # narrow enough for a terminal with the others


def print_seconds(seconds: float | None) -> str:
    """Return a time with three figures, or so: 45 ms, 3.45 s, 83.2 s, 120 s."""
    if seconds is None:
        return ABSENT
    if seconds < 0.0995:
        return f"{seconds * 1000:.{0 if seconds >= 0.00995 else 1}f} ms"
    return f"{seconds:.{2 if seconds < 9.995 else 1 if seconds < 99.95 else 0}f} s"


def print_count(count: float) -> str:
    """Return a count: whole up to a million."""
    return f"{count:,.0f}" if count < 1e6 else print_number(count)


def print_dollars(usd: float) -> str:
    """Return an amount of US dollars: 0.0021 is $0.0021, 12.3 is $12.30."""
    if 0 < usd < 0.00005:
        return "<$0.0001"
    return f"${usd:,.{4 if 0 < usd < 1 else 2 if usd < 1e4 else 0}f}"


def print_ratio(ratio: float | None) -> str:
    """Return a ratio of 0 to 1 in percent: what is above none is never shown as none, nor what is below all as all."""
    if ratio is None:
        return ABSENT
    if 0 < ratio < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= ratio < 1 else f"{ratio:.1%}"


def print_words(text: str) -> str:
    """Return a name that came from outside without what would move a cursor or turn the writing around."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def print_moment(moment: int) -> str:
    """Return seconds since the epoch as date and time of UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def print_step(step: Snapshot) -> str:
    """Return when an hour or day began."""
    return print_moment(step.began).removesuffix(" 00:00") if step.ended - step.began == DAY_S else print_moment(step.began)


def print_span(report: Report) -> str:
    """Return of which time a report tells; nothing where there is no call."""
    return f"{print_moment(report.whole.began)} to {print_moment(report.whole.ended)} UTC" if report.whole else ""


def print_grade(tally: Tally, thresholds: Thresholds) -> str:
    """Return the letter."""
    graded = grade(tally, thresholds)
    return graded.letter if graded else ABSENT


def print_reasons(tally: Tally, thresholds: Thresholds) -> str:
    """Return what makes the grade that letter."""
    graded = grade(tally, thresholds)
    found = []
    for signal, value, letter in graded.reasons if graded else ():
        found.append(f"{_SIGNALS[signal]} {print_ratio(value) if signal == 'error_ratio' else print_seconds(value)} ({letter})")
    return ", ".join(found)


def count_unpriced(tally: Tally) -> int:
    """Return how many calls used tokens that have no price."""
    return tally.usages - tally.costs


def _print_time(name: str, share: float) -> Callable[[Tally, Thresholds], str]:
    def print_it(tally: Tally, _: Thresholds) -> str:
        sketch: Sketch = getattr(tally, name)
        return print_seconds(sketch.quantiles(share)[0])

    return print_it


def _print_speed(tally: Tally, _: Thresholds) -> str:
    (speed,) = tally.speeds.quantiles(0.5)
    return ABSENT if speed is None else f"{speed:.1f}"


COLUMNS: Final[Sequence[Column]] = (
    Column("calls", lambda tally, _: print_count(tally.requests), "calls that ended"),
    Column(
        "errors", lambda tally, _: print_ratio(tally.error_ratio), "share of calls that the service failed; not a caller's own mistakes"
    ),
    Column("mean", lambda tally, _: print_seconds(tally.durations.mean), "mean latency", in_text=False),
    Column("p50", _print_time("durations", 0.5), "latency of the median call, within 1 %"),
    Column("p95", _print_time("durations", 0.95), "latency that 95 % of calls stay within"),
    Column("p99", _print_time("durations", 0.99), "latency that 99 % of calls stay within"),
    Column("first p95", _print_time("first_tokens", 0.95), "time to the first token of a stream, p95"),
    Column("tok/s", _print_speed, "output tokens per second of a stream, median"),
    Column("tokens in", lambda tally, _: print_count(tally.input_tokens) if tally.usages else ABSENT, "tokens of prompts"),
    Column("out", lambda tally, _: print_count(tally.output_tokens) if tally.usages else ABSENT, "tokens of answers"),
    Column("cost", lambda tally, _: print_dollars(tally.cost_usd) if tally.costs else ABSENT, "US dollars, of calls that have a price"),
    Column("no price", lambda tally, _: print_count(count_unpriced(tally)), "calls with tokens but without a price", in_text=False),
    Column("kept", lambda tally, _: print_ratio(tally.hit_ratio), "share of lookups that the cache answered", in_text=False),
    Column("grade", print_grade, "A to F, of mean latency and errors"),
)

"""Numbers as alerts print them: what Prometheus makes of a value, so that a limit stands beside it in the same words.

Prometheus, template reference: humanize, humanizeDuration, humanizePercentage (`%.4g` throughout).
"""

from typing import Final

_LARGE: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL: Final = ("", "m", "u", "n", "p", "f", "a", "z", "y")


def print_number(value: float) -> str:
    """Return `value` as `humanize` does: 1500 is 1.5k."""
    return _scale(value, _LARGE if abs(value) >= 1 else _SMALL)


def print_percentage(ratio: float) -> str:
    """Return a ratio of 0 to 1 as `humanizePercentage` does: 0.05 is 5%."""
    return f"{ratio * 100:.4g}%"


def print_share(limit: float | None) -> str:
    """Return a limit that is a share as `print_percentage` does; nothing where there is none."""
    return "" if limit is None else print_percentage(limit)


def print_duration(seconds: float) -> str:
    """Return a time of at least 0 s as `humanizeDuration` does: 90 is 1m 30s, 0.25 is 250ms."""
    if seconds < 1:
        return f"{_scale(seconds, _SMALL)}s"
    if seconds < 60:
        return f"{seconds:.4g}s"
    whole = int(seconds)
    parts = ((whole // 86_400, "d"), (whole // 3_600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    first = next(place for place, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount}{unit}" for amount, unit in parts[first:])


def write_number(value: float) -> str:
    """Return `value` as a number of PromQL, or of a series of promtool."""
    return f"{value:.10g}"


def _scale(value: float, prefixes: tuple[str, ...]) -> str:
    if value == 0:
        return "0"
    factor = 1e-3 if prefixes is _LARGE else 1e3
    place = 0
    while place < len(prefixes) - 1 and (abs(value) >= 1e3 if prefixes is _LARGE else abs(value) < 1):
        value, place = value * factor, place + 1
    return f"{value:.4g}{prefixes[place]}"

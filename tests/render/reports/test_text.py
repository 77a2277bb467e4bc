"""A report on a terminal."""

from sidecar.core.reckon.report import make_report
from sidecar.core.reckon.snapshots import Snapshot
from sidecar.exchange import Ending
from sidecar.render.reports.text import render_text
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import add_failed, make_hour


def render(*snapshots: Snapshot, left_out: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the text with the built-in thresholds."""
    return render_text(make_report(snapshots, left_out, Thresholds(), 0))


def test_a_report() -> None:
    """All, by hour, by model, the errors and what has no price."""
    first = add_failed(make_hour(0, calls=1200), "anthropic/claude")
    first.calls["openai/gpt-4o"].costs -= 2
    assert render(first, make_hour(2, "anthropic/claude")) == (
        "1,202 calls, 2026-03-29 00:00 to 2026-03-29 03:00 UTC\n"
        "Grade B: errors 0.1% (A), mean latency 2.00 s (B)\n"
        "\n"
        "all               calls  errors     p50     p95     p99  first p95  tok/s  tokens in     out     cost  grade\n"
        "                  1,202    0.1%  2.00 s  2.00 s  2.00 s     0.50 s   47.0     19,216  56,447  $300.25      B\n"
        "\n"
        "by hour, UTC      calls  errors     p50     p95     p99  first p95  tok/s  tokens in     out     cost  grade\n"
        "2026-03-29 00:00  1,201    0.1%  2.00 s  2.00 s  2.00 s     0.50 s   47.0     19,200  56,400  $300.00      B\n"
        "2026-03-29 02:00      1    0.0%  2.00 s  2.00 s  2.00 s     0.50 s   47.0         16      47  $0.2500      B\n"
        "\n"
        "by model          calls  errors     p50     p95     p99  first p95  tok/s  tokens in     out     cost  grade\n"
        "openai/gpt-4o     1,200    0.0%  2.00 s  2.00 s  2.00 s     0.50 s   47.0     19,200  56,400  $300.00      B\n"
        "anthropic/claude      2   50.0%  2.00 s  2.00 s  2.00 s     0.50 s   47.0         16      47  $0.2500      D\n"
        "\n"
        "Errors: cut 1\n"
        "\n"
        "Without a price: 2 calls; the cost is that of the others.\n"
    )


def test_days() -> None:
    """Where it is longer, by day."""
    text = render(make_hour(0), make_hour(80))
    assert "\nby day, UTC " in text and "\n2026-03-29  " in text and "\n2026-04-01  " in text and "by hour" not in text


def test_errors_are_sorted_and_told_apart_from_callers_mistakes() -> None:
    """The most frequent first; a caller's own mistake is none of the service."""
    hour = make_hour(0)
    for ending in (Ending.UPSTREAM_ERROR, Ending.CUT, Ending.CUT, Ending.CLIENT_FAULT):
        add_failed(hour, "openai/gpt-4o", ending)
    assert "\nErrors: cut 2, upstream_error 1\n" in render(hour)


def test_long_and_strange_names() -> None:
    """A long name keeps both its ends; nothing in it reaches the terminal as a command."""
    text = render(make_hour(0, "openrouter/" + "x" * 60 + "-free"), make_hour(1, "a/\x1b[31m"))
    assert "openrouter/xxxxxxx...xxxxxxxxxxxxxx-free  " in text and "\x1b" not in text and "a/?[31m" in text


def test_no_calls() -> None:
    """One line, and what could not be read."""
    assert render() == "No call is known of.\n"
    assert render(left_out=(("daily_20260101.json", "damaged"),)) == (
        "No call is known of.\n\nLeft out, for they could not be read:\n  daily_20260101.json: damaged\n"
    )

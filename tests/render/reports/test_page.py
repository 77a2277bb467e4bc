"""A report as one file."""

import re
from html.parser import HTMLParser

from sidecar.core.reckon.report import make_report
from sidecar.core.reckon.snapshots import Snapshot
from sidecar.render.reports.page import render_page
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import add_failed, make_hour

EVIL = "openai/<script>alert(1)</script>\"'&\u202e模"
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """What a browser would make of it: the texts, the addresses; fails where marks are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a mark, what it points at, and that nothing in it runs."""
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a mark that is closed at once."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)


def render(*snapshots: Snapshot, left_out: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the page with the built-in thresholds."""
    return render_page(make_report(snapshots, left_out, Thresholds(), 1_774_800_000_000_000_000))


def test_it_asks_for_nothing_else() -> None:
    """No script, no address but the empty icon, and a policy that would stop them."""
    text = render(add_failed(make_hour(0, calls=3), EVIL), make_hour(1))
    page = Page(text)
    assert page.addresses == ["data:,"]
    assert {"script", "iframe", "img", "object", "base", "form"}.isdisjoint(page.tags)
    assert "url(" not in text and "@import" not in text and "http:" not in text and "https:" not in text
    assert "default-src 'none'" in text


def test_names_are_text() -> None:
    """Whatever a model is called, and however the file is kept: it is ASCII."""
    text = render(make_hour(0, EVIL))
    assert text.isascii() and "<script" not in text
    assert "openai/<script>alert(1)</script>\"'&?模" in Page(text).texts


def test_what_it_tells() -> None:
    """Time, grade with its reasons, every figure, plots and tables."""
    hour = add_failed(make_hour(1, calls=1200), "anthropic/claude")
    hour.calls["openai/gpt-4o"].costs -= 2
    texts = Page(render(hour)).texts
    for expected in (
        "2026-03-29 01:00 to 2026-03-29 02:00 UTC, by hour", "errors 0.1% (A), mean latency 2.00 s (B)", "1,201", "$300.00",
        "2 calls without a price", "75,600", "19,200 in, 56,400 out", "By model", "Numbers by hour", "2026-03-29 01:00", "anthropic/claude",
    ):  # fmt: skip
        assert expected in texts, expected
    assert any(re.fullmatch(r"Made 2026-03-29 16:00:00 UTC from the journal\. .*", text) for text in texts)


def test_days_are_days() -> None:
    """What is longer is told by the day."""
    texts = Page(render(make_hour(0), make_hour(90))).texts
    assert "By day" in texts and "2026-04-01" in texts and "By hour" not in texts


def test_no_calls() -> None:
    """It is said, with what could not be read."""
    texts = Page(render(left_out=(("daily_20260101.json", "damaged"),))).texts
    assert "No call is known of." in texts and "daily_20260101.json: damaged" in texts


def test_calls_of_which_little_is_known() -> None:
    """Failed calls alone make a page too, with nothing made up."""
    text = render(add_failed(Snapshot(make_hour(0).began, make_hour(0).ended), "openai"))
    assert Page(text).texts.count("Nothing was measured.") == 5 and "$0" not in text and "nan" not in text.lower()

"""Entries for tests: any that can be, and ordinary ones."""

from hypothesis import strategies as st

from sidecar.core.reuse.entry import Entry
from sidecar.exchange import Usage

SECONDS = st.floats(0.0, 1e9, allow_nan=False)
TEXTS = st.text(max_size=20)
NAMES = st.from_regex(rb"x-[A-Za-z-]{1,12}", fullmatch=True)
VALUES = st.binary(max_size=12).map(lambda value: value.translate(None, b"\r\n\0"))
LINES = st.builds(lambda name, value: name + b": " + value, NAMES, VALUES)
COUNTS = st.integers(0, 2**53)
BODIES = st.lists(st.tuples(st.binary(min_size=1, max_size=60) | st.just(b"data: {}\n\n" * 40), st.integers(0, 2**40)), max_size=6)


def make_entry(body: bytes = b'{"answer": 42}', *, ttl_s: float = 300.0, stale_s: float = 0.0, model: str = "m") -> Entry:
    """An ordinary answer."""
    return Entry(
        "answers", 200, b"OK", (b"Content-Type: application/json",), "application/json", "", False, "application/json",
        (body,), (0,), 1.8e9, ttl_s, stale_s, "openai", "openai", model, "id-1", ("stop",), Usage(10, 0, 0, 5), "reported", 0.001, "table",
        ttl_s, "",
    )  # fmt: skip


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry."""
    body = draw(BODIES)
    reason = draw(st.from_regex(rb"[ -~]{0,9}", fullmatch=True))
    usage = draw(st.none() | st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
    return Entry(
        draw(TEXTS), draw(st.integers(100, 999)), reason, tuple(draw(st.lists(LINES, max_size=4))), draw(TEXTS), draw(TEXTS),
        draw(st.booleans()), draw(TEXTS), tuple(piece for piece, _ in body), tuple(delay for _, delay in body),
        draw(SECONDS), draw(SECONDS), draw(SECONDS), draw(TEXTS), draw(TEXTS), draw(st.none() | TEXTS), draw(st.none() | TEXTS),
        tuple(draw(st.lists(TEXTS, max_size=3))), usage, draw(TEXTS), draw(st.none() | SECONDS), draw(TEXTS), draw(SECONDS), draw(TEXTS),
    )  # fmt: skip

"""Which reader a dialect has."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents import find_reader, make_readers
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.dialects import DIALECTS as ENDPOINT_DIALECTS
from tests.core.observe.contents.reading import hear
from tests.core.observe.contents.test_capture import DIALECTS, JSON


def test_what_is_not_understood_has_none() -> None:
    """Nobody guesses at a form."""
    assert find_reader("opaque") is None


@given(st.sampled_from(DIALECTS), st.lists(JSON, max_size=5), st.integers(0, 50))
def test_no_event_is_too_much(dialect: str, events: list[object], chars_max: int) -> None:
    """Events of any shape say something or nothing; what is kept is bounded."""
    reader = find_reader(dialect)
    assert reader is not None
    transcript: Transcript = hear(reader, events, chars_max)
    assert sum(len(part.text) for part in transcript.close()) <= chars_max


def test_every_dialect_that_is_understood_has_one() -> None:
    """A dialect without a reader would be captured as nothing."""
    assert {dialect.name for dialect in ENDPOINT_DIALECTS} - {"opaque"} <= make_readers().keys()
    assert make_readers().keys() == set(DIALECTS)

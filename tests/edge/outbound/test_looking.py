"""Looking at an answer before any of it is sent on."""

from math import inf

import pytest

from sidecar.core.observe.observer import BlindObserver
from sidecar.edge.outbound.looking import Looking, Preview
from sidecar.exchange import Seen
from tests.filled import fill


@pytest.mark.parametrize(
    ("told", "is_whole_wanted", "is_enough"),
    [
        ({}, False, False),
        ({"first_token": 1.0}, False, True),
        ({"error_type": "overloaded"}, False, True),
        ({"terminated": True}, False, True),
        ({"answered": True}, False, True),
        ({"first_chunk": 1.0}, False, False),
        ({"first_token": 1.0, "error_type": "500", "terminated": True}, True, False),
    ],
    ids=str,
)
def test_a_token_an_error_or_the_end_tells(told: dict[str, object], is_whole_wanted: bool, is_enough: bool) -> None:
    """Of an error's answer only the end does; a first chunk without content says nothing. From then on nothing is due."""
    seen = fill(Seen(), **told)
    preview = Preview(100, 5.0, whole=is_whole_wanted)
    assert preview.tells(BlindObserver(seen), b"data") is is_enough
    assert preview.due == (inf if is_enough else 5.0)
    assert preview.pieces == [b"data"]


@pytest.mark.parametrize("is_whole_wanted", [False, True])
def test_no_more_is_held_than_is_allowed(is_whole_wanted: bool) -> None:
    """To the byte; what is beyond it goes to the caller like the rest."""
    preview = Preview(10, 5.0, whole=is_whole_wanted)
    observer = BlindObserver(Seen())
    assert [preview.tells(observer, b"12345"), preview.tells(observer, b"6789"), preview.tells(observer, b"0")] == [False, False, True]


def test_nothing_is_held_back_for_one_who_cannot_look() -> None:
    """An observer that failed will not tell."""
    assert Preview(10, 5.0, whole=False).tells(None, b"1")


class Broken(BlindObserver):
    """Cannot read."""

    def feed(self, data: bytes, now: float) -> None:
        raise ValueError

    def finish(self, now: float) -> None:
        raise ValueError


class Reader(Looking):
    """Whoever looks."""

    def look(self, observer: BlindObserver, data: bytes | None) -> None:
        """Look at a piece, or at the end."""
        self._observer = observer
        if data is None:
            self._close_observer(1.0)
        else:
            self._look_at(data, 1.0)

    @property
    def looks(self) -> bool:
        """Whether there is anybody."""
        return self._observer is not None


@pytest.mark.parametrize("data", [b"data", None])
def test_a_broken_observer_is_switched_off(data: bytes | None) -> None:
    """It costs nobody a byte, and is told of."""
    reader = Reader()
    reader.look(BlindObserver(Seen()), data)
    assert (reader.looks, reader.observer_failed) == (True, False)
    reader.look(Broken(Seen()), data)
    assert (reader.looks, reader.observer_failed) == (False, True)

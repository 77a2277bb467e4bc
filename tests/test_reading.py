"""Who reads the answer of an attempt, told by its head."""

from typing import Any

import pytest

from sidecar.config import Limits
from sidecar.core.attempt.heads import read_answer
from sidecar.core.identify.router import Router
from sidecar.core.observe.overhearing import Listening
from sidecar.errors import INTERNAL, SidecarFault
from sidecar.progress import Exchange, Trial
from sidecar.reading import open_observer
from tests.core.attempt.calls import PLACE, make_call
from tests.filled import fill
from tests.path import PlayedClient
from tests.pooled import ANSWER, CHAT, DONE, FIRST, LAST, SETTINGS, USAGE

ROUTER = Router(SETTINGS.routes, SETTINGS.pools)


def exchange_of(target: str = "/one/" + CHAT) -> Exchange:
    """Return a call in a form that is known or not."""
    call = make_call(target=target)
    match = ROUTER.match("POST", target)
    assert match is not None
    return fill(Exchange(PlayedClient(call), call, None), match=match, dialect=match.dialect)


def trial_of(status: int, *fields: bytes) -> Trial:
    """Return an attempt whose head has come."""
    trial = Trial(PLACE)
    trial.head = read_answer("POST", status, b"\r\n".join([b"HTTP/1.1 %d Said" % status, *fields]))
    return trial


@pytest.mark.parametrize(
    ("field", "media_type", "streamed"),
    [
        (b"Content-Type: application/json; charset=utf-8", "application/json", False),
        (b"Content-Type: text/event-stream; charset=utf-8", "text/event-stream", True),
        (b"X-None: none", "", False),
    ],
)
def test_the_head_tells_how_an_answer_comes(field: bytes, media_type: str, streamed: bool) -> None:
    """It is noted with the attempt, whose observer is the one that is returned."""
    trial = trial_of(200, field)
    observer = open_observer(exchange_of(), trial, Limits(), None)
    assert (trial.media_type, trial.streamed, trial.observer, trial.transcript) == (media_type, streamed, observer, None)


def test_a_stream_is_read_as_it_comes() -> None:
    """In the form in which was asked, with gaps between chunks counted."""
    observer = open_observer(exchange_of(), trial_of(200, b"Content-Type: text/event-stream"), Limits(), None)
    for moment, piece in enumerate((FIRST, LAST, USAGE, DONE)):
        observer.feed(piece, float(moment))
    observer.finish(9.0)
    seen = observer.seen
    assert (seen.first_token, seen.finish_reasons, seen.chunks, seen.terminated) == (0.0, ["stop"], 3, True)
    assert seen.usage is not None
    assert seen.gaps is not None
    assert sum(seen.gaps) == 2


def test_a_whole_answer_is_read_at_its_end() -> None:
    """With what it cost."""
    observer = open_observer(exchange_of(), trial_of(200, b"Content-Type: application/json"), Limits(), None)
    observer.feed(ANSWER, 1.0)
    observer.finish(2.0)
    assert (observer.seen.response_id, observer.seen.finish_reasons) == ("c1", ["stop"])


def test_an_error_has_its_status_for_a_name() -> None:
    """Until its body gives a better one."""
    observer = open_observer(exchange_of(), trial_of(503, b"Content-Type: text/html"), Limits(), None)
    assert observer.seen.error_type == "503"


def test_an_answer_that_is_too_large_is_not_read() -> None:
    """Limits are those of the settings."""
    observer = open_observer(exchange_of(), trial_of(200, b"Content-Type: application/json"), Limits(observed=16), None)
    observer.feed(ANSWER, 1.0)
    observer.finish(2.0)
    assert (observer.skipped, observer.seen.usage) == ("too_large", None)


def test_a_coding_is_undone() -> None:
    """As the head names it."""
    import gzip

    observer = open_observer(exchange_of(), trial_of(200, b"Content-Type: application/json", b"Content-Encoding: gzip"), Limits(), None)
    observer.feed(gzip.compress(ANSWER), 1.0)
    observer.finish(2.0)
    assert observer.seen.usage is not None


@pytest.mark.parametrize(("fields", "replayed"), [((b"X-Generation-Id: x", b"X-OpenRouter-Cache-Status: HIT"), True), ((), False)])
def test_a_repeated_answer_is_known_by_its_head(fields: Any, replayed: bool) -> None:
    """The provider bills nothing for it."""
    trial = trial_of(200, *fields)
    assert trial.head is not None
    observer = open_observer(exchange_of(), trial, Limits(), None)
    assert observer.seen.replayed is trial.head.replayed is replayed


def test_who_listens_gets_what_is_said() -> None:
    """Beside the numbers, which are the same."""
    trial = trial_of(200, b"Content-Type: text/event-stream")
    listening = Listening(to_spans=False, to_file=True, estimates=False, chars_max=100)
    observer = open_observer(exchange_of(), trial, Limits(), listening)
    for piece in (FIRST, LAST, USAGE, DONE):
        observer.feed(piece, 1.0)
    observer.finish(2.0)
    assert trial.transcript is not None
    assert not trial.transcript.is_empty
    assert observer.seen.usage is not None


def test_what_is_not_understood_is_looked_at_for_nothing() -> None:
    """It has no form."""
    trial = trial_of(200, b"Content-Type: application/json")
    observer = open_observer(exchange_of("/one/v1/audio/speech"), trial, Limits(), None)
    observer.feed(ANSWER, 1.0)
    observer.finish(2.0)
    assert observer.seen.usage is None


def test_without_a_head_there_is_nothing_to_read() -> None:
    """Whoever asks has a fault of its own."""
    with pytest.raises(SidecarFault) as raised:
        open_observer(exchange_of(), Trial(PLACE), Limits(), None)
    assert raised.value.kind is INTERNAL

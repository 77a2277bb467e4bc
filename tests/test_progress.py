"""An exchange in progress."""

from sidecar.core.choose.places import read_place
from sidecar.exchange import Ending
from sidecar.progress import Exchange
from tests.core.attempt.calls import make_call
from tests.path import SETTINGS, PlayedAnswer, PlayedClient, TickingClock


def test_attempts_are_counted_from_their_beginning() -> None:
    """Closing twice counts once, and lets go of the connection."""
    call = make_call()
    exchange = Exchange(PlayedClient(call), call, None, place=read_place("openai", SETTINGS.upstreams["openai"], None))
    assert exchange.attempts_made == 0
    exchange.close_attempt(100.0, Ending.RESET)
    exchange.begin_attempt(100.0)
    assert exchange.attempts_made == 1
    answer = PlayedAnswer()
    answer.clock = TickingClock()
    answer.connected_at, answer.sent_at, answer.head_at = 101.0, 101.5, 103.0
    exchange.answer = answer
    exchange.close_attempt(104.0, Ending.RESET)
    exchange.close_attempt(105.0, Ending.COMPLETED)
    assert exchange.attempts_made == 1
    assert answer.released == 1
    (attempt,) = exchange.attempts
    assert (attempt.started, attempt.connected, attempt.sent, attempt.head, attempt.ended) == (100.0, 101.0, 101.5, 103.0, 104.0)
    assert (attempt.upstream, attempt.status, attempt.outcome, attempt.reused) == ("openai", None, "reset", False)

"""An exchange in progress, and its attempts."""

from sidecar.core.choose.places import read_place
from sidecar.exchange import Ending
from sidecar.progress import Trial
from tests.path import SETTINGS, PlayedAnswer, TickingClock


def test_an_attempt_tells_what_became_of_it() -> None:
    """Whatever came, and lets go of the connection."""
    trial = Trial(read_place("openai", SETTINGS.upstreams["openai"], None), 100.0, model="theirs", waited_s=0.5)
    assert not trial.has_sent
    answer = PlayedAnswer()
    answer.clock = TickingClock()
    answer.connected_at, answer.sent_at, answer.head_at = 101.0, 101.5, 103.0
    trial.answer = answer
    assert trial.has_sent
    attempt = trial.close(104.0, Ending.RESET, "reset")
    assert answer.released == 1
    assert (attempt.started, attempt.connected, attempt.sent, attempt.head, attempt.ended) == (100.0, 101.0, 101.5, 103.0, 104.0)
    assert (attempt.upstream, attempt.status, attempt.outcome, attempt.reused) == ("openai", None, "reset", False)
    assert (attempt.model, attempt.waited_s, attempt.cause, attempt.hedge, attempt.decision) == ("theirs", 0.5, "reset", False, None)


def test_an_attempt_that_never_reached_anybody_has_no_times() -> None:
    """What was not measured is none, not 0."""
    attempt = Trial(read_place("openai", SETTINGS.upstreams["openai"], None), 100.0).close(104.0, Ending.CONNECT_FAILED)
    assert (attempt.connected, attempt.sent, attempt.head, attempt.reused) == (None, None, None, False)

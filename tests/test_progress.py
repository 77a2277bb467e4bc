"""An exchange in progress, and its attempts."""

from copy import copy

import pytest

from sidecar.core.choose.places import read_place
from sidecar.decision import Decision
from sidecar.exchange import Ending, Seen
from sidecar.progress import Exchange, Trial
from tests.core.attempt.calls import make_call
from tests.filled import fill
from tests.path import SETTINGS, PlayedAnswer, PlayedClient, TickingClock


def test_an_attempt_tells_what_became_of_it() -> None:
    """Whatever came, and lets go of the connection."""
    trial = fill(Trial(read_place("openai", SETTINGS.upstreams["openai"], None), 100.0, waited_s=0.5), model="theirs")
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


def test_an_exchange_is_degraded_as_the_attempt_is_that_answers() -> None:
    """Not as a rival is that loses, or as one was that failed."""
    call = make_call()
    exchange = Exchange(PlayedClient(call), call, None)
    assert exchange.degraded is None
    place = read_place("openai", SETTINGS.upstreams["openai"], None)
    full, simple = (Decision("p", "round_robin", step, "openai", "its_turn", ()) for step in ("full", "simple"))
    exchange.trial, exchange.rival = fill(Trial(place), decision=full), fill(Trial(place), decision=simple)
    assert exchange.degraded is None
    exchange.trial, exchange.rival = exchange.rival, None
    assert exchange.degraded == "simple"


def make_things() -> list[Exchange | Trial | Seen]:
    """Return one of each kind of which copies are made."""
    call = make_call()
    return [Exchange(PlayedClient(call), call, None), Trial(read_place("openai", SETTINGS.upstreams["openai"], None), 100.0), Seen()]


def may_set(thing: object, name: str) -> bool:
    """Tell whether it is a member, and not worked out."""
    try:
        setattr(thing, name, getattr(thing, name))
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_copy_has_all_of_it_and_goes_its_own_way(number: int) -> None:
    """Compiled or not."""
    thing = make_things()[number]
    names = [name for name in dir(thing) if not name.startswith("_") and not callable(getattr(thing, name)) and may_set(thing, name)]
    changed = set()
    for name in names:
        value = getattr(thing, name)
        if isinstance(value, (bool, int, float, str, bytes)):
            fill(thing, **{name: not value if isinstance(value, bool) else value + (b"x" if isinstance(value, bytes) else type(value)(1))})
            changed.add(name)
    assert len(names) > 20 and len(changed) > 5
    twin = copy(thing)
    assert {name: getattr(twin, name) for name in names} == {name: getattr(thing, name) for name in names}
    for name in changed:
        before = getattr(thing, name)
        fill(twin, **{name: type(before)()})
        assert getattr(thing, name) == before

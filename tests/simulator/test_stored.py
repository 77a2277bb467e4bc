"""sidecar/simulator/stored.py"""

from collections.abc import Callable

from sidecar.simulator.plan import Plan
from sidecar.simulator.stored import ResponseStore, Stored


def test_what_is_kept_is_found(plan_chat: Callable[..., Plan]) -> None:
    """A response is found by its id, with the moment from which it is ready."""
    store, plan = ResponseStore(), plan_chat()
    store.keep("resp_1", plan, 7.0)
    assert store.find("resp_1") == Stored(plan, 7.0)
    assert store.find("resp_2") is None


def test_the_oldest_makes_room(plan_chat: Callable[..., Plan]) -> None:
    """The store is bounded."""
    store, plan = ResponseStore(responses_max=2), plan_chat()
    for number in range(3):
        store.keep(f"resp_{number}", plan, 0.0)
    assert [store.find(f"resp_{number}") is not None for number in range(3)] == [False, True, True]

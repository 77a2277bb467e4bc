"""The queue: high before low, first come first served within, and nobody lost in it."""

from collections.abc import Callable

from sidecar.core.admit.queue import Queue, Ticket


def queue_of(*tickets: tuple[str, int]) -> tuple[Queue, list[Ticket]]:
    """Return a queue and its tickets: each written as the upstreams it can use, by letter, and its urgency."""
    queue = Queue()
    made = [Ticket(tuple(upstreams), urgency, number, 0.0) for number, (upstreams, urgency) in enumerate(tickets)]
    for ticket in made:
        queue.add(ticket)
    return queue, made


def free(*names: str) -> Callable[[tuple[str, ...]], str | None]:
    """Return a choice of the first of these that a ticket can use."""
    return lambda upstreams: next((name for name in upstreams if name in names), None)


def take_all(queue: Queue, *names: str) -> list[int]:
    """Return the numbers of those who are served by these upstreams, in order."""
    served = []
    while (found := queue.first(free(*names))) is not None:
        assert queue.remove(found[0])
        served.append(found[0].number)
    return served


def test_the_more_urgent_go_first() -> None:
    """And those who came first within."""
    queue, _ = queue_of(("a", 0), ("a", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 0))
    assert take_all(queue, "a") == [2, 4, 1, 3, 0, 5]
    assert queue.length == 0


def test_lines_meet_where_they_share_an_upstream() -> None:
    """Who can use two upstreams is before or behind those who can use one, as they came and as they are urgent."""
    queue, _ = queue_of(("ab", 1), ("b", 1), ("a", 2), ("ba", 1), ("c", 2))
    assert queue.first(free("b", "a")) is not None
    assert take_all(queue, "a", "b") == [2, 0, 1, 3]
    assert take_all(queue, "a", "b") == []
    assert take_all(queue, "c") == [4]


def test_the_upstream_is_the_one_that_is_free() -> None:
    """A ticket's own order decides among several."""
    queue, (ticket,) = queue_of(("ab", 1))
    assert queue.first(free("b")) == (ticket, "b")
    assert queue.first(free("b", "a")) == (ticket, "a")


def test_leaving_from_anywhere() -> None:
    """Who has left is not served, and leaves once."""
    queue, tickets = queue_of(("a", 1), ("a", 1), ("a", 1))
    assert queue.remove(tickets[1])
    assert not queue.remove(tickets[1])
    assert queue.length == 2
    assert take_all(queue, "a") == [0, 2]
    assert not queue.remove(tickets[0])


def test_who_makes_room() -> None:
    """Of the least urgent the last one, and never one as urgent as the new one."""
    queue, tickets = queue_of(("a", 1), ("a", 0), ("b", 0), ("a", 2), ("b", 1))
    assert queue.last_below(2) is tickets[2]
    assert queue.last_below(1) is tickets[2]
    assert queue.last_below(0) is None
    queue.remove(tickets[1])
    queue.remove(tickets[2])
    assert queue.last_below(1) is None
    assert queue.last_below(2) is tickets[4]


def test_who_is_ahead() -> None:
    """Those as urgent or more, counted by what their line means to the new one."""
    queue, _ = queue_of(("a", 0), ("a", 1), ("a", 2), ("ab", 1), ("b", 2))
    weights = {("a",): 1.0, ("a", "b"): 0.5, ("b",): 0.0}
    assert [queue.ahead(urgency, weights.__getitem__) for urgency in (0, 1, 2)] == [3.5, 2.5, 1.0]
    assert Queue().ahead(0, weights.__getitem__) == 0

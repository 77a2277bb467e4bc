"""What is known of an upstream from its calls."""

import pytest

from sidecar.config import Balancing, Breaker, Force, Upstream
from sidecar.core.choose.breaker import Breaker as CircuitBreaker
from sidecar.core.choose.rosters import Roster
from sidecar.core.choose.standings import LIVE_S, NEVER, Lately, Post, Standing


def make() -> Standing:
    """Return the standing of an upstream that sits in a pool."""
    post = Post("a", Upstream("https://a.example"))
    standing = Standing(post, CircuitBreaker("a", "default", Breaker(), Force.AUTO, lambda: 0.0, lambda _: None), Balancing(penalty=10.0))
    Roster("chat", "round_robin", [standing], Balancing())  # type: ignore[arg-type]
    return standing


def test_a_fast_failure_is_recorded_as_a_slow_one() -> None:
    """One millisecond counts as the penalty."""
    standing = make()
    standing.note_failure(0.001, 0.0)
    standing.track.sum_up(0.0)
    assert standing.track.mean_s == 10.0
    assert standing.live_s >= 10.0


def test_a_slow_failure_is_recorded_as_it_was() -> None:
    """What took longer than the penalty is not made shorter."""
    standing = make()
    standing.note_failure(60.0, 0.0)
    standing.track.sum_up(0.0)
    assert standing.track.mean_s == 60.0


def test_failures_in_a_row_end_with_an_answer() -> None:
    """A call that came to nothing, and was no failure, does not end them."""
    standing = make()
    standing.note_failure(1.0, 0.0)
    standing.note_failure(1.0, 0.0)
    standing.note_nothing(0.0)
    assert standing.consecutive == 2
    standing.note_answer(1.0, 0.0)
    assert standing.consecutive == 0


def test_a_call_that_came_to_nothing_is_neither_fast_nor_a_failure() -> None:
    """It is seen in how useful the upstream is, and nowhere else."""
    standing = make()
    standing.note_answer(2.0, 0.0)
    standing.note_nothing(0.0)
    standing.track.sum_up(0.0)
    assert (standing.track.calls, standing.track.mean_s, standing.track.reliability) == (1, 2.0, 1.0)
    assert (standing.live_s, standing.works, standing.usefulness) == (2.0, 1.0, 0.5)


def test_who_comes_back_is_unknown_again() -> None:
    """What was before says nothing of it, and it is found out anew."""
    standing = make()
    standing.asked_at = 5.0
    standing.note_failure(1.0, 5.0)
    standing.come_back(6.0)
    assert (standing.track.calls, standing.consecutive, standing.asked_at, standing.live_at) == (0, 0, NEVER, NEVER)
    assert standing.returned_at == 6.0


def test_calls_that_came_to_nothing_count_as_pending_for_a_while() -> None:
    """Each until its own end, in whatever order they came."""
    post = Post("a", Upstream("https://a.example"))
    post.pending = 2
    post.haunt(30.0)
    post.haunt(10.0)
    assert [post.load(now) for now in (0.0, 9.9, 10.0, 30.0)] == [4, 4, 3, 2]


def test_what_is_counted_as_pending_is_bounded() -> None:
    """A storm of failures takes no memory."""
    post = Post("a", Upstream("https://a.example"))
    for _ in range(10_000):
        post.haunt(10.0)
    assert post.load(0.0) < 1000
    assert post.load(10.0) == 0


def test_the_first_calls_make_a_mean_and_later_ones_weigh_as_the_rate() -> None:
    """One call is no more than one of two; of many, the latest has a tenth."""
    lately = Lately(0.1)
    lately.note(1.0, 0.0)
    assert lately.value == 1.0
    lately.note(2.0, 0.0)
    assert lately.value == 1.5
    for _ in range(100):
        lately.note(2.0, 0.0)
    before = lately.value
    lately.note(12.0, 0.0)
    assert lately.value - before == pytest.approx(1.0, abs=0.01)


def test_after_a_minute_without_a_call_it_begins_anew() -> None:
    """What is measured now is not mixed with what was long ago."""
    lately = Lately(0.1)
    lately.note(100.0, 0.0)
    lately.note(1.0, LIVE_S)
    assert lately.value == 1.0


def test_other_settings_judge_the_next_calls() -> None:
    """A penalty, a window and a rate; what was measured stays, and seats are given anew."""
    standing = make()
    standing.note_answer(1.0, 0.0)
    standing.adopt(Balancing(penalty=30.0, learning_rate=1.0, window=10))
    assert standing.seats == []
    Roster("chat", "round_robin", [standing], Balancing())  # type: ignore[arg-type]
    standing.note_failure(0.1, 0.0)
    standing.track.sum_up(0.0)
    assert (standing.track.calls, standing.track.total_s) == (2, 31.0)
    assert standing.works == 0.0, "the latest call is all that counts"


def test_an_upstream_is_what_it_is_configured_to_be() -> None:
    """With the calls that are there, and what was said of it."""
    post = Post("a", Upstream("https://a.example", quality=0.5))
    post.pending = post.active = 2
    post.ratings.note(1.0, 0.0)
    post.adopt(Upstream("https://a.example", weight=2.0, context=9, api_key_file="/run/key"), 0.0)
    assert (post.weight, post.context, post.credential, post.pending, post.active) == (2.0, 9, "/run/key", 2, 2)
    assert post.quality is None, "one rating says nothing yet"
    assert (post.mark, Post("a", Upstream("https://a.example"), "a#1").mark) == ("a", "a#1")

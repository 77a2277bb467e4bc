"""Who is left alone, and for how long."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.choose.holds import HOLDS_MAX, Holds, mark_credential

KEY = ("openai", "gpt-4o", "3f")


def test_a_hold_ends_by_itself() -> None:
    """There until its time, and not at it."""
    holds = Holds()
    assert holds.until(KEY, 0.0) is None
    holds.note(KEY, 10.0, 1.0)
    assert holds.until(KEY, 9.9) == 10.0
    assert holds.until(KEY, 10.0) is None


def test_another_model_or_credential_is_not_held() -> None:
    """Limits are counted per model and key."""
    holds = Holds()
    holds.note(KEY, 10.0, 1.0)
    for key in (("azure", "gpt-4o", "3f"), ("openai", "gpt-4o-mini", "3f"), ("openai", None, "3f"), ("openai", "gpt-4o", "")):
        assert holds.until(key, 2.0) is None


def test_a_hold_is_never_shortened() -> None:
    """An answer that was overtaken says less than the one before it; one that is over says nothing."""
    holds = Holds()
    holds.note(KEY, 60.0, 1.0)
    holds.note(KEY, 5.0, 2.0)
    holds.note(KEY, 1.0, 2.0)
    assert holds.until(KEY, 3.0) == 60.0
    holds.note(KEY, 70.0, 60.0)
    assert holds.until(KEY, 61.0) == 70.0


def test_the_oldest_go() -> None:
    """What was noted last is there, however many came."""
    holds = Holds()
    holds.note(KEY, 100.0, 0.0)
    for number in range(HOLDS_MAX - 1):
        holds.note(("up", str(number), ""), 100.0, 0.0)
    assert holds.until(KEY, 1.0) == 100.0
    holds.note(KEY, 100.0, 0.0)
    holds.note(("up", "one more", ""), 100.0, 0.0)
    assert holds.until(KEY, 1.0) == 100.0
    assert holds.until(("up", "0", ""), 1.0) is None
    assert holds.until(("up", "1", ""), 1.0) == 100.0


@given(st.lists(st.tuples(st.integers(0, 3 * HOLDS_MAX), st.floats(0, 50), st.floats(0, 1)), max_size=80), st.integers(0, HOLDS_MAX))
def test_it_is_a_bounded_memory(steps: list[tuple[int, float, float]], filled: int) -> None:
    """Beside a plain list of the last 1,024 that were noted, it says the same of each."""
    holds, kept, now = Holds(), OrderedDict[int, float](), 0.0
    steps = [(number, 5.0, 0.0) for number in range(filled)] + steps
    for number, lasts_s, passed in steps:
        now += passed
        holds.note(("up", str(number), ""), now + lasts_s, now)
        if lasts_s > 0 and now + lasts_s > now:
            kept[number] = max(now + lasts_s, kept.get(number, 0.0))
            kept.move_to_end(number)
            if len(kept) > HOLDS_MAX:
                kept.popitem(last=False)
    for number in range(0, 3 * HOLDS_MAX, 7):
        until = kept.get(number, 0.0)
        assert holds.until(("up", str(number), ""), now) == (until if until > now else None)


def test_a_credential_is_marked_not_kept() -> None:
    """The same mark for the same credential, another for another or in another process, and nothing of it in the mark."""
    mark = mark_credential(b"Bearer sk-secret", b"salt")
    assert mark == mark_credential(b"Bearer sk-secret", b"salt")
    assert len({mark, mark_credential(b"Bearer sk-other", b"salt"), mark_credential(b"Bearer sk-secret", b"pepper")}) == 3
    assert len(mark) == 16 and "secret" not in mark


def test_what_is_forgotten_is_held_no_longer() -> None:
    """Of this upstream and account, for all models; others stay."""
    holds = Holds()
    for key in (("up", "m", ""), ("up", None, ""), ("up", "m", "theirs"), ("other", "m", "")):
        holds.note(key, 10.0, 1.0)
    holds.forget("up", "")
    assert [holds.until(key, 2.0) for key in (("up", "m", ""), ("up", None, ""))] == [None, None]
    assert [holds.until(key, 2.0) for key in (("up", "m", "theirs"), ("other", "m", ""))] == [10.0, 10.0]

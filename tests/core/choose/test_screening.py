"""Who could take a call, and why the others could not."""

from sidecar.config import Balancing, Force, Upstream
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import NO_NEEDS, Needs
from sidecar.core.choose.screening import Screening, list_unmet, name_refusal, screen
from sidecar.core.identify.wishes import NO_WISHES, Wishes
from tests.core.choose.pools import Rig, plain


def look(rig: Rig, needs: Needs = NO_NEEDS) -> Screening:
    """Return the pool in the eyes of one call."""
    return screen(rig.seat_of(rig.names[0]).roster, needs, rig.holds, rig.slots, rig.now)


def why(rig: Rig, needs: Needs = NO_NEEDS) -> dict[str, str | None]:
    """Return what was found about each."""
    return dict(zip(rig.names, look(rig, needs).why, strict=True))


def test_what_has_failed_this_call_is_not_asked_again() -> None:
    """Nor what was silent."""
    rig = Rig(plain("a", "b", "c"))
    needs = Needs(tried=frozenset("a"), no_longer=frozenset("b"))
    assert why(rig, needs) == {"a": reasons.TRIED, "b": reasons.SILENT, "c": None}


def test_other_credentials_are_those_of_another_key() -> None:
    """The caller's own goes to every upstream without a key file; the same file is the same key."""
    rig = Rig({
        "own": Upstream("https://a.example"),
        "own_too": Upstream("https://b.example"),
        "key": Upstream("https://c.example", api_key_file="/run/one"),
        "key_too": Upstream("https://d.example", api_key_file="/run/one"),
    })  # fmt: skip
    assert why(rig, Needs(other_credentials_than=frozenset({"own"}))) == {
        "own": reasons.CREDENTIALS, "own_too": reasons.CREDENTIALS, "key": None, "key_too": None,
    }  # fmt: skip
    assert why(rig, Needs(other_credentials_than=frozenset({"key"})))["key_too"] == reasons.CREDENTIALS


def test_a_larger_context_must_be_declared() -> None:
    """What is not declared is not assumed."""
    rig = Rig({"a": Upstream("https://a", context=8000), "b": Upstream("https://b", context=32000), "c": Upstream("https://c")})
    assert why(rig, Needs(context_above=8000)) == {"a": reasons.CONTEXT, "b": None, "c": reasons.CONTEXT}


def test_wishes_are_compared_with_what_is_known() -> None:
    """And what is not known is held against nobody."""
    rig = Rig({"a": Upstream("https://a", quality=0.5), "b": Upstream("https://b")}, breakers=False)
    rig.call_at("a", response_time_s=2.0)
    rig.fail_at("a", 1)
    standing = rig.seat_of("a").standing
    wishes = Wishes(max_response_time_s=1.0, min_quality=0.6, min_reliability=0.9)
    assert list_unmet(standing, wishes, rig.now) == [reasons.TOO_SLOW, reasons.TOO_PLAIN, reasons.TOO_UNRELIABLE]
    assert list_unmet(standing, Wishes(6.0, 0.5, 0.5), rig.now) == []
    assert list_unmet(rig.seat_of("b").standing, wishes, rig.now) == []


def test_an_exclusion_is_no_wish_that_could_be_missed() -> None:
    """Who is excluded is not among those that are only not good enough; a name that nobody has changes nothing."""
    rig = Rig(plain("a", "b"))
    found = look(rig, Needs(wishes=NO_WISHES._replace(exclude=frozenset({"a", "nobody"}))))
    assert found.why == [reasons.EXCLUDED, None]
    assert found.unmet == []


def test_each_obstacle_has_its_place() -> None:
    """Open, full, held, ejected, down, half-open, fit."""
    rig = Rig(plain("open", "full", "held", "ejected", "down", "trial", "fit"), balancing=Balancing(panic=0.0))
    rig.breakers.force("open", Force.OPEN, rig.now)
    rig.slots.limits["full"] = 0
    rig.holds.note(("held", None, ""), rig.now + 10.0, rig.now)
    rig.seat_of("ejected").ejected_until = rig.now + 10.0
    rig.seat_of("down").standing.post.is_down = True
    rig.fail_at("trial", 5)
    rig.breakers.note_probe("trial", True, rig.now)
    rig.seat_of("trial").ejected_until = rig.now
    found = look(rig)
    assert dict(zip(rig.names, found.why, strict=True)) == {
        "open": reasons.CIRCUIT_OPEN, "full": reasons.NO_ROOM, "held": reasons.HELD, "ejected": reasons.EJECTED, "down": reasons.DOWN,
        "trial": reasons.ON_TRIAL, "fit": None,
    }  # fmt: skip
    names = [[seat.standing.post.name for seat in seats] for seats in (found.fit, found.trials, found.full, found.aside, found.cut_off)]
    assert names == [["fit"], ["trial"], ["full"], ["ejected", "down"], ["open"]]
    assert [(until, seat.standing.post.name) for until, seat in found.held] == [(rig.now + 10.0, "held")]


def test_a_hold_is_of_a_model_and_a_credential() -> None:
    """Another caller, or another model, is not held; where the upstream has its own key, every caller is."""
    rig = Rig({"a": Upstream("https://a"), "key": Upstream("https://b", api_key_file="/run/key")})
    rig.holds.note(("a", "m", "x"), rig.now + 10.0, rig.now)
    rig.holds.note(("key", "m", ""), rig.now + 10.0, rig.now)
    assert why(rig, Needs(model="m", credential="x")) == {"a": reasons.HELD, "key": reasons.HELD}
    assert why(rig, Needs(model="m", credential="y")) == {"a": None, "key": reasons.HELD}
    assert why(rig, Needs(model="n", credential="x")) == {"a": None, "key": None}


def test_in_a_panic_those_set_aside_are_asked_too() -> None:
    """With fewer than half left: one of four. With half left there is none."""
    rig = Rig(plain("a", "b", "c", "d"))
    rig.breakers.force("a", Force.OPEN, rig.now)
    rig.seat_of("b").ejected_until = rig.now + 10.0
    assert why(rig)["b"] == reasons.EJECTED
    rig.seat_of("c").ejected_until = rig.now + 10.0
    assert why(rig) == {"a": reasons.CIRCUIT_OPEN, "b": None, "c": None, "d": None}


def test_a_refusal_names_first_what_waiting_helps_against() -> None:
    """Then what time helps against, then what nothing does."""
    rig = Rig(plain("a", "b"))
    assert name_refusal(look(rig, Needs(tried=frozenset("ab")))) == reasons.EXHAUSTED
    assert name_refusal(look(rig, Needs(wishes=NO_WISHES._replace(exclude=frozenset("ab"))))) == reasons.WISH_UNMET
    assert name_refusal(look(rig, Needs(tried=frozenset("a"), wishes=NO_WISHES._replace(exclude=frozenset("b"))))) == reasons.EXHAUSTED
    rig.breakers.force("a", Force.OPEN, rig.now)
    assert name_refusal(look(rig, Needs(tried=frozenset("b")))) == reasons.CIRCUIT_OPEN
    rig.slots.limits["b"] = 0
    assert name_refusal(look(rig)) == reasons.NO_ROOM

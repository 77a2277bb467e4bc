"""The breakers of all upstreams."""

import gc
from dataclasses import replace

import pytest

from sidecar.config import Breaker, Features, Force, ModelGroup, Settings, Upstream
from sidecar.core.choose.breakers import DEFAULT_GROUP, Breakers
from sidecar.core.choose.transitions import State, Transition
from sidecar.core.choose.verdicts import Verdict

GROUPS = {
    "image": ModelGroup(("dall-e-*", "gpt-image-1")),
    "small": ModelGroup(("*-mini", "*")),
    "never": ModelGroup(("gpt-4o",)),
}


def make_breakers(told: list[Transition] | None = None, groups: dict[str, ModelGroup] | None = None, **features: bool) -> Breakers:
    """Return the breakers of two upstreams, of which the second is forced open."""
    settings = Settings(
        upstreams={"a": Upstream("http://a.test"), "b": Upstream("http://b.test", breaker=Force.OPEN)},
        breaker=Breaker(consecutive=2, groups=groups or {}),
        features=Features(**features),
    )
    return Breakers(settings, lambda: 0.0, (told if told is not None else []).append)


def fail(breakers: Breakers, upstream: str, model: str | None) -> None:
    """Let two calls fail."""
    for _ in range(2):
        breaker = breakers.find(upstream, model)
        permit = breaker.acquire(1.0)
        assert permit is not None
        breaker.settle(permit, Verdict.FAILURE, 1.0)


def test_without_groups_there_is_one_for_each_upstream() -> None:
    """Whatever the model; each has its own state."""
    breakers = make_breakers()
    assert breakers.find("a", None) is breakers.find("a", "gpt-4o") is breakers.of("a")[0]
    assert breakers.find("a", None) is not breakers.find("b", None)
    assert (breakers.find("a", None).upstream, breakers.find("a", None).group) == ("a", DEFAULT_GROUP)


@pytest.mark.parametrize(
    ("model", "group"),
    [("dall-e-3", "image"), ("gpt-image-1", "image"), ("gpt-image-12", "small"), ("gpt-4o", "small"), (None, DEFAULT_GROUP)],
)
def test_the_first_group_that_names_a_model_decides(model: str | None, group: str) -> None:
    """A star stands for anything; names are whole; no model is in no group."""
    breakers = make_breakers(groups=GROUPS)
    assert breakers.find("a", model).group == group
    assert breakers.find("a", model) is breakers.find("a", model)


@pytest.mark.parametrize(
    ("name", "model", "is_in"), [("m[1]", "m[1]", True), ("m[1]", "m1", False), ("m?", "mx", False), ("a*c", "A-c", False)]
)
def test_only_the_star_is_special(name: str, model: str, is_in: bool) -> None:
    """Other signs of patterns are letters of names, and capitals are other letters."""
    assert (make_breakers(groups={"g": ModelGroup((name,))}).find("a", model).group == "g") == is_in


def test_a_group_without_models_names_none() -> None:
    """Not even the model without a name."""
    assert make_breakers(groups={"g": ModelGroup(())}).find("a", "").group == DEFAULT_GROUP


def test_a_group_fails_apart_from_the_rest() -> None:
    """The worst of an upstream's breakers is what is shown of it."""
    told: list[Transition] = []
    breakers = make_breakers(told, GROUPS)
    fail(breakers, "a", "dall-e-3")
    assert [(transition.upstream, transition.group) for transition in told] == [("a", "image")]
    assert not breakers.find("a", "dall-e-2").admits(1.0)
    assert breakers.find("a", "gpt-4o").admits(1.0) and breakers.find("a", None).admits(1.0)
    assert [breaker.state(1.0).label for breaker in breakers.of("a")] == ["closed", "open", "closed", "closed"]
    assert breakers.worst("a", 1.0) is State.OPEN
    assert breakers.worst("a", 100.0) is State.HALF_OPEN


def test_models_are_not_remembered_without_end() -> None:
    """A caller that asks for ever new models makes nothing grow."""
    breakers = make_breakers(groups=GROUPS)
    for number in range(2_000):
        breakers.find("a", f"model-{number}")
    gc.collect()
    before = len(gc.get_objects())
    for number in range(20_000):
        assert breakers.find("a", f"other-{number}").group == "small"
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(breakers._groups) <= 1_000


def test_a_pattern_with_many_stars_is_fast() -> None:
    """A hostile name does not make it go back and forth."""
    breakers = make_breakers(groups={"g": ModelGroup(("*a*a*a*a*a*a*a*a*a*b",))})
    assert breakers.find("a", "a" * 5_000).group == DEFAULT_GROUP


def test_all_of_an_upstream_are_forced_together() -> None:
    """And of no other."""
    told: list[Transition] = []
    breakers = make_breakers(told, {"image": GROUPS["image"]})
    breakers.force("a", Force.OPEN, 2.0)
    assert [(t.upstream, t.group, t.reason) for t in told] == [("a", DEFAULT_GROUP, "forced"), ("a", "image", "forced")]
    breakers.force("a", Force.AUTO, 3.0)
    assert breakers.worst("a", 3.0) is State.CLOSED
    assert breakers.worst("b", 3.0) is State.OPEN


def test_the_configuration_can_force() -> None:
    """An upstream's own setting holds from the start."""
    assert make_breakers().find("b", None).acquire(1e9) is None


def test_an_active_probe_reaches_all_of_an_upstream() -> None:
    """Each open one goes to half-open."""
    breakers = make_breakers(groups={"image": GROUPS["image"]})
    fail(breakers, "a", "dall-e-3")
    fail(breakers, "a", None)
    breakers.note_probe("a", True, 2.0)
    assert [breaker.state(2.0) for breaker in breakers.of("a")] == [State.HALF_OPEN, State.HALF_OPEN]


def test_without_the_feature_they_do_nothing_by_themselves() -> None:
    """Failures open none, also after an operator has let go of it; what is forced is forced all the same."""
    breakers = make_breakers(breakers=False)
    fail(breakers, "a", None)
    fail(breakers, "a", None)
    assert breakers.worst("a", 1.0) is State.CLOSED and breakers.worst("b", 1.0) is State.OPEN
    breakers.force("a", Force.OPEN, 2.0)
    assert breakers.worst("a", 2.0) is State.OPEN
    breakers.force("a", Force.AUTO, 3.0)
    fail(breakers, "a", None)
    assert breakers.worst("a", 3.0) is State.CLOSED


def test_an_unknown_upstream_has_none() -> None:
    """Asking for one is a mistake of the program, and makes nothing."""
    with pytest.raises(KeyError):
        make_breakers().find("nowhere", "gpt-4o")


def settings_of(names: str = "ab", *, groups: dict[str, ModelGroup] | None = None, breakers: bool = True, **forces: Force) -> Settings:
    """Return settings with these upstreams, some of them forced."""
    upstreams = {name: Upstream(f"http://{name}.test", breaker=forces.get(name, Force.AUTO)) for name in names}
    return Settings(upstreams=upstreams, breaker=Breaker(consecutive=2, groups=groups or {}), features=Features(breakers=breakers))


def succeed(breakers: Breakers, settings: Settings, kept: str = "ab") -> Breakers:
    """Return the view of other settings."""
    return breakers.succeed(settings, frozenset(kept), 2.0)


def test_who_stays_keeps_its_breakers() -> None:
    """The same ones, in the state they are in; another place of that name begins with a new one, and the old one falls silent."""
    told: list[Transition] = []
    first = Breakers(settings_of("abc"), lambda: 0.0, told.append)
    fail(first, "a", None)
    second = succeed(first, settings_of("ab"), "a")
    assert second.find("a", None) is first.find("a", None)
    assert second.find("b", None) is not first.find("b", None)
    assert second.worst("a", 2.0) is State.OPEN
    for gone in "bc":
        fail(first, gone, None)
        assert first.worst(gone, 2.0) is State.OPEN
    assert second.worst("b", 2.0) is State.CLOSED
    assert [transition.upstream for transition in told] == ["a"]
    fail(second, "b", None)
    assert [transition.upstream for transition in told] == ["a", "b"]


def test_who_stays_goes_by_the_new_settings() -> None:
    """New thresholds from the next result on."""
    first = Breakers(settings_of(), lambda: 0.0, lambda _: None)
    second = succeed(first, replace(settings_of(), breaker=Breaker(consecutive=4)))
    fail(second, "a", None)
    assert second.worst("a", 2.0) is State.CLOSED
    fail(second, "a", None)
    assert second.worst("a", 2.0) is State.OPEN


@pytest.mark.parametrize(
    ("before", "asked", "after", "state"),
    [
        (Force.AUTO, Force.OPEN, Force.AUTO, State.OPEN),  # an operator's word stays
        (Force.OPEN, Force.AUTO, Force.OPEN, State.CLOSED),  # also that it is left to itself
        (Force.AUTO, Force.OPEN, Force.CLOSED, State.CLOSED),  # the setting says something else now
        (Force.AUTO, None, Force.OPEN, State.OPEN),
        (Force.OPEN, None, Force.AUTO, State.CLOSED),
        (Force.CLOSED, Force.OPEN, Force.AUTO, State.CLOSED),
    ],
)
def test_what_an_operator_forced_stays_unless_the_setting_changes(before: Force, asked: Force | None, after: Force, state: State) -> None:
    """For groups of models, too, that are new."""
    first = Breakers(settings_of(a=before), lambda: 0.0, lambda _: None)
    if asked is not None:
        first.force("a", asked, 1.0)
    second = succeed(first, settings_of(groups={"image": GROUPS["image"]}, a=after))
    assert [breaker.state(2.0) for breaker in second.of("a")] == [state, state]
    third = succeed(second, settings_of(a=after))
    assert third.worst("a", 2.0) is state, "and the next settings change nothing of it"


def test_the_feature_is_switched_while_calls_run() -> None:
    """Off: an open one closes, and failures open none. On: they count again. What is forced is forced all the same."""
    first = Breakers(settings_of(b=Force.OPEN), lambda: 0.0, lambda _: None)
    fail(first, "a", None)
    off = succeed(first, settings_of(b=Force.OPEN, breakers=False))
    assert (off.worst("a", 2.0), off.worst("b", 2.0)) == (State.CLOSED, State.OPEN)
    fail(off, "a", None)
    assert off.worst("a", 2.0) is State.CLOSED
    on = succeed(off, settings_of(b=Force.OPEN))
    fail(on, "a", None)
    assert (on.worst("a", 2.0), on.worst("b", 2.0)) == (State.OPEN, State.OPEN)


def test_models_are_sorted_by_the_new_groups() -> None:
    """Also those that were asked for before."""
    first = Breakers(settings_of(groups=GROUPS), lambda: 0.0, lambda _: None)
    assert first.find("a", "gpt-4o").group == "small"
    second = succeed(first, settings_of(groups={"never": GROUPS["never"], "image": GROUPS["image"]}))
    assert second.find("a", "gpt-4o").group == "never"
    assert second.find("a", "gpt-4o") is first.of("a")[3], "of the same name, with what it knows"
    assert first.find("a", "gpt-4o").group == "small", "calls that began before are sorted as before"

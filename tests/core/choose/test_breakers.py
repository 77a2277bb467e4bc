"""The breakers of all upstreams."""

import gc

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

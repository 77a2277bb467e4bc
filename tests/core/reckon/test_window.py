"""The last hour in steps."""

from sidecar.core.reckon.window import OTHER, STEP_S, STEPS, TALLIES_MAX, Who, Window
from sidecar.exchange import Asked
from tests.edge.telemetry.records import make_record


class Clock:
    """A clock that is set."""

    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        """Return what it is set to."""
        return self.at


def test_calls_are_added_up_by_step_and_by_whose_they_are() -> None:
    """One tally for each step and combination; steps lie where the time alone puts them."""
    clock = Clock(1000.0)
    window = Window(clock.now)
    for ended, upstream in ((1004.0, "a"), (1004.9, "b"), (1005.0, "a"), (1019.0, "a")):
        clock.at = ended
        window.observe(make_record(ended=ended, upstream=upstream, tenant="t"))
    assert [step.number for step in window.steps()] == [66, 67]
    assert [(who, tally.requests) for who, tally in window.tallies()] == [
        (Who("a", "gpt-4o", "t"), 1), (Who("b", "gpt-4o", "t"), 1), (Who("a", "gpt-4o", "t"), 2),
    ]  # fmt: skip


def test_an_hour_is_remembered() -> None:
    """A step is forgotten when it is wholly older; whether calls still come or not."""
    clock = Clock(1000.0)
    window = Window(clock.now)
    window.observe(make_record(ended=1000.0))
    clock.at = 1000.0 + STEPS * STEP_S - 11
    assert len(list(window.steps())) == 1
    clock.at += STEP_S
    assert list(window.steps()) == []


def test_a_late_record_is_not_lost() -> None:
    """Records are told in batches: one of an earlier step counts in the latest."""
    clock = Clock(1000.0)
    window = Window(clock.now)
    window.observe(make_record(ended=1020.0))
    window.observe(make_record(ended=1000.0))
    assert [tally.requests for _, tally in window.tallies()] == [2]


def test_its_span_is_how_long_it_has_watched() -> None:
    """From its beginning or the last reset, at most an hour."""
    clock = Clock(1000.0)
    window = Window(clock.now)
    clock.at = 1060.0
    assert window.span_s() == 60.0
    window.observe(make_record(ended=1060.0))
    window.reset()
    assert (window.span_s(), list(window.tallies())) == (0.0, [])
    clock.at += 2 * STEPS * STEP_S
    assert window.span_s() == STEPS * STEP_S


def test_memory_is_bounded_however_many_models_there_are() -> None:
    """What comes beyond the bound is counted together; when steps are forgotten there is room again."""
    clock = Clock(1000.0)
    window = Window(clock.now)
    for number in range(TALLIES_MAX + 50):
        window.observe(make_record(ended=1000.0, asked=Asked(model=f"model-{number}")))
    told = dict(window.tallies())
    assert len(told) == TALLIES_MAX + 1 and told[Who(OTHER, OTHER, OTHER)].requests == 50
    clock.at += (STEPS + 1) * STEP_S
    window.observe(make_record(ended=clock.at, asked=Asked(model="fresh")))
    assert [who.model for who, _ in window.tallies()] == ["fresh"]


def test_models_have_the_names_under_which_they_are_counted() -> None:
    """What bounds labels of metrics bounds them here."""
    window = Window(lambda: 1000.0, lambda model: "other" if model == "odd" else model)
    window.observe(make_record(ended=1000.0, asked=Asked(model="odd")))
    window.observe(make_record(ended=1000.0, asked=Asked()))
    assert [who.model for who, _ in window.tallies()] == ["other", ""]


def test_lookups_count_while_answers_are_kept() -> None:
    """From the moment on at which that changes; what was counted stays."""
    window = Window(lambda: 1000.0, looks_up=False)
    for looks_up in (True, False, True):
        window.adopt(looks_up=looks_up)
        window.observe(make_record(ended=1000.0, cache="miss"))
    ((_, tally),) = window.tallies()
    assert (tally.requests, tally.lookups) == (3, 2)

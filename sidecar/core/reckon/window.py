"""The calls of the last hour in steps, by who answered, with which model, on whose account."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Record

STEP_S: Final = 15.0
STEPS: Final = 240  # an hour
OTHER: Final = "other"
# Tallies of all steps together: calls of further combinations are added up as other. One takes about 2 KiB, and as much again per
# hundred calls of different lengths.
TALLIES_MAX: Final = 4096


class Who(NamedTuple):
    """Whose calls are added up together. "" where there was none."""

    upstream: str
    model: str
    tenant: str


_OTHERS: Final = Who(OTHER, OTHER, OTHER)


class Step(NamedTuple):
    """One step: its number counted from time 0 of the clock, and what came to pass in it."""

    number: int
    tallies: dict[Who, Tally]


class Window:
    """Reads each sealed record once (ports.Sink) and adds it up; memory does not grow with the number of calls.

    A step's place follows from the time alone: edges stay where they are however irregularly calls come.
    """

    def __init__(self, now: Callable[[], float], admit_model: Callable[[str], str] = lambda model: model, *, looks_up: bool = True) -> None:
        """`now`: seconds on the clock by which records are dated. `admit_model`: the name under which a model is counted.

        `looks_up`: whether answers are kept, so that one can be found.
        """
        self._now = now
        self._looks_up = looks_up
        self._admit_model = admit_model
        self._steps: deque[Step] = deque()
        self._tallies = 0
        self.began = now()

    def adopt(self, *, looks_up: bool) -> None:
        """Count calls from now on as it is with answers kept, or without."""
        self._looks_up = looks_up

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended."""
        tallies = self._open(int(record.ended // STEP_S))
        who = Who(record.upstream, self._admit_model(record.asked.model or ""), record.tenant)
        tally = tallies.get(who)
        if tally is None:
            tally = self._add_tally(tallies, who)
        tally.add(record, looks_up=self._looks_up)

    def reset(self) -> None:
        """Forget everything: what is told begins now."""
        self._steps.clear()
        self._tallies = 0
        self.began = self._now()

    def span_s(self) -> float:
        """Return how much time the window tells of: since it began, at most an hour."""
        return min(self._now() - self.began, STEPS * STEP_S)

    def steps(self) -> Iterator[Step]:
        """Yield the steps of the last hour in which anything happened, the oldest first."""
        self._forget()
        yield from self._steps

    def tallies(self) -> Iterator[tuple[Who, Tally]]:
        """Yield every tally of the last hour: one for each step and combination."""
        for step in self.steps():
            yield from step.tallies.items()

    def _open(self, number: int) -> dict[Who, Tally]:
        steps = self._steps
        if steps and number <= steps[-1].number:
            return steps[-1].tallies  # calls are noted as they end; one that is a little late is counted a little later
        self._forget()
        steps.append(Step(number, {}))
        return steps[-1].tallies

    def _add_tally(self, tallies: dict[Who, Tally], who: Who) -> Tally:
        if self._tallies >= TALLIES_MAX:
            who = _OTHERS
        if who not in tallies:
            tallies[who] = Tally()
            self._tallies += 1
        return tallies[who]

    def _forget(self) -> None:
        oldest = int(self._now() // STEP_S) - STEPS
        while self._steps and self._steps[0].number <= oldest:
            self._tallies -= len(self._steps.popleft().tallies)


def add_up(tallies: Iterator[Tally]) -> Tally:
    """Return one tally of all."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total

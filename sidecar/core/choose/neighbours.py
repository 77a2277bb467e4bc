"""What choosing needs of the parts beside it: breakers, holds, and slots."""

from collections.abc import Sequence
from typing import Any, Protocol

from sidecar.config import Force
from sidecar.core.choose.transitions import State
from sidecar.core.choose.verdicts import Verdict


class Breaker(Protocol):
    """The circuit breaker of one upstream and group of models."""

    upstream: str
    group: str
    forced: Force

    def state(self, now: float) -> State:
        """Return the state as of `now`; changes nothing."""
        ...

    def admits(self, now: float) -> bool:
        """Tell whether `acquire` would give a permit; changes nothing."""
        ...

    def acquire(self, now: float) -> Any:
        """Return leave to make a call, to be settled once; None where it is refused."""
        ...

    def settle(self, permit: Any, verdict: Verdict, now: float) -> None:
        """Take a permit back, with what became of the call."""
        ...

    def retry_after_s(self, now: float) -> float:
        """Return the seconds until an open one may be asked again."""
        ...

    def note_probe(self, succeeded: bool, now: float) -> None:
        """Take notice of an active probe: a success brings an open one to half-open at once."""
        ...


class Breakers(Protocol):
    """The circuit breakers of all upstreams."""

    def find(self, upstream: str, model: str | None) -> Breaker:
        """Return the one in charge of a model; the same object each time."""
        ...

    def of(self, upstream: str) -> Sequence[Breaker]:
        """Return all of an upstream."""
        ...

    def note_probe(self, upstream: str, succeeded: bool, now: float) -> None:
        """Tell all of an upstream of an active probe."""
        ...


class Holds(Protocol):
    """Who has asked to be left alone for a while."""

    def until(self, key: tuple[str, str | None, str], now: float) -> float | None:
        """Return when the hold on (upstream's mark, model, credential) ends; None where there is none."""
        ...

    def forget(self, mark: str, credential: str) -> None:
        """Hold an upstream no longer on this account."""
        ...


class Admission(Protocol):
    """Slots of each upstream."""

    def has_room(self, upstream: str) -> bool:
        """Whether a call to this upstream could begin now."""
        ...

    def try_take(self, upstream: str, now: float) -> bool:
        """Reserve a slot if there is one; tell whether there was."""
        ...

    def take(self, upstream: str, now: float) -> None:
        """Reserve a slot."""
        ...

    def note_first_token(self, upstream: str, ttft_s: float, now: float, began: float | None = None) -> None:
        """Take note of how long a call that was made at `began` waited for its first token."""
        ...

    def release(self, upstream: str, now: float) -> object:
        """Give a slot back; whoever waits for it is woken."""
        ...

    def limit(self, upstream: str) -> int:
        """Return how many calls at once this upstream is given at present."""
        ...

    def in_use(self, upstream: str) -> int:
        """Return how many slots of this upstream are reserved."""
        ...

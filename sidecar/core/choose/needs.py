"""What a call needs of the upstream that is to answer it, and what it has been granted."""

from typing import Any, Final, NamedTuple

import msgspec

from sidecar.core.choose.neighbours import Breaker
from sidecar.core.choose.standings import Standing
from sidecar.core.identify.wishes import NO_WISHES, Wishes

_NOBODY: Final[frozenset[str]] = frozenset()


class Needs(NamedTuple):
    """What one attempt of a call needs. The defaults need nothing."""

    model: str | None = None  # as the caller names it
    wishes: Wishes = NO_WISHES
    tried: frozenset[str] = _NOBODY  # upstreams that have failed this call already
    no_longer: frozenset[str] = _NOBODY  # upstreams that were silent: never asked again by this call
    other_credentials_than: frozenset[str] | None = None  # upstreams that refused the credentials they were sent
    context_above: int | None = None  # tokens: the upstream declares a larger context than this
    credential: str = ""  # the caller's, as holds know it


NO_NEEDS: Final = Needs()


class Grant(msgspec.Struct, eq=False, gc=False):
    """Leave to make one attempt: what is reserved for it, until it is settled. Settled exactly once."""

    upstream: str
    breaker: Breaker
    permit: Any  # of the breaker; None in an emergency, which asks in spite of it
    began: float  # seconds, monotonic
    group: str  # of models
    is_hedge: bool
    standing: Standing
    first_data: bool = False  # has come: the upstream is at work on it, and it is no longer pending
    settled: bool = False

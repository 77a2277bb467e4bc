"""What there is to see of an upstream at one moment: for the admin pages and the gauges.

Times that end in `_until` are on the monotonic clock, like `now`. What has not been measured is None.
"""

from typing import NamedTuple


class BreakerView(NamedTuple):
    """One circuit breaker of an upstream: that of one group of models."""

    group: str  # "default" where models are not grouped
    state: str  # "closed", "half_open", "open"
    retry_after_s: float = 0.0  # until an open one may be asked again
    force: str = "auto"  # a config.Force: what an operator has made of it


class UpstreamView(NamedTuple):
    """One upstream as whoever chooses sees it."""

    name: str
    healthy: bool  # it may be chosen for what it is worth: no breaker wholly open, not ejected, its probe answers
    reason: str | None  # why it is not healthy, in a few words; None where it is
    state: str  # of the worst of its breakers
    breakers: tuple[BreakerView, ...]
    pending: int  # calls there without a first byte of data
    in_use: int  # slots of its concurrency that are taken
    concurrency: int  # the limit in force: adaptive where it is adaptive
    weight: float  # as configured
    share: float  # 0 to 1: less than 1 in slow start, after it has come back
    response_time_s: float | None  # what is expected of it
    reliability: float | None  # 0 to 1
    quality: float | None  # 0 to 1
    calls: int  # in the window it is judged by
    failures: int  # of these
    ejected_until: float | None  # set aside for failing more than the others
    held_until: float | None  # it asked for a pause (Retry-After)

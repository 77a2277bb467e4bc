"""Whom a call was given to, and why: what of a choice is shown to those who ask."""

from typing import NamedTuple


class Candidate(NamedTuple):
    """One upstream in the eyes of whoever had to choose. What has not been measured is None."""

    upstream: str
    score: float | None  # by the pool's strategy: the higher the better
    response_time_s: float | None  # what is expected
    reliability: float | None  # 0 to 1
    quality: float | None  # 0 to 1
    pending: int  # calls there
    reason: str | None  # why it could not be chosen; None where it could


class Decision(NamedTuple):
    """Whom a call was given to, and why."""

    pool: str  # "" where there is nothing but one upstream
    strategy: str
    step: str  # of catalogue.DEGRADATION_STEPS
    upstream: str | None  # the chosen one; None: nobody
    reason: str  # in a few words
    candidates: tuple[Candidate, ...]

"""What is done where an upstream fails, is slow, or is full."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.config.units import Duration


@dataclass(frozen=True, slots=True)
class Balancing:
    window: int = 1000  # calls by which an upstream is judged
    learning_rate: float = 0.1  # how much the latest call weighs in what is measured live
    threshold: float = 0.05  # of adaptive: a better score by less is no reason to switch
    penalty: Duration = 10.0  # a failure counts as a response that took at least this long
    ejection_max: float = 0.5  # of a pool's upstreams, set aside for failing more than the others
    ejection: Duration = 30.0  # for how long the first time; longer each time after
    panic: float = 0.5  # with fewer than this share of a pool left, those set aside are asked too
    slow_start: Duration = 30.0  # an upstream that has come back gets its full share after this


@dataclass(frozen=True, slots=True)
class Retries:
    """One budget over everything that is tried again: retries, failovers, hedges (a retry budget as in linkerd and Finagle)."""

    attempts: int = 3  # of one call, the first included
    base: Duration = 0.1  # back-off, with full jitter: up to this before the first repetition, twice as long before each further one
    cap: Duration = 10.0
    wait_max: Duration = 10.0  # the longest Retry-After that is waited for
    retry_after_max: Duration = 300.0  # an upstream that asks for a longer pause is given this one
    budget_share: float = 0.2  # of the calls of the last seconds
    budget_floor: float = 10.0  # a second, on top
    budget_expiry: Duration = 10.0


@dataclass(frozen=True, slots=True)
class Hedging:
    percentile: float = 0.95  # of the time to the first token: who is later gets a rival
    delay_min: Duration = 0.1
    calls_min: int = 20  # measured before there is any hedging
    share_max: float = 0.05  # of all calls


@dataclass(frozen=True, slots=True)
class ModelGroup:
    models: tuple[str, ...]  # names as callers say them; * stands for anything


@dataclass(frozen=True, slots=True)
class Breaker:
    """Circuit breakers: one for each upstream and group of models."""

    consecutive: int = 5  # failures in a row that open it
    error_share: float = 0.5  # of the calls in the window, from calls_min on
    calls_min: int = 20
    window: Duration = 60.0
    slow: Duration = 30.0  # a first token, or an answer's head, that took longer
    slow_share: float = 1.0  # of the calls in the window, from calls_min on
    open: Duration = 30.0  # the first time; twice as long each time it opens again, and half for each open_max that it was closed
    open_max: Duration = 60.0
    probes: int = 3  # calls at once while half-open
    successes: int = 3  # that close it
    groups: Mapping[str, ModelGroup] = field(default_factory=dict)  # models that fail apart from the rest


@dataclass(frozen=True, slots=True)
class Probes:
    interval: Duration = 30.0
    timeout: Duration = 5.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Calls that wait because all upstreams they may use are at their concurrency."""

    size: int = 1000
    wait: Duration = 3.0  # who would wait longer is refused at once


@dataclass(frozen=True, slots=True)
class Features:
    """What can be switched as a whole."""

    breakers: bool = True
    failover: bool = True  # to the next upstream of a pool
    probes: bool = True
    metered_probes: bool = False  # of upstreams where calls cost money
    retries: bool = False  # repeat answered failures on the same upstream: SDKs do so already, and two layers multiply
    hedging: bool = False  # a second upstream when the first token is late
    cache: bool = False  # answers that were given before
    coalescing: bool = False  # identical calls in progress share one upstream call
    stale: bool = False  # an expired answer in place of an error
    refresh: bool = False  # an answer in demand is fetched anew before it expires
    warming: bool = False
    batches: bool = False  # of embeddings
    limits: bool = False
    budgets: bool = False

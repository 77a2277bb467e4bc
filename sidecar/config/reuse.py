"""What is answered without asking anew: cache, coalescing, warming, batches of embeddings."""

from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.config.units import Duration, Size


class Cacheable(StrEnum):
    """Which answers of models may be kept."""

    DETERMINISTIC = "deterministic"  # embeddings, and what is asked for with temperature 0 or with a seed
    ALL = "all"


class Pace(StrEnum):
    """How fast a kept stream is told again."""

    AT_ONCE = "at_once"
    ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Expiry:
    """For how long an answer may stand in for a call, by what was asked."""

    answers: Duration = 300.0
    tool_results: Duration = 60.0  # the last message is the result of a tool
    conversations: Duration = 120.0  # several turns
    embeddings: Duration = 3600.0
    models: Duration = 600.0  # lists of models


@dataclass(frozen=True, slots=True)
class HotLevel:
    """As they were sent: ready to be sent again."""

    entries: int = 100
    age: Duration = 60.0  # without being asked for; after that it is compressed


@dataclass(frozen=True, slots=True)
class WarmLevel:
    """Compressed."""

    entries: int = 1000
    bytes: Size = 50 * 1024 * 1024  # of both levels together
    age: Duration = 300.0  # without being asked for; after that it is forgotten, but for what the shared level keeps


@dataclass(frozen=True, slots=True)
class Cache:
    what: Cacheable = Cacheable.DETERMINISTIC
    tools: bool = False  # answers to calls that offer the model tools
    conversations: bool = False  # answers within a conversation of several turns
    expiry: Expiry = field(default_factory=Expiry)
    stale: Duration = 3600.0  # for how long after it has expired an answer may still stand in for an error (features.stale)
    entry: Size = 4 * 1024 * 1024  # a larger answer is not kept
    hot: HotLevel = field(default_factory=HotLevel)
    warm: WarmLevel = field(default_factory=WarmLevel)
    memory_share: float = 0.8  # of the memory limit; above it the warm level is dropped
    cleanup: Duration = 30.0
    pace: Pace = Pace.AT_ONCE
    refresh_share: float = 0.1  # within this last share of its life an answer in demand is fetched anew (features.refresh)
    refresh_hits: int = 3  # in demand: asked for this often
    ignore_headers: tuple[str, ...] = ()  # request fields that make no difference, on top of those known to make none


@dataclass(frozen=True, slots=True)
class Coalescing:
    """Identical calls in progress share one upstream call."""

    lag_max: Size = 4 * 1024 * 1024  # a caller further behind the answer than this is let go


@dataclass(frozen=True, slots=True)
class Warming:
    """Prompts that are asked before anybody does."""

    file: str | None = None  # JSON lines: {"path": "/openai/v1/chat/completions", "body": {…}, "tenant": …}
    key_file: str | None = None  # the credential of those whose calls are to be answered: it is part of what an answer is kept under
    tenant: str = "warming"  # on whose account it runs
    pace: Duration = 1.0  # between one prompt and the next
    every: Duration | None = None  # again; by default only at start


@dataclass(frozen=True, slots=True)
class Batches:
    """Embeddings asked for at about the same time go out as one call."""

    inputs: int = 5  # in one call
    wait: Duration = 0.05  # since the last one came
    wait_max: Duration = 0.5  # since the first one came

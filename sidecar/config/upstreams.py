"""Who can answer, and how calls get there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.config.units import Duration, Lifetime


class RouteKind(StrEnum):
    """What is called on a route."""

    LLM = "llm"
    TOOL = "tool"  # an HTTP tool or an MCP server


class Strategy(StrEnum):
    """How one is chosen among the upstreams of a pool."""

    ROUND_ROBIN = "round_robin"
    WEIGHTED = "weighted"  # by the upstreams' weights, smoothly
    LEAST_CONNECTIONS = "least_connections"  # fewest calls without a first byte, by weight
    PERFORMANCE = "performance"  # response time, reliability, quality
    ADAPTIVE = "adaptive"  # load, history, live measurements and the caller's wishes; learns


class Force(StrEnum):
    """What an operator may make of a circuit breaker."""

    AUTO = "auto"
    OPEN = "open"
    CLOSED = "closed"  # never opens, still measures
    DISABLED = "disabled"  # neither opens nor measures


class Probing(StrEnum):
    """Whether an upstream is probed."""

    AUTO = "auto"  # unless calls there cost money (features.metered_probes)
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One place that can answer."""

    url: str
    provider: str | None = None  # a GenAI provider name; by default from the url's host
    api_key_file: str | None = None  # sent as the provider's credential in place of the caller's
    connections: int = 100  # most at once
    keep_alive: Duration = 60.0  # an idle connection is closed after this
    max_age: Duration = 600.0  # a connection is not reused after this
    weight: float = 1.0  # its share of a pool's calls, relative to the others'
    models: Mapping[str, str] = field(default_factory=dict)  # what callers ask for → what it is called here
    context: int | None = None  # tokens that its models take: what is too long elsewhere may go on to a larger one
    quality: float | None = None  # 0 to 1, of its answers, where somebody knows
    concurrency: int | None = None  # calls at once; by default as many as connections
    adaptive_concurrency: bool = False  # fewer where the first token comes later than it could
    breaker: Force = Force.AUTO
    probe: Probing = Probing.AUTO
    probe_path: str | None = None  # by default a cheap one of the provider's


@dataclass(frozen=True, slots=True)
class Route:
    """How a path maps to an upstream. The prefix is taken off before forwarding."""

    prefix: str
    upstream: str | None = None  # either this
    pool: str | None = None  # or this
    name: str | None = None  # shown in metrics; by default the prefix without slashes
    kind: RouteKind = RouteKind.LLM
    websocket: bool = True  # whether WebSockets are carried
    idempotent: bool = False  # of a tool: a call that may have been carried out may be made again
    cache: Duration | None = None  # of a tool: for how long its answers are kept, and that they may be (features.cache)
    tools: Mapping[str, Lifetime] = field(default_factory=dict)  # by tool, where they differ; 0 for never


@dataclass(frozen=True, slots=True)
class Pool:
    """Upstreams among which a call may choose. All of them speak the form that the caller speaks."""

    upstreams: tuple[str, ...]
    strategy: Strategy = Strategy.ROUND_ROBIN


# Always there; a route or upstream of the same prefix or name in the configuration replaces them.
BUILT_IN_UPSTREAMS: Mapping[str, Upstream] = {
    "openai": Upstream("https://api.openai.com", provider="openai"),
    "anthropic": Upstream("https://api.anthropic.com", provider="anthropic"),
    "openrouter": Upstream("https://openrouter.ai/api", provider="openrouter"),
    "gemini": Upstream("https://generativelanguage.googleapis.com", provider="gcp.gemini"),
    "ollama": Upstream("http://127.0.0.1:11434", provider="ollama"),
}
BUILT_IN_ROUTES: tuple[Route, ...] = tuple(Route(f"/{name}/", name) for name in BUILT_IN_UPSTREAMS)

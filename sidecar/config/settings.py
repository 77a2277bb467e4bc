"""All settings together, and those that need no room of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.config.accounts import Budgets, RateLimits, Redis, Tenants
from sidecar.config.content import Content
from sidecar.config.resilience import Balancing, Breaker, Features, Hedging, Probes, Queue, Retries
from sidecar.config.reuse import Batches, Cache, Coalescing, Warming
from sidecar.config.units import Duration, Size
from sidecar.config.upstreams import Pool, Route, Upstream


class Ask(StrEnum):
    """Whether the sidecar may ask for usage on the caller's behalf."""

    AUTO = "auto"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Admin:
    listen: str = "127.0.0.1:9464"
    token_file: str | None = None  # who changes anything from elsewhere than this machine needs the token in it
    web_config_file: str | None = None  # TLS and passwords of the admin port, in the form that Prometheus and its exporters share


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect: Duration = 5.0
    first_byte: Duration = 60.0
    first_token: Duration | None = None  # of a stream that somebody else of a pool could answer; by default as first_byte
    idle: Duration = 180.0
    total: Duration = 600.0
    keep_alive: Duration = 3630.0  # an idle client's connection; longer than any client's own pool
    request_head: Duration = 15.0  # a client must have sent its request head by then
    shutdown: Duration = 30.0
    # A WebSocket on which neither side sends anything, pings included. The sessions of providers last an hour at most:
    # one that was silent for all of it is nobody's any more, and one that is not silent is never cut by us.
    websocket_idle: Duration = 3600.0


class DrainMode(StrEnum):
    """What becomes of new calls once the sidecar was told to stop."""

    FINISH = "finish"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class Drain:
    """How it stops, within `timeouts.shutdown`."""

    # finish: no new connections; for whom has no application left, as a native sidecar. serve: goes on until nobody calls any
    # more; for whom is told to stop together with the application, as a classic sidecar, or is still called, as a gateway.
    mode: DrainMode = DrainMode.FINISH
    quiet: Duration = 5.0  # nobody called for so long: nobody will (serve)


@dataclass(frozen=True, slots=True)
class Limits:
    body: Size = 50 * 1024 * 1024  # larger request bodies are streamed on, unobserved
    observed: Size = 16 * 1024 * 1024  # of one answer, after decoding
    line: Size = 1024 * 1024  # one event of a stream; a longer one passes unread
    head: Size = 64 * 1024  # a response head, trailers included
    concurrency: int | None = None  # calls at once, of all upstreams together
    rates: RateLimits = field(default_factory=RateLimits)
    batch: int = 32  # calls of one POST /x-sidecar/batch
    websockets: int = 1000  # sessions at once; they do not count as connections of their upstream
    labels: int = 200  # distinct values of one open label; the rest are "other"
    series: int = 5000  # children of one metric; the rest fall together as "other"


@dataclass(frozen=True, slots=True)
class UsageSettings:
    ask: Ask = Ask.AUTO
    estimate: bool = False  # count four characters as a token where the provider reports none; shown as estimated


@dataclass(frozen=True, slots=True)
class Dns:
    ttl: Duration = 300.0
    names: int = 500


@dataclass(frozen=True, slots=True)
class Tracing:
    """Traces are on as soon as an OTLP endpoint is known (here or by OTEL_EXPORTER_OTLP_*)."""

    endpoint: str | None = None
    protocol: str | None = None  # http/protobuf (default) or grpc
    ratio: float = 1.0
    slow: Duration = 10.0  # calls slower than this are always kept
    queue: int = 2048  # spans waiting for export at most
    cpu_share: float = 0.01  # of one core, spent on building and encoding spans at most
    propagate: bool = True  # send traceparent to upstreams


class Calls(StrEnum):
    """Which calls have a line in the log."""

    OFF = "off"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Log:
    level: str = "info"
    calls: Calls = Calls.FAILED
    format: str = "auto"  # auto: text on a terminal, JSON otherwise


@dataclass(frozen=True, slots=True)
class Alerts:
    """Whom the sidecar tells of its own alerts. Both files are secrets: the address of a webhook is often its only key."""

    webhook_file: str | None = None  # the URL in it gets messages in the form of Alertmanager's webhooks
    token_file: str | None = None  # sent along as a bearer token


@dataclass(frozen=True, slots=True)
class Journal:
    """The history on disk: a file for each hour and each day. On as soon as a directory is given."""

    directory: str | None = None
    keep: Duration = 30 * 86_400.0
    interval: Duration = 60.0  # a crash loses no more than what came to pass in it


@dataclass(frozen=True, slots=True)
class Prices:
    file: str | None = None  # replaces the built-in price table


@dataclass(frozen=True, slots=True)
class Reload:
    """When a changed configuration is taken, besides SIGHUP and POST /-/reload."""

    watch: bool = True  # what is in its file, and in those that it names, is compared
    interval: Duration = 5.0  # from one look to the next
    debounce: Duration = 1.0  # what has changed is taken when it has been the same for so long


@dataclass(frozen=True, slots=True)
class Settings:
    listen: str = "127.0.0.1:4000"
    admin: Admin = Admin()
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    balancing: Balancing = field(default_factory=Balancing)
    retries: Retries = field(default_factory=Retries)
    hedging: Hedging = field(default_factory=Hedging)
    breaker: Breaker = field(default_factory=Breaker)
    probes: Probes = field(default_factory=Probes)
    queue: Queue = field(default_factory=Queue)
    tenants: Tenants = field(default_factory=Tenants)
    budgets: Budgets = field(default_factory=Budgets)
    cache: Cache = field(default_factory=Cache)
    coalescing: Coalescing = field(default_factory=Coalescing)
    warming: Warming = field(default_factory=Warming)
    batches: Batches = field(default_factory=Batches)
    redis: Redis = field(default_factory=Redis)
    features: Features = field(default_factory=Features)
    timeouts: Timeouts = Timeouts()
    drain: Drain = Drain()
    limits: Limits = field(default_factory=Limits)
    usage: UsageSettings = UsageSettings()
    content: Content = field(default_factory=Content)
    dns: Dns = Dns()
    tracing: Tracing = Tracing()
    prices: Prices = Prices()
    log: Log = Log()
    alerts: Alerts = Alerts()
    journal: Journal = Journal()
    reload: Reload = Reload()
    response_headers: bool = True
    gateway: bool = False  # other machines are meant to make calls: that they can is not warned of

"""Every setting: frozen dataclasses, the default beside the type. No file access here.

Units are in the names where code uses them; in a configuration file durations are written
`250ms`, `3s`, `5m`, `2h` and sizes `64KiB`, `50MiB` (read by `core/settings/`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated


class Unit(StrEnum):
    """How the text of a number is read."""

    DURATION = "duration"
    SIZE = "size"


Duration = Annotated[float, Unit.DURATION]  # seconds
Size = Annotated[int, Unit.SIZE]  # bytes


class Ask(StrEnum):
    """Whether the sidecar may ask for usage on the caller's behalf."""

    AUTO = "auto"
    NEVER = "never"


class RouteKind(StrEnum):
    """What is called on a route."""

    LLM = "llm"
    TOOL = "tool"  # an HTTP tool or an MCP server


class Capture(StrEnum):
    """Where the content of calls goes: prompts, answers, tool calls."""

    OFF = "off"
    SPANS = "spans"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Admin:
    listen: str = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One place that can answer."""

    url: str
    provider: str | None = None  # a GenAI provider name; by default from the url's host
    api_key_file: str | None = None  # sent as the provider's credential in place of the caller's
    connections: int = 100  # most at once
    keep_alive: Duration = 60.0  # an idle connection is closed after this
    max_age: Duration = 600.0  # a connection is not reused after this


@dataclass(frozen=True, slots=True)
class Route:
    """How a path maps to an upstream. The prefix is taken off before forwarding."""

    prefix: str
    upstream: str
    name: str | None = None  # shown in metrics; by default the prefix without slashes
    kind: RouteKind = RouteKind.LLM
    websocket: bool = True  # whether WebSockets are carried


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect: Duration = 5.0
    first_byte: Duration = 60.0
    idle: Duration = 180.0
    total: Duration = 600.0
    keep_alive: Duration = 3630.0  # an idle client's connection; longer than any client's own pool
    request_head: Duration = 15.0  # a client must have sent its request head by then
    shutdown: Duration = 30.0
    # A WebSocket on which neither side sends anything, pings included. The sessions of providers last an hour at most:
    # one that was silent for all of it is nobody's any more, and one that is not silent is never cut by us.
    websocket_idle: Duration = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    body: Size = 50 * 1024 * 1024  # larger request bodies are streamed on, unobserved
    observed: Size = 16 * 1024 * 1024  # of one answer, after decoding
    line: Size = 1024 * 1024  # one event of a stream; a longer one passes unread
    head: Size = 64 * 1024  # a response head, trailers included
    batch: int = 32  # calls of one POST /x-sidecar/batch
    websockets: int = 1000  # sessions at once; they do not count as connections of their upstream
    labels: int = 200  # distinct values of one open label; the rest are "other"
    series: int = 5000  # children of one metric; the rest fall together as "other"


@dataclass(frozen=True, slots=True)
class UsageSettings:
    ask: Ask = Ask.AUTO
    estimate: bool = False  # count four characters as a token where the provider reports none; shown as estimated


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to take out of content: a regular expression, as Python writes them."""

    name: str  # stands in the text's place, as [REDACTED:name]
    pattern: str


@dataclass(frozen=True, slots=True)
class Redact:
    builtin: bool = True  # keys, tokens, e-mail addresses, card, account and phone numbers
    patterns: tuple[Pattern, ...] = ()
    timeout: Duration = 0.1  # of one pattern on one text; beyond it the whole text is withheld


@dataclass(frozen=True, slots=True)
class Content:
    """What is said in calls is recorded only where this asks for it, and then redacted and bounded."""

    capture: Capture = Capture.OFF
    file: str | None = None  # JSON lines, one object per call
    file_bytes_max: Size = 64 * 1024 * 1024  # beyond it the file is renamed to FILE.1, and a new one begun
    bytes_max: Size = 64 * 1024  # each of instructions, input, tools and output
    queue: Size = 16 * 1024 * 1024  # of calls whose content waits to be redacted
    cpu_share: float = 0.05  # of one core, spent on redacting and writing at most
    redact: Redact = Redact()


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


@dataclass(frozen=True, slots=True)
class Log:
    level: str = "info"
    format: str = "auto"  # auto: text on a terminal, JSON otherwise


@dataclass(frozen=True, slots=True)
class Prices:
    file: str | None = None  # replaces the built-in price table


@dataclass(frozen=True, slots=True)
class Settings:
    listen: str = "127.0.0.1:4000"
    admin: Admin = Admin()
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    usage: UsageSettings = UsageSettings()
    content: Content = Content()
    dns: Dns = Dns()
    tracing: Tracing = Tracing()
    prices: Prices = Prices()
    log: Log = Log()
    response_headers: bool = True


# Always there; a route or upstream of the same prefix or name in the configuration replaces them.
BUILT_IN_UPSTREAMS: Mapping[str, Upstream] = {
    "openai": Upstream("https://api.openai.com", provider="openai"),
    "anthropic": Upstream("https://api.anthropic.com", provider="anthropic"),
    "openrouter": Upstream("https://openrouter.ai/api", provider="openrouter"),
    "gemini": Upstream("https://generativelanguage.googleapis.com", provider="gcp.gemini"),
    "ollama": Upstream("http://127.0.0.1:11434", provider="ollama"),
}
BUILT_IN_ROUTES: tuple[Route, ...] = tuple(Route(f"/{name}/", name) for name in BUILT_IN_UPSTREAMS)

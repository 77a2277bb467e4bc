"""What single settings must look like beyond their type."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from sidecar.config import (
    Admin,
    Alerts,
    Balancing,
    Batches,
    Breaker,
    Budget,
    Budgets,
    Cache,
    Content,
    Hedging,
    HttpServer,
    Journal,
    Log,
    ModelGroup,
    Pattern,
    Pool,
    Prices,
    Queue,
    Rate,
    RateLimits,
    Redis,
    Reload,
    Retries,
    Route,
    Settings,
    Tenants,
    TlsServer,
    Tracing,
    Upstream,
    Warming,
    WebConfig,
)
from sidecar.core.identify.tenants import is_tenant
from sidecar.core.settings.shapes import (
    BCRYPT_COSTS,
    MODEL_CHARS_MAX,
    is_base_url,
    is_bcrypt,
    is_digest,
    is_ignorable_field,
    is_model,
    is_name,
    is_pattern,
    is_prefix,
    is_probe_path,
    is_redis_url,
    is_text,
    name_choices,
    split_listen,
)

_LARGEST: Final = 1_000_000
_RATE_MAX: Final = 1e12
_USD_MAX: Final = 1e9
ATTEMPTS_MAX: Final = 10
ANY_MODEL: Final = "*"  # in `models`: every other one
_CONTENT_BYTES_MIN: Final = 1024
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


class Form(NamedTuple):
    """A rule for one value of the right type, and how it is explained."""

    allowed: str
    accepts: Callable[[Any], bool]
    is_secret: bool = False  # what does not have it may be a secret, and is not shown


def _one_of(*names: str) -> Form:
    return Form(name_choices(names), names.__contains__)


TEXT: Final = Form("text on one line", is_text)
NAME: Final = Form("a name of letters, digits and . _ - /, at most 64", is_name)
COUNT: Final = Form("a whole number of at least 1", lambda number: 1 <= number <= 2**31)
_LISTEN: Final = Form("host:port, such as 127.0.0.1:4000 or [::1]:4000", lambda text: split_listen(text) is not None)
_URL: Final = Form("an http or https URL with a host, without user, query or fragment", is_base_url)

_FILE: Final = Form("the path of a file with one line in it", is_text)
_SHARE: Final = Form("a number from 0 to 1", lambda number: 0 <= number <= 1)
_SHARE_ABOVE_0: Final = Form("a number above 0, at most 1", lambda number: 0 < number <= 1)
_PERCENTILE: Final = Form("a number above 0 and below 1, such as 0.95", lambda number: 0 < number < 1)
_ASKED: Final = Form(
    f"a model's name in full, at most {MODEL_CHARS_MAX} visible characters, or {ANY_MODEL} alone for every other model",
    lambda text: is_model(text) and (ANY_MODEL not in text or text == ANY_MODEL),
)
_CALLED: Final = Form(
    f"a model's name in full, at most {MODEL_CHARS_MAX} visible characters", lambda text: is_model(text) and text != ANY_MODEL
)


_PLACE: Final = Form("the path of a file", is_text)
_TENANT: Final = Form("a tenant's name: a letter or digit, then up to 63 letters, digits and . _ - : /", is_tenant)
_DIGEST: Final = Form(
    "the SHA-256 of a credential, never itself: 64 hex digits in lower case, as `printf %s KEY | sha256sum` prints",
    is_digest,
    is_secret=True,
)
_PER_SECOND: Final = Form("a number above 0, at most 10^12", lambda number: 0 < number <= _RATE_MAX)
_PER_WINDOW: Final = Form("a number from 1 to 10^12", lambda number: 1 <= number <= _RATE_MAX)
_USD: Final = Form("US dollars: a number above 0, at most 10^9", lambda number: 0 < number <= _USD_MAX)


def _whole_number(least: int, most: int) -> Form:
    return Form(f"a whole number from {least} to {most}", lambda number: least <= number <= most)


def _several(what: str) -> Form:
    return Form(f"a list of at least one {what}", bool)


# By the dataclass and the field; what is not here has no rule beyond its type's. Of a list: as it was written.
FORMS: Final[Mapping[tuple[type, str], Form]] = {
    (Settings, "listen"): _LISTEN,
    (Admin, "listen"): _LISTEN,
    (Upstream, "url"): _URL,
    (Admin, "token_file"): _FILE,
    (Admin, "web_config_file"): _PLACE,
    (Upstream, "provider"): NAME,
    (Upstream, "api_key_file"): Form("the path of a file that holds the key", is_text),
    (Upstream, "weight"): Form(f"a number above 0, at most {_LARGEST}", lambda number: 0 < number <= _LARGEST),
    (Upstream, "quality"): _SHARE,
    (Upstream, "probe_path"): Form("a path that starts with /, such as /health", is_probe_path),
    (Pool, "upstreams"): _several("upstream's name"),
    (Route, "prefix"): Form("a path that starts and ends with /, such as /chat/", is_prefix),
    (Route, "upstream"): NAME,
    (Route, "pool"): NAME,
    (Route, "name"): NAME,
    (Tracing, "endpoint"): _URL,
    (Tracing, "protocol"): _one_of("http/protobuf", "grpc"),
    (Tracing, "ratio"): _SHARE,
    (Tracing, "cpu_share"): _SHARE_ABOVE_0,
    (Content, "file"): Form("the path of a file to write", is_text),
    (Content, "bytes_max"): Form("a size from 1KiB to 1MiB", lambda size_bytes: _CONTENT_BYTES_MIN <= size_bytes <= 2**20),
    (Content, "cpu_share"): _SHARE_ABOVE_0,
    (Balancing, "window"): _whole_number(1, 100_000),
    (Balancing, "learning_rate"): _SHARE_ABOVE_0,
    (Balancing, "threshold"): _SHARE,
    (Balancing, "ejection_max"): _SHARE,
    (Balancing, "panic"): _SHARE,
    (Retries, "attempts"): _whole_number(1, ATTEMPTS_MAX),
    (Retries, "budget_share"): _SHARE,
    (Retries, "budget_floor"): Form(f"a number from 0 to {_LARGEST}", lambda number: 0 <= number <= _LARGEST),
    (Hedging, "percentile"): _PERCENTILE,
    (Hedging, "share_max"): _SHARE,
    (Breaker, "error_share"): _SHARE_ABOVE_0,
    (Breaker, "slow_share"): _SHARE_ABOVE_0,
    (ModelGroup, "models"): _several("model's name"),
    (Queue, "size"): _whole_number(0, _LARGEST),
    (Cache, "memory_share"): _SHARE_ABOVE_0,
    (Cache, "refresh_share"): _SHARE,
    (Warming, "file"): _PLACE,
    (Warming, "key_file"): _FILE,
    (Warming, "tenant"): _TENANT,
    (Batches, "inputs"): _whole_number(2, 2048),
    (Tenants, "prefix"): Form("a path that starts and ends with /, such as /tenants/", lambda text: is_prefix(text) and text != "/"),
    (Tenants, "default"): _TENANT,
    (Rate, "per_second"): _PER_SECOND,
    (Rate, "burst"): _PER_WINDOW,
    (Rate, "per_minute"): _PER_WINDOW,
    (Rate, "per_hour"): _PER_WINDOW,
    (Rate, "per_day"): _PER_WINDOW,
    (Budget, "day"): _USD,
    (Budget, "month"): _USD,
    (Budgets, "file"): _PLACE,
    (Budgets, "soft"): _SHARE_ABOVE_0,
    (Budgets, "unpriced"): Form("US dollars: a number from 0 to 10^9", lambda number: 0 <= number <= _USD_MAX),
    (Redis, "url"): Form(
        "redis://HOST:PORT/DB, or rediss:// for TLS, without user and password: redis.username, redis.password_file", is_redis_url
    ),
    (Redis, "password_file"): _FILE,
    (Redis, "ca_file"): _PLACE,
    (Redis, "connections"): _whole_number(1, 1000),
    (Redis, "prefix"): NAME,
    (Redis, "encryption_key_file"): Form("the path of a file that holds 32 bytes in base64", is_text),
    (Pattern, "name"): NAME,
    (Pattern, "pattern"): Form("a regular expression that does not match an empty text", is_pattern),
    (Alerts, "webhook_file"): _FILE,
    (Alerts, "token_file"): _FILE,
    (Log, "level"): _one_of("debug", "info", "warning", "error"),
    (Log, "format"): _one_of("auto", "text", "json"),
    (Journal, "directory"): Form("the path of a directory for this sidecar alone", is_text),
    (Journal, "keep"): Form("a duration from 1d to 365d, such as 30d", lambda seconds: seconds >= _DAY_S),
    (Journal, "interval"): Form("a duration from 100ms to 1h, such as 1m", lambda seconds: 0.1 <= seconds <= _HOUR_S),
    (Reload, "interval"): Form("a duration from 100ms to 1h, such as 5s", lambda seconds: 0.1 <= seconds <= _HOUR_S),
    (Reload, "debounce"): Form("a duration of at most 1h, such as 1s", lambda seconds: seconds <= _HOUR_S),
    (Prices, "file"): Form("the path of a price table", is_text),
    (TlsServer, "client_allowed_sans"): _several("name of a client's certificate"),
}
# What lists and maps hold: their parts, and the keys of a map where those are no names of ours.
PARTS: Final[Mapping[tuple[type, str], Form]] = {
    (Upstream, "models"): _CALLED,
    (Pool, "upstreams"): NAME,
    (ModelGroup, "models"): Form(f"a model's name, at most {MODEL_CHARS_MAX} visible characters, where * stands for anything", is_model),
    (Cache, "ignore_headers"): Form(
        "a field's name in lower case, such as x-trace; never one of a credential, of a coding or of ours", is_ignorable_field
    ),
    (Tenants, "keys"): _TENANT,
    (Tenants, "names"): _TENANT,
    (HttpServer, "headers"): Form("visible ASCII on one line", lambda text: text.isascii() and text.isprintable()),
    (WebConfig, "basic_auth_users"): Form(
        f"a bcrypt hash of cost {BCRYPT_COSTS[0]} to {BCRYPT_COSTS[-1]}, as `htpasswd -nBC 10 NAME` prints after the colon",
        is_bcrypt,
        is_secret=True,
    ),
}
KEYS: Final[Mapping[tuple[type, str], Form]] = {
    (Upstream, "models"): _ASKED,
    (Route, "tools"): Form(f"a tool's name, at most {MODEL_CHARS_MAX} visible characters", is_model),
    (Tenants, "keys"): _DIGEST,
    (HttpServer, "headers"): _one_of(
        "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "X-XSS-Protection", "Strict-Transport-Security"
    ),
    (WebConfig, "basic_auth_users"): Form("a user's name on one line, without a colon", lambda text: is_text(text) and ":" not in text),
    (RateLimits, "tenants"): _TENANT,
    (Budgets, "tenants"): _TENANT,
}

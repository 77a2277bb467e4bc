"""What single settings must look like beyond their type: URLs, addresses, prefixes, names, ranges."""

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sidecar.config import (
    Admin,
    Balancing,
    Breaker,
    Content,
    Hedging,
    Log,
    ModelGroup,
    Pattern,
    Pool,
    Prices,
    Queue,
    Retries,
    Route,
    Settings,
    Tracing,
    Upstream,
)

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")
_PREFIX: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_PROBE_PATH: Final = re.compile(r"/[!\"$-\[\]-~]*")  # what a request target may hold: no fragment, no backslash
_PATTERN_CHARS_MAX: Final = 4096
_MODEL_CHARS_MAX: Final = 200
_LARGEST: Final = 1_000_000
ATTEMPTS_MAX: Final = 10
ANY_MODEL: Final = "*"  # in `models`: every other one
_CONTENT_BYTES_MIN: Final = 1024
_PORT: Final = re.compile(r"[0-9]{1,5}")


class Form(NamedTuple):
    """A rule for one value of the right type, and how it is explained."""

    allowed: str
    accepts: Callable[[Any], bool]


def is_text(text: str) -> bool:
    """Whether text is there and can be shown on one line."""
    return bool(text) and text.isprintable()


def is_name(text: str) -> bool:
    """Whether text can name an upstream, a route or a provider: it becomes a metric label."""
    return _NAME.fullmatch(text) is not None


def is_model(text: str) -> bool:
    """Whether text can be a model's name, as callers and providers write them: `org/model:tag`, `model@20250101`."""
    return 0 < len(text) <= _MODEL_CHARS_MAX and text.isprintable() and text == text.strip()


def is_probe_path(text: str) -> bool:
    """Whether text can be sent as a request target: a path, and perhaps a query."""
    return _PROBE_PATH.fullmatch(text) is not None and not _has_dot_segment(text.partition("?")[0])


def is_prefix(text: str) -> bool:
    """Whether text is a path prefix that can be compared with request targets as they come."""
    return _PREFIX.fullmatch(text) is not None and not _has_dot_segment(text)


def is_base_url(text: str) -> bool:
    """Whether text is an absolute http(s) URL to which a path can be appended (RFC 3986)."""
    # urlsplit drops tabs and line ends and accepts backslashes: what a client would dial must be what was read.
    if not _VISIBLE_ASCII.fullmatch(text) or any(char in text for char in "\\@?#"):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or port == 0:
        return False
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    return _is_host(host) and not _has_dot_segment(parts.path)


def split_listen(text: str) -> tuple[str, int] | None:
    """Return host (an IPv6 address without its brackets) and port of `host:port`, or None."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535 or not _is_host(host):
        return None
    return host.strip("[]"), int(port)


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return _HOST.fullmatch(text) is not None
    try:
        IPv6Address(text[1:-1])
    except ValueError:
        return False
    return text.endswith("]")


def _has_dot_segment(path: str) -> bool:
    """RFC 3986 section 5.2.4: a server would resolve it, and go elsewhere than we read."""
    return any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/"))


def name_choices(names: Iterable[str]) -> str:
    """Return names as a sentence offers them: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _one_of(*names: str) -> Form:
    return Form(name_choices(names), names.__contains__)


def is_pattern(text: str) -> bool:
    """Whether text is a regular expression that finds something rather than nothing everywhere."""
    if not text or len(text) > _PATTERN_CHARS_MAX:
        return False
    try:
        return re.compile(text).search("") is None
    except (re.error, OverflowError, RecursionError):
        return False


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
    f"a model's name in full, at most {_MODEL_CHARS_MAX} visible characters, or {ANY_MODEL} alone for every other model",
    lambda text: is_model(text) and (ANY_MODEL not in text or text == ANY_MODEL),
)
_CALLED: Final = Form(
    f"a model's name in full, at most {_MODEL_CHARS_MAX} visible characters", lambda text: is_model(text) and text != ANY_MODEL
)


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
    (Pattern, "name"): NAME,
    (Pattern, "pattern"): Form("a regular expression that does not match an empty text", is_pattern),
    (Log, "level"): _one_of("debug", "info", "warning", "error"),
    (Log, "format"): _one_of("auto", "text", "json"),
    (Prices, "file"): Form("the path of a price table", is_text),
}
# What lists and maps hold: their parts, and the keys of a map where those are no names of ours.
PARTS: Final[Mapping[tuple[type, str], Form]] = {
    (Upstream, "models"): _CALLED,
    (Pool, "upstreams"): NAME,
    (ModelGroup, "models"): Form(f"a model's name, at most {_MODEL_CHARS_MAX} visible characters, where * stands for anything", is_model),
}
KEYS: Final[Mapping[tuple[type, str], Form]] = {(Upstream, "models"): _ASKED}

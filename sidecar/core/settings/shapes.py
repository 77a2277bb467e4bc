"""Shapes that text can have in settings: URLs, addresses, prefixes, names, expressions."""

import re
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")
_PREFIX: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_PROBE_PATH: Final = re.compile(r"/[!\"$-\[\]-~]*")  # what a request target may hold: no fragment, no backslash
_PATTERN_CHARS_MAX: Final = 4096
MODEL_CHARS_MAX: Final = 200
_PORT: Final = re.compile(r"[0-9]{1,5}")
_REDIS_URL: Final = re.compile(r"rediss?://([^/]+)(?:/[0-9]{0,4})?")
_REDIS_PORT: Final = ":6379"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST_OF_NOTHING: Final = sha256().hexdigest()
# A salt of 16 bytes and a hash of 23 in bcrypt's own base64; of a salt's last character four bits mean nothing.
_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
# Each step doubles the time: at 10 a password takes 60 ms, at 18 a quarter of a minute.
BCRYPT_COSTS: Final = range(4, 19)
_FIELD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")  # RFC 9110 section 5.6.2, in lower case
# What answers depend on whatever an operator says: whose they are, and what can be read of them.
_TELLING_FIELDS: Final = frozenset({
    "authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie",
    "content-type", "content-encoding", "accept-encoding",
})  # fmt: skip


def is_text(text: str) -> bool:
    """Whether text is there and can be shown on one line."""
    return bool(text) and text.isprintable()


def is_name(text: str) -> bool:
    """Whether text can name an upstream, a route or a provider: it becomes a metric label."""
    return _NAME.fullmatch(text) is not None


def is_model(text: str) -> bool:
    """Whether text can be a model's name, as callers and providers write them: `org/model:tag`, `model@20250101`."""
    return 0 < len(text) <= MODEL_CHARS_MAX and text.isprintable() and text == text.strip()


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


def is_webhook_url(text: str) -> bool:
    """Whether text is an absolute http(s) URL, with a query perhaps, and without user and fragment (RFC 3986)."""
    before, _, query = text.partition("?")
    return is_base_url(before) and not any(char in query for char in "\\#") and (not query or bool(_VISIBLE_ASCII.fullmatch(query)))


def is_redis_url(text: str) -> bool:
    """Whether text is a redis: or rediss: URL of a server, with a database perhaps, and without user or password."""
    matched = _REDIS_URL.fullmatch(text) if _VISIBLE_ASCII.fullmatch(text) else None
    if matched is None:
        return False
    authority = matched[1]
    has_port = ":" in authority.rpartition("]")[2]
    split = split_listen(authority if has_port else authority + _REDIS_PORT)
    return split is not None and split[1] > 0


def is_digest(text: str) -> bool:
    """Whether text is a SHA-256 in hex, as `sha256sum` prints it, and of something."""
    return _DIGEST.fullmatch(text) is not None and text != _DIGEST_OF_NOTHING


def is_bcrypt(text: str) -> bool:
    """Whether text is a password's bcrypt hash that can be compared with in reasonable time."""
    matched = _BCRYPT.fullmatch(text)
    return matched is not None and int(matched[1]) in BCRYPT_COSTS


def is_ignorable_field(text: str) -> bool:
    """Whether text is the name of a request field that can be left out of what an answer is kept under."""
    return _FIELD.fullmatch(text) is not None and text not in _TELLING_FIELDS and not text.startswith("x-sidecar-")


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


def is_pattern(text: str) -> bool:
    """Whether text is a regular expression that finds something rather than nothing everywhere."""
    if not text or len(text) > _PATTERN_CHARS_MAX:
        return False
    try:
        return re.compile(text).search("") is None
    except (re.error, OverflowError, RecursionError):
        return False

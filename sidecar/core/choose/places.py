"""Upstreams as the path sees them: what their configuration comes to, worked out once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar.config import Upstream
from sidecar.core.identify.providers import ANSWERS_USAGE, name_provider


class Place(NamedTuple):
    """One upstream: where it listens, who it is, and what requests to it carry."""

    name: str
    provider: str
    scheme: str
    host: str
    port: int
    base_path: bytes  # without a slash at its end
    authority: bytes  # the Host field
    answers_usage: bool  # known to answer stream_options.include_usage
    credential: tuple[bytes, ...]  # fields that replace the caller's credential, as `Name: value`
    models: Mapping[str, str] = MappingProxyType({})  # what callers ask for → what it is called there


NOWHERE: Final = Place("", "", "", "", 0, b"", b"", False, ())  # of a call that no route took


def read_place(name: str, upstream: Upstream, api_key: str | None) -> Place:
    """Return the place that a validated upstream describes. `api_key` is the content of its key file."""
    parts = urlsplit(upstream.url)
    host = parts.hostname or ""
    default = 443 if parts.scheme == "https" else 80
    port = parts.port or default
    literal = f"[{host}]" if ":" in host else host
    authority = literal if port == default else f"{literal}:{port}"
    provider = name_provider(host, upstream.provider)
    return Place(
        name, provider, parts.scheme, host, port, parts.path.rstrip("/").encode("ascii"), authority.encode("ascii"),
        provider in ANSWERS_USAGE, _credential_fields(provider, api_key), upstream.models,
    )  # fmt: skip


def is_same_place(one: Place, other: Place) -> bool:
    """Tell whether two are the same place: what is known of one, and connections to it, hold for the other. Keys may differ."""
    return _locate(one) == _locate(other)


def list_kept(before: Mapping[str, Place], after: Mapping[str, Place]) -> frozenset[str]:
    """Return the names that stand for the same place in both."""
    return frozenset(name for name, place in after.items() if name in before and is_same_place(before[name], place))


def _locate(place: Place) -> tuple[str, str, str, int, bytes]:
    return place.provider, place.scheme, place.host, place.port, place.base_path


def read_places(upstreams: Mapping[str, Upstream], api_keys: Mapping[str, str]) -> dict[str, Place]:
    """Return every upstream's place by name."""
    return {name: read_place(name, upstream, api_keys.get(name)) for name, upstream in upstreams.items()}


def _credential_fields(provider: str, api_key: str | None) -> tuple[bytes, ...]:
    if api_key is None:
        return ()
    key = api_key.encode("ascii")
    if provider == "anthropic":
        return (b"x-api-key: " + key,)
    if provider == "gcp.gemini":
        return (b"x-goog-api-key: " + key,)
    if provider in ("azure.ai.openai", "azure.ai.inference"):
        return (b"api-key: " + key,)
    return (b"Authorization: Bearer " + key,)

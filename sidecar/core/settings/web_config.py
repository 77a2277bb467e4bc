"""The file of `admin.web_config_file`: from a parsed tree to WebConfig, every problem at once.

The format is that of Prometheus' exporter-toolkit. What it allows and would not do what it says, is a problem here: TLS settings
without a certificate, names that nobody checks. What can only be done in part is told, see `list_remarks`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.config import CipherSuite, ClientAuth, TlsServer, TlsVersion, Unit, WebConfig
from sidecar.core.settings.decode import convert, decode
from sidecar.core.settings.merge import Merged
from sidecar.core.settings.redaction import show
from sidecar.core.settings.resolution import locate
from sidecar.core.settings.shapes import name_choices
from sidecar.core.settings.tree import Document, Fault
from sidecar.errors import ConfigError

_TLS: Final = "tls_server_config"
_HEADERS: Final = ("http_server_config", "headers")
_USERS: Final = "basic_auth_users"
_INTERVAL: Final = ("rate_limit", "interval")
VERIFYING: Final = (ClientAuth.VERIFY_IF_GIVEN, ClientAuth.REQUIRE_AND_VERIFY)
_ANY: Final = (ClientAuth.REQUIRE_ANY, ClientAuth.REQUIRE)
_SERVED: Final = (TlsVersion.TLS12, TlsVersion.TLS13)
_OF_TLS13: Final = (CipherSuite.TLS13_AES_128, CipherSuite.TLS13_AES_256, CipherSuite.TLS13_CHACHA20)
# What a header may be, where not just any text.
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {"X-Content-Type-Options": ("nosniff",), "X-Frame-Options": ("deny", "sameorigin")}


def read_web_config(document: Document) -> WebConfig:
    """Return what a file says. Raises ConfigError with every problem of it; no secret is in its text."""
    tree = _level(document.tree)
    config, faults = decode(WebConfig, tree)
    as_written = Merged(document.tree, dict(document.lines))
    found = (*document.faults, *faults, *_check_tls(tree.get(_TLS)), *_check_headers(tree), *_check_rate(tree))
    if config is None or found:
        problems = [locate(fault, as_written, document.source) for fault in found]
        raise ConfigError(document.source, sorted(problems, key=lambda problem: problem.line or math.inf))
    return config


def list_remarks(config: WebConfig) -> list[str]:
    """Return in which respects a file is not followed to the letter, each as a sentence."""
    tls, http = config.tls_server_config, config.http_server_config
    found = []
    if http.http2:
        found.append("http_server_config.http2: the admin port speaks HTTP/1.1 only, to clients of HTTP/2 as well.")
    if http.headers.get("X-Frame-Options") == "sameorigin":
        found.append("http_server_config.headers.X-Frame-Options: the sidecar's pages stand in no frame; DENY stays.")
    if tls is None:
        return found
    if tls.min_version not in _SERVED:
        found.append(f"{_TLS}.min_version: TLS 1.2 is the oldest that is spoken.")
    if len(tls.curve_preferences) > 1:
        first = tls.curve_preferences[0]
        found.append(f"{_TLS}.curve_preferences: one curve can be set; it is the first, {first}, and no other is used.")
    if tls.client_auth_type is ClientAuth.REQUEST:
        found.append(f"{_TLS}.client_auth_type: no certificate is asked for, since RequestClientCert lets in whoever has none.")
    if tls.client_auth_type in VERIFYING and not tls.has_authority:
        found.append(f"{_TLS}.client_ca_file: none; clients of every authority that this system trusts are let in.")
    return found


def _level(tree: dict[Any, Any]) -> dict[Any, Any]:
    """Return a tree in which what means the same to the format is the same.

    Empty texts, headings with nothing under them and a burst of 0 are as good as absent; a header's value may look like a number.
    """
    level = _drop_blanks(tree)
    http, rate = level.get(_HEADERS[0]), level.get("rate_limit")
    headers = http.get(_HEADERS[1]) if isinstance(http, dict) else None
    if isinstance(headers, dict):
        headers.update({name: str(value) for name, value in headers.items() if type(value) is int})
    if isinstance(rate, dict) and rate.get("burst") == 0:
        del rate["burst"]
    return level


def _drop_blanks(tree: dict[Any, Any]) -> dict[Any, Any]:
    kept = {key: part for key, part in tree.items() if part not in ("", None)}
    # A user without a hash is not absent: nobody would be asked for a password.
    return {key: _drop_blanks(part) if isinstance(part, dict) and key != _USERS else part for key, part in kept.items()}


def _check_tls(tls: Any) -> Iterator[Fault]:
    if not isinstance(tls, dict) or not tls:
        return
    for name in ("cert", "key"):
        path = (_TLS, f"{name}_file")
        if name in tls and f"{name}_file" in tls:
            yield Fault((_TLS, name), f"{name} beside {name}_file", "one of the two")
        elif name not in tls and f"{name}_file" not in tls:
            yield Fault(path, "nothing", f"{name}_file, the path of a PEM file, or {name}, its text")
    yield from _check_clients(tls)
    yield from _check_versions(tls)


def _check_clients(tls: dict[Any, Any]) -> Iterator[Fault]:
    auth = tls.get("client_auth_type", ClientAuth.NONE)
    if "client_ca" in tls and "client_ca_file" in tls:
        yield Fault((_TLS, "client_ca"), "client_ca beside client_ca_file", "one of the two")
    if auth in _ANY:
        allowed = f"{name_choices([ClientAuth.NONE, ClientAuth.REQUEST, *VERIFYING])}: certificates that nobody signed cannot be let in"
        yield Fault((_TLS, "client_auth_type"), show(auth), allowed)
        return
    for name in ("client_ca", "client_ca_file"):
        if name in tls and auth == ClientAuth.NONE:
            yield Fault((_TLS, name), "an authority that nobody is asked for", f"client_auth_type {name_choices(VERIFYING)} beside it")
    if "client_allowed_sans" in tls and auth in (ClientAuth.NONE, ClientAuth.REQUEST):
        yield Fault(
            (_TLS, "client_allowed_sans"), "names that nobody is asked for", f"client_auth_type {name_choices(VERIFYING)} beside it"
        )


def _check_versions(tls: dict[Any, Any]) -> Iterator[Fault]:
    known = list(TlsVersion)
    least, most = (tls.get(name, getattr(TlsServer(), name)) for name in ("min_version", "max_version"))
    if least not in known or most not in known:
        return
    if most not in _SERVED:
        yield Fault((_TLS, "max_version"), show(most), f"{name_choices(_SERVED)}: nothing older is spoken")
    elif known.index(least) > known.index(most):
        yield Fault((_TLS, "min_version"), f"{show(least)}, above max_version ({show(most)})", "min_version no higher than max_version")
    suites = tls.get("cipher_suites")
    if most == TlsVersion.TLS12 and isinstance(suites, list) and suites and all(suite in _OF_TLS13 for suite in suites):
        yield Fault((_TLS, "cipher_suites"), "suites of TLS 1.3 only, where TLS 1.2 is the highest", "a suite of TLS 1.2 among them")


def _check_headers(tree: dict[Any, Any]) -> Iterator[Fault]:
    http = tree.get(_HEADERS[0])
    headers = http.get(_HEADERS[1]) if isinstance(http, dict) else None
    for name, values in _VALUES.items():
        value = headers.get(name) if isinstance(headers, dict) else None
        if isinstance(value, str) and value not in values:
            yield Fault((*_HEADERS, name), show(value), name_choices(values) if len(values) > 1 else values[0])


def _check_rate(tree: dict[Any, Any]) -> Iterator[Fault]:
    rate = tree.get("rate_limit")
    if not isinstance(rate, dict):
        return
    interval = rate.get("interval")
    if isinstance(interval, int | float) and interval > 0:
        yield Fault(_INTERVAL, f"{show(interval)}, which the format takes for nanoseconds", "a duration with its unit, such as 100ms or 1s")
    elif convert(Unit.LIFETIME, interval) and "burst" not in rate:
        yield Fault(("rate_limit", "burst"), "nothing", "a whole number of at least 1: without it every request would be refused")

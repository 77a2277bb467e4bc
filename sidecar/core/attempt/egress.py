"""Whether an upstream is reached through an egress proxy, as the environment asks (P5).

The rules are those of curl and Python's own clients: lower case before upper case, `NO_PROXY` as a
list of hosts, domain suffixes, `host:port`, address blocks, or `*` for all.
"""

import base64
import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sidecar.errors import ConfigError, ConfigProblem

# Lower case first: a web server may set upper-case ones from request headers.
_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


class EgressProxy(NamedTuple):
    """An HTTP proxy that tunnels (RFC 9110 section 9.3.6)."""

    host: str
    port: int
    authorization: bytes | None  # a Proxy-Authorization value


def find_egress_proxy(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> EgressProxy | None:
    """Return the proxy through which `host` is reached, or None for the direct way.

    Only `https` upstreams are tunnelled: plain ones are, in practice, inside the cluster. Raises
    ConfigError for a proxy that is not an HTTP one: going past it in silence may be what it is there
    to prevent.
    """
    if scheme != "https" or _is_exempt(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    for variable in _VARIABLES:
        if text := environ.get(variable):
            return _read_proxy(variable, text)
    return None


def _read_proxy(variable: str, text: str) -> EgressProxy:
    # What stands there may hold a password: it is not repeated.
    unusable = ConfigError("environment", [ConfigProblem(variable, "a proxy that cannot be used", "http://[USER:PASSWORD@]HOST[:PORT]")])
    try:
        parts = urlsplit(text if "://" in text else "http://" + text)
        hostname, port = parts.hostname, parts.port or 80
    except ValueError:
        raise unusable from None
    if not hostname or parts.scheme != "http":
        raise unusable
    authorization = None
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return EgressProxy(hostname, port, authorization)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    host = host.lower().rstrip(".")
    for raw in no_proxy.split(","):
        entry = raw.strip().lower()
        if not entry:
            continue
        if entry == "*":
            return True
        if "/" in entry:
            if _is_in_block(host, entry):
                return True
            continue
        name, _, wanted_port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
        if wanted_port and wanted_port != str(port):
            continue
        name = name.lstrip("*").lstrip(".")
        if host == name or host.endswith("." + name):
            return True
    return False


def _is_in_block(host: str, block: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def compose_connect(host: str, port: int, authorization: bytes | None) -> bytes:
    """Return the request that asks a proxy for a tunnel (RFC 9110 section 9.3.6)."""
    authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
    lines = [b"CONNECT " + authority + b" HTTP/1.1", b"Host: " + authority]
    if authorization:
        lines.append(b"Proxy-Authorization: " + authorization)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def read_connect_status(head: bytes) -> int | None:
    """Return the status of a tunnel's answer, None where it is no HTTP answer."""
    line = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(line) < 2 or not line[0].startswith(b"HTTP/1.") or len(line[1]) != 3 or not line[1].isdigit():
        return None
    return int(line[1])

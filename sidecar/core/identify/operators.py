"""Whether somebody who wants to change something by the admin port may.

A web page that an operator has open can send requests to ports of the operator's machine. What it cannot do unasked is to
send `application/json` to another origin (the Fetch standard, CORS-safelisted request headers), or to name a host in `Host`
that is not its own: a page whose name was made to resolve to this machine (DNS rebinding) still says that name.
"""

import hmac
from base64 import b64decode
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

_SCHEME = "bearer"
_BASIC = "basic"


class Visitor(NamedTuple):
    """What a request says of whoever sends it: every value of each field."""

    authorization: Sequence[str]
    host: Sequence[str]
    origin: Sequence[str]
    content_type: Sequence[str]
    fetch_site: Sequence[str] = ()  # Sec-Fetch-Site: what a browser says of the page that made it send this
    is_get: bool = False  # else a POST


class Refusal(NamedTuple):
    """Why not, and what would do: an HTTP status and a sentence."""

    status: int
    message: str


def refuse_change(visitor: Visitor, token: str | None, *, is_local: bool, is_known: bool = False, scheme: str = "http") -> Refusal | None:
    """Return why a visitor may not change anything; None where it may.

    `token`: what `admin.token_file` holds. `is_local`: the admin port listens on loopback only. `is_known`: it gave a password that
    is right. `scheme`: what the admin port's own pages are called by.
    """
    if token is not None and has_token(visitor.authorization, token):
        return None
    if is_known:  # a browser sends the password with what pages of others make it send, but not under another name of this host
        return _refuse_page(visitor, scheme)
    if token is not None:
        return Refusal(401, "This needs the header Authorization: Bearer TOKEN, with the token of admin.token_file.")
    if not is_local:
        return Refusal(
            403,
            "The admin port is not on loopback: changes need a token, which the setting admin.token_file names, or a user's password, "
            "which that of admin.web_config_file does.",
        )
    if len(visitor.host) != 1 or not _is_local_name(visitor.host[0]):
        return Refusal(403, "The Host header must name this machine: localhost, or an address of loopback.")
    return _refuse_page(visitor, scheme)


def _refuse_page(visitor: Visitor, scheme: str) -> Refusal | None:
    """Return why what was sent may be the doing of another's page."""
    own = {f"{scheme}://{host.lower()}" for host in visitor.host} if len(visitor.host) == 1 else set()
    if any(origin.lower() not in own for origin in visitor.origin):
        return Refusal(403, "Pages of other origins may change nothing here.")
    if visitor.is_get:
        # Any page can make a browser send a GET; every browser of today tells then that it was another site's.
        if not {site.lower() for site in visitor.fetch_site} <= {"same-origin", "none"}:
            return Refusal(403, "Pages of other origins may change nothing here.")
    elif [_media_type(value) for value in visitor.content_type] != ["application/json"]:
        return Refusal(415, "The body must be sent as Content-Type: application/json.")
    return None


def is_loopback(host: str) -> bool:
    """Tell whether an address, as sockets tell it, is reached from this machine only."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def read_basic(authorization: Sequence[str]) -> tuple[str, bytes] | None:
    """Return user and password of basic authentication (RFC 7617); None where there is no such thing, or more than one."""
    if len(authorization) != 1:
        return None
    scheme, _, given = authorization[0].partition(" ")
    try:
        user, colon, password = b64decode(given.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon and scheme.lower() == _BASIC else None
    except ValueError:
        return None


def has_token(authorization: Sequence[str], token: str) -> bool:
    """Tell whether a bearer token was sent, and is the right one."""
    if len(authorization) != 1:
        return False
    scheme, _, given = authorization[0].partition(" ")
    # Compared in the same time whatever is wrong with it, as bytes: the comparison of strings takes ASCII only.
    is_right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode("ascii"))
    return is_right and scheme.lower() == _SCHEME


def _is_local_name(authority: str) -> bool:
    if authority.startswith("["):
        name, bracket, port = authority[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return False
        return is_loopback(name)
    name, colon, port = authority.partition(":")
    if colon and not _is_port(colon + port):
        return False
    return name.lower() == "localhost" or is_loopback(name)


def _is_port(text: str) -> bool:
    return text[1:].isdecimal() and text[0] == ":"


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()

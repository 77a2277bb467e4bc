"""Which route takes a path: the longest prefix wins, and is taken off before forwarding."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sidecar.config import Pool, Route, RouteKind
from sidecar.core.observe.contract import Dialect, SessionDialect
from sidecar.core.observe.dialects import OPAQUE, dialect_for
from sidecar.core.observe.dialects.session_endpoints import session_dialect_for
from sidecar.core.observe.dialects.tool_http import name_tool

# Paths come from callers: remember only so many decisions, then decide anew each time.
_REMEMBERED_MAX: Final = 1024


class Match(NamedTuple):
    """Where a path leads: the route's name, who may answer, what to ask them for, and in which form."""

    route: str
    upstreams: tuple[str, ...]
    path: str  # with the prefix taken off, still starting with "/"
    dialect: Dialect
    template: str  # http.route: the prefix, and the dialect's path where it is known
    prefix: str = "/"
    websocket: bool = True  # the route carries WebSockets
    tool: str | None = None  # on a tool route: the tool's name as the path tells it
    pool: str = ""  # whose upstreams these are; "" where the route leads to one upstream
    idempotent: bool = False  # a call that may have been carried out may be made again


class Router:
    """Routes by longest prefix. The caller's path is compared as received, never decoded."""

    def __init__(self, routes: Iterable[Route], pools: Mapping[str, Pool] = MappingProxyType({})) -> None:
        self._pools = pools
        self._routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        self._remembered: dict[tuple[str, str], Match | None] = {}

    @property
    def prefixes(self) -> list[str]:
        """Every prefix, for an answer that lists them."""
        return sorted(route.prefix for route in self._routes)

    def match(self, method: str, path: str) -> Match | None:
        """Return where `path` leads, or None where no route takes it."""
        key = (method, path)
        if key in self._remembered:
            return self._remembered[key]
        found = self._find(method, path)
        if len(self._remembered) < _REMEMBERED_MAX:
            self._remembered[key] = found
        return found

    def _find(self, method: str, path: str) -> Match | None:
        for route in self._routes:
            if path.startswith(route.prefix):
                rest = path[len(route.prefix) - 1 :]
                tool: str | None = None
                dialect, shown = OPAQUE, "/*"
                if route.kind is RouteKind.TOOL:
                    tool = name_tool(rest, name_route(route))
                else:
                    dialect, shown = dialect_for(method, rest)
                template = route.prefix + shown[1:]
                pool = "" if route.pool is None else route.pool
                upstreams = self._pools[pool].upstreams if pool else (route.upstream or "",)
                return Match(
                    name_route(route), upstreams, rest, dialect, template, route.prefix, route.websocket, tool, pool, route.idempotent
                )
        return None


def match_session(match: Match) -> tuple[Match, SessionDialect | None]:
    """Return what becomes of a match where a WebSocket is asked for, and the form of its messages if that is known."""
    found = session_dialect_for(match.path) if match.tool is None else None
    if found is None:
        return match._replace(dialect=OPAQUE, template=match.prefix + "*"), None
    dialect, shown = found
    return match._replace(dialect=dialect, template=match.prefix + shown[1:]), dialect


def name_route(route: Route) -> str:
    """Return the name a route goes by in metrics: its own, else its prefix without slashes."""
    return route.name or route.prefix.strip("/") or "default"

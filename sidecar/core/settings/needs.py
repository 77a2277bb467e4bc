"""What one setting needs of others: features of their sections, and parts of a section of each other."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.config import BUILT_IN_ROUTES, RouteKind, Tenants, TenantSource
from sidecar.core.identify.batch import OWN_PATHS
from sidecar.core.settings.redaction import show
from sidecar.core.settings.tree import Fault, KeyPath

_OF_THE_CACHE: Final = ("stale", "refresh", "warming")  # features
_WINDOWS: Final = ("per_second", "per_minute", "per_hour", "per_day")
_RATED: Final = ("requests", "tokens")
_BUDGETED: Final = ("day", "month")
_OF_REDIS: Final = ("username", "password_file", "ca_file", "cluster", "encryption_key_file")  # that mean nothing without a url
_OF_TOOLS: Final = ("cache", "tools")  # of a route


def check_needs(tree: Mapping[Any, Any]) -> list[Fault]:
    """Return what is missing, or means nothing, where it stands. Skips what is not of the right type."""
    return [
        *_check_features(tree),
        *_check_rates(tree),
        *_check_redis(_get(tree, "redis")),
        *_check_alerts(_get(tree, "alerts")),
        *_check_tool_routes(tree.get("routes")),
        *_check_sources(_get(tree, "tenants")),
        *_check_tenant_prefix(tree, _get(tree, "tenants")),
    ]


def _get(tree: Mapping[Any, Any], *path: str) -> Mapping[Any, Any]:
    """Return the mapping at `path`, an empty one where there is none."""
    node: Any = tree
    for step in path:
        node = node.get(step) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _check_features(tree: Mapping[Any, Any]) -> Iterator[Fault]:
    features = _get(tree, "features")
    for name in _OF_THE_CACHE:
        if features.get(name) is True and features.get("cache", False) is False:
            yield Fault(("features", name), "on, while features.cache is off", "features.cache: true beside it")
    if features.get("warming") is True and _get(tree, "warming").get("file") is None:
        path: KeyPath = ("warming", "file") if "warming" in tree else ("features", "warming")
        yield Fault(path, "no warming.file", "warming.file, the path of a file of prompts, since features.warming is on")
    if features.get("limits") is True and not any(_is_given(rate, _WINDOWS) for _, rate in _list_rates(tree)):
        allowed = "a limit in limits.rates, such as limits: {rates: {tenant: {requests: {per_minute: 60}}}}"
        yield Fault(("features", "limits"), "on, while nothing is limited", allowed)
    if features.get("budgets") is True and not any(_is_given(budget, _BUDGETED) for _, budget in _list_accounts(tree, "budgets")):
        yield Fault(("features", "budgets"), "on, while nothing is limited", "a sum in budgets, such as budgets: {tenant: {day: 10}}")


def _is_given(part: Mapping[Any, Any], names: tuple[str, ...]) -> bool:
    return any(part.get(name) is not None for name in names)


def _list_accounts(tree: Mapping[Any, Any], *section: str) -> Iterator[tuple[KeyPath, Mapping[Any, Any]]]:
    """Yield what a section says for all, for each tenant, and for single ones."""
    for name in ("all", "tenant"):
        yield (*section, name), _get(tree, *section, name)
    for name in _get(tree, *section, "tenants"):
        if isinstance(name, str):
            yield (*section, "tenants", name), _get(tree, *section, "tenants", name)


def _list_rates(tree: Mapping[Any, Any]) -> Iterator[tuple[KeyPath, Mapping[Any, Any]]]:
    for path, rates in _list_accounts(tree, "limits", "rates"):
        for name in _RATED:
            yield (*path, name), _get(rates, name)


def _check_rates(tree: Mapping[Any, Any]) -> Iterator[Fault]:
    for path, rate in _list_rates(tree):
        if rate.get("burst") is not None and rate.get("per_second") is None:
            yield Fault((*path, "burst"), "a burst without per_second", "per_second beside it: at that pace it fills again")


def _check_redis(redis: Mapping[Any, Any]) -> Iterator[Fault]:
    url = redis.get("url")
    if url is None:
        for name in _OF_REDIS:
            if redis.get(name) not in (None, False):
                yield Fault(("redis", name), "a setting of Redis, and no redis.url", "redis.url beside it")
    elif isinstance(url, str):
        if redis.get("ca_file") is not None and not url.startswith("rediss:"):
            yield Fault(("redis", "ca_file"), "an authority for a connection without TLS", "rediss: in redis.url")
        if redis.get("cluster") is True and url.rpartition("://")[2].partition("/")[2].strip("0"):
            yield Fault(("redis", "url"), "a database beside redis.cluster", "a URL without one: a cluster has database 0 only")


def _check_alerts(alerts: Mapping[Any, Any]) -> Iterator[Fault]:
    if alerts.get("token_file") is not None and alerts.get("webhook_file") is None:
        yield Fault(("alerts", "token_file"), "a token for nobody", "alerts.webhook_file, the path of a file with a URL in it, beside it")


def _check_tool_routes(routes: Any) -> Iterator[Fault]:
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, dict) and route.get("kind", RouteKind.LLM) == RouteKind.LLM:
            for name in _OF_TOOLS:
                if route.get(name):
                    yield Fault(
                        ("routes", index, name), "set on a route that leads to models", "kind: tool beside it; for models cache.expiry"
                    )


def _check_sources(tenants: Mapping[Any, Any]) -> Iterator[Fault]:
    written = tenants.get("sources", Tenants().sources)
    sources = written if isinstance(written, list | tuple) else ()
    for index, source in enumerate(sources):
        if source in sources[:index]:
            yield Fault(("tenants", "sources", index), f"{show(source)} a second time", "each source once")
    if tenants.get("keys") and TenantSource.KEY not in sources:
        yield Fault(("tenants", "keys"), "keys that nobody asks for", "key among tenants.sources")


def _check_tenant_prefix(tree: Mapping[Any, Any], tenants: Mapping[Any, Any]) -> Iterator[Fault]:
    """A route below it could never be reached."""
    sources, prefix = tenants.get("sources"), tenants.get("prefix", Tenants().prefix)
    if not isinstance(sources, list) or TenantSource.PATH not in sources or not isinstance(prefix, str) or len(prefix) < 2:
        return
    path = ("tenants", "prefix" if "prefix" in tenants else "sources")
    if prefix.startswith(OWN_PATHS):
        yield Fault(path, f"{show(prefix)}, where the sidecar itself answers", "another prefix")
    routes = tree.get("routes")
    written = [route.get("prefix") for route in routes if isinstance(route, dict)] if isinstance(routes, list) else []
    for other in (*written, *(route.prefix for route in BUILT_IN_ROUTES)):
        if isinstance(other, str) and other.startswith(prefix):
            yield Fault(path, f"{show(prefix)}, below which the route {show(other)} is", "a prefix that no route begins with")
            return

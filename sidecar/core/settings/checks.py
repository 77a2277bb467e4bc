"""What must fit together across settings. Reads the tree, so that a fault elsewhere hides nothing here."""

from collections.abc import Iterator
from typing import Any, Final

from sidecar.config import BUILT_IN_UPSTREAMS, Admin, Batches, Breaker, Capture, Retries, Settings, Unit, Upstream
from sidecar.core.settings.decode import convert, suggest
from sidecar.core.settings.needs import check_needs
from sidecar.core.settings.redaction import show
from sidecar.core.settings.shapes import split_listen
from sidecar.core.settings.tree import Fault, KeyPath
from sidecar.core.settings.units import format_duration

_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})
_DEFAULT_GROUP: Final = "default"  # of models that no group names


def check_together(tree: dict[Any, Any]) -> list[Fault]:
    """Return what is wrong between settings that may each be right. Skips what is not of the right type."""
    return [
        *_check_routes(tree),
        *_check_pools(tree),
        *_check_upstreams(tree),
        *_check_orders(tree),
        *_check_groups(tree),
        *_check_listeners(tree),
        *_check_content(tree),
        *check_needs(tree),
    ]


def _check_routes(tree: dict[Any, Any]) -> Iterator[Fault]:
    routes = tree.get("routes")
    first_with: dict[str, int] = {}
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, dict):
            continue
        yield from _check_target(tree, route, ("routes", index))
        prefix = route.get("prefix")
        if not isinstance(prefix, str):
            continue
        if prefix in first_with:
            yield Fault(("routes", index, "prefix"), f"{show(prefix)}, which routes[{first_with[prefix]}] has too", "each prefix once")
        first_with.setdefault(prefix, index)


def _check_target(tree: dict[Any, Any], route: dict[Any, Any], path: KeyPath) -> Iterator[Fault]:
    """A route leads to an upstream or to a pool, and that is there."""
    upstream, pool = route.get("upstream"), route.get("pool")
    if upstream is None and pool is None:
        yield Fault(path, "neither an upstream nor a pool", "upstream, or pool: one of the two")
    elif upstream is not None and pool is not None:
        yield Fault((*path, "pool"), "a pool beside an upstream", "upstream, or pool: one of the two")
    if (found := _miss(upstream, _list_upstreams(tree), "an upstream's name")) is not None:
        yield Fault((*path, "upstream"), *found)
    if (found := _miss(pool, _list_names(tree.get("pools")), "a pool's name")) is not None:
        yield Fault((*path, "pool"), *found)


def _check_pools(tree: dict[Any, Any]) -> Iterator[Fault]:
    upstreams = _list_upstreams(tree)
    for name, pool in _list_entries(tree.get("pools")):
        chosen = pool.get("upstreams")
        seen: set[str] = set()
        for index, upstream in enumerate(chosen if isinstance(chosen, list) else ()):
            path = ("pools", name, "upstreams", index)
            if (found := _miss(upstream, upstreams, "an upstream's name")) is not None:
                yield Fault(path, *found)
            elif isinstance(upstream, str) and upstream in seen:
                yield Fault(path, f"{show(upstream)} a second time", "each upstream once; weight gives one a larger share")
            elif isinstance(upstream, str):
                seen.add(upstream)


def _check_upstreams(tree: dict[Any, Any]) -> Iterator[Fault]:
    for name, upstream in _list_entries(tree.get("upstreams")):
        connections, concurrency = upstream.get("connections", Upstream("").connections), upstream.get("concurrency")
        if type(connections) is int and type(concurrency) is int and concurrency > connections >= 1:
            found = f"{show(concurrency)}, more than its connections ({show(connections)})"
            yield Fault(("upstreams", name, "concurrency"), found, "at most one call for each connection")


def _check_orders(tree: dict[Any, Any]) -> Iterator[Fault]:
    """Of two durations the one that cannot be the longer."""
    for section, shorter, longer, defaults in (
        ("retries", "base", "cap", Retries()),
        ("breaker", "open", "open_max", Breaker()),
        ("batches", "wait", "wait_max", Batches()),
    ):
        written = tree.get(section)
        if not isinstance(written, dict):
            continue
        found = convert(Unit.DURATION, written.get(shorter, getattr(defaults, shorter)))
        limit = convert(Unit.DURATION, written.get(longer, getattr(defaults, longer)))
        if found is not None and limit is not None and found > limit:
            at_fault = shorter if shorter in written else longer
            shown = f"{section}.{shorter} of {format_duration(found)} and {section}.{longer} of {format_duration(limit)}"
            yield Fault((section, at_fault), shown, f"{shorter} no longer than {longer}")


def _check_groups(tree: dict[Any, Any]) -> Iterator[Fault]:
    breaker = tree.get("breaker")
    first_with: dict[str, str] = {}
    for name, group in _list_entries(breaker.get("groups") if isinstance(breaker, dict) else None):
        if name == _DEFAULT_GROUP:
            yield Fault(("breaker", "groups", name), "the name of the group that all other models are in", "another name")
        models = group.get("models")
        for index, model in enumerate(models if isinstance(models, list) else ()):
            if isinstance(model, str) and model in first_with:
                found = f"{show(model)}, which breaker.groups.{first_with[model]} has too"
                yield Fault(("breaker", "groups", name, "models", index), found, "each name once")
            elif isinstance(model, str):
                first_with[model] = name


def _list_upstreams(tree: dict[Any, Any]) -> list[str]:
    return sorted({*BUILT_IN_UPSTREAMS, *_list_names(tree.get("upstreams"))})


def _list_names(entries: Any) -> list[str]:
    return sorted(name for name in entries if isinstance(name, str)) if isinstance(entries, dict) else []


def _list_entries(entries: Any) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield the named mappings in a mapping."""
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(name, str) and isinstance(entry, dict):
            yield name, entry


def _miss(name: Any, known: list[str], what: str) -> tuple[str, str] | None:
    """Return what was found and what is allowed where `name` is none of the known ones."""
    if not isinstance(name, str) or name in known:
        return None
    return show(name), f"{what}: {', '.join(known) or 'there is none yet'}{suggest(name, known)}"


def _check_listeners(tree: dict[Any, Any]) -> Iterator[Fault]:
    admin = tree.get("admin")
    data_text = tree.get("listen", Settings().listen)
    admin_text = admin.get("listen", Admin().listen) if isinstance(admin, dict) else Admin().listen
    if not isinstance(data_text, str) or not isinstance(admin_text, str):
        return
    one, other = split_listen(data_text), split_listen(admin_text)
    if one is None or other is None or one[1] != other[1] or one[1] == 0:
        return
    if one[0] == other[0] or _EVERY_ADDRESS & {one[0], other[0]}:
        path = ("admin", "listen") if isinstance(admin, dict) and "listen" in admin else ("listen",)
        yield Fault(path, f"port {one[1]} for both the data port and the admin port", "two different ports")


def _check_content(tree: dict[Any, Any]) -> Iterator[Fault]:
    content = tree.get("content")
    if not isinstance(content, dict):
        return
    if content.get("capture") == Capture.FILE and content.get("file") is None:
        yield Fault(("content", "file"), "nothing", "the path of a file to write, since content.capture is file")
    redact = content.get("redact")
    patterns = redact.get("patterns") if isinstance(redact, dict) else None
    names: set[str] = set()
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        name = pattern.get("name") if isinstance(pattern, dict) else None
        if isinstance(name, str) and name in names:
            yield Fault(("content", "redact", "patterns", index, "name"), f"{show(name)} a second time", "each name once")
        elif isinstance(name, str):
            names.add(name)

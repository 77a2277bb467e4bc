"""What must fit together across settings. Reads the tree, so that a fault elsewhere hides nothing here."""

from collections.abc import Iterator
from typing import Any, Final

from sidecar.config import BUILT_IN_UPSTREAMS, Admin, Capture, Settings
from sidecar.core.settings.decode import suggest
from sidecar.core.settings.forms import split_listen
from sidecar.core.settings.redaction import show
from sidecar.core.settings.tree import Fault

_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})


def check_together(tree: dict[Any, Any]) -> list[Fault]:
    """Return what is wrong between settings that may each be right. Skips what is not of the right type."""
    return [*_check_routes(tree), *_check_listeners(tree), *_check_content(tree)]


def _check_routes(tree: dict[Any, Any]) -> Iterator[Fault]:
    written, routes = tree.get("upstreams"), tree.get("routes")
    named = [name for name in written if isinstance(name, str)] if isinstance(written, dict) else []
    upstreams = sorted({*BUILT_IN_UPSTREAMS, *named})
    first_with: dict[str, int] = {}
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, dict):
            continue
        prefix, upstream = route.get("prefix"), route.get("upstream")
        if isinstance(upstream, str) and upstream not in upstreams:
            allowed = f"an upstream's name: {', '.join(upstreams)}{suggest(upstream, upstreams)}"
            yield Fault(("routes", index, "upstream"), show(upstream), allowed)
        if not isinstance(prefix, str):
            continue
        if prefix in first_with:
            yield Fault(("routes", index, "prefix"), f"{show(prefix)}, which routes[{first_with[prefix]}] has too", "each prefix once")
        first_with.setdefault(prefix, index)


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

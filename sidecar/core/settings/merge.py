"""The environment's settings laid over a file's, and where each part of the result was written."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final, NamedTuple

from sidecar.config import BUILT_IN_UPSTREAMS, Upstream
from sidecar.core.settings.environment import UPSTREAM_NAME, UPSTREAM_VARIABLE, Assignment
from sidecar.core.settings.kinds import members
from sidecar.core.settings.tree import Document, KeyPath

# A line of the file, the name of a variable, or None for what is built in.
Place = int | str | None

_ROUTES: Final = "routes"


class Merged(NamedTuple):
    """A tree ready to decode, and the place of its parts; a part without a place of its own has its parent's."""

    tree: dict[Any, Any]
    places: dict[KeyPath, Place]

    def place(self, path: KeyPath) -> Place:
        """Return where the part at `path`, or the nearest part that holds it, was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return None

    def has(self, path: KeyPath) -> bool:
        """Whether somebody wrote the part at `path`."""
        node: Any = self.tree
        for step in path:
            is_there = step in node if isinstance(node, dict) else isinstance(node, list) and isinstance(step, int) and step < len(node)
            if not is_there:
                return False
            node = node[step]
        return True


def merge(document: Document, assignments: Iterable[Assignment]) -> Merged:
    """Return the file's tree with the environment's values in it and the built-in upstreams it adjusts."""
    merged = Merged(deepcopy(document.tree), dict(document.lines))
    for assignment in assignments:
        if assignment.yields and merged.has(assignment.path):
            continue
        _assign(merged, assignment)
        if assignment.variable == UPSTREAM_VARIABLE:
            _route_the_rest(merged)
    _complete_built_ins(merged)
    return merged


def _assign(merged: Merged, assignment: Assignment) -> None:
    node: Any = merged.tree
    path: KeyPath = ()
    for step in assignment.path[:-1]:
        key = _find_key(node, step)
        if node.get(key) is None:
            node[key] = {}
        node, path = node[key], (*path, key)
        if not isinstance(node, dict):
            return  # the file has something else here: its own fault, found by the decoder
    key = _find_key(node, assignment.path[-1])
    node[key] = assignment.value
    _settle(merged, (*path, key), assignment.variable)


def _find_key(node: dict[Any, Any], step: str | int) -> Any:
    """Return the key in the file that a variable's part means: variables have neither case nor hyphens."""
    return next((key for key in node if isinstance(key, str) and key.lower().replace("-", "_") == step), step)


def _settle(merged: Merged, path: KeyPath, place: Place) -> None:
    """Note that everything at and under `path` now comes from `place`."""
    for inner in [known for known in merged.places if known[: len(path)] == path]:
        del merged.places[inner]
    merged.places[path] = place


def _route_the_rest(merged: Merged) -> None:
    """Send every path that no other route takes to the upstream of `LLM_SIDECAR_UPSTREAM`."""
    routes = merged.tree.get(_ROUTES)
    if routes is None:
        routes = merged.tree[_ROUTES] = []
    if not isinstance(routes, list):
        return
    index = next((at for at, route in enumerate(routes) if isinstance(route, dict) and route.get("prefix") == "/"), len(routes))
    routes[index:] = [{"prefix": "/", "upstream": UPSTREAM_NAME}, *routes[index + 1 :]]
    _settle(merged, (_ROUTES, index), UPSTREAM_VARIABLE)


def _complete_built_ins(merged: Merged) -> None:
    """Give a built-in upstream's entry without a url the rest of it: it adjusts the built-in, and does not replace it."""
    upstreams = merged.tree.get("upstreams")
    if not isinstance(upstreams, dict):
        return
    for name, built_in in BUILT_IN_UPSTREAMS.items():
        entry = upstreams.get(name, {})
        if name not in upstreams or not (entry is None or isinstance(entry, dict)) or "url" in (entry or {}):
            continue
        upstreams[name] = dict(entry or {})
        for field in members(Upstream):
            if field not in upstreams[name]:
                upstreams[name][field] = getattr(built_in, field)
                merged.places[("upstreams", name, field)] = None

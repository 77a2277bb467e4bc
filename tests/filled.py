"""What is filled in on the way of a call, as tests want it, and all that it holds."""

from typing import Any, TypeVar

from sidecar.exchange import Seen

Thing = TypeVar("Thing")
_DEFAULTS = {name: value for name, value in vars(Seen).items() if not name.startswith("_")}


def fill(thing: Thing, **members: Any) -> Thing:
    """Return it with these members, which it has."""
    for name, value in members.items():
        assert hasattr(thing, name), name
        setattr(thing, name, value)
    return thing


def tell(seen: Seen) -> dict[str, Any]:
    """Return all that was seen, by name."""
    return {name: getattr(seen, name) for name in (*_DEFAULTS, "finish_reasons", "choices")}

"""The sidecar with different features on: what is added to the configuration of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from peers import RECIPES, Recipe, Site

OFF: Final = "off"
_LIMITS: Final = "limits: {rates: {all: {requests: {per_minute: 100000000}, tokens: {per_minute: 1000000000000}}}}\n"
_BUDGETS: Final = "budgets: {all: {month: 1000000000}}\n"
_ALL: Final = "cache: true, coalescing: true, stale: true, refresh: true"
VARIANTS: Final[Mapping[str, str]] = {
    OFF: "",
    "cache": "features: {cache: true}\n",
    "coalescing": "features: {coalescing: true}\n",
    "cache, coalescing, stale, refresh": f"features: {{{_ALL}}}\n",
    "limits": "features: {limits: true}\n" + _LIMITS,
    "budgets": "features: {budgets: true}\n" + _BUDGETS,
    "all of these": f"features: {{{_ALL}, limits: true, budgets: true}}\n{_LIMITS}{_BUDGETS}",
}


def find_variant(site: Site, *, name: str, source: Path | None = None) -> Recipe:
    """The sidecar with everything on that is from the start, and what `name` adds. `source`: of another version of it."""
    recipe = RECIPES["sidecar"](site)
    with (site.directory / "sidecar.yaml").open("a") as file:
        file.write(VARIANTS[name])
    return recipe if source is None else recipe._replace(environment={**(recipe.environment or {}), "PYTHONPATH": str(source)})

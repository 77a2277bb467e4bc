"""The circuit breakers of all upstreams: one for each upstream and group of models."""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import Final

from sidecar.config import Force, Settings
from sidecar.core.choose.breaker import Breaker
from sidecar.core.choose.transitions import State, Transition

DEFAULT_GROUP: Final = "default"  # of models that no configured group names
_REMEMBERED_MAX: Final = 1_000  # models come from callers


class Breakers:
    """Finds, reads and forces breakers. There are never more of them than upstreams times groups.

    Everything but `find` asks for an upstream of the settings; KeyError otherwise.
    """

    __slots__ = ("_by_upstream", "_defaults", "_enabled", "_groups", "_patterns")

    def __init__(self, settings: Settings, draw: Callable[[], float], publish: Callable[[Transition], None]) -> None:
        groups = settings.breaker.groups
        self._patterns = [(name, _compile(group.models)) for name, group in groups.items()]
        self._groups: dict[str, str] = {}  # the group of each model that was asked for lately
        self._enabled = settings.features.breakers
        self._by_upstream = {
            name: {
                group: Breaker(name, group, settings.breaker, self._resolve(upstream.breaker), draw, publish)
                for group in dict.fromkeys((DEFAULT_GROUP, *groups))
            }
            for name, upstream in settings.upstreams.items()
        }
        self._defaults = {name: breakers[DEFAULT_GROUP] for name, breakers in self._by_upstream.items()}

    def find(self, upstream: str, model: str | None) -> Breaker:
        """Return the breaker of an upstream that is in charge of a model, as callers name it.

        The first group that names it decides. KeyError for an upstream that is not in the settings.
        """
        if model is None or not self._patterns:
            return self._defaults[upstream]
        group = self._groups.get(model)
        return self._by_upstream[upstream][group if group is not None else self._sort(model)]

    def of(self, upstream: str) -> Sequence[Breaker]:
        """Return the breakers of an upstream, the one of the default group first."""
        return tuple(self._by_upstream[upstream].values())

    def worst(self, upstream: str, now: float) -> State:
        """Return the worst state of an upstream's breakers. Changes nothing."""
        return max(breaker.state(now) for breaker in self._by_upstream[upstream].values())

    def force(self, upstream: str, force: Force, now: float) -> None:
        """Hold all breakers of an upstream in a state, or leave them to themselves."""
        for breaker in self._by_upstream[upstream].values():
            breaker.force(self._resolve(force), now)

    def note_probe(self, upstream: str, succeeded: bool, now: float) -> None:
        """Tell all breakers of an upstream of an active probe."""
        for breaker in self._by_upstream[upstream].values():
            breaker.note_probe(succeeded, now)

    def _resolve(self, force: Force) -> Force:
        """Left to themselves, breakers do nothing where the feature is off."""
        return Force.DISABLED if force is Force.AUTO and not self._enabled else force

    def _sort(self, model: str) -> str:
        group = next((name for name, pattern in self._patterns if pattern.match(model)), DEFAULT_GROUP)
        if len(self._groups) >= _REMEMBERED_MAX:
            self._groups.clear()
        self._groups[model] = group
        return group


def _compile(models: Iterable[str]) -> re.Pattern[str]:
    """Return one pattern for all names of a group. Only `*` is special; fnmatch's never backtrack across one."""
    escaped = (model.replace("[", "[[]").replace("?", "[?]") for model in models)
    return re.compile("|".join(map(translate, escaped)) or r"(?!)")

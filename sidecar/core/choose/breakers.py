"""The circuit breakers of all upstreams: one for each upstream and group of models."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Final

from sidecar.config import Force, Settings
from sidecar.core.choose.breaker import Breaker
from sidecar.core.choose.transitions import State, Transition

DEFAULT_GROUP: Final = "default"  # of models that no configured group names
_REMEMBERED_MAX: Final = 1_000  # models come from callers


class Breakers:
    """Finds, reads and forces breakers. There are never more of them than upstreams times groups.

    It is a view, by the names of one set of settings; breakers that stay are the same ones in the next.
    Everything but `find` asks for an upstream of the settings; KeyError otherwise.
    """

    __slots__ = ("_asked", "_by_upstream", "_configured", "_defaults", "_draw", "_enabled", "_groups", "_patterns", "_publish")

    def __init__(self, settings: Settings, draw: Callable[[], float], publish: Callable[[Transition], None]) -> None:
        self._draw = draw
        self._publish = publish
        self._configured = {name: upstream.breaker for name, upstream in settings.upstreams.items()}
        self._asked = dict(self._configured)  # what is to be made of each: as configured, or as an operator said since
        self._enabled = settings.features.breakers
        self._by_upstream: dict[str, dict[str, Breaker]] = {}
        self._fill(settings, {})

    def succeed(self, settings: Settings, kept: frozenset[str], now: float) -> "Breakers":
        """Return the view of other settings; those that stay hold to them from now on. `kept`: the upstreams that are what they were.

        What an operator has forced stays forced, unless `upstreams.NAME.breaker` itself says something else than before.
        """
        successor = Breakers(Settings(), self._draw, self._publish)
        configured = successor._configured = {name: upstream.breaker for name, upstream in settings.upstreams.items()}
        stays = {name for name in kept if configured[name] is self._configured[name]}
        successor._asked = {name: self._asked[name] if name in stays else force for name, force in configured.items()}
        successor._enabled = settings.features.breakers
        successor._fill(settings, {name: self._by_upstream[name] for name in kept})
        for name in kept:
            for breaker in successor._by_upstream[name].values():
                breaker.adopt(settings.breaker, now)
                breaker.force(successor._resolve(successor._asked[name]), now)
        staying = {id(breaker) for breakers in successor._by_upstream.values() for breaker in breakers.values()}
        for breaker in (one for breakers in self._by_upstream.values() for one in breakers.values()):
            if id(breaker) not in staying:
                breaker.retire()
        return successor

    def _fill(self, settings: Settings, before: Mapping[str, Mapping[str, Breaker]]) -> None:
        """Find a breaker for each upstream and group: one of those that were there `before`, or a new one."""
        groups = settings.breaker.groups
        self._patterns = [(name, _compile(group.models)) for name, group in groups.items()]
        self._groups: dict[str, str] = {}  # the group of each model that was asked for lately
        for name in settings.upstreams:
            known, force = before.get(name, {}), self._resolve(self._asked[name])
            self._by_upstream[name] = {
                group: known.get(group) or Breaker(name, group, settings.breaker, force, self._draw, self._publish)
                for group in dict.fromkeys((DEFAULT_GROUP, *groups))
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
        self._asked[upstream] = force
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

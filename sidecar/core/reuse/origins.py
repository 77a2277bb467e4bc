"""Where answers come from: a mark of each upstream, the same for as long as it is the same place.

Settings may change while a sidecar runs, and several sidecars with settings of their own may share what they keep. An answer stands in
for a call only where the call could have gone to the place that gave it: the same provider at the same address, which makes of the
names of models the same. What the place is called here, which credential is sent there and how it is chosen makes no difference.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from sidecar.config import Upstream
from sidecar.core.choose.places import Place, read_place

_BYTES: Final = 8  # places are few, and those who configure them mean no harm
_encode: Final = msgspec.msgpack.Encoder().encode


class Origins(NamedTuple):
    """The places that one call may go to."""

    marks: Mapping[str, str]  # by the upstream's name
    members: frozenset[str]  # the same marks
    together: str  # a mark of them all


NONE: Final = Origins({}, frozenset(), "")


def mark_place(place: Place) -> str:
    """Return the mark of a place, 16 hexadecimal digits."""
    models = sorted(place.models.items())
    return _digest((place.provider, place.scheme, place.host, place.port, place.base_path, models))


class Atlas:
    """Knows the marks of all upstreams of the settings."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._marks = {name: mark_place(read_place(name, upstream, None)) for name, upstream in upstreams.items()}
        self._known: dict[Sequence[str], Origins] = {}

    def find(self, upstreams: tuple[str, ...]) -> Origins:
        """Return the origins of a call that may go to these: as many different ones are asked for as there are routes."""
        found = self._known.get(upstreams)
        if found is None:
            marks = {name: self._marks[name] for name in upstreams if name in self._marks}
            found = self._known[upstreams] = Origins(marks, frozenset(marks.values()), _digest(sorted(marks.values())))
        return found


def _digest(parts: object) -> str:
    return blake2b(_encode(parts), digest_size=_BYTES, person=b"llm-sidecar from").hexdigest()

"""Which requests for embeddings go out together, and when.

They go when they are as many inputs as one call may have, when none has come for a while, or when the first has waited
for long enough. What one caller wants stays together and in its order. One that wants more than a call may have goes by
itself, at once.
"""

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from sidecar.config import Batches
from sidecar.core.reuse.embedding_forms import Inputs
from sidecar.exchange import Headers

Member = TypeVar("Member", bound=Hashable)

# OpenAI takes 300,000 tokens in one call, over all inputs. A text has no more tokens than bytes.
_BYTES_MAX: Final = 300_000


class Group(NamedTuple):
    """What is equal of all who go together: where they go, on whose account, and all they say but their inputs."""

    route: str
    query: str
    scope: Hashable  # tenant and credential
    fields: Headers  # those of the request's head that make a difference
    form: tuple[str, str, str, bytes, bytes]  # Inputs.form: the path among it, and the rest of the body


class Bundle(Generic[Member]):
    """Requests that go out together, in the order in which they came."""

    __slots__ = ("added_at", "began_at", "count", "group", "inputs", "members", "size_bytes")

    def __init__(self, group: Group, now: float) -> None:
        self.group = group
        self.members: list[Member] = []
        self.inputs: list[Inputs] = []  # of each
        self.count = 0  # of all their inputs
        self.size_bytes = 0
        self.began_at = self.added_at = now

    def add(self, member: Member, inputs: Inputs, now: float) -> None:
        """Take one more along."""
        self.members.append(member)
        self.inputs.append(inputs)
        self.count += len(inputs.items)
        self.size_bytes += inputs.size_bytes
        self.added_at = now

    def discard(self, member: Member) -> None:
        """Leave one behind."""
        place = self.members.index(member)
        del self.members[place]
        inputs = self.inputs.pop(place)
        self.count -= len(inputs.items)
        self.size_bytes -= inputs.size_bytes


class Collector(Generic[Member]):
    """Holds requests back until they go. Holds none but those of callers who wait."""

    def __init__(self, settings: Batches) -> None:
        self._settings = settings
        self._bundles: dict[Group, Bundle[Member]] = {}
        self._groups: dict[Member, Group] = {}

    def add(self, group: Group, member: Member, inputs: Inputs, now: float) -> Sequence[Bundle[Member]]:
        """Take a request; return the bundles that go now: the one that has no room for it, the one that it fills, or neither."""
        gone = []
        bundle = self._bundles.get(group)
        if bundle is not None and not self._has_room(bundle, inputs):
            gone.append(self._release(bundle))
            bundle = None
        if bundle is None:
            bundle = self._bundles[group] = Bundle(group, now)
        bundle.add(member, inputs, now)
        self._groups[member] = group
        if bundle.count >= self._inputs_max(inputs) or bundle.size_bytes >= _BYTES_MAX:
            gone.append(self._release(bundle))
        return gone

    def discard(self, member: Member) -> None:
        """Forget a request whose caller has left. One that has gone already is none of ours any more."""
        group = self._groups.pop(member, None)
        if group is not None:
            bundle = self._bundles[group]
            bundle.discard(member)
            if not bundle.members:
                del self._bundles[group]

    def due(self, now: float) -> Sequence[Bundle[Member]]:
        """Return the bundles that go at `now`, seconds: those that have waited for long enough."""
        return [self._release(bundle) for bundle in list(self._bundles.values()) if self._due_at(bundle) <= now]

    def next_due(self) -> float | None:
        """Return when the next bundle goes unless it is filled before; None where none waits."""
        return min(map(self._due_at, self._bundles.values()), default=None)

    def _inputs_max(self, inputs: Inputs) -> int:
        return min(self._settings.inputs, inputs.inputs_max or self._settings.inputs)

    def _has_room(self, bundle: Bundle[Member], inputs: Inputs) -> bool:
        count, size_bytes = bundle.count + len(inputs.items), bundle.size_bytes + inputs.size_bytes
        return count <= self._inputs_max(inputs) and size_bytes <= _BYTES_MAX

    def _due_at(self, bundle: Bundle[Member]) -> float:
        return min(bundle.added_at + self._settings.wait, bundle.began_at + self._settings.wait_max)

    def _release(self, bundle: Bundle[Member]) -> Bundle[Member]:
        del self._bundles[bundle.group]
        for member in bundle.members:
            del self._groups[member]
        return bundle

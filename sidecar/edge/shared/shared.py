"""The place that several sidecars share. Whatever becomes of it, no call waits longer for it than it may, and none fails by it."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from sidecar import config
from sidecar.edge.shared.node import PATIENCE_S, Node
from sidecar.edge.shared.places import Places
from sidecar.edge.shared.puts import Puts
from sidecar.edge.shared.wire import ASK, AWAY, LATE, NO_SCRIPT, WRONG_TYPE, Address, Command, Connector, Failure
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock, Script

VALUE_BYTES_MAX: Final = 64 * 1024 * 1024  # read of one value: what is longer comes cut off, and is found to be
_REDIRECTS_MAX: Final = 3
_PUTS_SHARE: Final = 4  # one in so many connections may be busy with writes that nobody waits for


class SharedNotes(Protocol):
    """Who is told of how it goes."""

    def note_shared(self, outcome: str) -> None:
        """A command is over: ok, failed, late; or away: it was not even asked."""
        ...

    def note_damaged(self) -> None:
        """What was found under a key was not written by us, or is not what was written."""
        ...

    def note_put_dropped(self) -> None:
        """A write was given up."""
        ...

    def note_state(self, is_up: bool) -> None:
        """The place has come, or gone."""
        ...


class Shared:
    """One Redis or one cluster (ports.SharedRunner). Raises ConfigError where the settings name none that can be used.

    `draw` gives numbers in [0, 1). Commands are cut off at settings.timeout; what is late then goes on where it is, and None never
    says that nothing happened.
    """

    def __init__(self, settings: config.Redis, clock: Clock, note: SharedNotes, draw: Callable[[], float]) -> None:
        connector = Connector(settings)
        self.prefix = settings.prefix  # of all keys
        self._timeout_s = settings.timeout
        self._clock = clock
        self._note = note
        self.is_up: bool | None = None  # whether any server answered when it was last asked; None: none was
        self._digests: dict[str, str] = {}

        def make(address: Address) -> Node:
            return Node(address, connector.make, settings.connections, clock, draw, self._tell_state)

        self._places = Places(connector.seed, make, clock, is_cluster=settings.cluster)
        self._puts = Puts(self._send_put, max(1, settings.connections // _PUTS_SHARE), note.note_put_dropped)
        self.problem: str | None = None  # why the last command that failed did (edge.shared.wire)

    async def start(self) -> None:
        """Look in the background whether it is there. It need not be."""
        self._places.refresh()
        spawn(self._ask("", ("PING",), PATIENCE_S), name="shared")

    async def close(self) -> None:
        """Close all connections; writes in line are dropped."""
        self._puts.clear()
        await self._places.close()

    @property
    def is_away(self) -> bool:
        """Whether it is left alone for now: nothing would be asked."""
        return all(node.is_away for node in self._places.nodes)

    async def get(self, key: str, bytes_max: int = VALUE_BYTES_MAX) -> bytes | None:
        """Return what is under a key, of a longer value the first `bytes_max`; None if nothing is, or nothing came in time."""
        answer = await self._ask(key, ("GETRANGE", key, 0, bytes_max - 1), self._timeout_s)
        if isinstance(answer, Failure) and answer.problem == WRONG_TYPE:
            self._note.note_damaged()
        # An empty value is none: GETRANGE does not tell them apart, and we write none.
        return answer if isinstance(answer, bytes) and answer else None

    def put(self, key: str, data: bytes, ttl_s: float) -> None:
        """Write a value that expires after `ttl_s` seconds, as soon as may be; dropped where it is away, or too much is in line."""
        if ttl_s < 0.001 or not data:
            return
        if self._places.place(key).is_away:
            self._note.note_put_dropped()
        else:
            self._puts.add(key, data, ttl_s)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        """Run a script (ports.SharedRunner.run)."""
        digest = self._digests.get(script.text)
        if digest is None:
            # What Redis calls a script by; nothing is kept safe by it.
            digest = self._digests[script.text] = hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
        due = self._clock.now() + self._timeout_s
        first = keys[0] if keys else ""
        answer = await self._ask(first, ("EVALSHA", digest, len(keys), *keys, *args), self._timeout_s)
        if isinstance(answer, Failure) and answer.problem == NO_SCRIPT:
            answer = await self._ask(first, ("EVAL", script.text, len(keys), *keys, *args), due - self._clock.now())
        if isinstance(answer, Failure):
            return None
        return answer if isinstance(answer, list) else [answer]

    async def _send_put(self, key: str, data: bytes, ttl_s: float) -> None:
        answer = await self._ask(key, ("SET", key, data, "PX", int(ttl_s * 1000)), max(self._timeout_s, PATIENCE_S))
        if isinstance(answer, Failure):
            self._note.note_put_dropped()

    async def _ask(self, key: str, command: Command, timeout_s: float) -> Any:
        """Return the answer to a command, or a Failure, after at most `timeout_s` seconds."""
        due = self._clock.now() + timeout_s
        node = self._places.place(key)
        answer = await node.ask(command, due)
        for _ in range(_REDIRECTS_MAX):
            other = self._places.redirect(answer, node) if isinstance(answer, Failure) else None
            if other is None:
                break
            is_asking, node = answer.problem == ASK, other
            answer = await node.ask(command, due, asking=is_asking)
        self._count(answer)
        return answer

    def _count(self, answer: Any) -> None:
        if not isinstance(answer, Failure):
            self._note.note_shared("ok")
        elif answer.problem != NO_SCRIPT:  # after that it is asked again
            self.problem = answer.problem if answer.problem != AWAY else self.problem
            self._note.note_shared(answer.problem if answer.problem in (LATE, AWAY) else "failed")

    def _tell_state(self) -> None:
        """Tell whether any server is there, where that has changed."""
        states = [node.is_up for node in self._places.nodes]
        is_up = any(states)
        if is_up is not self.is_up and (is_up or False in states):
            self.is_up = is_up
            self._note.note_state(is_up)

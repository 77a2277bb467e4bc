"""All upstreams by name: their pools, and the way a request gets onto a connection."""

import random
from collections.abc import Callable, Mapping

from sidecar.config import Dns, Upstream
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.choose.places import Place, list_kept
from sidecar.edge.outbound.dial import Authorities, Dialler
from sidecar.edge.outbound.dns import Resolver
from sidecar.edge.outbound.knock import knock
from sidecar.edge.outbound.pool import Pool
from sidecar.edge.outbound.relay import Relay
from sidecar.edge.outbound.watch import Watch
from sidecar.errors import CONNECT_TIMEOUT, TOTAL_TIMEOUT, UpstreamFault
from sidecar.ports import Clock


class Upstreams:
    """The pools of all upstreams of one set of settings (ports.Upstreams).

    Calls go on with the one that they began with, so that no key of one set of settings is ever sent to an address of another.
    """

    def __init__(
        self, settings: Mapping[str, Upstream], places: Mapping[str, Place], dns: Dns, clock: Clock, environ: Mapping[str, str], *,
        head_bytes_max: int, draw: Callable[[], float] = random.random, before: "Upstreams | None" = None,
    ) -> None:  # fmt: skip
        """Raises ConfigError for an egress proxy that cannot be used. `before`: whose pools are taken over where a place stays."""
        self._settings, self._places, self._dns, self._environ = settings, places, dns, environ
        self._clock = clock
        self._draw = draw
        self._head_bytes_max = head_bytes_max
        self._watch: Watch = Watch(clock.now) if before is None else before._watch
        self._resolver: Resolver = Resolver(dns) if before is None else before._resolver
        self._authorities: Authorities = Authorities() if before is None else before._authorities
        self._pools: dict[str, Pool] = {}
        self._diallers: dict[str, Dialler] = {}
        kept = frozenset[str]() if before is None else list_kept(before._places, places)
        for name, upstream in settings.items():
            if before is not None and name in kept:
                self._diallers[name], self._pools[name] = before._diallers[name], before._pools[name]
                continue
            dialler = self._diallers[name] = Dialler(places[name], self._resolver, environ, self._authorities)
            self._pools[name] = Pool(name, upstream, dialler, clock, head_bytes_max=head_bytes_max, draw=draw)

    def succeed(self, settings: Mapping[str, Upstream], places: Mapping[str, Place], dns: Dns, *, head_bytes_max: int) -> "Upstreams":
        """Return the way to the upstreams of other settings. Nothing changes yet: `retire` does that. Raises ConfigError."""
        return Upstreams(
            settings, places, dns, self._clock, self._environ, head_bytes_max=head_bytes_max, draw=self._draw, before=self
        )  # fmt: skip

    def retire(self, successor: "Upstreams") -> None:
        """Leave what `successor` has taken over to its settings, and close the rest: idle connections now, busy ones as they end.

        Calls that began here may still come for connections.
        """
        successor._resolver.adopt(successor._dns, self._clock.now())
        for name, pool in self._pools.items():
            if successor._pools.get(name) is pool:
                pool.adopt(successor._settings[name], head_bytes_max=successor._head_bytes_max)
            else:
                pool.close()

    async def reach(self, name: str, deadlines: Deadlines, *, fresh: bool) -> Relay:
        """Return an attempt on a connection to `name`; nothing is sent yet. Raises Fault.

        `fresh`: not on a connection that has been idle.
        """
        pool = self._pools[name]
        now = self._clock.now()
        connection = None if fresh else pool.take_idle(now)
        if connection is None:
            wait_s = min(deadlines.connect_s, deadlines.total_at - now)
            try:
                connection = await pool.connect(wait_s, fresh=fresh)
            except UpstreamFault as fault:
                if fault.kind is CONNECT_TIMEOUT and wait_s < deadlines.connect_s:
                    raise UpstreamFault(TOTAL_TIMEOUT, "the call's time ran out before there was a connection") from None
                raise
            now = self._clock.now()
        return Relay(connection, deadlines, self._clock.now, self._watch, now)

    async def knock(self, name: str, request: bytes, timeout_s: float) -> int | None:
        """Return the status of the answer to `request`, None where there is none to send. Raises UpstreamFault within `timeout_s`.

        On a connection of its own, which takes no room from calls and is closed afterwards.
        """
        return await knock(self._diallers[name], request, self._clock.now, head_bytes_max=self._head_bytes_max, timeout_s=timeout_s)

    def count_connections(self) -> dict[str, tuple[int, int]]:
        """Return idle and busy connections by upstream."""
        return {name: (pool.idle_connections, pool.busy_connections) for name, pool in self._pools.items()}

    def close(self) -> None:
        """Close idle connections; busy ones close as their answers end."""
        for pool in self._pools.values():
            pool.close()

"""Calls that the sidecar makes by itself: prompts asked before anybody does, and kept answers fetched anew.

An errand goes the way of every call, with an id and a record of its own. Nobody waits for its answer: what it is good for
is kept on the way. It has no trace, and none of the caller's for whom an answer is fetched anew.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar.core.attempt.heads import HOP_BY_HOP, nominated_names, read_request
from sidecar.core.identify.tenants import Tenant
from sidecar.errors import Fault
from sidecar.exchange import Call, Headers

CACHE_FIELD: Final = b"x-sidecar-cache"
# Nothing kept is to be looked for: what comes is kept in its place.
_ANEW: Final = (CACHE_FIELD, b"no-cache")
# Written anew; of another call; or what would say something else about what is kept, or about whose call it is.
_REPLACED: Final = HOP_BY_HOP | {
    b"host", b"content-length", b"expect",
    b"traceparent", b"tracestate", b"idempotency-key", b"x-idempotency-key",
    b"cache-control", b"pragma", CACHE_FIELD, b"x-sidecar-tenant",
}  # fmt: skip


class HeldClient:
    """The caller's side of a call whose request is held here, and behind which there is no connection (ports.Client)."""

    __slots__ = ("_body", "call")

    def __init__(self, call: Call, body: bytes) -> None:
        self.call = call
        self._body = body

    def take_body(self, bytes_max: int) -> bytes | None:
        """Return the body: who made the call has seen to it that it is no longer than one may be (ports.Client)."""
        return self._body

    async def read_body(self, bytes_max: int) -> tuple[bytes, bool]:
        """Return the body (ports.Client)."""
        return self._body, True

    async def read_more(self) -> bytes:
        """Return nothing more (ports.Client)."""
        return b""

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Do nothing: nobody here is slow (ports.Client)."""

    def outlast(self) -> None:
        """Do nothing: who waits for it decides for how long (ports.Client)."""

    def break_off(self, *, unmistakably: bool) -> None:
        """Do nothing: there is nothing to close (ports.Client)."""


class Errand(NamedTuple):
    """A call of the sidecar's own. `origin`: one of catalogue.ORIGINS but "caller". `tenant`: whose answers these are, and who pays."""

    call: Call
    body: bytes
    origin: str
    tenant: Tenant


class ErrandClient(HeldClient):
    """The caller's side of an errand: it takes every byte and keeps none. It ends with the task that carries it."""

    __slots__ = ()

    gone: Final = False
    fault: Final[Fault | None] = None

    def __init__(self, errand: Errand) -> None:
        super().__init__(errand.call, errand.body)

    def write(self, data: bytes) -> None:
        """Do nothing (ports.Client)."""

    def finish(self, *, keep: bool) -> None:
        """Do nothing (ports.Client)."""


def make_call(
    call_id: str, method: str, target: str, headers: Headers, body: bytes, *, now: float, now_ns: int
) -> Call:  # fmt: skip
    """Return the call of an errand, made at `now`, that asks anew.

    `headers`: those of the call in whose stead it is made, or that a prompt comes with; what is of that one call or connection
    only is left out. `target`: without `tenants.prefix`, as the errand tells its tenant itself.
    """
    dropped = _REPLACED.union(*(nominated_names(value) for name, value in headers if name.lower() == b"connection"))
    fields = [field for field in headers if field[0].lower().replace(b"_", b"-") not in dropped]
    if body:
        fields.append((b"Content-Length", b"%d" % len(body)))
    fields.append(_ANEW)
    kept = tuple(fields)
    # As HTTP/1.0, whose answers need no framing.
    return Call(call_id, method, target, kept, (1, 0), bool(body), False, read_request(kept), now, now_ns)

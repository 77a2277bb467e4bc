"""From what the parser read of a request's head to a call."""

from typing import Final

from msgspec.structs import force_setattr

from sidecar.core.attempt.heads import read_request
from sidecar.edge.inbound.host import Host
from sidecar.exchange import Call, Header

# Long enough for any header that carries a token, short enough to be of no use as an attack.
LINE_BYTES_MAX: Final = 16 * 1024
_FIELDS_MAX: Final = 128
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}


def begin_call(method: bytes, version_text: str, keeps: bool, target: bytes, fields: tuple[Header, ...], host: Host) -> Call:
    """Return the call that a head begins. Raises ValueError for one that the parser lets through and we do not."""
    version = _VERSIONS.get(version_text)
    if version is None or len(target) > LINE_BYTES_MAX or len(fields) > _FIELDS_MAX:
        raise ValueError("not our version, too long a target or too many fields")
    wanted = read_request(fields)
    if wanted.chunked and version == (1, 0):
        raise ValueError("chunks in HTTP/1.0")
    return Call(
        host.draw_id(), method.decode("ascii"), target.decode("utf-8", "surrogateescape"), fields, version,
        wanted.chunked or bool(wanted.content_length), keeps and not wanted.upgrade, wanted, host.now(), host.wall_ns(),
    )  # fmt: skip


def say_last(call: Call, before: Call | None) -> Call | None:
    """Have the answer to `call` say that its connection takes no more requests, and no more the one `before` it, which was to say so.

    What stands behind such an answer is lost (RFC 9112 section 9.6), so only the last in line may say it. Where an answer has begun
    already, its connection is kept, or not, as it says. Returns the call that says it because of us.
    """
    if before is not None:
        force_setattr(before, "keep_alive", True)
    if not call.keep_alive:
        return None
    force_setattr(call, "keep_alive", False)
    return call

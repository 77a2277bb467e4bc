"""What an operator asks to be made of an upstream's circuit breakers."""

import msgspec

from sidecar.config import Force


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    force: Force


def read_force(body: bytes) -> Force:
    """Return what `{"force": …}` asks for. Raises ValueError with a sentence that says what is allowed, and nothing of the body."""
    try:
        return msgspec.json.decode(body, type=_Asked).force
    except (msgspec.MsgspecError, ValueError, RecursionError):
        allowed = ", ".join(f'"{force.value}"' for force in Force)
        raise ValueError(f'The body must be {{"force": VALUE}}, in which VALUE is one of {allowed}.') from None

"""What an operator asks of spending: to stop it, or to let it go on."""

from typing import NamedTuple

import msgspec

from sidecar.core.admit.spending_sums import ALL


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    tenant: str | None
    stopped: bool


class Stop(NamedTuple):
    """Whose spending, ALL for everybody's, and whether it stops."""

    account: str
    is_stopped: bool


def read_stop(body: bytes, accounts: tuple[str, ...]) -> Stop:
    """Return what `{"tenant": NAME or null, "stopped": true or false}` asks for.

    Raises ValueError with a sentence that says what is allowed, and nothing of the body: also for a tenant that is none of `accounts`,
    whose stop would stop nobody.
    """
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError('The body must be {"tenant": NAME, "stopped": true}, or false; NAME is null for everybody.') from None
    if asked.tenant is not None and asked.tenant not in accounts:
        raise ValueError(f"The tenant must be null, which is everybody, or one of {', '.join(accounts)}.")
    return Stop(ALL if asked.tenant is None else asked.tenant, asked.stopped)

"""How much the log tells, changed while the sidecar runs."""

from collections.abc import Mapping
from typing import Final

import msgspec

from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.telemetry.logs import LEVELS, EventLog

PATH: Final = "/-/log-level"


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    level: str


def make_log_level(log: EventLog) -> tuple[Mapping[str, Respond], Mapping[str, Change]]:
    """Return the answer of the path that tells the level, and what a POST or a PUT to it does: it sets another one."""

    def tell() -> web.Response:
        return answer({"level": log.level})

    async def respond(request: web.Request) -> web.Response:
        return tell()

    def change(body: bytes) -> web.Response:
        log.set_level(read_level(body))
        return tell()

    return {PATH: respond}, {PATH: change}


def read_level(body: bytes) -> str:
    """Return what `{"level": …}` asks for. Raises ValueError with a sentence that says what is allowed, and nothing of the body."""
    try:
        level = msgspec.json.decode(body, type=_Asked).level
    except (msgspec.MsgspecError, ValueError, RecursionError):
        level = ""
    if level not in LEVELS:
        allowed = ", ".join(f'"{name}"' for name in LEVELS)
        raise ValueError(f'The body must be {{"level": VALUE}}, in which VALUE is one of {allowed}.')
    return level

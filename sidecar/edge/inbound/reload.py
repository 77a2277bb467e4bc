"""Loading the configuration anew, by the admin port."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sidecar.core.settings.changes import Outcome, show_outcome
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Change
from sidecar.edge.inbound.api import answer

PATH: Final = "/-/reload"


def make_reload(ask: Callable[[], Awaitable[Outcome]]) -> Mapping[str, Change]:
    """Return what a POST to the path does: it loads the configuration, and tells what came of it. Its body counts for nothing."""

    async def change(body: bytes) -> web.Response:
        outcome = await ask()
        response = answer(show_outcome(outcome))
        if outcome.problems or outcome.access:
            response.status = 500
        return response

    return {PATH: change}

"""What the admin port answers of one generation, and what it lets operators change."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from sidecar.config import Route, Settings
from sidecar.core.identify.tenants import list_accounts
from sidecar.core.settings.changes import Outcome
from sidecar.core.settings.redaction import redact
from sidecar.economy import Economy
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import make_budgets, make_changes, make_comparison
from sidecar.edge.inbound.pages import make_pages, make_status_page
from sidecar.edge.inbound.reload import make_reload
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.generation import Generation
from sidecar.insight import Insight
from sidecar.ports import Clock
from sidecar.switchboard import Switchboard


class Console(NamedTuple):
    """Whom to ask, the same in all generations."""

    switchboard: Switchboard
    economy: Economy
    insight: Insight
    exposition: Exposition
    clock: Clock
    is_ready: Callable[[], bool]
    data_url: Callable[[], str]
    reload: Callable[[], Awaitable[Outcome]]

    def list_all(self, generation: Generation) -> tuple[Mapping[str, Respond], Mapping[str, Change]]:
        """Return the answer of each path, and what a POST to each does."""
        settings, switchboard, spending = generation.settings, self.switchboard, self.economy.spending
        shown = [(route.prefix, _show_target(settings, route)) for route in settings.routes]
        told = make_comparison(settings, generation.places, self.clock, switchboard.describe, switchboard.probes.describe)
        changes = {**make_changes(settings.upstreams, switchboard.force), **self.insight.changes, **make_reload(self.reload)}
        if spending is not None:
            spent, halts = make_budgets(list_accounts(settings), spending.describe, spending.halt)
            told, changes = {**told, **spent}, {**changes, **halts}
        paths = {**make_pages(self.exposition, self.is_ready), **self.insight.paths, **told}
        return {**make_status_page(shown, self.data_url, paths), **paths}, changes


def _show_target(settings: Settings, route: Route) -> str:
    upstreams = (route.upstream or "",) if route.pool is None else settings.pools[route.pool].upstreams
    return ", ".join(redact(settings.upstreams[name].url) for name in upstreams)

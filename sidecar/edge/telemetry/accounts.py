"""What the meter counts by tenant, and its gauges of budgets."""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, Protocol

from sidecar import catalogue
from sidecar.config import Budget, Rate, Rates, Settings
from sidecar.core.identify.tenants import list_accounts
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.instruments import Counter
from sidecar.exchange import Record, UsageSource

_REPORTED, _APPORTIONED = UsageSource.REPORTED, UsageSource.APPORTIONED
_ESTIMATED: Final = "estimated"


class BudgetView(Protocol):
    """How far a budget is spent. US dollars."""

    @property
    def tenant(self) -> str:
        """Whose it is; "" of everybody's together."""
        ...

    @property
    def window(self) -> str:
        """One of catalogue.BUDGET_WINDOWS."""
        ...

    @property
    def spent_usd(self) -> float:
        """What was spent in this window."""
        ...

    @property
    def reserved_usd(self) -> float:
        """What is set aside for calls in progress."""
        ...

    @property
    def limit_usd(self) -> float | None:
        """What may be spent; None is any sum."""
        ...

    @property
    def soft_reached(self) -> bool:
        """Whether so much is spent that it is warned of."""
        ...


class _Account(NamedTuple):
    """The counters of one tenant."""

    requests: Counter
    tokens: tuple[Counter, ...]  # in the order of exchange.Usage
    cost: Counter


class Accounts:
    """The part of the meter that is about whose calls they are."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._accounts: dict[str, _Account] = {}
        self._stoppable: tuple[str, ...] = ()

    def prepare(self, settings: Settings) -> None:
        """Create the series that follow from the configuration, as they are before any traffic."""
        families, tenants = self._families, list_accounts(settings)
        for tenant in tenants:
            self._open(tenant)
            for limit in _list_limits(settings, tenant):
                families.rate_limited_requests.child(tenant, limit)
        self._stoppable = (*tenants, catalogue.EVERYBODY) if settings.features.budgets else ()
        self.show_stopped(())

    def adopt(self, settings: Settings) -> None:
        """Show tenants and budgets of other settings: gauges of those that are gone vanish, counters stay.

        What there is of budgets is shown anew before the next scrape.
        """
        families = self._families
        for family in (
            families.budget_spent_usd, families.budget_reserved_usd, families.budget_limit_usd, families.budget_soft_reached,
            families.spending_stopped,
        ):  # fmt: skip
            family.keep(_keeps_none)
        self.prepare(settings)

    def show_budgets(self, views: Iterable[BudgetView]) -> None:
        """Bring the gauges of these budgets up to date."""
        families = self._families
        for view in views:
            key = (view.tenant or catalogue.EVERYBODY, view.window)
            families.budget_spent_usd.child(*key).set(view.spent_usd)
            families.budget_reserved_usd.child(*key).set(view.reserved_usd)
            if view.limit_usd is not None:
                families.budget_limit_usd.child(*key).set(view.limit_usd)
                families.budget_soft_reached.child(*key).set(int(view.soft_reached))

    def show_stopped(self, stopped: Collection[str]) -> None:
        """Show whose spending is stopped: tenants, "" is everybody's."""
        names = {tenant or catalogue.EVERYBODY for tenant in stopped}
        for tenant in self._stoppable:
            self._families.spending_stopped.child(tenant).set(int(tenant in names))

    def note_ledger_failure(self, reason: str) -> None:
        """Count what went wrong with the ledger, by one of catalogue.LEDGER_FAILURES."""
        self._families.ledger_failures.child(reason).value += 1

    def observe(self, record: Record) -> None:
        """Count one exchange of a tenant."""
        account = self._accounts.get(record.tenant) or self._open(record.tenant)
        account.requests.value += 1
        source = record.usage_source
        if record.usage is not None and (source is _REPORTED or source is _APPORTIONED):
            for counter, count in zip(account.tokens, record.usage, strict=True):
                if count:
                    counter.value += count
        if record.cost is not None and record.cost.source != _ESTIMATED:
            account.cost.value += record.cost.usd
        if record.limited is not None:
            self._families.rate_limited_requests.child(record.tenant, record.limited).value += 1

    def _open(self, tenant: str) -> _Account:
        families = self._families
        tokens = tuple(families.tenant_tokens.child(tenant, kind) for kind in catalogue.TOKEN_TYPES)
        account = _Account(families.tenant_requests.child(tenant), tokens, families.tenant_cost.child(tenant))
        self._accounts[tenant] = account
        return account


def _keeps_none(values: tuple[str, ...]) -> bool:
    return False


def _list_limits(settings: Settings, tenant: str) -> list[str]:
    """Return what may refuse the calls of a tenant, as catalogue.LIMITS has it."""
    found = []
    if settings.features.limits:
        rates = settings.limits.rates
        found += _name_rates(rates.tenants.get(tenant, rates.tenant)) + [f"all_{name}" for name in _name_rates(rates.all)]
    if settings.features.budgets:
        budgets = settings.budgets
        found += _name_budget(budgets.tenants.get(tenant, budgets.tenant)) + [f"all_{name}" for name in _name_budget(budgets.all)]
        found.append(catalogue.HALTED)
    return found


def _name_rates(rates: Rates) -> list[str]:
    return [
        f"{what}_{window}"
        for what, rate in (("requests", rates.requests), ("tokens", rates.tokens))
        for window in catalogue.RATE_WINDOWS
        if _is_limited(rate, window)
    ]


def _is_limited(rate: Rate, window: str) -> bool:
    return getattr(rate, f"per_{window}") is not None


def _name_budget(budget: Budget) -> list[str]:
    return [f"budget_{window}" for window in catalogue.BUDGET_WINDOWS if getattr(budget, window) is not None]

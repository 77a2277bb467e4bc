"""On whose account calls run, how many of them may, and what they may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.config.units import Duration


class TenantSource(StrEnum):
    """What tells whose call it is."""

    HEADER = "header"  # x-sidecar-tenant
    KEY = "key"  # the credential, by `tenants.keys`
    PATH = "path"  # what follows `tenants.prefix`


@dataclass(frozen=True, slots=True)
class Tenants:
    sources: tuple[TenantSource, ...] = (TenantSource.HEADER, TenantSource.KEY)  # the first that tells counts
    keys: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of a credential, in hex → tenant
    prefix: str = "/tenants/"  # of paths: /tenants/NAME/…, taken off
    names: tuple[str, ...] = ()  # further tenants that are known; all unknown ones are "other" together
    default: str = "default"  # where nothing tells


@dataclass(frozen=True, slots=True)
class Rate:
    """What may go through. None: any number."""

    per_second: float | None = None  # a token bucket refills at this pace
    burst: float | None = None  # and holds this many; by default one second's
    per_minute: float | None = None  # sliding windows
    per_hour: float | None = None
    per_day: float | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    requests: Rate = field(default_factory=Rate)
    tokens: Rate = field(default_factory=Rate)  # estimated when a call comes in, corrected when it is over


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits on calls and tokens (features.limits)."""

    all: Rates = field(default_factory=Rates)  # everybody together
    tenant: Rates = field(default_factory=Rates)  # each tenant that has none of its own
    tenants: Mapping[str, Rates] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars. None: any sum."""

    day: float | None = None  # UTC
    month: float | None = None


@dataclass(frozen=True, slots=True)
class Budgets:
    """What may be spent (features.budgets): reserved before a call, settled after it."""

    file: str | None = None  # the ledger; without one nothing is known after a restart
    all: Budget = field(default_factory=Budget)  # everybody together
    tenant: Budget = field(default_factory=Budget)  # each tenant that has none of its own
    tenants: Mapping[str, Budget] = field(default_factory=dict)
    soft: float = 0.8  # the share of a budget from which on it is warned of
    output_tokens: int = 1024  # reserved for an answer whose length the call does not limit
    unpriced: float = 0.0  # US dollars reserved and spent for a call whose model has no price
    sync: Duration = 1.0  # the ledger is on disk, not only written, at most this much later


@dataclass(frozen=True, slots=True)
class Redis:
    """What several sidecars share: answers, limits, budgets. Without it each has its own; it may be away at any time."""

    url: str | None = None  # redis://HOST:PORT/DB, rediss:// for TLS
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None  # of the authority that signed the server's certificate; by default the system's
    cluster: bool = False
    timeout: Duration = 0.05  # of one command: beyond it the call goes on without
    connections: int = 16
    prefix: str = "llm-sidecar"  # of all keys
    encryption_key_file: str | None = None  # 32 bytes in base64: answers are encrypted with it

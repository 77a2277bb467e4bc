"""On whose account a call runs: as its header, its credential or its path tells."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from sidecar.config import Settings, TenantSource
from sidecar.core.identify.batch import OWN_PATHS
from sidecar.errors import BAD_TENANT, NO_ROUTE, ClientFault
from sidecar.exchange import Call, Headers


class Tenant(NamedTuple):
    """`name`: as it was told, part of what answers are kept under. `account`: whose limits and budgets count, and what metrics show."""

    name: str
    account: str


NOBODY: Final = Tenant("", "")  # of a call that no route took
OTHER: Final = "other"  # the account of all whose names are not in the settings
TENANT_HEADER: Final = "x-sidecar-tenant"

_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
_HEADER: Final = TENANT_HEADER.encode()
_CREDENTIALS: Final = frozenset({b"x-api-key", b"api-key", b"x-goog-api-key"})
_AUTHORIZATION: Final = b"authorization"
_BEARER: Final = b"bearer"
_QUERY_KEY: Final = "key="  # how Gemini takes a key in a URL
_BLANKS: Final = b" \t"  # what may stand around a field's value (RFC 9110 section 5.5); anything else is part of it


def is_tenant(text: str) -> bool:
    """Whether text can be a tenant's name."""
    return text.isascii() and _NAME.fullmatch(text.encode()) is not None


def list_accounts(settings: Settings) -> tuple[str, ...]:
    """Return every account there is: the tenants that the settings name, in their order, and `other`."""
    tenants = settings.tenants
    named = [tenants.default, *tenants.names, *tenants.keys.values(), *settings.limits.rates.tenants, *settings.budgets.tenants]
    if settings.features.warming:
        named.append(settings.warming.tenant)
    return tuple(dict.fromkeys((*named, OTHER)))


class Tenancy:
    """Tells whose calls are. Names that nobody configured are kept apart in what is kept, and share one account.

    Unless it `reads_all`, a call that has none of our headers is the `default`'s: there is nothing to identify.
    """

    def __init__(self, settings: Settings) -> None:
        tenants = settings.tenants
        self._known: Mapping[bytes, Tenant] = {name.encode(): Tenant(name, name) for name in list_accounts(settings)}
        self._keys: Mapping[str, Tenant] = {digest: Tenant(name, name) for digest, name in tenants.keys.items()}
        self._sources = tuple(source for source in tenants.sources if source is not TenantSource.KEY or self._keys)
        self._prefix = tenants.prefix if TenantSource.PATH in tenants.sources else None
        self.default = Tenant(tenants.default, tenants.default)
        self.reads_all = self._prefix is not None or TenantSource.KEY in self._sources  # of calls that have none of our headers too

    def identify(self, call: Call, path: str, query: str) -> tuple[Tenant, str]:
        """Return whose a call is, and its path without `tenants.prefix` and the name behind it.

        Raises ClientFault(bad_tenant) where a name is told that is none: it is never taken for nobody's; and
        ClientFault(no_route) where one is told for what the sidecar answers itself.
        """
        if not self.reads_all and TENANT_HEADER not in call.wanted.own:
            return self.default, path
        segment = None
        if self._prefix is not None and path.startswith(self._prefix):
            segment, _, rest = path[len(self._prefix) :].partition("/")
            path = "/" + rest
            if path.startswith(OWN_PATHS):
                raise ClientFault(NO_ROUTE, f"Paths below {OWN_PATHS} are no tenant's.")
        in_path = None if segment is None else self._find(unquote_to_bytes(segment), "The path")
        for source in self._sources:
            if source is TenantSource.PATH:
                found = in_path
            elif source is TenantSource.HEADER:
                found = self._read_header(call) if TENANT_HEADER in call.wanted.own else None
            else:
                found = self._find_by_key(call.headers, query)
            if found is not None:
                return found, path
        return self.default, path

    def _find(self, name: bytes, where: str) -> Tenant:
        """Return the tenant of that name. Raises ClientFault(bad_tenant), which does not repeat it."""
        known = self._known.get(name)
        if known is not None:
            return known
        if not _NAME.fullmatch(name):
            raise ClientFault(BAD_TENANT, f"{where} tells a tenant's name that is none. {BAD_TENANT.advice}")
        return Tenant(name.decode("ascii"), OTHER)

    def _read_header(self, call: Call) -> Tenant:
        """Read the field as it came: told twice, whoever is before us and we could each take another (RFC 9110 section 5.3)."""
        told = [value for name, value in call.headers if len(name) == len(_HEADER) and name.lower().replace(b"_", b"-") == _HEADER]
        if len(told) != 1:
            raise ClientFault(BAD_TENANT, f"{TENANT_HEADER} came more than once. Send one.")
        return self._find(told[0].strip(_BLANKS), TENANT_HEADER)

    def _find_by_key(self, headers: Headers, query: str) -> Tenant | None:
        """Return whose credential came along: the first that is known."""
        for name, value in headers:
            low = name.lower()
            credential = b""
            if low in _CREDENTIALS:
                credential = value
            elif low == _AUTHORIZATION:
                scheme, _, given = value.strip(_BLANKS).partition(b" ")
                if scheme.lower() == _BEARER:
                    credential = given
            found = self._keys.get(_digest(credential.strip(_BLANKS))) if credential else None
            if found is not None:
                return found
        for part in query.split("&"):
            if part.startswith(_QUERY_KEY) and part != _QUERY_KEY:
                found = self._keys.get(_digest(unquote_to_bytes(part[len(_QUERY_KEY) :])))
                if found is not None:
                    return found
        return None


def _digest(credential: bytes) -> str:
    """Return what `tenants.keys` holds of a credential: as `printf %s KEY | sha256sum` prints it."""
    return sha256(credential).hexdigest()

"""How the admin port is entered: TLS, passwords, headers and a rate, as `admin.web_config_file` has them, and as it changes."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sidecar import catalogue
from sidecar.config import ClientAuth
from sidecar.core.admit.buckets import Bucket
from sidecar.core.identify.operators import has_token, read_basic
from sidecar.core.reckon.access import GateView
from sidecar.edge.inbound import web
from sidecar.edge.inbound.webconfig import Prepared, prepare
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.ports import Clock

if TYPE_CHECKING:
    from sidecar.edge.inbound.passwords import Passwords

_LOOK_S: Final = 5.0  # between two looks at the files
# Kubelets and load balancers know no password, and must not be sent away.
PROBES: Final = frozenset({"/-/healthy", "/-/ready"})
_CHALLENGE: Final = 'Basic realm="llm-sidecar", charset="UTF-8"'
_POLICY: Final = "Content-Security-Policy"
_KINDS_OF_NAMES: Final = ("DNS", "email", "IP Address", "URI")


class Entry(NamedTuple):
    """What becomes of a request: an answer that sends it away, or whether it gave a right password."""

    refusal: web.Response | None = None
    is_known: bool = False


STRANGER: Final = Entry()


class Gate:
    """Lets requests in, or not. `path`: `admin.web_config_file`; None for plain HTTP without passwords. Raises ConfigError."""

    def __init__(self, path: str | None, clock: Clock, log: EventLog) -> None:
        self._path = path
        self._clock = clock
        self._log = log
        self._loaded_at = clock.now()
        self._problems: tuple[ConfigProblem, ...] = ()
        self._force: Prepared | None = None
        self._passwords: Passwords | None = None
        self._bucket: Bucket | None = None
        self.context: ssl.SSLContext | None = None
        found = None if path is None else prepare(path)
        if found is not None:
            self.context = None if found.context is None else _Turnstile(found.context)
            self._adopt(found)

    @property
    def scheme(self) -> str:
        """What addresses of the admin port begin with."""
        return "http" if self.context is None else "https"

    @property
    def has_users(self) -> bool:
        """Whether a password is asked for."""
        return self._passwords is not None

    def describe(self) -> GateView | None:
        """Return how it stands; None where there is no file."""
        if self._path is None or self._force is None:
            return None
        validity = self._force.validity
        users = len(self._force.config.basic_auth_users)
        return GateView(
            self._path, self._loaded_at, users, self.context is not None, None if validity is None else validity.ends_s,
            self._problems, self._force.remarks,
        )  # fmt: skip

    def start(self) -> None:
        """Look at the files every few seconds from now on."""
        if self._path is not None:
            self._tell_remarks()
            spawn(self._repeat(), name="web configuration")

    def stop(self) -> None:
        """Compare no passwords any more."""
        if self._passwords is not None:
            self._passwords.close()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> tuple[ConfigProblem, ...]:
        """Put in force what the files hold now. Where that cannot be, what is in force stays; return why.

        New connections are met with it; those that are there go on.
        """
        if self._path is None or self._force is None:
            return ()
        try:
            found = await asyncio.to_thread(prepare, self._path, self._force.digest)
        except ConfigError as error:
            self._complain(tuple(error.problems))
            return self._problems
        if found is None:
            self._problems = ()
        elif hindrance := self._find_hindrance(found):
            self._complain((hindrance,))
        else:
            self._problems = ()
            self._adopt(found)
            self._log.write(catalogue.WEB_CONFIG_RELOADED, file=self._path, users=len(found.config.basic_auth_users))
            self._tell_remarks()
        return self._problems

    def _find_hindrance(self, found: Prepared) -> ConfigProblem | None:
        """Return what keeps something that is right in itself from being put in force."""
        if (found.context is None) is not (self.context is None):
            what = "no TLS, where the port was opened with it" if found.context is None else "TLS, where the port was opened without"
            return ConfigProblem("tls_server_config", what, "what it was at the start; start the sidecar again for the change")
        now_s = self._clock.wall_ns() / 1e9
        before = self._force.validity if self._force else None
        if found.validity and before and before.holds_at(now_s) and not found.validity.holds_at(now_s):
            name = "cert_file" if found.config.tls_server_config and found.config.tls_server_config.cert_file else "cert"
            return ConfigProblem(f"tls_server_config.{name}", "a certificate that is not valid now", "one that is: the one in force is")
        return None

    def _adopt(self, found: Prepared) -> None:
        """Put something in force: at once, and without anything that can fail."""
        before = self._force
        self._force = found
        self._loaded_at = self._clock.now()
        if isinstance(self.context, _Turnstile) and found.context is not None:
            self.context.leads_to = found.context
        users, rate = found.config.basic_auth_users, found.config.rate_limit
        if before is None or before.config.basic_auth_users != users:
            if self._passwords is not None:
                self._passwords.retire()
            self._passwords = _make_passwords(users) if users else None
        if before is None or before.config.rate_limit != rate:
            self._bucket = Bucket(1 / rate.interval, rate.burst or 0) if rate.interval else None

    def _complain(self, problems: tuple[ConfigProblem, ...]) -> None:
        for problem in problems if problems != self._problems else ():
            self._log.write(
                catalogue.WEB_CONFIG_REFUSED, file=self._path, line=problem.line, path=problem.path, found=problem.found,
                allowed=problem.allowed,
            )  # fmt: skip
        self._problems = problems

    def _tell_remarks(self) -> None:
        for remark in self._force.remarks if self._force is not None else ():
            self._log.write(catalogue.WEB_CONFIG_REMARK, file=self._path, remark=remark)

    async def admit(self, request: web.Request, token: str | None) -> Entry:
        """Let a request in, or not. `token`: who has it needs no password."""
        if request.path in PROBES:
            return STRANGER
        if self._bucket is not None:
            now = self._clock.now()
            if wait_s := self._bucket.wait_s(1.0, now):
                return Entry(_refuse(429, "More requests than rate_limit of admin.web_config_file allows.", _wait(wait_s)))
            self._bucket.take(1.0, now)
        if self._passwords is None:
            return STRANGER
        authorization = request.headers.getall("Authorization")
        if token is not None and has_token(authorization, token):
            return STRANGER
        given = read_basic(authorization)
        if given is None:
            return Entry(_refuse(401, "This needs a user and a password.", {"WWW-Authenticate": _CHALLENGE}))
        is_right = await self._passwords.check(*given, request.remote)
        if is_right is None:
            return Entry(_refuse(429, "Too many passwords are being compared.", _wait(0)))
        if is_right:
            return Entry(is_known=True)
        self._log.write(catalogue.PASSWORD_REFUSED, request.remote, address=request.remote)
        return Entry(_refuse(401, "User and password do not fit.", {"WWW-Authenticate": _CHALLENGE}))

    def dress(self, response: web.Response) -> None:
        """Add the headers of the file. Ours stay: of several policies for content, browsers keep to each (CSP Level 3, section 3.1)."""
        for name, value in self._force.config.http_server_config.headers.items() if self._force is not None else ():
            ours = response.headers.setdefault(name, value)
            if name == _POLICY and ours is not value:
                response.headers[name] = f"{ours}, {value}"

    def welcome(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes protocols of connections: those that `make` makes, for clients whose certificates have a right name."""
        return make if self.context is None else lambda: _Doorkeeper(self, make)

    def admits_names(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with a certificate that was verified may come in; None for one without."""
        tls = None if self._force is None else self._force.config.tls_server_config
        if tls is None or not tls.client_allowed_sans:
            return True
        if not certificate:
            return tls.client_auth_type is not ClientAuth.REQUIRE_AND_VERIFY
        names = {_level(kind, name) for kind, name in certificate.get("subjectAltName", ()) if kind in _KINDS_OF_NAMES}
        return not names.isdisjoint(tls.client_allowed_sans)


def _make_passwords(users: Mapping[str, str]) -> "Passwords":
    from sidecar.edge.inbound.passwords import Passwords  # bcrypt stays out of the memory of a sidecar that asks nobody

    return Passwords(users)


class _Turnstile(ssl.SSLContext):
    """Leads each new connection to the context in force: event loops take the same object for all."""

    leads_to: ssl.SSLContext

    def __new__(cls, leads_to: ssl.SSLContext) -> "_Turnstile":
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.leads_to = leads_to
        return made

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False, server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:  # fmt: skip
        return self.leads_to.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class _Doorkeeper(asyncio.Protocol):
    """Looks at a client's certificate once, and hands the connection over, or ends it."""

    def __init__(self, gate: Gate, make: Callable[[], asyncio.Protocol]) -> None:
        self._gate = gate
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._gate.admits_names(transport.get_extra_info("peercert")):
            transport.abort()  # type: ignore[attr-defined]  # of a transport of TLS
            return
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _level(kind: str, name: str) -> str:
    """Return a name as Go writes it, which matters for IPv6 only."""
    try:
        return str(ip_address(name.strip())) if kind == "IP Address" else name
    except ValueError:
        return name


def _wait(wait_s: float) -> Mapping[str, str]:
    return {"Retry-After": str(int(wait_s) + 1)}


def _refuse(status: int, message: str, headers: Mapping[str, str]) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)

"""Connections to Redis, made with redis-py: the only place that knows it, imported where a server is configured.

Of the library only its connection is used: the protocol, TLS, AUTH and SELECT. Its pool and clients retry and reconnect on their
own, within no limit of time, and an answer that nobody waited for could come to the next caller.
"""

import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sidecar import config
from sidecar.edge.files import read_secret
from sidecar.errors import ConfigError, ConfigProblem

# Why a command came to nothing.
AWAY: Final = "away"  # not asked: left alone for now
LATE: Final = "late"
REFUSED: Final = "refused"  # no connection, or it broke
TLS: Final = "tls"
PASSWORD: Final = "password"
PROTOCOL: Final = "protocol"  # what answers is no Redis
LOADING: Final = "loading"
READ_ONLY: Final = "read_only"  # a replica, that writes are not for
CLUSTER_DOWN: Final = "cluster_down"
BUSY: Final = "busy"  # somebody's script does not end
FULL: Final = "full"
NO_SCRIPT: Final = "no_script"
WRONG_TYPE: Final = "wrong_type"
MOVED: Final = "moved"
ASK: Final = "ask"
COMMAND: Final = "command"  # refused for what it is
# After these the server is at work: it is the command that came to nothing.
AT_WORK: Final = frozenset({FULL, NO_SCRIPT, WRONG_TYPE, MOVED, ASK, COMMAND})
_PORT: Final = 6379
_SCHEMES: Final = ("redis", "rediss")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class Failure(NamedTuple):
    """A command that came to nothing."""

    problem: str
    slot: int = 0  # of MOVED and ASK, as is the next
    target: Address | None = None  # whom to ask instead; an empty host is the one that said so


Command = Sequence[str | bytes | int | float]


class Link:
    """One connection. One command at a time: whoever holds it waits for the answer, or closes it."""

    def __init__(self, connection: Any, kinds: "_Kinds") -> None:
        self._connection = connection
        self._kinds = kinds

    async def open(self) -> Failure | None:
        """Connect, log in and choose the database."""
        try:
            await self._connection.connect()
        except Exception as error:
            return self._kinds.explain(error)
        return None

    async def is_usable(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except Exception:
            return False

    async def ask(self, command: Command, *, asking: bool) -> Any:
        """Return the answer to a command, or a Failure. `asking`: of a slot that is on its way to this server (cluster)."""
        connection = self._connection
        try:
            if asking:
                await connection.send_command("ASKING", check_health=False)
                await connection.read_response()
            await connection.send_command(*command, check_health=False)
            return await connection.read_response()
        except Exception as error:
            return self._kinds.explain(error)

    async def close(self) -> None:
        """Close it, without waiting for the other end."""
        try:
            await self._connection.disconnect(nowait=True)
        except Exception:
            return


class Connector:
    """Makes connections by the settings. Raises ConfigError where that cannot be."""

    def __init__(self, settings: config.Redis) -> None:
        try:
            from redis.asyncio import Connection, SSLConnection
        except ImportError:
            raise _refuse("redis.url", "a server, but the package `redis` is not installed", _EXTRA) from None
        self._kinds = _Kinds()
        self.seed, is_tls, db = _read_url(settings)
        # RESP2 has all that is needed; without the library's name there are two commands less per connection.
        self._options: dict[str, Any] = {
            "db": db, "protocol": 2, "socket_timeout": None, "socket_connect_timeout": None, "driver_info": None,
        }  # fmt: skip
        if settings.username is not None:
            self._options["username"] = settings.username
        if settings.password_file is not None:
            self._options["password"] = _read_password(settings.password_file)
        self._class = SSLConnection if is_tls else Connection
        self._tls = _make_tls(settings.ca_file) if is_tls else None

    def make(self, address: Address) -> Link:
        """Return a connection that is not open yet."""
        connection: Any = self._class(host=address.host, port=address.port, **self._options)
        if self._tls is not None:
            # One context for all of them; the library's own would trust the system's authorities beside ours.
            connection.ssl_context.context = self._tls
        return Link(connection, self._kinds)


class _Kinds:
    """What the library's exceptions mean. Never their text: it may hold anything."""

    def __init__(self) -> None:
        from redis import exceptions as they

        self._answer = they.ResponseError
        self._broken = (they.ConnectionError, they.TimeoutError, OSError)
        self._redirect, self._moved = they.AskError, they.MovedError
        # The first that fits: some are kinds of others.
        self._table: tuple[tuple[type[Exception], str], ...] = (
            (they.BusyLoadingError, LOADING),
            (they.AuthenticationError, PASSWORD),
            (they.AuthenticationWrongNumberOfArgsError, PASSWORD),
            (they.NoScriptError, NO_SCRIPT),
            (they.ReadOnlyError, READ_ONLY),
            (they.OutOfMemoryError, FULL),
            (they.ClusterDownError, CLUSTER_DOWN),
            (they.TryAgainError, BUSY),
        )

    def explain(self, error: Exception) -> Failure:
        """Return what an exception means."""
        if isinstance(error, self._redirect):
            problem = MOVED if isinstance(error, self._moved) else ASK
            return Failure(problem, error.slot_id, Address(error.host, error.port))
        for kind, problem in self._table:
            if isinstance(error, kind):
                return Failure(problem)
        if isinstance(error, self._answer):
            code = str(error).partition(" ")[0]
            return Failure({"BUSY": BUSY, "WRONGTYPE": WRONG_TYPE, "MISCONF": FULL}.get(code, COMMAND))
        if isinstance(error, self._broken):
            return Failure(TLS if isinstance(error.__context__, ssl.SSLError) else REFUSED)
        return Failure(PROTOCOL)


_EXTRA: Final = "an installation with it: llm-sidecar[redis]"


def _refuse(path: str, found: str, allowed: str) -> ConfigError:
    return ConfigError("start", [ConfigProblem(path, found, allowed)])


def _read_url(settings: config.Redis) -> tuple[Address, bool, int]:
    """Return where the server is, whether it speaks TLS, and the database's number."""
    allowed = "redis://HOST:PORT/DB or rediss://HOST:PORT/DB, without user and password: redis.username, redis.password_file"
    try:
        parts = urlsplit(settings.url or "")
        host, port = parts.hostname, parts.port or _PORT
        db = int(parts.path.strip("/") or 0)
    except ValueError:
        raise _refuse("redis.url", "no URL of a Redis", allowed) from None
    if parts.scheme not in _SCHEMES or not host or db < 0 or parts.query or parts.fragment or "@" in parts.netloc:
        raise _refuse("redis.url", "no URL of a Redis", allowed)
    if settings.cluster and db:
        raise _refuse("redis.url", "a database's number, and a cluster", "database 0: a cluster has no other")
    return Address(host, port), parts.scheme == "rediss", db


def _read_password(path: str) -> str:
    try:
        return read_secret(path)
    except ValueError as error:
        raise _refuse("redis.password_file", str(error), "a readable file with one line in it") from None


def _make_tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise _refuse("redis.ca_file", "a file that holds no certificate, or cannot be read", "a file of certificates (PEM)") from None

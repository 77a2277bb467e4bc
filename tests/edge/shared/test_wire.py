"""Connections to Redis: made by the settings, and what their failures mean."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from sidecar.config import Redis
from sidecar.edge.shared.wire import (
    ASK,
    BUSY,
    CLUSTER_DOWN,
    COMMAND,
    FULL,
    LOADING,
    MOVED,
    NO_SCRIPT,
    PASSWORD,
    PROTOCOL,
    READ_ONLY,
    REFUSED,
    WRONG_TYPE,
    Address,
    Connector,
    Failure,
)
from sidecar.errors import ConfigError
from tests.edge.shared.server import serving


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"-LOADING Redis is loading\r\n", Failure(LOADING)),
        (b"-NOAUTH Authentication required.\r\n", Failure(PASSWORD)),
        (b"-WRONGPASS invalid\r\n", Failure(PASSWORD)),
        (b"-NOSCRIPT No matching script.\r\n", Failure(NO_SCRIPT)),
        (b"-READONLY You can't write against a read only replica.\r\n", Failure(READ_ONLY)),
        (b"-OOM command not allowed\r\n", Failure(FULL)),
        (b"-MISCONF Redis is configured to save\r\n", Failure(FULL)),
        (b"-BUSY Redis is busy running a script.\r\n", Failure(BUSY)),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", Failure(BUSY)),
        (b"-CLUSTERDOWN Hash slot not served\r\n", Failure(CLUSTER_DOWN)),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Failure(CLUSTER_DOWN)),
        (b"-WRONGTYPE Operation against a key\r\n", Failure(WRONG_TYPE)),
        (b"-NOPERM no permissions\r\n", Failure(COMMAND)),
        (b"-CROSSSLOT Keys in request\r\n", Failure(COMMAND)),
        (b"-ERR max number of clients reached\r\n", Failure(REFUSED)),
        (b"-MOVED 3999 10.0.0.1:6381\r\n", Failure(MOVED, 3999, Address("10.0.0.1", 6381))),
        (b"-MOVED 3999 :6381\r\n", Failure(MOVED, 3999, Address("", 6381))),
        (b"-ASK 7 ::1:6381\r\n", Failure(ASK, 7, Address("::1", 6381))),
        (b"-MOVED nonsense\r\n", Failure(PROTOCOL)),
        (b"?what\r\n", Failure(PROTOCOL)),
        (b"$x\r\n", Failure(PROTOCOL)),
        (b"", Failure(REFUSED)),
        (b"$3\r\nabc\r\n", b"abc"),
    ],
)
async def test_what_failures_mean(answer: bytes, expected: Any) -> None:
    """Each error of a server, and each nonsense, is one of the known problems; no exception gets out."""
    async with serving() as server:
        server.answer = lambda _: answer
        connector = Connector(Redis(url=server.url))
        link = connector.make(connector.seed)
        assert await link.open() is None and await link.is_usable()
        assert await link.ask(("GET", "k"), asking=False) == expected
        await link.close()
        await link.close()
        assert not await link.is_usable()


async def test_a_connection_with_leftovers_is_not_usable() -> None:
    """Bytes that nobody asked for, or an end, make a connection unusable."""
    async with serving() as server:
        connector = Connector(Redis(url=server.url))
        for command, more in (("GET", b"+OK\r\n+more\r\n"), ("QUIT", b"")):
            server.answer = lambda _, more=more: more  # type: ignore[misc]
            link = connector.make(connector.seed)
            await link.open()
            await link.ask((command,), asking=False)
            await asyncio.sleep(0.02)
            assert not await link.is_usable()
            await link.close()


async def test_asking_goes_before_the_command() -> None:
    """Of a slot on its way: ASKING, on the same connection, and the answer is the command's."""
    async with serving() as server:
        server.answer = lambda command: b"+" + command[0] + b"\r\n"
        connector = Connector(Redis(url=server.url))
        link = connector.make(connector.seed)
        await link.open()
        assert await link.ask(("GET", "k"), asking=True) == b"GET"
        assert server.asked == [(b"ASKING",), (b"GET", b"k")]
        await link.close()


async def test_log_in(tmp_path: Path) -> None:
    """User, password and database are told first, and nothing else; without them nothing is."""
    file = tmp_path / "password"
    file.write_text("canary\n", encoding="ascii")
    async with serving() as server:
        for settings, first in (
            (Redis(url=server.url), []),
            (Redis(url=server.url, password_file=str(file)), [(b"AUTH", b"canary")]),
            (Redis(url=server.url + "/3", username="u", password_file=str(file)), [(b"AUTH", b"u", b"canary"), (b"SELECT", b"3")]),
        ):
            connector = Connector(settings)
            link = connector.make(connector.seed)
            assert await link.open() is None
            assert server.asked == first
            del server.asked[:]
            await link.close()
        server.answer = lambda _: b"-WRONGPASS invalid\r\n"
        connector = Connector(Redis(url=server.url, password_file=str(file)))
        assert await connector.make(connector.seed).open() == Failure(PASSWORD)


@pytest.mark.parametrize(
    "url",
    [
        "", "redis:", "http://h", "redis://", "redis://h:x", "redis://h:99999", "redis://h/x", "redis://h/-1", "redis://h/0?ssl_cert_reqs=none",
        "redis://u:canary@h", "redis://:canary@h", "unix:///canary", "redis://h#canary", "redis://[::1",
    ],
)  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    """What is no URL of a server is refused, and not told again: there may be a password in it."""
    with pytest.raises(ConfigError) as caught:
        Connector(Redis(url=url))
    assert [problem.path for problem in caught.value.problems] == ["redis.url"] and "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (Redis(url="redis://h/1", cluster=True), "redis.url"),
        (Redis(url="redis://h", password_file="/nowhere"), "redis.password_file"),
        (Redis(url="rediss://h", ca_file="/nowhere"), "redis.ca_file"),
        (Redis(url="rediss://h", ca_file=__file__), "redis.ca_file"),
    ],
)
def test_settings_that_cannot_be(settings: Redis, path: str) -> None:
    """Files that cannot be used, and a database of a cluster, are problems of the configuration."""
    with pytest.raises(ConfigError) as caught:
        Connector(settings)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_addresses() -> None:
    """The usual port where none is told, and addresses of IP version 6."""
    assert Connector(Redis(url="redis://h")).seed == Address("h", 6379)
    assert Connector(Redis(url="redis://[::1]:7/2")).seed == Address("::1", 7)


def test_tls_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    """With an authority of one's own nobody else's is trusted, the system's included; names are checked."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    connector = Connector(Redis(url="rediss://h", ca_file=str(file)))
    connection: Any = vars(connector.make(connector.seed))["_connection"]
    context = connection.ssl_context.get()
    assert context.cert_store_stats()["x509_ca"] == 1 and context.check_hostname and context.verify_mode.name == "CERT_REQUIRED"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package it is a problem of the configuration, that tells how to get it."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"llm-sidecar\[redis\]") as caught:
        Connector(Redis(url="redis://h"))
    assert caught.value.problems[0].path == "redis.url"


def test_nothing_is_imported_before_it_is_needed() -> None:
    """Who has no Redis pays nothing for it: neither package is imported along with the modules."""
    code = (
        "import sys, sidecar.app, sidecar.cli, sidecar.edge.shared.shared, sidecar.edge.shared.answers;"
        "print([name for name in sys.modules if name.split('.')[0] in ('redis', 'cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.strip() == b"[]"

"""Names to addresses, remembered for a while."""

import asyncio
import socket
from typing import Any

import pytest

from sidecar.config import Dns
from sidecar.edge.outbound.dns import AddressInfo, Resolver, look_up
from sidecar.errors import UNRESOLVED, UpstreamFault
from tests.edge.virtual import run_virtually, turn


def address(host: str) -> AddressInfo:
    """Return one address."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443))


class Lookups:
    """A resolver of the system: answers, fails or hangs as it is told."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.delay_s = 0.0

    async def __call__(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append(host)
        await asyncio.sleep(self.delay_s)
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return [address(answer)]


async def resolve(resolver: Resolver, host: str = "api.test") -> str:
    """Return the one address of a host."""
    found = await resolver.resolve(host, 443, asyncio.get_running_loop().time())
    return str(found[0][4][0])


def test_an_answer_is_kept_for_its_time() -> None:
    """Asked again only when it is due, and then anew."""

    async def story() -> None:
        lookups = Lookups()
        resolver = Resolver(Dns(ttl=10.0), lookups)
        lookups.answers["api.test"] = "1.1.1.1"
        assert await resolve(resolver) == "1.1.1.1"
        lookups.answers["api.test"] = "2.2.2.2"
        await asyncio.sleep(9.9)
        assert await resolve(resolver) == "1.1.1.1"
        await asyncio.sleep(0.1)
        assert await resolve(resolver) == "2.2.2.2"
        assert lookups.asked == ["api.test", "api.test"]

    run_virtually(story())


def test_one_lookup_serves_all_who_ask_and_belongs_to_none() -> None:
    """A caller that leaves does not take it along."""

    async def story() -> None:
        lookups = Lookups()
        lookups.answers["api.test"], lookups.delay_s = "1.1.1.1", 1.0
        resolver = Resolver(Dns(), lookups)
        leaving, staying = (asyncio.ensure_future(resolve(resolver)) for _ in range(2))
        await turn()
        leaving.cancel()
        assert await staying == "1.1.1.1"
        assert lookups.asked == ["api.test"]

    run_virtually(story())


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (socket.gaierror(-2, "Name or service not known"), "api.test: Name or service not known"),
        (UnicodeError("label too long"), "api.test: not a valid host name"),
        (OSError(), "api.test: name resolution failed"),
        (TimeoutError(), "api.test: name resolution failed"),
    ],
)
def test_a_name_that_cannot_be_resolved_is_named(error: Exception, detail: str) -> None:
    """Each failure is one kind of fault, for everybody who asked, and is not remembered."""

    async def story() -> None:
        lookups = Lookups()
        lookups.answers["api.test"] = error
        resolver = Resolver(Dns(), lookups)
        for _ in range(2):
            with pytest.raises(UpstreamFault) as raised:
                await resolve(resolver)
            assert (raised.value.kind, raised.value.detail) == (UNRESOLVED, detail)
            await turn()
        assert len(lookups.asked) == 2
        lookups.answers["api.test"] = "1.1.1.1"
        assert await resolve(resolver) == "1.1.1.1"

    run_virtually(story())


def test_old_addresses_serve_while_the_resolver_fails() -> None:
    """A dead resolver does not take a running service down; it is not asked for every connection."""

    async def story() -> None:
        lookups = Lookups()
        resolver = Resolver(Dns(ttl=10.0), lookups)
        lookups.answers["api.test"] = "1.1.1.1"
        await resolve(resolver)
        lookups.answers["api.test"] = socket.gaierror(-3, "Temporary failure")
        await asyncio.sleep(10.0)
        assert await resolve(resolver) == "1.1.1.1"
        assert await resolve(resolver) == "1.1.1.1"
        assert len(lookups.asked) == 2

    run_virtually(story())


def test_old_addresses_serve_while_the_resolver_hangs() -> None:
    """After a second of waiting for new ones, which are taken as soon as they come."""

    async def story() -> None:
        lookups = Lookups()
        loop = asyncio.get_running_loop()
        resolver = Resolver(Dns(ttl=100.0), lookups)
        lookups.answers["api.test"] = "1.1.1.1"
        await resolve(resolver)
        await asyncio.sleep(100.0)
        lookups.answers["api.test"], lookups.delay_s = "2.2.2.2", 30.0
        began = loop.time()
        assert await resolve(resolver) == "1.1.1.1"
        assert loop.time() - began == pytest.approx(1.0)
        assert await resolve(resolver) == "1.1.1.1"
        await asyncio.sleep(30.0)
        assert await resolve(resolver) == "2.2.2.2"
        assert len(lookups.asked) == 2

    run_virtually(story())


def test_a_first_lookup_is_waited_for() -> None:
    """Where nothing is known yet, patience is the caller's to limit."""

    async def story() -> None:
        lookups = Lookups()
        lookups.answers["api.test"], lookups.delay_s = "1.1.1.1", 30.0
        resolver = Resolver(Dns(), lookups)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await resolve(resolver)
        assert await resolve(resolver) == "1.1.1.1"
        assert len(lookups.asked) == 1

    run_virtually(story())


def test_only_so_many_names_are_remembered() -> None:
    """The oldest goes first; one that is renewed is not counted twice."""

    async def story() -> None:
        lookups = Lookups()
        resolver = Resolver(Dns(ttl=10.0, names=2), lookups)
        lookups.answers = {name: name for name in ("a", "b", "c")}
        for name in ("a", "b", "c", "b", "c"):
            assert await resolve(resolver, name) == name
        assert lookups.asked == ["a", "b", "c"]
        await resolve(resolver, "a")
        assert lookups.asked == ["a", "b", "c", "a"]

    run_virtually(story())


async def test_the_systems_resolver_is_asked() -> None:
    """An address literal needs no server."""
    found = await look_up("127.0.0.1", 80)
    assert ("127.0.0.1", 80) in [info[4] for info in found]


def test_what_is_known_follows_new_settings() -> None:
    """A shorter time holds for it, too; of more names than there may be the first go; a lookup under way goes on."""

    async def story() -> None:
        lookups = Lookups()
        lookups.answers = dict.fromkeys(("a.test", "b.test", "c.test"), "1.1.1.1")
        resolver = Resolver(Dns(ttl=100.0), lookups)
        for host in ("a.test", "b.test"):
            await resolve(resolver, host)
        resolver.adopt(Dns(ttl=10.0, names=1), asyncio.get_running_loop().time())
        await resolve(resolver, "b.test")
        assert lookups.asked == ["a.test", "b.test"]
        await asyncio.sleep(10.0)
        await resolve(resolver, "b.test")
        await resolve(resolver, "a.test")
        assert lookups.asked == ["a.test", "b.test", "b.test", "a.test"]
        lookups.delay_s = 1.0
        under_way = asyncio.ensure_future(resolve(resolver, "c.test"))
        await turn()
        resolver.adopt(Dns(), asyncio.get_running_loop().time())
        assert await under_way == "1.1.1.1"

    run_virtually(story())

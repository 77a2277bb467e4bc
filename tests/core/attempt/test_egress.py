"""Egress proxies, as the environment asks for them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.egress import EgressProxy, compose_connect, find_egress_proxy, read_connect_status
from sidecar.errors import ConfigError

PROXY = EgressProxy("proxy.test", 3128, None)
ON = {"HTTPS_PROXY": "http://proxy.test:3128"}


def find(host: str, environ: dict[str, str], port: int = 443) -> EgressProxy | None:
    """Return the proxy for an https upstream."""
    return find_egress_proxy("https", host, port, environ)


@pytest.mark.parametrize(
    "environ",
    [
        {"https_proxy": "http://proxy.test:3128"},
        {"HTTPS_PROXY": "http://proxy.test:3128"},
        {"all_proxy": "http://proxy.test:3128"},
        {"ALL_PROXY": "proxy.test:3128"},
        {"https_proxy": "http://proxy.test:3128", "HTTPS_PROXY": "http://other.test"},
        {"https_proxy": "", "HTTPS_PROXY": "http://proxy.test:3128/"},
        {"HTTPS_PROXY": "http://proxy.test:3128", "all_proxy": "http://other.test"},
    ],
)
def test_the_environment_names_the_proxy(environ: dict[str, str]) -> None:
    """Lower case before upper, the scheme's own variable before the one for all; a scheme is not needed."""
    assert find("api.test", environ) == PROXY


@pytest.mark.parametrize("environ", [{}, {"http_proxy": "http://proxy.test"}, {"HTTPS_PROXY": ""}])
def test_without_a_proxy_the_way_is_direct(environ: dict[str, str]) -> None:
    """Nothing is tunnelled that nobody asked for."""
    assert find("api.test", environ) is None


def test_plain_upstreams_are_reached_directly() -> None:
    """Only https is tunnelled."""
    assert find_egress_proxy("http", "api.test", 80, ON) is None


def test_the_port_defaults_to_80_and_credentials_are_decoded() -> None:
    """User and password are percent-decoded into one basic credential (RFC 7617)."""
    proxy = find("api.test", {"HTTPS_PROXY": "http://us%40er:p%3Ass@proxy.test"})
    assert proxy == EgressProxy("proxy.test", 80, b"Basic " + base64.b64encode(b"us@er:p:ss"))
    assert find("api.test", {"HTTPS_PROXY": "http://user@proxy.test"}) == EgressProxy(
        "proxy.test", 80, b"Basic " + base64.b64encode(b"user:")
    )


@pytest.mark.parametrize(
    "text", ["socks5://proxy.test:1080", "https://proxy.test", "http://", "http://proxy.test:99999", "http://proxy.test:x", "http://[::1"]
)
def test_a_proxy_that_cannot_be_used_is_a_problem(text: str) -> None:
    """It is never passed by in silence; its text, which may hold a password, is not repeated."""
    with pytest.raises(ConfigError) as raised:
        find("api.test", {"ALL_PROXY": text})
    assert raised.value.problems[0].path == "ALL_PROXY"
    assert "proxy.test" not in str(raised.value)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "api.test", 443),
        ("api.test", "api.test", 443),
        ("API.test", "api.TEST.", 443),
        ("test", "api.test", 443),
        (".test", "api.test", 443),
        ("*.test", "api.test", 443),
        ("other, ,api.test", "api.test", 443),
        ("api.test:8443", "api.test", 8443),
        ("10.0.0.0/8", "10.1.2.3", 443),
        ("10.1.2.3", "10.1.2.3", 443),
        ("fd00::/8", "fd00::1", 443),
        ("::1", "::1", 443),
    ],
)
def test_exempt_hosts_are_reached_directly(no_proxy: str, host: str, port: int) -> None:
    """Names, suffixes, ports, address blocks and the star are understood, in either case of the variable."""
    for name in ("no_proxy", "NO_PROXY"):
        assert find(host, {**ON, name: no_proxy}, port) is None


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("", "api.test"),
        (",", "api.test"),
        (".", "api.test"),
        ("pi.test", "api.test"),
        ("api.test.example", "api.test"),
        ("api.test:8443", "api.test"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("10.0.0.0/8", "api.test"),
        ("10.0.0.0/99", "10.1.2.3"),
    ],
)
def test_others_are_not_exempt(no_proxy: str, host: str) -> None:
    """A part of a name, another port or a broken block exempts nobody."""
    assert find(host, {**ON, "no_proxy": no_proxy}) == PROXY


@pytest.mark.parametrize(
    ("host", "port", "authorization", "request_"),
    [
        ("api.test", 443, None, b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"),
        ("fd00::1", 8443, b"Basic eA==",
         b"CONNECT [fd00::1]:8443 HTTP/1.1\r\nHost: [fd00::1]:8443\r\nProxy-Authorization: Basic eA==\r\n\r\n"),
    ],
)  # fmt: skip
def test_a_tunnel_is_asked_for_by_authority(host: str, port: int, authorization: bytes | None, request_: bytes) -> None:
    """CONNECT names host and port twice, and carries the credential if there is one."""
    assert compose_connect(host, port, authorization) == request_


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
        (b"HTTP/1.0 407 Proxy Authentication Required\r\nA: b\r\n\r\n", 407),
        (b"HTTP/1.1 204\r\n\r\n", 204),
        (b"SSH-2.0-OpenSSH\r\n\r\n", None),
        (b"HTTP/1.1\r\n\r\n", None),
        (b"HTTP/1.1 20 OK\r\n\r\n", None),
        (b"HTTP/1.1 2000 OK\r\n\r\n", None),
        (b"HTTP/1.1 +20 OK\r\n\r\n", None),
        (b"HTTP/2 200 OK\r\n\r\n", None),
        (b"", None),
    ],
)
def test_the_answer_to_connect_is_read(head: bytes, status: int | None) -> None:
    """A status of three digits in an HTTP/1 answer, or nothing."""
    assert read_connect_status(head) == status


@given(st.binary(max_size=60))
def test_garbage_in_place_of_an_answer_never_raises(head: bytes) -> None:
    """Whatever a proxy says, the outcome is a status of three digits or none."""
    status = read_connect_status(head)
    assert status is None or 0 <= status <= 999


@given(st.text(max_size=30), st.text(max_size=30))
def test_odd_exemptions_never_raise(host: str, no_proxy: str) -> None:
    """Whatever NO_PROXY holds, the answer is a proxy or none."""
    assert find(host, {**ON, "no_proxy": no_proxy}) in (PROXY, None)

"""The defaults, as documented."""

import dataclasses

import pytest

from sidecar import config
from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Settings


def test_the_defaults_are_those_promised() -> None:
    """Ports, limits of time and of size."""
    settings = Settings()
    assert (settings.listen, settings.admin.listen) == ("127.0.0.1:4000", "127.0.0.1:9464")
    timeouts = settings.timeouts
    assert (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total) == (5.0, 60.0, 180.0, 600.0)
    assert settings.limits.body == 50 * 1024 * 1024
    upstream = config.Upstream("http://x")
    assert (upstream.connections, upstream.keep_alive, upstream.max_age) == (100, 60.0, 600.0)
    assert (settings.dns.ttl, settings.dns.names) == (300.0, 500)
    assert (settings.usage.ask, settings.tracing.ratio, settings.tracing.slow) == ("auto", 1.0, 10.0)
    assert settings.response_headers
    assert (settings.content.capture, settings.content.bytes_max, settings.usage.estimate) == ("off", 64 * 1024, False)
    assert (settings.content.redact.builtin, settings.content.redact.patterns, settings.content.redact.timeout) == (True, (), 0.1)


def test_every_built_in_route_has_its_upstream() -> None:
    """Prefixes begin and end with a slash, and lead somewhere."""
    assert {route.upstream for route in BUILT_IN_ROUTES} == BUILT_IN_UPSTREAMS.keys()
    assert all(route.prefix == f"/{route.upstream}/" for route in BUILT_IN_ROUTES)
    assert all(upstream.url.startswith("https://") for name, upstream in BUILT_IN_UPSTREAMS.items() if name != "ollama")


def test_settings_cannot_be_changed() -> None:
    """What runs is what was loaded."""
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.listen = "0.0.0.0:1"  # type: ignore[misc]
    assert Settings().upstreams is not Settings().upstreams

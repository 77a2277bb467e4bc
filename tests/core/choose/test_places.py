"""What an upstream's configuration comes to."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Upstream
from sidecar.core.choose.places import NOWHERE, is_same_place, list_kept, read_place, read_places


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base_path", "authority"),
    [
        ("https://api.test", "https", "api.test", 443, b"", b"api.test"),
        ("https://API.Test/", "https", "api.test", 443, b"", b"api.test"),
        ("http://api.test/api/v1/", "http", "api.test", 80, b"/api/v1", b"api.test"),
        ("https://api.test:443", "https", "api.test", 443, b"", b"api.test"),
        ("https://api.test:80", "https", "api.test", 80, b"", b"api.test:80"),
        ("http://127.0.0.1:11434", "http", "127.0.0.1", 11434, b"", b"127.0.0.1:11434"),
        ("http://[::1]:8080/x", "http", "::1", 8080, b"/x", b"[::1]:8080"),
        ("https://[fd00::1]", "https", "fd00::1", 443, b"", b"[fd00::1]"),
    ],
)
def test_an_url_is_worked_out_once(url: str, scheme: str, host: str, port: int, base_path: bytes, authority: bytes) -> None:
    """Default ports are left out of the authority, brackets stay in it, the base path has no slash at its end."""
    place = read_place("main", Upstream(url), None)
    assert (place.scheme, place.host, place.port, place.base_path, place.authority) == (scheme, host, port, base_path, authority)


@pytest.mark.parametrize(
    ("url", "provider", "field"),
    [
        ("https://api.openai.com", None, b"Authorization: Bearer k"),
        ("https://api.anthropic.com", None, b"x-api-key: k"),
        ("https://generativelanguage.googleapis.com", None, b"x-goog-api-key: k"),
        ("https://res.openai.azure.com", None, b"api-key: k"),
        ("https://res.cognitiveservices.azure.com", None, b"api-key: k"),
        ("https://res.services.ai.azure.com", None, b"api-key: k"),
        ("http://127.0.0.1", "anthropic", b"x-api-key: k"),
        ("http://127.0.0.1", None, b"Authorization: Bearer k"),
    ],
)
def test_a_key_goes_where_the_provider_expects_it(url: str, provider: str | None, field: bytes) -> None:
    """Each provider's own field; a bearer token where nothing else is known."""
    assert read_place("main", Upstream(url, provider=provider), "k").credential == (field,)


def test_without_a_key_the_callers_credential_passes() -> None:
    """Nothing is set in its place."""
    assert read_place("main", Upstream("https://api.openai.com"), None).credential == ()


@pytest.mark.parametrize(("provider", "answers"), [("openai", True), ("vllm", True), ("openrouter", False), (None, False)])
def test_only_known_providers_are_asked_for_usage(provider: str | None, answers: bool) -> None:
    """Where nothing is known, nothing is added to a request."""
    assert read_place("main", Upstream("http://127.0.0.1", provider=provider), None).answers_usage is answers


def test_every_upstream_has_its_place_and_its_own_key() -> None:
    """Names are kept, keys are not mixed up."""
    places = read_places({"a": Upstream("http://a.test"), "b": Upstream("http://b.test")}, {"b": "k"})
    assert [(place.name, place.host, len(place.credential)) for place in places.values()] == [("a", "a.test", 0), ("b", "b.test", 1)]


def test_nowhere_is_nowhere() -> None:
    """A call that no route took names no upstream."""
    assert (NOWHERE.name, NOWHERE.host, NOWHERE.port, NOWHERE.credential) == ("", "", 0, ())


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"api_key_file": "/run/other"}, True),
        ({"weight": 2.0, "models": {"a": "b"}, "context": 5}, True),
        ({"url": "https://api.openai.com/"}, True),
        ({"url": "https://api.openai.com:443"}, True),
        ({"url": "http://api.openai.com"}, False),
        ({"url": "https://api.openai.com:8443"}, False),
        ({"url": "https://api.openai.com/v2"}, False),
        ({"url": "https://eu.api.openai.com"}, False),
        ({"provider": "vllm"}, False),
    ],
)
def test_what_makes_a_place_another(changes: dict[str, Any], is_same: bool) -> None:
    """Where it is and who it is; not what is sent there."""
    before = Upstream("https://api.openai.com", api_key_file="/run/key")
    one, other = read_place("up", before, "sk-1"), read_place("up", replace(before, **changes), "sk-2")
    assert is_same_place(one, other) is is_same
    assert list_kept({"up": one, "gone": one}, {"up": other, "new": one}) == (frozenset({"up"}) if is_same else frozenset())

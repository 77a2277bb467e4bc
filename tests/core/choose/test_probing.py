"""Which upstreams are probed, how, and what follows."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Features, Pool, Probing, Route, Settings, Upstream
from sidecar.core.choose.places import read_place, read_places
from sidecar.core.choose.probing import ProbeHistory, compose_probe, is_metered, plan_probes


def plan(upstreams: dict[str, Upstream], **changes: object) -> list[str]:
    """Return who is probed."""
    settings = replace(Settings(upstreams=upstreams, routes=BUILT_IN_ROUTES), **changes)  # type: ignore[arg-type]
    return [probe.upstream for probe in plan_probes(settings, read_places(upstreams, {}))]


def first_line(url: str, provider: str | None = None, path: str | None = None) -> str:
    """Return the request line of a probe; "" where it is none."""
    return compose_probe(read_place("up", Upstream(url, provider=provider), None), path).partition(b"\r\n")[0].decode()


@pytest.mark.parametrize(
    ("url", "provider", "target"),
    [
        ("https://api.openai.com", None, "/v1/models"),
        ("https://openrouter.ai/api", None, "/api/v1/models"),
        ("https://api.groq.com/openai", None, "/openai/v1/models"),
        ("http://llm.test/v1", "openai", "/v1/models"),
        ("http://llm.test/x/v1", "openai", "/x/v1/models"),
        ("http://llm.test/av1", "openai", "/av1/v1/models"),
        ("https://mine.openai.azure.com", None, "/openai/v1/models"),
        ("https://api.anthropic.com", None, "/v1/models"),
        ("https://generativelanguage.googleapis.com", None, "/v1beta/models"),
        ("http://127.0.0.1:11434", "ollama", "/api/version"),
        ("http://vllm.test:8000", "vllm", "/health"),
        ("http://vllm.test:8000/health", "vllm", "/health/health"),
    ],
)
def test_each_provider_has_a_cheap_path(url: str, provider: str | None, target: str) -> None:
    """None of them runs a model; a version that the url names already is not named twice."""
    assert first_line(url, provider) == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize("url", ["http://llm.test", "https://api.perplexity.ai", "https://x.amazonaws.com"])
def test_where_no_path_is_known_a_connection_is_enough(url: str) -> None:
    """A guess could be billed."""
    assert first_line(url) == ""


def test_a_configured_path_is_the_one() -> None:
    """Behind the upstream's own path, whatever the provider."""
    assert first_line("http://llm.test/x", None, "/up?deep=1") == "GET /x/up?deep=1 HTTP/1.1"
    assert first_line("http://llm.test/v1", "openai", "/v1/up") == "GET /v1/v1/up HTTP/1.1"


def test_a_probe_carries_the_upstreams_own_credential() -> None:
    """And is a whole request without a body that asks for the connection to be closed."""
    request = compose_probe(read_place("a", Upstream("https://api.anthropic.com"), "KEY"), None)
    head, end, rest = request.partition(b"\r\n\r\n")
    assert (end, rest) == (b"\r\n\r\n", b"")
    lines = head.split(b"\r\n")
    assert {b"Host: api.anthropic.com", b"x-api-key: KEY", b"anthropic-version: 2023-06-01", b"Connection: close"} <= set(lines)
    bare = compose_probe(read_place("a", Upstream("https://api.openai.com"), None), None).lower()
    assert b"authorization" not in bare and b"api-key" not in bare and b"anthropic" not in bare


@pytest.mark.parametrize(
    ("url", "provider", "metered"),
    [("https://api.openai.com", None, True), ("https://api.openai.com", "mine", True), ("http://llm.test", "anthropic", True),
     ("https://mine.openai.azure.com", None, True), ("http://llm.test", None, False), ("http://llm.test", "vllm", False),
     ("http://127.0.0.1:11434", "ollama", False)],
)  # fmt: skip
def test_services_are_metered_by_host_or_by_name(url: str, provider: str | None, metered: bool) -> None:
    """A private host that is said to be a service's is one, too."""
    assert is_metered(read_place("up", Upstream(url, provider=provider), None)) is metered


def test_who_is_probed() -> None:
    """What is not metered; of the rest only what is asked for; and nobody where all of it is off."""
    upstreams = {
        "own": Upstream("http://llm.test"),
        "off": Upstream("http://llm.test", probe=Probing.OFF),
        "paid": Upstream("https://api.openai.com"),
        "asked": Upstream("https://api.openai.com", probe=Probing.ON),
        "never": Upstream("https://api.openai.com", probe=Probing.OFF),
    }
    assert plan(upstreams) == ["own", "asked"]
    assert plan(upstreams, features=Features(metered_probes=True)) == ["own", "paid", "asked"]
    assert plan(upstreams, features=Features(probes=False, metered_probes=True)) == []


def test_what_is_built_in_is_probed_once_it_is_used() -> None:
    """Else each machine without Ollama would have an upstream that is unhealthy."""
    built_in = dict(BUILT_IN_UPSTREAMS)
    every = Features(metered_probes=True)
    assert plan(built_in, features=every) == []
    assert plan(built_in, pools={"p": Pool(("ollama", "openai"))}) == ["ollama"]
    assert plan(built_in, routes=(*BUILT_IN_ROUTES, Route("/mine/", "ollama"))) == ["ollama"]
    assert plan(built_in | {"ollama": Upstream("http://gpu.test:11434", provider="ollama")}) == ["ollama"]
    assert plan(built_in | {"ollama": replace(built_in["ollama"], probe=Probing.ON)}) == ["ollama"]


def test_one_lost_packet_is_no_news() -> None:
    """Unhealthy from the second failure in a row on, healthy after one success."""
    history = ProbeHistory()
    assert history.last is None
    verdicts = [history.note(0.0, 0.1, problem) for problem in ("x", None, "x", None, "x", "x", "x", None, "x")]
    assert verdicts == [None, True, None, True, None, False, False, True, None]
    assert history.last is not None
    assert (history.last.healthy, history.last.failures, history.last.problem) == (True, 1, "x")


@given(st.lists(st.booleans(), max_size=30))
def test_health_is_that_of_the_last_verdict(successes: list[bool]) -> None:
    """Against the definition: two failures at the end say no, a success since the last two in a row says yes."""
    history = ProbeHistory()
    known: bool | None = None
    for index, succeeded in enumerate(successes):
        verdict = history.note(float(index), 0.0, None if succeeded else "x")
        expected = True if succeeded else False if index and not successes[index - 1] else None
        assert verdict is expected
        known = known if expected is None else expected
        assert history.last is not None and history.last.healthy is known and history.last.at == index

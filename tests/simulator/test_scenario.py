"""sidecar/simulator/scenario.py"""

from pathlib import Path

import pytest

from sidecar.config import Features
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import list_accounts
from sidecar.simulator.errands import list_usual
from sidecar.simulator.scenario import ROUTES, SEED, Places, plan_demo
from sidecar.warming import read_prompt


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where nobody listens."""
    return Places("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", tmp_path)


def test_settings(places: Places) -> None:
    """The sidecar listens on the port asked for, or on a free one, and sees the provider as all that it has routes for."""
    settings = plan_demo(places, None, 4567, True, is_terminal=False).settings
    assert (settings.listen, settings.admin.listen) == ("127.0.0.1:4567", "127.0.0.1:0")
    assert {name: (place.url, place.provider) for name, place in settings.upstreams.items()} == {
        "openai": ("http://127.0.0.1:1", "openai"), "anthropic": ("http://127.0.0.1:1", "anthropic"),
        "gemini": ("http://127.0.0.1:1", "gcp.gemini"), "ollama": ("http://127.0.0.1:1", "ollama"),
        "openrouter": ("http://127.0.0.1:1/api", "openrouter"), "standby": ("http://127.0.0.1:2", "openai"),
        "weather": ("http://127.0.0.1:3/tools", "weather"),
    }  # fmt: skip
    assert settings.pools["chat"].upstreams == ("openai", "standby")
    assert {route.prefix: route.pool or route.upstream for route in settings.routes} == {
        "/openai/": "chat", "/tools/": "weather", **{f"/{name}/": name for name in ("anthropic", "openrouter", "gemini", "ollama")},
    }  # fmt: skip
    off = {"retries", "metered_probes", "refresh"}
    assert settings.features == Features(**{name: name not in off for name in Features.__dataclass_fields__})
    assert list_accounts(settings)[0] == "default" and {"shop", "support", "reports"} < set(list_accounts(settings))
    assert plan_demo(places, None, None, True, is_terminal=False).settings.listen == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("duration_s", "once", "bounds"), [(None, True, (300, None)), (7.0, False, (None, 7.0)), (None, False, (None, None))]
)
def test_bounds(places: Places, duration_s: float | None, once: bool, bounds: tuple[int | None, float | None]) -> None:
    """`--once` is bounded in number, `--duration` in time, and without either nothing ends it but a signal."""
    traffic = plan_demo(places, duration_s, None, once, is_terminal=False).traffic
    assert (traffic.calls, traffic.duration_s) == bounds


def test_prompts_are_those_of_the_callers(places: Places) -> None:
    """What is asked beforehand is what the callers of one tenant ask, with their credential, which is in a file of its own."""
    settings = plan_demo(places, None, None, True, is_terminal=False).settings
    assert settings.warming.file is not None and settings.warming.key_file is not None
    lines = Path(settings.warming.file).read_bytes().splitlines()
    key = Path(settings.warming.key_file).read_text(encoding="utf-8")
    asked = list_usual(SEED, 3, ROUTES)
    for line, errand in zip(lines, asked, strict=True):
        prompt = read_prompt(line, Router(settings.routes, settings.pools), key, 1 << 20)
        assert (prompt.target, prompt.body, prompt.tenant) == (f"/{errand.route}{errand.path}", errand.body, "shop")
        assert key.encode() not in line and any(key.encode() in value for _, value in prompt.headers)

"""sidecar/simulator/asking.py"""

import json

import pytest

from sidecar.config import BUILT_IN_UPSTREAMS
from sidecar.simulator.asking import PROVIDERS, Call, Prompt
from sidecar.simulator.dialects import find_dialect
from sidecar.simulator.request import Ask, Form

_PROMPT = Prompt(
    "sim-large", (("user", "When?"), ("assistant", "Soon."), ("user", "How soon?")), "Be brief.",
    stream=True, tokens_max=40, temperature=0.2, has_tool=True, kept_for="1h",
)  # fmt: skip
_RESPOND = PROVIDERS["openai"].respond
assert _RESPOND is not None
_CHATS = [pytest.param(name, provider.chat(_PROMPT), id=name) for name, provider in PROVIDERS.items()]


def _read(route: str, call: Call) -> tuple[Form, Ask]:
    path, tree = call
    found = find_dialect("POST", ("/api" if route == "openrouter" else "") + path)
    assert found is not None
    dialect, form = found
    assert dialect.provider == BUILT_IN_UPSTREAMS[route].provider
    return form, dialect.read_ask(form, path, json.dumps(tree).encode())


@pytest.mark.parametrize(("route", "call"), [*_CHATS, pytest.param("openai", _RESPOND(_PROMPT), id="responses")])
def test_a_chat_says_the_same_to_each(route: str, call: Call) -> None:
    """Model, turns, instructions, limit, tool and stream arrive at every provider, in its own form."""
    _, ask = _read(route, call)
    assert (ask.model, ask.stream, ask.tokens_max) == ("sim-large", True, 40)
    assert (
        ask.tool is not None and ask.tool.name == "look_up_weather" and set(ask.tool.parameters["properties"]) == {"place", "days", "unit"}
    )
    text = "\n".join(ask.prompt)
    assert all(part in text for part in ("Be brief.", "When?", "Soon.", "How soon?"))


@pytest.mark.parametrize("route", PROVIDERS)
def test_a_small_question(route: str) -> None:
    """What is not asked for is not sent."""
    provider = PROVIDERS[route]
    _, ask = _read(route, provider.chat(Prompt("sim-small", (("user", "Why?"),))))
    assert (ask.model, ask.stream, ask.tool, len(ask.prompt)) == ("sim-small", False, None, 1)


def test_instructions_are_marked_for_the_cache() -> None:
    """Anthropic is told what to cache and for how long; others cache by themselves."""
    long = _PROMPT._replace(instructions="Be brief. " * 500, has_tool=False)
    _, hour = _read("anthropic", PROVIDERS["anthropic"].chat(long))
    _, minutes = _read("anthropic", PROVIDERS["anthropic"].chat(long._replace(kept_for="5m")))
    assert hour.written_1h_tokens == hour.written_tokens == minutes.written_tokens > 1024
    assert minutes.written_1h_tokens == 0


@pytest.mark.parametrize("texts", [["one"], ["one", "two"]])
@pytest.mark.parametrize("route", [name for name, provider in PROVIDERS.items() if provider.embed])
def test_embeddings(route: str, texts: list[str]) -> None:
    """One text or several are embedded."""
    embed = PROVIDERS[route].embed
    assert embed is not None
    form, ask = _read(route, embed("sim-embed", texts))
    assert (form, ask.model, ask.prompt) == (Form.EMBEDDING, "sim-embed", tuple(texts))


@pytest.mark.parametrize("route", [name for name, provider in PROVIDERS.items() if provider.complete])
def test_completions(route: str) -> None:
    """The last turn is what is completed."""
    complete = PROVIDERS[route].complete
    assert complete is not None
    form, ask = _read(route, complete(_PROMPT))
    assert (form, ask.prompt, ask.tokens_max, ask.stream) == (Form.COMPLETION, ("How soon?",), 40, True)


@pytest.mark.parametrize("route", PROVIDERS)
def test_credentials(route: str) -> None:
    """A bad key is known as bad by the provider it is sent to, a good one as good."""
    provider = PROVIDERS[route]
    path, _ = provider.chat(_PROMPT)
    found = find_dialect("POST", ("/api" if route == "openrouter" else "") + path)
    assert found is not None
    assert not found[0].is_known(dict([provider.key("sk-bad")]))
    assert found[0].is_known(dict([provider.key("sk-simulated")]))


def test_routes_are_the_built_in_ones() -> None:
    """Everyone for whom the sidecar has a route is called."""
    assert set(PROVIDERS) == set(BUILT_IN_UPSTREAMS)

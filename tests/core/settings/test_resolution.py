"""Defaults, file and environment together."""

from typing import Any

import pytest

from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Route, Upstream
from sidecar.core.settings.resolution import Loaded, resolve, walk
from sidecar.core.settings.tree import Document, Fault
from sidecar.errors import ConfigError


def parse(text: str) -> Any:
    """Stand in for YAML: nothing here gives whole sections."""
    raise ValueError(text)


def load(tree: dict[Any, Any], **environ: str) -> Loaded:
    """Resolve a tree whose outermost keys stand on lines 1, 2, 3…"""
    return resolve(Document("f.yaml", tree, {(key,): line for line, key in enumerate(tree, 1)}), environ, parse)


def test_without_anything_the_built_in_upstreams_and_routes_are_there() -> None:
    """No configuration is a good configuration."""
    loaded = load({})
    assert loaded.settings.upstreams == BUILT_IN_UPSTREAMS
    assert loaded.settings.routes == BUILT_IN_ROUTES
    assert set(loaded.origins.values()) == {"default"}


def test_the_same_name_or_prefix_replaces_the_built_in() -> None:
    """Configured upstreams and routes come first and take the place of built-in ones."""
    loaded = load({"upstreams": {"openai": {"url": "http://a"}}, "routes": [{"prefix": "/gemini/", "upstream": "openai"}]})
    assert loaded.settings.upstreams["openai"] == Upstream("http://a")
    assert loaded.settings.routes[0] == Route("/gemini/", "openai")
    assert sorted(route.prefix for route in loaded.settings.routes) == sorted(route.prefix for route in BUILT_IN_ROUTES)


def test_origins_tell_default_file_and_environment_apart() -> None:
    """Every setting says where it comes from."""
    loaded = load({"listen": "h:1", "timeouts": {"idle": "1s"}}, LLM_SIDECAR__TIMEOUTS__TOTAL="2s", LLM_SIDECAR_UPSTREAM="http://a")
    picked = [
        "listen",
        "timeouts.idle",
        "timeouts.total",
        "timeouts.connect",
        "upstreams.default.url",
        "routes[0].prefix",
        "routes[1].prefix",
    ]
    assert [loaded.origins[path] for path in picked] == [
        "file:1",
        "file:2",
        "env:LLM_SIDECAR__TIMEOUTS__TOTAL",
        "default",
        "env:LLM_SIDECAR_UPSTREAM",
        "env:LLM_SIDECAR_UPSTREAM",
        "default",
    ]


def test_origins_cover_every_setting() -> None:
    """No setting is without an origin."""
    models = {"*": "m", "a:b": "m", "x@20250514": "m", "y@20250514": "m", "v" * 199 + "1": "m", "v" * 199 + "2": "m"}
    loaded = load(
        {
            "upstreams": {"a.b": {"url": "http://a", "models": models}, "openai": {"weight": 2}},
            "pools": {"p": {"upstreams": ["a.b", "openai"]}},
            "routes": [{"prefix": "/p/", "pool": "p"}],
            "breaker": {"groups": {"g": {"models": ["a*"]}}},
        }
    )
    assert loaded.origins["pools.p.upstreams[1]"] == "file:2"
    assert (loaded.origins["upstreams.openai.weight"], loaded.origins["upstreams.openai.url"]) == ("file:1", "default")
    assert len(loaded.origins) == len(list(walk(loaded.settings)))


def test_problems_say_where_to_mend_them() -> None:
    """Problems of the file have its lines and come first, those of the environment have the variable's name."""
    with pytest.raises(ConfigError) as raised:
        load({"listen": 1, "timeouts": {"idle": "x"}}, LLM_SIDECAR__TIMEOUTS__TOTAL="y", LLM_SIDECAR_UPSTREAM="z", LLM_SIDECAR__NOPE="w")
    assert [(problem.path, problem.line) for problem in raised.value.problems] == [
        ("listen", 1),
        ("timeouts.idle", 2),
        ("LLM_SIDECAR_UPSTREAM", None),
        ("LLM_SIDECAR__TIMEOUTS__TOTAL", None),
        ("LLM_SIDECAR__NOPE", None),
    ]
    assert raised.value.source == "f.yaml"


def test_problems_within_a_variable_have_their_place_in_it() -> None:
    """A list in a variable is told by the variable and the position."""
    with pytest.raises(ConfigError) as raised:
        resolve(
            Document("f", {}, {}),
            {"LLM_SIDECAR__ROUTES": "…", "LLM_SIDECAR__TIMEOUTS": "…"},
            lambda _: [{"prefix": "/a/", "upstream": "b"}],
        )
    assert [problem.path for problem in raised.value.problems] == ["LLM_SIDECAR__TIMEOUTS", "LLM_SIDECAR__ROUTES[0].upstream"]
    with pytest.raises(ConfigError) as raised:
        resolve(Document("f", {}, {}), {"LLM_SIDECAR__TIMEOUTS": "…"}, lambda _: {"idle": "x"})
    assert [problem.path for problem in raised.value.problems] == ["LLM_SIDECAR__TIMEOUTS.idle"]


def test_a_credential_where_its_digest_belongs_is_nowhere_shown() -> None:
    """Neither by the file nor by a variable, nor where it is there twice; its line is."""
    keys = {"hunter2-hunter2": "a", "sk-hunter2": "b"}
    tree = {"tenants": {"keys": keys}}
    lines = {("tenants",): 1, ("tenants", "keys"): 2, ("tenants", "keys", "hunter2-hunter2"): 3, ("tenants", "keys", "sk-hunter2"): 4}
    twice = Fault(("tenants", "keys", "sk-hunter2"), "the same key on lines 4 and 5", "each key once")
    with pytest.raises(ConfigError) as raised:
        resolve(Document("f", tree, lines, (twice,)), {}, parse)
    assert [(problem.path, problem.line) for problem in raised.value.problems] == [
        ("tenants.keys.'••••'", 3), ("tenants.keys.'••••'", 4), ("tenants.keys.'••••'", 4),
    ]  # fmt: skip
    assert "hunter2" not in str(raised.value.problems)


@pytest.mark.parametrize(
    ("variable", "value"), [("LLM_SIDECAR__TENANTS__KEYS", {"hunter2": "a"}), ("LLM_SIDECAR__TENANTS", {"keys": {"hunter2": "a"}})]
)
def test_nor_is_a_credential_in_a_variable(variable: str, value: Any) -> None:
    """Where the beginning of a path is the variable's name."""
    with pytest.raises(ConfigError) as raised:
        resolve(Document("f", {}, {}), {variable: "…"}, lambda _: value)
    (problem,) = raised.value.problems
    assert "hunter2" not in str(problem) and problem.path.startswith(f"{variable}.") and problem.path.endswith("'••••'")


def test_the_files_own_faults_keep_their_lines() -> None:
    """A fault found in reading stands at its line even where a variable sets the same."""
    document = Document("f", {"listen": "h:1"}, {("listen",): 7}, (Fault(("listen",), "twice", "once"),))
    with pytest.raises(ConfigError) as raised:
        resolve(document, {"LLM_SIDECAR_LISTEN": "h:2"}, parse)
    assert [(problem.path, problem.line) for problem in raised.value.problems] == [("listen", 7)]


def test_a_problem_of_the_outermost_level_is_the_files() -> None:
    """There is no path to spell: the file is named."""
    with pytest.raises(ConfigError) as raised:
        load({1: 2})
    assert raised.value.problems[0].path == "f.yaml"


def test_the_settings_cannot_be_changed() -> None:
    """What was resolved stays as it is."""
    with pytest.raises(TypeError):
        load({}).settings.upstreams["x"] = Upstream("http://a")  # type: ignore[index]

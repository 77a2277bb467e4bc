"""From trees to settings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Ask, Route, RouteKind, Settings, Timeouts, TlsServer, Upstream
from sidecar.core.settings.checks import check_together
from sidecar.core.settings.decode import decode, suggest
from sidecar.core.settings.tree import Fault


def fault_of(tree: dict[Any, Any]) -> Fault:
    """Return the only fault of a tree."""
    _, faults = decode(Settings, tree)
    assert len(faults) == 1, faults
    return faults[0]


def test_text_may_have_lines_where_it_is_meant_to() -> None:
    """Elsewhere it may not; empty it is nowhere."""
    pem = "one\ntwo\n"
    tls, faults = decode(TlsServer, {"cert": pem, "cert_file": pem, "key": "", "client_ca": 7})
    assert tls is not None and tls.cert == pem
    assert [(fault.path, fault.allowed) for fault in faults] == [
        (("cert_file",), "text on one line"), (("key",), "text"), (("client_ca",), "text"),
    ]  # fmt: skip


def test_an_empty_tree_is_the_defaults() -> None:
    """Nothing written means nothing changed."""
    assert decode(Settings, {}) == (Settings(), [])


def test_everything_written_is_read() -> None:
    """Each kind of setting ends up in its field, in seconds, bytes and enumerations."""
    tree = {
        "listen": "0.0.0.0:80",
        "upstreams": {"one": {"url": "http://a", "api_key_file": None, "connections": 3, "keep_alive": "5m"}},
        "routes": [{"prefix": "/a/", "upstream": "one", "kind": "tool"}],
        "timeouts": {"connect": 2, "idle": 0.5},
        "limits": {"body": "1MiB", "head": 4096},
        "usage": {"ask": "never"},
        "tracing": {"ratio": 0, "propagate": False},
        "response_headers": False,
    }
    settings, faults = decode(Settings, tree)
    assert faults == []
    assert settings is not None
    assert settings.upstreams == {"one": Upstream("http://a", connections=3, keep_alive=300.0)}
    assert settings.routes == (Route("/a/", "one", kind=RouteKind.TOOL),)
    assert settings.timeouts == Timeouts(connect=2.0, idle=0.5)
    assert (settings.limits.body, settings.limits.head) == (1048576, 4096)
    assert settings.usage.ask is Ask.NEVER
    assert settings.tracing.ratio == 0.0
    assert isinstance(settings.tracing.ratio, float)
    assert not settings.tracing.propagate
    assert not settings.response_headers


@pytest.mark.parametrize("name", ["admin", "upstreams", "routes", "timeouts"])
def test_a_heading_with_nothing_under_it_is_the_default(name: str) -> None:
    """A section whose keys are all commented out is not a mistake."""
    settings, faults = decode(Settings, {name: None})
    assert faults == []
    assert getattr(settings, name) == getattr(Settings(), name)


@pytest.mark.parametrize(
    ("tree", "path", "found"),
    [
        ({"listen": 4000}, ("listen",), "4000"),
        ({"listen": None}, ("listen",), "nothing"),
        ({"timeouts": []}, ("timeouts",), "a list"),
        ({"timeouts": {"idle": True}}, ("timeouts", "idle"), "true"),
        ({"timeouts": {"idle": {}}}, ("timeouts", "idle"), "a mapping"),
        ({"limits": {"labels": 1.0}}, ("limits", "labels"), "1.0"),
        ({"limits": {"labels": True}}, ("limits", "labels"), "true"),
        ({"limits": {"labels": 0}}, ("limits", "labels"), "0"),
        ({"limits": {"body": False}}, ("limits", "body"), "false"),
        ({"usage": {"ask": "Auto"}}, ("usage", "ask"), "'Auto'"),
        ({"usage": {"ask": None}}, ("usage", "ask"), "nothing"),
        ({"tracing": {"ratio": 1.5}}, ("tracing", "ratio"), "1.5"),
        ({"tracing": {"ratio": 10**400}}, ("tracing", "ratio"), "a very large number"),
        ({"tracing": {"ratio": "1"}}, ("tracing", "ratio"), "'1'"),
        ({"tracing": {"protocol": "json"}}, ("tracing", "protocol"), "'json'"),
        ({"log": {"level": "loud"}}, ("log", "level"), "'loud'"),
        ({"response_headers": "no"}, ("response_headers",), "'no'"),
        ({"routes": {}}, ("routes",), "a mapping"),
        ({"routes": ["/x/"]}, ("routes", 0), "'/x/'"),
        ({"upstreams": ["a"]}, ("upstreams",), "a list"),
        ({"upstreams": {"a": "http://b"}}, ("upstreams", "a"), "'http://b'"),
        ({"upstreams": {"a": {"provider": "x"}}}, ("upstreams", "a", "url"), "nothing"),
        ({"upstreams": {1: {"url": "http://b"}}}, ("upstreams",), "the name 1, which is not text"),
        ({"upstreams": {"a b": {"url": "http://b"}}}, ("upstreams", "a b"), "a name that cannot be used"),
        ({"upstreams": {"a": {"url": "http://b", "weight": 0}}}, ("upstreams", "a", "weight"), "0"),
        ({"upstreams": {"a": {"url": "http://b", "models": []}}}, ("upstreams", "a", "models"), "a list"),
        ({"upstreams": {"a": {"url": "http://b", "models": {"m": 1}}}}, ("upstreams", "a", "models", "m"), "1"),
        ({"upstreams": {"a": {"url": "http://b", "models": {"m": "*"}}}}, ("upstreams", "a", "models", "m"), "'*'"),
        ({"upstreams": {"a": {"url": "http://b", "models": {4: "m"}}}}, ("upstreams", "a", "models"), "the name 4, which is not text"),
        (
            {"upstreams": {"a": {"url": "http://b", "models": {"m-*": "m"}}}},
            ("upstreams", "a", "models", "m-*"),
            "a name that cannot be used",
        ),
        ({"pools": {"p": {}}}, ("pools", "p", "upstreams"), "nothing"),
        ({"pools": {"p": {"upstreams": None}}}, ("pools", "p", "upstreams"), "an empty list"),
        ({"pools": {"p": {"upstreams": []}}}, ("pools", "p", "upstreams"), "an empty list"),
        ({"pools": {"p": {"upstreams": "a"}}}, ("pools", "p", "upstreams"), "'a'"),
        ({"pools": {"p": {"upstreams": ["a b"]}}}, ("pools", "p", "upstreams", 0), "'a b'"),
        ({"pools": {"p": {"upstreams": ["a"], "strategy": "random"}}}, ("pools", "p", "strategy"), "'random'"),
        ({"breaker": {"groups": {"g": {"models": [""]}}}}, ("breaker", "groups", "g", "models", 0), "''"),
        ({"tenants": {"keys": {"hunter2": "a"}}}, ("tenants", "keys", "hunter2"), "a name that cannot be used"),
        ({"tenants": {"keys": {12345678: "a"}}}, ("tenants", "keys"), "a name, which is not text"),
        ({"tenants": {"keys": {"0" * 64: "a b"}}}, ("tenants", "keys", "0" * 64), "'a b'"),
        ({"tenants": {"sources": ["cookie"]}}, ("tenants", "sources", 0), "'cookie'"),
        ({"tenants": {"names": ["-"]}}, ("tenants", "names", 0), "'-'"),
        (
            {"limits": {"rates": {"tenants": {"a": {"tokens": {"per_day": "many"}}}}}},
            ("limits", "rates", "tenants", "a", "tokens", "per_day"),
            "'many'",
        ),
        ({"limits": {"rates": {"tenants": {"a b": {}}}}}, ("limits", "rates", "tenants", "a b"), "a name that cannot be used"),
        ({"budgets": {"tenants": {"a": {"day": -1}}}}, ("budgets", "tenants", "a", "day"), "-1"),
        ({"redis": {"url": "redis://u:hunter2@h"}}, ("redis", "url"), "'redis://••••@h'"),
        ({"cache": {"ignore_headers": ["Cookie"]}}, ("cache", "ignore_headers", 0), "'Cookie'"),
        ({"cache": {"expiry": {"models": 0}}}, ("cache", "expiry", "models"), "0"),
        ({"cache": {"what": "some"}}, ("cache", "what"), "'some'"),
        (
            {"routes": [{"prefix": "/a/", "upstream": "b", "kind": "tool", "tools": {"t": "-1s"}}]},
            ("routes", 0, "tools", "t"),
            "'-1s'",
        ),
        ({True: 1}, (), "the key true, which is not text"),
        ({"lissen": 1}, ("lissen",), "a key that is not known"),
    ],
)
def test_a_wrong_value_is_one_fault_at_its_path(tree: dict[Any, Any], path: tuple[str | int, ...], found: str) -> None:
    """Each mistake is told once, where it is, with what was found."""
    fault = fault_of(tree)
    assert (fault.path, fault.found) == (path, found)


def test_all_faults_are_found_at_once() -> None:
    """One wrong value hides no other, in the same entry or elsewhere."""
    tree = {"listen": 1, "routes": [{"prefix": 2, "upstream": 3}, {"prefix": "/b/"}], "timeouts": {"idle": "x", "nope": 1}}
    _, faults = decode(Settings, tree)
    assert {fault.path for fault in faults} == {
        ("listen",),
        ("routes", 0, "prefix"),
        ("routes", 0, "upstream"),
        ("timeouts", "idle"),
        ("timeouts", "nope"),
    }


def test_faulty_parts_have_their_defaults() -> None:
    """What can be used of a faulty tree is there to look further."""
    settings, faults = decode(
        Settings, {"listen": 1, "timeouts": {"idle": "x", "total": "1s"}, "upstreams": {"bad": {}, "good": {"url": "http://a"}}}
    )
    assert len(faults) == 3
    assert settings is not None
    assert settings.listen == Settings().listen
    assert settings.timeouts == Timeouts(total=1.0)
    assert list(settings.upstreams) == ["good"]


def test_unknown_keys_come_with_the_known_ones_and_a_suggestion() -> None:
    """A slip of the finger is answered with what was probably meant."""
    assert (
        fault_of({"timeouts": {"totl": 1}}).allowed
        == "connect, first_byte, first_token, idle, total, keep_alive, request_head, shutdown, websocket_idle; did you mean total?"
    )


def test_an_unknown_choice_comes_with_the_known_ones_and_a_suggestion() -> None:
    """The choices are told as a sentence would."""
    allowed = fault_of({"pools": {"p": {"upstreams": ["a"], "strategy": "roundrobin"}}}).allowed
    assert allowed == "round_robin, weighted, least_connections, performance or adaptive; did you mean round_robin?"


def test_models_have_names_of_their_own_kind() -> None:
    """What callers and providers call a model need be no name of ours."""
    models = {"gpt-4o:extended": "org/model@2024-08-06", "*": "large model", "x" * 200: "é"}
    settings, faults = decode(Settings, {"upstreams": {"a": {"url": "http://a", "models": models}}})
    assert faults == []
    assert settings is not None and settings.upstreams["a"].models == models


def test_answers_of_a_tool_may_be_kept_for_no_time() -> None:
    """That is never, and by the name that its server gives it."""
    route = {"prefix": "/a/", "upstream": "b", "kind": "tool", "cache": "5m", "tools": {"book a table": 0, "forecast": "1h"}}
    settings, faults = decode(Settings, {"routes": [route]})
    assert faults == []
    assert settings is not None and settings.routes[0].tools == {"book a table": 0.0, "forecast": 3600.0}


@pytest.mark.parametrize(("name", "suggestion"), [("OpenAI", "; did you mean openai?"), ("opnai", "; did you mean openai?"), ("zzz", "")])
def test_only_like_names_are_suggested(name: str, suggestion: str) -> None:
    """A name that is like none gets no suggestion."""
    assert suggest(name, ["openai", "gemini"]) == suggestion


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_KEYS = (
    st.sampled_from(
        [
            "listen",
            "admin",
            "upstreams",
            "routes",
            "timeouts",
            "limits",
            "url",
            "prefix",
            "upstream",
            "idle",
            "openai",
            "pools",
            "upstreams",
            "models",
            "breaker",
            "groups",
            "pool",
            "retries",
            "base",
            "*",
        ]
    )
    | _SCALARS
)


@given(
    st.dictionaries(_KEYS, st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)))
)
def test_any_tree_is_settings_or_faults(tree: dict[Any, Any]) -> None:
    """Whatever YAML can say is either good or explained, never an exception."""
    settings, faults = decode(Settings, tree)
    assert isinstance(settings, Settings)
    assert all(fault.found and fault.allowed for fault in (*faults, *check_together(tree)))

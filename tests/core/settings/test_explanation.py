"""The effective configuration and its problems, as text."""

from typing import Any

from sidecar.core.settings.explanation import describe, explain
from sidecar.core.settings.resolution import Loaded, resolve
from sidecar.core.settings.tree import Document
from sidecar.errors import ConfigError, ConfigProblem


def load(tree: dict[Any, Any]) -> Loaded:
    """Resolve a tree without lines."""
    return resolve(Document("f.yaml", tree, {("listen",): 4}), {}, lambda text: text)


def test_each_setting_is_a_line_with_value_and_origin() -> None:
    """Text is quoted, durations and sizes have their units, and each line ends with where the value is from."""
    lines = [" ".join(line.split()) for line in explain(load({"listen": "h:1"}), {})]
    assert lines[0] == "# f.yaml"
    assert 'listen: "h:1" # file:4' in lines
    assert "timeouts.first_byte: 1m # default" in lines
    assert "limits.body: 50MiB # default" in lines
    assert "limits.labels: 200 # default" in lines
    assert "tracing.endpoint: null # default" in lines
    assert "tracing.propagate: true # default" in lines
    assert 'usage.ask: "auto" # default' in lines


def test_what_looks_like_a_secret_is_shown_as_dots() -> None:
    """A key that was put where its file's path belongs is not printed."""
    text = "\n".join(explain(load({"upstreams": {"a": {"url": "http://a", "api_key_file": "sk-live-1234567890"}}}), {}))
    assert "1234567890" not in text
    assert 'upstreams.a.api_key_file: "••••"' in text


def test_every_setting_of_cache_limits_and_budgets_is_shown() -> None:
    """Nested ones, those of tenants and of tools, and what was given for a secret's path as dots."""
    digest = "0a" * 32
    tree = {
        "features": {"limits": True, "budgets": True},
        "tenants": {"keys": {digest: "acme"}, "names": ["b"]},
        "limits": {"rates": {"tenants": {"acme": {"requests": {"per_minute": 60}}}}},
        "budgets": {"tenant": {"day": 2.5}},
        "redis": {"url": "rediss://h:1/2", "password_file": "sk-live-1234567890"},
        "routes": [{"prefix": "/t/", "upstream": "openai", "kind": "tool", "cache": "5m", "tools": {"pay": 0}}],
    }
    lines = [line.rpartition("  # ")[0].strip() for line in explain(load(tree), {})]
    for line in (
        "features.limits: true", "features.cache: false", f'tenants.keys.{digest}: "acme"', 'tenants.names[0]: "b"',
        'tenants.sources[0]: "header"', "limits.rates.tenants.acme.requests.per_minute: 60.0", "limits.rates.all.tokens.per_day: null",
        "budgets.tenant.day: 2.5", "budgets.file: null", 'redis.url: "rediss://h:1/2"', 'redis.password_file: "••••"',
        "redis.timeout: 50ms", "cache.expiry.answers: 5m", "cache.warm.bytes: 50MiB", "routes[0].cache: 5m", "routes[0].tools.pay: 0s",
    ):  # fmt: skip
        assert line in lines


def test_the_last_line_says_whether_traces_are_on() -> None:
    """The setting or a variable of OpenTelemetry switches them on."""
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@c"}
    assert explain(load({}), {})[-1] == "# traces: off (no endpoint)"
    assert explain(load({}), on)[-1] == "# traces: on (OTEL_EXPORTER_OTLP_ENDPOINT)"
    assert explain(load({"tracing": {"endpoint": "http://c"}}), {})[-1] == "# traces: on (tracing.endpoint)"


def test_problems_are_lines_with_file_and_line() -> None:
    """A problem of the file starts with file and line, one of the environment with its variable, one of the whole file with the file."""
    problems = [
        ConfigProblem("a.b", "1", "2", 7),
        ConfigProblem("LLM_SIDECAR__A", "3", "4"),
        ConfigProblem("f", "5", "6"),
        ConfigProblem("f", "7", "8", 9),
    ]
    assert describe(ConfigError("f", problems)) == [
        "f:7: a.b: found 1; allowed: 2",
        "LLM_SIDECAR__A: found 3; allowed: 4",
        "f: found 5; allowed: 6",
        "f:9: found 7; allowed: 8",
    ]

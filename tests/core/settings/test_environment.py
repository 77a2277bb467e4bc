"""Settings from environment variables."""

from typing import Any

import pytest

from sidecar.core.settings.environment import Assignment, name_trace_endpoint, read_environment


def parse(text: str) -> Any:
    """Stand in for YAML."""
    if text == "bad":
        raise ValueError("not good")
    return {"parsed": text}


def read(**environ: str) -> list[Assignment]:
    """Return the assignments of an environment without faults."""
    found, faults = read_environment(environ, parse)
    assert faults == []
    return found


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("LLM_SIDECAR_LISTEN", "h:1", ("listen",), "h:1"),
        ("LLM_SIDECAR_ADMIN_LISTEN", "h:1", ("admin", "listen"), "h:1"),
        ("LLM_SIDECAR_UPSTREAM", "http://a", ("upstreams", "default", "url"), "http://a"),
        ("OPENROUTER_REQUEST_TIMEOUT", "30000", ("timeouts", "total"), "30000ms"),
        ("OPENROUTER_REQUEST_TIMEOUT", "soon", ("timeouts", "total"), "soon"),
        ("OPENROUTER_RETRY_DELAY", "250", ("retries", "base"), "250ms"),
        ("CACHE_DEFAULT_TTL", "300000", ("cache", "expiry", "answers"), "300000ms"),
        ("CACHE_DEFAULT_TTL", "long", ("cache", "expiry", "answers"), "long"),
        ("ENABLE_OPENROUTER_ADVANCED_CACHING", "true", ("features", "cache"), True),
        ("ENABLE_OPENROUTER_REQUEST_BATCHING", "off", ("features", "batches"), False),
        ("LLM_SIDECAR__LIMITS__RATES__TENANT__REQUESTS__PER_MINUTE", "60", ("limits", "rates", "tenant", "requests", "per_minute"), 60.0),
        ("LLM_SIDECAR__BUDGETS__TENANTS__ACME__DAY", "2.5", ("budgets", "tenants", "acme", "day"), 2.5),
        ("LLM_SIDECAR__CACHE__EXPIRY__TOOL_RESULTS", "2m", ("cache", "expiry", "tool_results"), "2m"),
        ("LLM_SIDECAR__TENANTS__KEYS", "{}", ("tenants", "keys"), {"parsed": "{}"}),
        ("LLM_SIDECAR__REDIS__URL", "redis://h", ("redis", "url"), "redis://h"),
        ("CIRCUIT_BREAKER_THRESHOLD", "7", ("breaker", "consecutive"), 7),
        ("CIRCUIT_BREAKER_THRESHOLD", "often", ("breaker", "consecutive"), "often"),
        ("ENABLE_OPENROUTER_CIRCUIT_BREAKER", "false", ("features", "breakers"), False),
        ("ENABLE_OPENROUTER_HEALTH_CHECKS", "TRUE", ("features", "probes"), True),
        ("OPENROUTER_MAX_RETRIES", "0", ("retries", "attempts"), 1),
        ("LLM_SIDECAR__POOLS__CHAT__STRATEGY", "adaptive", ("pools", "chat", "strategy"), "adaptive"),
        ("LLM_SIDECAR__POOLS__CHAT__UPSTREAMS", "[a]", ("pools", "chat", "upstreams"), {"parsed": "[a]"}),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__MODELS", "{a: b}", ("upstreams", "openai", "models"), {"parsed": "{a: b}"}),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__WEIGHT", "2.5", ("upstreams", "openai", "weight"), 2.5),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__BREAKER", "open", ("upstreams", "openai", "breaker"), "open"),
        ("LLM_SIDECAR__BREAKER__GROUPS__LARGE__MODELS", "[a]", ("breaker", "groups", "large", "models"), {"parsed": "[a]"}),
        ("LLM_SIDECAR__FEATURES__HEDGING", "on", ("features", "hedging"), True),
        ("LLM_SIDECAR__TIMEOUTS__FIRST_BYTE", "5s", ("timeouts", "first_byte"), "5s"),
        ("LLM_SIDECAR__LIMITS__LABELS", "5", ("limits", "labels"), 5),
        ("LLM_SIDECAR__LIMITS__LABELS", "many", ("limits", "labels"), "many"),
        ("LLM_SIDECAR__TRACING__RATIO", "0.5", ("tracing", "ratio"), 0.5),
        ("LLM_SIDECAR__TRACING__PROPAGATE", "Off", ("tracing", "propagate"), False),
        ("LLM_SIDECAR__RESPONSE_HEADERS", "1", ("response_headers",), True),
        ("LLM_SIDECAR__RESPONSE_HEADERS", "maybe", ("response_headers",), "maybe"),
        ("LLM_SIDECAR__USAGE__ASK", "never", ("usage", "ask"), "never"),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__URL", "http://a", ("upstreams", "openai", "url"), "http://a"),
        ("LLM_SIDECAR__UPSTREAMS__MY_ONE__API_KEY_FILE", "123", ("upstreams", "my_one", "api_key_file"), "123"),
        ("LLM_SIDECAR__CONTENT__CAPTURE", "off", ("content", "capture"), "off"),
        ("LLM_SIDECAR__USAGE__ESTIMATE", "true", ("usage", "estimate"), True),
        ("LLM_SIDECAR__ROUTES", "[]", ("routes",), {"parsed": "[]"}),
        ("LLM_SIDECAR__TIMEOUTS", "{}", ("timeouts",), {"parsed": "{}"}),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI", "{}", ("upstreams", "openai"), {"parsed": "{}"}),
    ],
)
def test_a_variable_sets_its_setting(variable: str, text: str, path: tuple[str, ...], value: Any) -> None:
    """Names lead to paths, text is read by the setting's type, and what cannot be is left for the decoder."""
    assert read(**{variable: text}) == [Assignment(path, value, variable)]


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("LLM_SIDECAR__LISTN", "did you mean listen?"),
        ("LLM_SIDECAR__TIMEOUTS__TOTL", "did you mean total?"),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__KEY", "api_key_file"),
        ("LLM_SIDECAR__LISTEN__MORE", "as a whole"),
        ("LLM_SIDECAR__ROUTES__0__PREFIX", "as a whole"),
        ("LLM_SIDECAR__UPSTREAMS__OPENAI__MODELS__GPT_4O", "as a whole"),
        ("LLM_SIDECAR__", "listen"),
        ("LLM_SIDECAR__UPSTREAMS__", "as a whole"),
    ],
)
def test_an_unknown_variable_is_a_fault_of_its_own_name(variable: str, allowed: str) -> None:
    """A long name that means nothing is told, with what would."""
    found, faults = read_environment({variable: "x"}, parse)
    assert found == []
    assert [fault.path for fault in faults] == [(variable,)]
    assert allowed in faults[0].allowed


def test_text_that_cannot_be_parsed_is_a_fault() -> None:
    """A list or map that is no YAML is told without its text."""
    _, faults = read_environment({"LLM_SIDECAR__ROUTES": "bad"}, parse)
    assert [(fault.path, fault.found, fault.allowed) for fault in faults] == [(("LLM_SIDECAR__ROUTES",), "not good", "a list as YAML text")]


def test_retries_from_elsewhere_are_counted_without_the_first_attempt() -> None:
    """As many attempts and one more, and they are switched on by it."""
    assert read(OPENROUTER_MAX_RETRIES="3") == [
        Assignment(("retries", "attempts"), 4, "OPENROUTER_MAX_RETRIES"),
        Assignment(("features", "retries"), True, "OPENROUTER_MAX_RETRIES"),
    ]


@pytest.mark.parametrize("text", ["-1", "10", "1.5", "many"])
def test_as_many_retries_as_cannot_be_are_told_as_they_were_written(text: str) -> None:
    """Not as the attempts that would have come of them."""
    found, faults = read_environment({"OPENROUTER_MAX_RETRIES": text}, parse)
    assert found == []
    assert [fault.path for fault in faults] == [("OPENROUTER_MAX_RETRIES",)]
    assert text in faults[0].found and faults[0].allowed == "a whole number from 0 to 9"


def test_other_variables_are_left_alone() -> None:
    """What Kubernetes makes for a Service of our name, other programs' variables and empty ones set nothing."""
    assert (
        read(
            LLM_SIDECAR_PORT="tcp://10.0.0.1:80",
            LLM_SIDECAR_SERVICE_HOST="x",
            PATH="/bin",
            LLM_SIDECAR_LISTEN="",
            LLM_SIDECAR__LISTEN="",
            CACHE_DEFAULT_TTL="",
            CACHE_MAX_SIZE="1000",
            PERFORMANCE_MONITORING_ENABLED="true",
            OPENROUTER_MAX_RETRIES="",
        )
        == []
    )


def test_the_more_specific_variable_comes_last() -> None:
    """Later assignments go over earlier ones: foreign names, short names, whole sections, single keys."""
    names = [
        "LLM_SIDECAR__TIMEOUTS__TOTAL",
        "LLM_SIDECAR__TIMEOUTS",
        "LLM_SIDECAR__LISTEN",
        "LLM_SIDECAR_LISTEN",
        "OPENROUTER_REQUEST_TIMEOUT",
    ]
    order = [assignment.variable for assignment in read(**dict.fromkeys(names, "1"))]
    assert order == [
        "OPENROUTER_REQUEST_TIMEOUT",
        "LLM_SIDECAR_LISTEN",
        "LLM_SIDECAR__LISTEN",
        "LLM_SIDECAR__TIMEOUTS",
        "LLM_SIDECAR__TIMEOUTS__TOTAL",
    ]


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d"},
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_an_otlp_endpoint_switches_tracing_on(environ: dict[str, str], variable: str | None) -> None:
    """Traces are on where the OpenTelemetry variables say where to, and none says no."""
    assert name_trace_endpoint(environ) == variable


@pytest.mark.parametrize(
    ("text", "capture"),
    [("NO_CONTENT", "off"), ("SPAN_ONLY", "spans"), (" span_and_event ", "spans"), ("EVENT_ONLY", None), ("true", None), ("", None)],
)
def test_capture_may_be_asked_for_as_of_any_instrumentation(text: str, capture: str | None) -> None:
    """What asks for events alone gets nothing: there are none."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert read(**{name: text}) == ([] if capture is None else [Assignment(("content", "capture"), capture, name, yields=True)])

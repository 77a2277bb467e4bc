"""What a request of the Anthropic form asks for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects import ANTHROPIC_MESSAGES


def ask(**members: Any) -> Any:
    """What a request with these members asks for."""
    return ANTHROPIC_MESSAGES.ask(json.dumps(members).encode(), "/v1/messages")


@pytest.mark.parametrize(
    ("members", "params"),
    [
        ({"max_tokens": 5}, {"gen_ai.request.max_tokens": 5}),
        ({"temperature": 1, "top_p": 0.5, "top_k": 3}, {"temperature": 1.0, "top_p": 0.5, "top_k": 3}),
        ({"stop_sequences": ["a", "b", 7]}, {"gen_ai.request.stop_sequences": ("a", "b")}),
        ({"output_config": {"effort": "max"}}, {"gen_ai.request.reasoning.level": "max"}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"gen_ai.output.type": "json"}),
        ({"service_tier": "standard_only"}, {"llm_sidecar.request.service_tier": "standard_only"}),
        ({"service_tier": "auto", "output_config": "x", "max_tokens": "5", "top_k": 2.5, "stop_sequences": {}}, {}),
        ({"output_config": {"effort": 5, "format": [1]}, "thinking": {"type": "enabled", "budget_tokens": 9}}, {}),
    ],
)  # fmt: skip
def test_parameters(members: dict[str, Any], params: dict[str, Any]) -> None:
    """Members become attributes of the conventions; what is not of its type is as if it were absent."""
    expected = {name if "." in name else f"gen_ai.request.{name}": value for name, value in params.items()}
    assert dict(ask(**members).params) == expected


def test_model_and_stream() -> None:
    """Which model, and whether the answer shall be streamed; usage never has to be asked for."""
    asked = ask(model="claude-opus-5-5", stream=True)
    assert (asked.model, asked.stream, asked.usage_asked, asked.readable) == ("claude-opus-5-5", True, False, True)
    assert (ask(model=5, stream="true").model, ask(stream="true").stream) == (None, False)


def test_no_content() -> None:
    """Nothing of what is said, and nothing of tools."""
    asked = ask(
        model="m",
        messages=[{"role": "user", "content": "secret"}],
        system="secret",
        tools=[{"name": "secret"}],
        metadata={"user_id": "secret"},
    )
    assert "secret" not in repr(asked)


def test_lone_surrogates_and_nan() -> None:
    """What the fast parser refuses is read all the same."""
    asked = ANTHROPIC_MESSAGES.ask(b'{"model":"m","temperature":NaN,"max_tokens":4,"system":"\\ud800"}', "/v1/messages")
    assert (asked.model, asked.params["gen_ai.request.max_tokens"]) == ("m", 4)


@given(st.binary(max_size=60))
def test_garbage_is_told(body: bytes) -> None:
    """A body that is no JSON is said so, and nothing raises."""
    asked = ANTHROPIC_MESSAGES.ask(body + b"{", "/v1/messages")
    assert not asked.readable

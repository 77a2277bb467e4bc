"""What is read of a request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.openai_request import read_request
from sidecar.exchange import Asked


def params(**members: Any) -> dict[str, Any]:
    """The attributes of a request with these members, without their common prefix."""
    asked = read_request(json.dumps(members).encode())
    assert asked.readable
    return {name.removeprefix("gen_ai.request."): value for name, value in asked.params.items()}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"top_p": 0.5, "top_k": 3, "seed": -1}, {"top_p": 0.5, "top_k": 3, "seed": -1}),
        ({"n": 1}, {}),
        ({"n": 3}, {"choice.count": 3}),
        ({"stop": "x\n"}, {"stop_sequences": ("x\n",)}),
        ({"stop": ["a", 7, "b"]}, {"stop_sequences": ("a", "b")}),
        ({"stop": []}, {}),
        ({"stop": ["x" * 999] * 99}, {"stop_sequences": ("x" * 256,) * 16}),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, {"reasoning.level": "low"}),
        ({"reasoning": {"effort": "high"}}, {"reasoning.level": "high"}),
        ({"response_format": {"type": "text"}}, {"gen_ai.output.type": "text"}),
        ({"response_format": {"type": "json_schema", "json_schema": {"a": 1}}}, {"gen_ai.output.type": "json"}),
        ({"response_format": {"type": "grammar"}}, {}),
        ({"modalities": ["text"]}, {}),
        ({"modalities": ["text", "image"]}, {"gen_ai.output.type": "image"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "flex"}, {"openai.request.service_tier": "flex"}),
        ({"seed": 2**63}, {}),
        ({"max_output_tokens": 7}, {"max_tokens": 7}),
        ({"previous_response_id": "resp_1"}, {"previous_response.id": "resp_1"}),
        ({"conversation": "conv_1"}, {"gen_ai.conversation.id": "conv_1"}),
        ({"conversation": {"id": "conv_1"}}, {"gen_ai.conversation.id": "conv_1"}),
        ({"text": {"format": {"type": "json_schema", "schema": {}}, "verbosity": "low"}}, {"gen_ai.output.type": "json"}),
        ({"text": {"verbosity": "low"}, "conversation": {}, "previous_response_id": None}, {}),
        ({"text": "x", "conversation": [1], "max_output_tokens": "7"}, {}),
        ({"seed": 1.5, "max_tokens": True, "temperature": "1", "n": "2", "stop": {}, "modalities": "audio", "reasoning": 1}, {}),
        ({"messages": [{"temperature": 2}], "user": "u"}, {}),
    ],
)
def test_attributes(members: dict[str, Any], expected: dict[str, Any]) -> None:
    """Well-typed members become attributes; all else is as if it were absent."""
    assert params(**members) == expected


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', Asked("m", True, True)),
        (b'{"model":"m","stream":1,"stream_options":{"include_usage":1}}', Asked("m")),
        (b'{"model":7,"stream_options":7,"response_format":"json"}', Asked()),
        (b'{"model":"a","model":"b"}', Asked("b")),
        (b'{"model":"m","x":NaN,"y":"\\ud800","seed":1e999}', Asked("m")),
        (b'{"model":"m","x":"\xff"}', Asked("m")),
        (b"{}", Asked()),
        (b"[]", Asked()),
        (b"7", Asked()),
        (b"", Asked(readable=False)),
        (b'{"model":"m"', Asked(readable=False)),
        (b"hello", Asked(readable=False)),
        (b'{"messages":' + b"[" * 100_000, Asked(readable=False)),
    ],
)
def test_bodies(body: bytes, asked: Asked) -> None:
    """JSON of any shape is readable, and only what is not JSON is not."""
    assert read_request(body) == asked


def test_model_is_bounded() -> None:
    """A model name of a megabyte does not travel on, nor do control characters."""
    model = read_request(json.dumps({"model": "a\n\x1b[31m" + "x" * 10**6}).encode()).model
    assert model is not None
    assert len(model) == 256
    assert model.isprintable()


@given(st.binary(max_size=60))
def test_never_raises(body: bytes) -> None:
    """No bytes make it raise."""
    read_request(body)

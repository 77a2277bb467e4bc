"""What is read of a request of Ollama's form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.ollama_request import read_request
from sidecar.exchange import Asked


def params(**members: Any) -> dict[str, Any]:
    """The attributes of a request with these members, without their common prefix."""
    asked = read_request(json.dumps(members).encode(), can_stream=True)
    assert asked.readable
    return {name.removeprefix("gen_ai.request."): value for name, value in asked.params.items()}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"options": {"num_predict": 5, "seed": 0}}, {"max_tokens": 5, "seed": 0}),
        ({"options": {"num_predict": -1}}, {}),
        ({"options": {"num_predict": -2}}, {}),
        ({"options": {"temperature": 1, "top_p": 0.5, "top_k": 3}}, {"temperature": 1.0, "top_p": 0.5, "top_k": 3}),
        ({"options": {"presence_penalty": 1.5, "frequency_penalty": 1}}, {"presence_penalty": 1.5, "frequency_penalty": 1.0}),
        ({"options": {"stop": ["\n", "user:"]}}, {"stop_sequences": ("\n", "user:")}),
        ({"options": {"num_ctx": 1024, "numa": True}}, {}),
        ({"temperature": 1, "seed": 4}, {}),
        ({"options": "fast", "format": "json"}, {"gen_ai.output.type": "json"}),
        ({"format": {"type": "object"}}, {"gen_ai.output.type": "json"}),
        ({"format": ""}, {}),
        ({"format": {}}, {}),
        ({"think": True}, {}),
        ({"think": "low"}, {"reasoning.level": "low"}),
        ({"dimensions": 64}, {"gen_ai.embeddings.dimension.count": 64}),
        ({"messages": [{"options": {"seed": 2}}], "options": None}, {}),
    ],
)
def test_attributes(members: dict[str, Any], expected: dict[str, Any]) -> None:
    """Well-typed members and options become attributes; all else is as if it were absent."""
    assert params(**members) == expected


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"model":"m"}', Asked("m", True)),
        (b'{"model":"m","stream":null}', Asked("m", True)),
        (b'{"model":"m","stream":true}', Asked("m", True)),
        (b'{"model":"m","stream":false}', Asked("m", False)),
        (b'{"model":7,"options":7}', Asked(None, True)),
        (b'{"model":"m","prompt":"\\ud800","options":{"seed":3}}', Asked("m", True, params={"gen_ai.request.seed": 3})),
        (b'{"model":"m","x":"\xff"}', Asked("m", True)),
        (b"[]", Asked(None, True)),
        (b"", Asked(readable=False)),
        (b'{"model":"m"', Asked(readable=False)),
        (b'{"messages":' + b"[" * 100_000, Asked(readable=False)),
    ],
)
def test_bodies(body: bytes, asked: Asked) -> None:
    """A stream is what comes unless it is declined; JSON of any shape is readable."""
    assert read_request(body, can_stream=True) == asked


def test_what_cannot_stream() -> None:
    """Embeddings come whole, whatever is asked."""
    assert not read_request(b'{"model":"m","stream":true}', can_stream=False).stream


@given(st.binary(max_size=60))
def test_never_raises(body: bytes) -> None:
    """No bytes make it raise."""
    read_request(body, can_stream=True)

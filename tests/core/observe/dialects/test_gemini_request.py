"""What a request to Gemini asks for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.gemini_request import read_embedding, read_generation, read_model

PATH = "/v1beta/models/gemini-2.5-flash:generateContent"


def read(config: Any, member: str = "generationConfig") -> dict[str, Any]:
    """The attributes of a request with this configuration."""
    return dict(read_generation(json.dumps({"contents": [], member: config}).encode(), PATH, stream=False).params)


@pytest.mark.parametrize(
    ("config", "params"),
    [
        ({"maxOutputTokens": 5}, {"gen_ai.request.max_tokens": 5}),
        ({"max_output_tokens": 5}, {"gen_ai.request.max_tokens": 5}),
        ({"candidateCount": 1}, {}),
        ({"candidateCount": 3}, {"gen_ai.request.choice.count": 3}),
        ({"topK": 40.0}, {"gen_ai.request.top_k": 40}),
        ({"topK": 1.5}, {}),
        ({"topK": 1e300}, {}),
        ({"temperature": 0}, {"gen_ai.request.temperature": 0.0}),
        ({"responseMimeType": "text/plain"}, {"gen_ai.output.type": "text"}),
        ({"responseMimeType": "text/x.enum"}, {"gen_ai.output.type": "text"}),
        ({"responseMimeType": "application/yaml"}, {}),
        ({"responseModalities": ["AUDIO"]}, {"gen_ai.output.type": "speech"}),
        ({"responseModalities": ["TEXT"]}, {}),
        ({"thinkingConfig": {"thinkingLevel": "low"}}, {"gen_ai.request.reasoning.level": "low"}),
        ({"thinking_config": {"thinking_level": "low"}}, {"gen_ai.request.reasoning.level": "low"}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {}),
        ({"stopSequences": ["a", "b"]}, {"gen_ai.request.stop_sequences": ("a", "b")}),
        ({"responseSchema": {"type": "OBJECT"}}, {}),
        ([], {}),
        (None, {}),
    ],
)
def test_parameters(config: Any, params: dict[str, Any]) -> None:
    """Members in both spellings become attributes of their type; the rest is as if it were absent."""
    assert read(config) == params
    assert read(config, "generation_config") == params


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        ({"outputDimensionality": 8}, 8),
        ({"output_dimensionality": 8}, 8),
        ({"requests": [{"outputDimensionality": 8}, {"outputDimensionality": 9}]}, 8),
        ({"requests": []}, None),
        ({"requests": [{}]}, None),
        ({"embedContentConfig": {"outputDimensionality": 8}}, 8),
        ({"outputDimensionality": "8"}, None),
        ([], None),
    ],
)
def test_dimensions(tree: Any, count: int | None) -> None:
    """Of one content, of several, and of Vertex AI."""
    asked = read_embedding(json.dumps(tree).encode(), "/v1beta/models/e:embedContent")
    assert asked.params.get("gen_ai.embeddings.dimension.count") == count
    assert (asked.model, asked.stream, asked.readable) == ("e", False, True)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (PATH, "gemini-2.5-flash"),
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent", "gemini-2.5-pro"),
        ("/v1beta/tunedModels/mine-1:generateContent", "mine-1"),
        ("/v1/projects/p/locations/l/endpoints/12345:generateContent", "12345"),
        ("/v1beta/models/a%20b%0A:generateContent", "a b\N{REPLACEMENT CHARACTER}"),
        ("/v1beta/models/%ff:generateContent", "\N{REPLACEMENT CHARACTER}"),
        ("/v1beta/models/:generateContent", None),
        ("", None),
    ],
)
def test_model(path: str, model: str | None) -> None:
    """The model is the path's last segment, printable and bounded, whatever a caller writes there."""
    assert read_model(path) == model


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"generationConfig":' + b"[" * 100_000])
def test_what_is_not_json(body: bytes) -> None:
    """The model is known all the same."""
    for asked in (read_generation(body, PATH, stream=True), read_embedding(body, PATH)):
        assert (asked.model, asked.readable, asked.params) == ("gemini-2.5-flash", False, {})


VALUES = st.recursive(
    st.none() | st.floats() | st.text(max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["generationConfig", "topK", "stopSequences", "requests", "outputDimensionality", "thinkingConfig", "embedContentConfig"]
        ),
        inner | st.lists(inner, max_size=2),
        max_size=3,
    ),
)


@given(st.binary(max_size=60) | VALUES)
def test_nothing_makes_it_raise(value: Any) -> None:
    """No body and no JSON of any shape."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    read_generation(body, PATH, stream=False)
    read_embedding(body, PATH)

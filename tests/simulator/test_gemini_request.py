"""sidecar/simulator/gemini_request.py"""

import json
from typing import Any

import pytest

from sidecar.simulator.gemini_request import asks_for_array, find_form, read_gemini_ask
from sidecar.simulator.request import Ask, Form, Rejection

_CONTENTS = [{"role": "user", "parts": [{"text": "Hello"}, {"text": " there"}]}]
_TOOLS = [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}}]}]


def _ask(method: str = "generateContent", *, model: str = "sim-small", query: str = "", **members: Any) -> Ask:
    target = f"/v1beta/models/{model}:{method}{query}"
    form = find_form(target.partition("?")[0])
    assert form is not None
    body = {"contents": _CONTENTS, **members} if form is Form.CHAT else members
    return read_gemini_ask(form, target, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1beta/models/m:generateContent", Form.CHAT), ("/v1beta/models/m:streamGenerateContent", Form.CHAT),
        ("/v1beta/models/m:embedContent", Form.EMBEDDING), ("/v1beta/tunedModels/m:batchEmbedContents", Form.EMBEDDING),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", Form.CHAT),
        ("/v1beta/models/m:countTokens", None), ("/v1beta/models/m", None), ("/v1/chat/completions", None),
    ],
)  # fmt: skip
def test_form(path: str, form: Form | None) -> None:
    """The method behind the model's name tells the form."""
    assert find_form(path) is form


@pytest.mark.parametrize(
    ("target", "array"),
    [
        ("/v1beta/models/m:streamGenerateContent", True), ("/v1beta/models/m:streamGenerateContent?key=a", True),
        ("/v1beta/models/m:streamGenerateContent?key=a&alt=sse", False), ("/v1beta/models/m:generateContent", False),
    ],
)  # fmt: skip
def test_array(target: str, array: bool) -> None:
    """A stream is an array unless events are asked for."""
    assert asks_for_array(target) is array


def test_generation() -> None:
    """What the configuration wants is understood."""
    ask = _ask(
        "streamGenerateContent", systemInstruction={"parts": [{"text": "Be brief."}]}, tools=_TOOLS,
        generationConfig={
            "candidateCount": 2, "maxOutputTokens": 9, "stopSequences": ["x", ""], "thinkingConfig": {"includeThoughts": True},
        },
    )  # fmt: skip
    assert (ask.model, ask.stream, ask.choices, ask.tokens_max, ask.stops) == ("sim-small", True, 2, 9, ("x",))
    assert (ask.prompt, ask.thoughts_asked) == (("None: Be brief.", "user: Hello there"), True)
    assert ask.tool is not None
    assert (ask.tool.name, ask.tool.parameters) == ("f", {"properties": {"a": {"type": "integer"}}})
    assert _ask(generationConfig={"responseMimeType": "application/json"}).json_asked


def test_tools_are_not_called_when_not_wanted() -> None:
    """By mode, and once the result is there."""
    assert _ask(tools=_TOOLS, toolConfig={"functionCallingConfig": {"mode": "NONE"}}).tool is None
    answered = [*_CONTENTS, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]
    assert _ask(tools=_TOOLS, contents=answered).tool is None
    assert _ask(tools=[{"googleSearch": {}}]).tool is None


def test_embeddings() -> None:
    """One content, or several."""
    content = {"content": {"parts": [{"text": "one"}]}, "outputDimensionality": 8}
    single, batch = _ask("embedContent", **content), _ask("batchEmbedContents", requests=[content, content])
    assert (single.prompt, single.dimensions, single.batched) == (("one",), 8, False)
    assert (batch.prompt, batch.dimensions, batch.batched) == (("one", "one"), 8, True)


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("generateContent", "", b"{"), ("generateContent", "", b"[]"), ("generateContent", "", b'{"contents": []}'),
        ("generateContent", "", b'{"contents": [{}], "generationConfig": {"candidateCount": 0}}'),
        ("generateContent", "?key=sk-bad", b'{"contents": [{}]}'), ("embedContent", "", b"{}"),
        ("batchEmbedContents", "", b'{"requests": []}'),
    ],
)  # fmt: skip
def test_rejections(method: str, query: str, body: bytes) -> None:
    """What the provider would decline is declined with 400."""
    form = Form.CHAT if method == "generateContent" else Form.EMBEDDING
    with pytest.raises(Rejection) as raised:
        read_gemini_ask(form, f"/v1beta/models/m:{method}{query}", body)
    assert raised.value.status == 400

"""What a caller of Gemini's form asks for, judged as the provider judges it."""

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from sidecar.simulator.request import Ask, Form, Rejection, Tool, count_tokens

BAD_KEY: Final = "sk-bad"
_ENDPOINT: Final = re.compile(r".*/(?:models|tunedModels|endpoints)/([^/:]+):(\w+)")
_FORMS: Final = {
    "generateContent": Form.CHAT, "streamGenerateContent": Form.CHAT, "embedContent": Form.EMBEDDING, "batchEmbedContents": Form.EMBEDDING,
}  # fmt: skip
_CHOICES_MAX: Final = 8
_INPUTS_MAX: Final = 100
_TOKENS_MAX: Final = 1 << 20


def find_form(path: str) -> Form | None:
    """Which interface a path names: it stands behind the model's name."""
    found = _ENDPOINT.fullmatch(path)
    return None if found is None else _FORMS.get(found[2])


def asks_for_array(target: str) -> bool:
    """Whether a stream is wanted as an array, and not as server-sent events (`alt=sse`)."""
    path, _, query = target.partition("?")
    return path.endswith(":streamGenerateContent") and "sse" not in parse_qs(query).get("alt", ())


def read_gemini_ask(form: Form, target: str, body: bytes) -> Ask:
    """Read a request. Raises Rejection (400) where the provider would."""
    path, _, query = target.partition("?")
    found = _ENDPOINT.fullmatch(path)
    model, method = ("", "") if found is None else (unquote(found[1]), found[2])
    try:
        if BAD_KEY in parse_qs(query).get("key", ()):
            raise Rejection(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")
        return _read_body(form, model, method, body)
    except Rejection as rejection:
        rejection.model = model
        raise


def _read_body(form: Form, model: str, method: str, body: bytes) -> Ask:
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejection(400, "Invalid JSON payload received.") from error
    if not isinstance(tree, dict):
        raise Rejection(400, "Invalid JSON payload received. Root element must be a message.")
    if form is Form.EMBEDDING:
        return _read_embedding(tree, model, is_batched=method == "batchEmbedContents")
    return _read_generation(tree, model, is_streamed=method == "streamGenerateContent")


def _read_generation(tree: dict[str, Any], model: str, *, is_streamed: bool) -> Ask:
    contents = _objects_of(tree, "contents")
    if not contents:
        raise Rejection(400, "* GenerateContentRequest.contents: contents is not specified\n")
    config = _object_of(tree, "generationConfig")
    system = _object_of(tree, "systemInstruction")
    texts = tuple(f"{content.get('role')}: {_text_of(content)}" for content in ([system, *contents] if system else contents))
    answers_tool = any("functionResponse" in part for part in _objects_of(contents[-1], "parts"))  # time to answer in words
    stops = config.get("stopSequences")
    return Ask(
        Form.CHAT, model, texts, tuple(count_tokens(text) + 3 for text in texts), stream=is_streamed,
        choices=_whole_number(config, "candidateCount", _CHOICES_MAX) or 1,
        tokens_max=_whole_number(config, "maxOutputTokens", _TOKENS_MAX),
        stops=tuple(stop for stop in stops if isinstance(stop, str) and stop) if isinstance(stops, list) else (),
        tool=None if answers_tool else _tool_of(tree), json_asked=config.get("responseMimeType") == "application/json",
        thoughts_asked=_object_of(config, "thinkingConfig").get("includeThoughts") is True,
    )  # fmt: skip


def _read_embedding(tree: dict[str, Any], model: str, *, is_batched: bool) -> Ask:
    requests = _objects_of(tree, "requests") if is_batched else [tree]
    texts = tuple(_text_of(_object_of(request, "content")) for request in requests)
    if not texts or not all(texts) or len(texts) > _INPUTS_MAX:
        raise Rejection(400, "* EmbedContentRequest.content: contents is not specified\n")
    dimensions = _whole_number(requests[0], "outputDimensionality", 4096)
    return Ask(Form.EMBEDDING, model, texts, tuple(map(count_tokens, texts)), dimensions=dimensions, batched=is_batched)


def _text_of(content: dict[str, Any]) -> str:
    return "".join(part["text"] for part in _objects_of(content, "parts") if isinstance(part.get("text"), str))


def _tool_of(tree: dict[str, Any]) -> Tool | None:
    """The first function offered, unless the caller wants none called."""
    if _object_of(_object_of(tree, "toolConfig"), "functionCallingConfig").get("mode") == "NONE":
        return None
    for tool in _objects_of(tree, "tools"):
        for function in _objects_of(tool, "functionDeclarations"):
            if isinstance(function.get("name"), str):
                schema = _object_of(function, "parametersJsonSchema") or _object_of(function, "parameters")
                return Tool(function["name"], {"properties": _lower_types(_object_of(schema, "properties"))})
    return None


def _lower_types(properties: dict[str, Any]) -> dict[str, Any]:
    """Types as JSON schema has them: here they may be an enumeration, `STRING`."""
    return {
        name: {**schema, "type": str(schema.get("type")).lower()} if isinstance(schema, dict) else {} for name, schema in properties.items()
    }


def _whole_number(tree: dict[str, Any], name: str, most: int) -> int | None:
    value = tree.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise Rejection(400, f"Unable to submit request because it has a {name} value of {value} but the supported range is 1 to {most}.")
    return value


def _object_of(tree: dict[str, Any], name: str) -> dict[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _objects_of(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = tree.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []

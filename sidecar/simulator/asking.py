"""How an application asks each provider: path, credential and body in the provider's own form."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_TOOL: Final = "look_up_weather"
_TOOL_PURPOSE: Final = "The weather at a place."
_ARGUMENTS: Final = {
    "type": "object",
    "properties": {
        "place": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["place"],
}  # fmt: skip
_FUNCTION: Final = {"name": _TOOL, "description": _TOOL_PURPOSE, "parameters": _ARGUMENTS}
_ANTHROPIC_TOKENS_MAX: Final = 1024  # there the member is required

Tree = dict[str, Any]
Call = tuple[str, Tree]  # path behind the provider's base URL, and body


class Prompt(NamedTuple):
    """What is asked, in no provider's form."""

    model: str
    turns: tuple[tuple[str, str], ...]  # role (user, assistant) and text
    instructions: str = ""
    stream: bool = False
    tokens_max: int | None = None
    temperature: float | None = None
    has_tool: bool = False
    asks_usage: bool = False  # where a stream tells it on request only
    kept_for: str = "5m"  # how long the instructions are to be cached, where the caller says so


class Provider(NamedTuple):
    """One provider as its callers know it; kinds of calls with the share of each."""

    key: Callable[[str], tuple[str, str]]  # the header field with a credential
    kinds: tuple[tuple[str, int], ...]
    chat: Callable[[Prompt], Call]
    respond: Callable[[Prompt], Call] | None = None
    complete: Callable[[Prompt], Call] | None = None
    embed: Callable[[str, Sequence[str]], Call] | None = None


def _bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    system = [{"role": "system", "content": prompt.instructions}] if prompt.instructions else []
    return system + [{"role": role, "content": text} for role, text in prompt.turns]


def _named(**members: Any) -> Tree:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def _chat_openai(prompt: Prompt) -> Call:
    tree = {
        "model": prompt.model, "messages": _messages(prompt),
        **_named(max_completion_tokens=prompt.tokens_max, temperature=prompt.temperature),
    }  # fmt: skip
    if prompt.has_tool:
        tree["tools"] = [{"type": "function", "function": _FUNCTION}]
    if prompt.stream:
        tree["stream"] = True
        if prompt.asks_usage:
            tree["stream_options"] = {"include_usage": True}
    return "/v1/chat/completions", tree


def _respond_openai(prompt: Prompt) -> Call:
    tree = {
        "model": prompt.model, "input": [{"role": role, "content": text} for role, text in prompt.turns],
        **_named(
            instructions=prompt.instructions or None, max_output_tokens=prompt.tokens_max, temperature=prompt.temperature,
            stream=prompt.stream or None, tools=[{"type": "function", **_FUNCTION}] if prompt.has_tool else None,
        ),
    }  # fmt: skip
    return "/v1/responses", tree


def _complete_openai(prompt: Prompt) -> Call:
    tree = {"model": prompt.model, "prompt": prompt.turns[-1][1], **_named(max_tokens=prompt.tokens_max, stream=prompt.stream or None)}
    return "/v1/completions", tree


def _embed_openai(model: str, texts: Sequence[str]) -> Call:
    # A list comes as numbers, a single text packed: both are usual.
    return "/v1/embeddings", {"model": model, "input": texts} if len(texts) > 1 else {
        "model": model, "input": texts[0], "encoding_format": "base64",
    }  # fmt: skip


def _chat_anthropic(prompt: Prompt) -> Call:
    tree = {
        "model": prompt.model, "max_tokens": prompt.tokens_max or _ANTHROPIC_TOKENS_MAX,
        "messages": [{"role": role, "content": text} for role, text in prompt.turns],
        **_named(temperature=prompt.temperature, stream=prompt.stream or None),
    }  # fmt: skip
    if prompt.instructions:
        mark = {"type": "ephemeral", "ttl": prompt.kept_for}
        tree["system"] = [{"type": "text", "text": prompt.instructions, "cache_control": mark}]
    if prompt.has_tool:
        tree["tools"] = [{"name": _TOOL, "description": _TOOL_PURPOSE, "input_schema": _ARGUMENTS}]
    return "/v1/messages", tree


def _chat_gemini(prompt: Prompt) -> Call:
    roles = {"user": "user", "assistant": "model"}
    # Thoughts are asked for: a model that thinks unseen is silent for as long as it likes.
    config = {"thinkingConfig": {"includeThoughts": True}, **_named(maxOutputTokens=prompt.tokens_max, temperature=prompt.temperature)}
    tree: Tree = {
        "contents": [{"role": roles[role], "parts": [{"text": text}]} for role, text in prompt.turns], "generationConfig": config,
    }  # fmt: skip
    if prompt.instructions:
        tree["systemInstruction"] = {"parts": [{"text": prompt.instructions}]}
    if prompt.has_tool:
        function = {"name": _TOOL, "description": _TOOL_PURPOSE, "parametersJsonSchema": _ARGUMENTS}
        tree["tools"] = [{"functionDeclarations": [function]}]
    return f"/v1beta/models/{prompt.model}:" + ("streamGenerateContent?alt=sse" if prompt.stream else "generateContent"), tree


def _embed_gemini(model: str, texts: Sequence[str]) -> Call:
    requests = [{"model": f"models/{model}", "content": {"parts": [{"text": text}]}} for text in texts]
    if len(requests) == 1:
        return f"/v1beta/models/{model}:embedContent", requests[0]
    return f"/v1beta/models/{model}:batchEmbedContents", {"requests": requests}


def _chat_ollama(prompt: Prompt) -> Call:
    tree = {
        "model": prompt.model, "messages": _messages(prompt), "stream": prompt.stream,
        "options": _named(num_predict=prompt.tokens_max, temperature=prompt.temperature),
    }  # fmt: skip
    if prompt.has_tool:
        tree["tools"] = [{"type": "function", "function": _FUNCTION}]
    return "/api/chat", tree


def _complete_ollama(prompt: Prompt) -> Call:
    options = _named(num_predict=prompt.tokens_max)
    return "/api/generate", {"model": prompt.model, "prompt": prompt.turns[-1][1], "stream": prompt.stream, "options": options}


def _embed_ollama(model: str, texts: Sequence[str]) -> Call:
    return "/api/embed", {"model": model, "input": texts}


# By the name of the sidecar's built-in route.
PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType({
    "openai": Provider(
        _bearer, (("stream", 34), ("whole", 16), ("tools", 8), ("responses", 22), ("embeddings", 10), ("completion", 6), ("models", 4)),
        _chat_openai, _respond_openai, _complete_openai, _embed_openai,
    ),
    "anthropic": Provider(lambda key: ("x-api-key", key), (("stream", 60), ("whole", 25), ("tools", 15)), _chat_anthropic),
    "gemini": Provider(
        lambda key: ("x-goog-api-key", key), (("stream", 48), ("whole", 24), ("tools", 14), ("embeddings", 14)),
        _chat_gemini, embed=_embed_gemini,
    ),
    "ollama": Provider(
        _bearer, (("stream", 46), ("whole", 22), ("tools", 10), ("embeddings", 12), ("completion", 10)),
        _chat_ollama, complete=_complete_ollama, embed=_embed_ollama,
    ),
    "openrouter": Provider(_bearer, (("stream", 60), ("whole", 25), ("tools", 15)), _chat_openai),
})  # fmt: skip

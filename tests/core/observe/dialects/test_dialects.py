"""Which dialect a request speaks."""

import re

import pytest

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import (
    ANTHROPIC_MESSAGES,
    ENDPOINTS,
    GEMINI_EMBED,
    GEMINI_GENERATE,
    GEMINI_STREAM,
    OLLAMA_CHAT,
    OLLAMA_EMBED,
    OLLAMA_GENERATE,
    OPAQUE,
    OPENAI_CHAT,
    OPENAI_COMPLETIONS,
    OPENAI_EMBEDDINGS,
    OPENAI_RESPONSES,
    OPENAI_RESPONSES_FETCH,
    dialect_for,
)


@pytest.mark.parametrize(
    ("method", "path", "dialect"),
    [
        ("POST", "/v1/chat/completions", OPENAI_CHAT),
        ("POST", "/openai/v1/chat/completions", OPENAI_CHAT),
        ("POST", "/openai/deployments/my-gpt/chat/completions", OPENAI_CHAT),
        ("POST", "/v1/presets/support/chat/completions", OPENAI_CHAT),
        ("POST", "/chat/completions", OPENAI_CHAT),
        ("POST", "/v1/completions", OPENAI_COMPLETIONS),
        ("POST", "/v1/embeddings", OPENAI_EMBEDDINGS),
        ("POST", "/api/chat", OLLAMA_CHAT),
        ("POST", "/api/generate", OLLAMA_GENERATE),
        ("POST", "/api/embed", OLLAMA_EMBED),
        ("POST", "/api/embeddings", OLLAMA_EMBED),
        ("POST", "/api/v1/embeddings", OPENAI_EMBEDDINGS),
        ("POST", "/api/pull", OPAQUE),
        ("GET", "/api/tags", OPAQUE),
        ("POST", "/v1beta/openai/chat/completions", OPENAI_CHAT),
        ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", GEMINI_GENERATE),
        ("POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", GEMINI_STREAM),
        ("POST", "/v1beta/models/gemini-embedding-001:embedContent", GEMINI_EMBED),
        ("POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", GEMINI_EMBED),
        ("POST", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent", GEMINI_STREAM),
        ("POST", "/v1/projects/p/locations/l/endpoints/123:generateContent", GEMINI_GENERATE),
        ("POST", "/v1beta/tunedModels/mine:generateContent", GEMINI_GENERATE),
        ("POST", "/v1beta/models/gemini-2.5-flash:countTokens", OPAQUE),
        ("POST", "/v1beta/models/a/b:generateContent", OPAQUE),
        ("POST", "/v1beta/models/:generateContent", OPAQUE),
        ("GET", "/v1beta/models/gemini-2.5-flash", OPAQUE),
        ("POST", "/v1beta/interactions", OPAQUE),
        ("POST", "/v1/messages", ANTHROPIC_MESSAGES),
        ("POST", "/anthropic/v1/messages", ANTHROPIC_MESSAGES),
        ("POST", "/messages", ANTHROPIC_MESSAGES),
        ("POST", "/v1/messages/count_tokens", OPAQUE),
        ("POST", "/v1/messages/batches", OPAQUE),
        ("GET", "/v1/messages", OPAQUE),
        ("POST", "/v1/threads/thread_abc/messages", OPAQUE),
        ("GET", "/v1/chat/completions", OPAQUE),
        ("post", "/v1/chat/completions", OPAQUE),
        ("POST", "/v1/chat/completions/", OPAQUE),
        ("POST", "/v1/chat/completions/chatcmpl-1", OPAQUE),
        ("POST", "/v1/mycompletions", OPAQUE),
        ("POST", "/v1/rerank", OPAQUE),
        ("POST", "/v1/responses", OPENAI_RESPONSES),
        ("POST", "/openai/v1/responses", OPENAI_RESPONSES),
        ("GET", "/v1/responses/resp_1", OPENAI_RESPONSES_FETCH),
        ("GET", "/v1/responses", OPAQUE),
        ("DELETE", "/v1/responses/resp_1", OPAQUE),
        ("GET", "/v1/responses/resp_1/input_items", OPAQUE),
        ("POST", "/v1/responses/resp_1/cancel", OPAQUE),
        ("POST", "/v1/responses/compact", OPAQUE),
        ("POST", "/v1/responses/input_tokens", OPAQUE),
        ("POST", "/v1/images/generations", OPAQUE),
        ("POST", "/", OPAQUE),
        ("POST", "", OPAQUE),
    ],
)
def test_dialects(method: str, path: str, dialect: Dialect) -> None:
    """The method and the path's end decide."""
    assert dialect_for(method, path)[0] is dialect


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/chat/completions", "/chat/completions"),
        ("POST", "/openai/deployments/my-gpt/chat/completions", "/*/chat/completions"),
        ("POST", "/api/chat", "/api/chat"),
        ("POST", "/v1/messages", "/v1/messages"),
        ("POST", "/anthropic/v1/messages", "/*/messages"),
        ("POST", "/callers/own", "/*"),
        ("GET", "/v1/responses/resp_68a", "/v1/responses/{response_id}"),
        ("GET", "/v1/responses/resp_68a/input_items", "/*"),
        ("POST", "/v1/responses/resp_68a/cancel", "/*"),
        ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("POST", "/v1/vector_stores/vs_1/files", "/*/files"),
        ("GET", "/v1/files/file-1/content", "/*"),
        ("GET", "/v1/models", "/v1/models"),
        ("POST", "/v1beta/models/callers-own:generateContent", "/v1beta/models/{model}:generateContent"),
        ("POST", "/v1/projects/callers/locations/own/publishers/google/models/m:generateContent", "/*/models/{model}:generateContent"),
    ],
)
def test_what_may_be_shown(method: str, path: str, shown: str) -> None:
    """Only what no caller chooses."""
    assert dialect_for(method, path)[1] == shown


def test_every_endpoint_is_found() -> None:
    """No endpoint hides behind one before it."""
    for endpoint in ENDPOINTS:
        path = "/v1" + re.sub(r"\{\w+\}", "anything", endpoint.end)
        assert dialect_for(endpoint.method, path) == (endpoint.dialect, "/v1" + endpoint.end)


def test_operations() -> None:
    """Operations have the names of the GenAI conventions."""
    assert [
        dialect.operation
        for dialect in (
            OPENAI_CHAT,
            ANTHROPIC_MESSAGES,
            OPENAI_RESPONSES,
            OPENAI_COMPLETIONS,
            OPENAI_EMBEDDINGS,
            OPENAI_RESPONSES_FETCH,
            GEMINI_STREAM,
            OPAQUE,
        )
    ] == [
        "chat",
        "chat",
        "chat",
        "text_completion",
        "embeddings",
        "fetch_response",
        "generate_content",
        "http",
    ]

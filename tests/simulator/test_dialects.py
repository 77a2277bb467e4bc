"""sidecar/simulator/dialects.py"""

import pytest

from sidecar.simulator.dialects import (
    ANTHROPIC,
    AZURE,
    DIALECTS,
    GEMINI,
    GEMINI_ARRAY,
    OLLAMA,
    OPENAI,
    OPENAI_RESPONSES,
    OPENROUTER,
    VLLM,
    find_dialect,
)
from sidecar.simulator.request import Form


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("POST", "/v1/chat/completions", (OPENAI, Form.CHAT)),
        ("POST", "/v1/completions", (OPENAI, Form.COMPLETION)),
        ("POST", "/v1/embeddings", (OPENAI, Form.EMBEDDING)),
        ("POST", "/api/chat", (OLLAMA, Form.CHAT)),
        ("POST", "/api/embed", (OLLAMA, Form.EMBEDDING)),
        ("POST", "/api/v1/chat/completions", (OPENROUTER, Form.CHAT)),
        ("POST", "/vllm/v1/completions", (VLLM, Form.COMPLETION)),
        ("POST", "/openai/deployments/d/embeddings", (AZURE, Form.EMBEDDING)),
        ("POST", "/v1/responses", (OPENAI_RESPONSES, Form.RESPONSE)),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1beta/models/m:generateContent?key=a", (GEMINI, Form.CHAT)),
        ("POST", "/v1beta/models/m:streamGenerateContent?alt=sse", (GEMINI, Form.CHAT)),
        ("POST", "/v1beta/models/m:streamGenerateContent?key=a", (GEMINI_ARRAY, Form.CHAT)),
        ("POST", "/v1beta/models/m:embedContent", (GEMINI, Form.EMBEDDING)),
        ("POST", "/v1/messages", (ANTHROPIC, Form.CHAT)),
        ("POST", "/v1/messages/count_tokens", None),
        ("GET", "/v1/messages", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/models", None),
    ],
)
def test_which_dialect(method: str, path: str, found: object) -> None:
    """Method and path tell the format and which of its interfaces is meant."""
    assert find_dialect(method, path) == found


def test_names_are_different() -> None:
    """Each format has a name of its own."""
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)

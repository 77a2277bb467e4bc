"""Which form a WebSocket's messages have."""

import pytest

from sidecar.core.observe.dialects.session_endpoints import session_dialect_for

GOOGLE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize(
    ("path", "name", "operation", "shown"),
    [
        ("/v1/realtime", "openai_realtime", "generate_content", "/v1/realtime"),
        ("/openai/realtime", "openai_realtime", "generate_content", "/*/realtime"),
        ("/v1/realtime/translations", "openai_realtime", "generate_content", "/v1/realtime/translations"),
        ("/v1/responses", "openai_responses_session", "chat", "/v1/responses"),
        ("/responses", "openai_responses_session", "chat", "/responses"),
        (GOOGLE, "gemini_live", "generate_content", "/*GenerativeService.BidiGenerateContent"),
        (GOOGLE + "Constrained", "gemini_live", "generate_content", "/*GenerativeService.BidiGenerateContentConstrained"),
        (
            "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", "gemini_live", "generate_content",
            "/*LlmBidiService/BidiGenerateContent",
        ),
    ],
)  # fmt: skip
def test_the_end_of_the_path_decides(path: str, name: str, operation: str, shown: str) -> None:
    """And what a caller may have chosen of it is not shown."""
    found = session_dialect_for(path)
    assert found is not None
    assert (found[0].name, found[0].operation, found[1]) == (name, operation, shown)


@pytest.mark.parametrize("path", ["/", "", "/v1/live/x", "/v1/realtime/calls", "/v1/responses/resp_1"])
def test_other_paths_are_not_known(path: str) -> None:
    """They pass all the same."""
    assert session_dialect_for(path) is None

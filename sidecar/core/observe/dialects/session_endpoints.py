"""Which form the messages of a WebSocket have, by the path of its handshake."""

from typing import Final

from sidecar.core.observe.contract import SessionDialect
from sidecar.core.observe.dialects.gemini_session import GeminiSession
from sidecar.core.observe.dialects.openai_session import OpenAISession

# Realtime takes and gives text, audio and images: of the conventions' operations that is generate_content.
_REALTIME: Final[SessionDialect] = OpenAISession("openai_realtime", "generate_content", error_ends_answer=False)
_RESPONSES: Final[SessionDialect] = OpenAISession("openai_responses_session", "chat", error_ends_answer=True)
_LIVE: Final[SessionDialect] = GeminiSession()
_BY_END: Final = (
    ("/realtime", _REALTIME),
    ("/realtime/translations", _REALTIME),
    ("/responses", _RESPONSES),
    ("GenerativeService.BidiGenerateContent", _LIVE),
    ("GenerativeService.BidiGenerateContentConstrained", _LIVE),
    ("LlmBidiService/BidiGenerateContent", _LIVE),
)
SESSION_DIALECTS: Final = (_REALTIME, _RESPONSES, _LIVE)
_STEMS: Final = frozenset({"", "/v1"})  # beginnings of a path that may be shown


def session_dialect_for(path: str) -> tuple[SessionDialect, str] | None:
    """Return the form of the messages and what may be shown of the path; None where it is not known."""
    for end, dialect in _BY_END:
        if path.endswith(end):
            stem = path.removesuffix(end)
            return dialect, (stem if stem in _STEMS else "/*") + end
    return None

"""Wire formats, one file each, and which of them a request speaks."""

import re
from typing import Final, NamedTuple

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects.anthropic_messages import AnthropicMessages
from sidecar.core.observe.dialects.gemini import GeminiEmbed, GeminiGenerate, GeminiStream
from sidecar.core.observe.dialects.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from sidecar.core.observe.dialects.opaque import Opaque
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.core.observe.dialects.openai_completions import OpenAICompletions
from sidecar.core.observe.dialects.openai_embeddings import OpenAIEmbeddings
from sidecar.core.observe.dialects.openai_responses import OpenAIResponses, OpenAIResponsesFetch

OPAQUE: Final[Dialect] = Opaque()
ANTHROPIC_MESSAGES: Final[Dialect] = AnthropicMessages()
OPENAI_CHAT: Final[Dialect] = OpenAIChat()
OPENAI_COMPLETIONS: Final[Dialect] = OpenAICompletions()
OPENAI_EMBEDDINGS: Final[Dialect] = OpenAIEmbeddings()
OLLAMA_CHAT: Final[Dialect] = OllamaChat()
OLLAMA_GENERATE: Final[Dialect] = OllamaGenerate()
OLLAMA_EMBED: Final[Dialect] = OllamaEmbed()
OPENAI_RESPONSES: Final[Dialect] = OpenAIResponses()
OPENAI_RESPONSES_FETCH: Final[Dialect] = OpenAIResponsesFetch()
GEMINI_GENERATE: Final[Dialect] = GeminiGenerate()
GEMINI_STREAM: Final[Dialect] = GeminiStream()
GEMINI_EMBED: Final[Dialect] = GeminiEmbed()


class Endpoint(NamedTuple):
    """What one kind of request looks like. In `end`, a name in braces stands for what a caller chooses."""

    method: str
    end: str  # of the path
    dialect: Dialect


# OpenAI's other interfaces, which are not read but known: what is measured of them has their path.
_KNOWN_ENDS: Final = (
    "/audio/speech", "/audio/transcriptions", "/audio/translations", "/batches", "/conversations", "/decisions", "/files",
    "/fine_tuning/jobs", "/images/edits", "/images/generations", "/images/variations", "/moderations", "/uploads",
    "/vector_stores", "/videos",
)  # fmt: skip

# The first that fits: every chat path ends like a completions path too.
ENDPOINTS: Final = (
    Endpoint("POST", "/api/chat", OLLAMA_CHAT),
    Endpoint("POST", "/api/generate", OLLAMA_GENERATE),
    Endpoint("POST", "/api/embed", OLLAMA_EMBED),
    Endpoint("POST", "/api/embeddings", OLLAMA_EMBED),
    Endpoint("POST", "/chat/completions", OPENAI_CHAT),
    Endpoint("POST", "/completions", OPENAI_COMPLETIONS),
    Endpoint("POST", "/embeddings", OPENAI_EMBEDDINGS),
    Endpoint("POST", "/responses", OPENAI_RESPONSES),
    Endpoint("GET", "/responses/{response_id}", OPENAI_RESPONSES_FETCH),
    Endpoint("GET", "/models", OPAQUE),
    *(Endpoint("POST", end, OPAQUE) for end in _KNOWN_ENDS),
    *(
        # A model, one that the caller has tuned, and one that the caller has deployed on Vertex AI.
        Endpoint("POST", f"/{kind}/{{{name}}}:{method}", dialect)
        for method, dialect in (
            ("generateContent", GEMINI_GENERATE),
            ("streamGenerateContent", GEMINI_STREAM),
            ("embedContent", GEMINI_EMBED),
            ("batchEmbedContents", GEMINI_EMBED),
        )
        for kind, name in (("models", "model"), ("tunedModels", "model"), ("endpoints", "endpoint"))
    ),
    Endpoint("POST", "/threads/{thread}/messages", OPAQUE),  # OpenAI's assistants: a message put in, none answered
    Endpoint("POST", "/messages", ANTHROPIC_MESSAGES),
)
DIALECTS: Final = tuple({endpoint.dialect.name: endpoint.dialect for endpoint in ENDPOINTS if endpoint.dialect is not OPAQUE}.values())

_STEMS: Final = frozenset({"", "/v1", "/v1beta", "/v1alpha"})  # beginnings of a path that may be shown


def _compile(end: str) -> re.Pattern[str]:
    """A name in braces is one segment, or the part of it before a colon."""
    return re.compile("(.*)" + re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(end)), re.DOTALL)


_PATTERNS: Final = tuple((endpoint, _compile(endpoint.end)) for endpoint in ENDPOINTS)


def dialect_for(method: str, path: str) -> tuple[Dialect, str]:
    """Return the dialect of a request by the forwarded path, without prefix and query, and what may be shown of that.

    The end decides, so that base URLs of all kinds fit: /v1/…, /openai/v1/…, Azure's
    /openai/deployments/NAME/…. What callers choose is shown as the name in braces, or as `*`.
    """
    for endpoint, pattern in _PATTERNS:
        if endpoint.method == method:
            found = pattern.fullmatch(path)
            if found:
                return endpoint.dialect, (found[1] if found[1] in _STEMS else "/*") + endpoint.end
    return OPAQUE, "/*"

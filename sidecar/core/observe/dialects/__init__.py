"""Wire formats, one file each, and which of them a request speaks."""

from typing import Final

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects.opaque import Opaque
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.core.observe.dialects.openai_completions import OpenAICompletions
from sidecar.core.observe.dialects.openai_embeddings import OpenAIEmbeddings

OPAQUE: Final[Dialect] = Opaque()
OPENAI_CHAT: Final[Dialect] = OpenAIChat()
OPENAI_COMPLETIONS: Final[Dialect] = OpenAICompletions()
OPENAI_EMBEDDINGS: Final[Dialect] = OpenAIEmbeddings()

# The first that fits: every chat path ends like a completions path too.
_BY_PATH_END: Final = (
    ("/chat/completions", OPENAI_CHAT),
    ("/completions", OPENAI_COMPLETIONS),
    ("/embeddings", OPENAI_EMBEDDINGS),
)

PATH_ENDS: Final = tuple(end for end, _ in _BY_PATH_END)


def dialect_for(method: str, path: str) -> Dialect:
    """Return the dialect of a request by the forwarded path, without prefix and query.

    The end decides, so that base URLs of all kinds fit: /v1/…, /openai/v1/…, Azure's
    /openai/deployments/NAME/….
    """
    if method == "POST":
        for end, dialect in _BY_PATH_END:
            if path.endswith(end):
                return dialect
    return OPAQUE

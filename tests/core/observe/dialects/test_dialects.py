"""Which dialect a request speaks."""

import pytest

from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS, PATH_ENDS, dialect_for


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", OPENAI_CHAT),
        ("/openai/deployments/gpt-4o/chat/completions", OPENAI_CHAT),
        ("/v1/completions", OPENAI_COMPLETIONS),
        ("/v1/embeddings", OPENAI_EMBEDDINGS),
        ("/v1/chat/completions/", OPAQUE),
        ("/v1/models", OPAQUE),
        ("/v1/xcompletions", OPAQUE),
        ("/", OPAQUE),
    ],
)
def test_the_end_of_the_path_decides(path: str, dialect: object) -> None:
    """Base URLs of all kinds fit."""
    assert dialect_for("POST", path) is dialect


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "post"])
def test_only_posts_are_inference(method: str) -> None:
    """Listing stored completions is not."""
    assert dialect_for(method, "/v1/chat/completions") is OPAQUE


def test_every_known_path_end_has_a_dialect() -> None:
    """What may be shown of a path is what is understood."""
    assert all(dialect_for("POST", "/v1" + end) is not OPAQUE for end in PATH_ENDS)

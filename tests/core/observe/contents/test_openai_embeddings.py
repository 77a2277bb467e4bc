"""Content of embeddings."""

from sidecar.core.observe.contents.openai_embeddings import OpenAIEmbeddingsContent
from tests.core.observe.contents.reading import answer, hear, read

READER = OpenAIEmbeddingsContent()


def test_only_the_input_says_something() -> None:
    """Vectors are not content."""
    assert read(READER, {"input": ["a"]}).messages == [{"role": "user", "parts": [{"type": "text", "content": "a"}]}]
    assert answer(READER, {"data": [{"embedding": [0.1]}]}) == []
    assert hear(READER, [{}]).is_empty

"""What is said in calls, by wire format: one reader per dialect, by the dialect's name."""

from collections.abc import Mapping
from functools import cache

from sidecar.core.observe.contents.contract import ContentReader


@cache
def make_readers() -> Mapping[str, ContentReader]:
    """Return every reader by its dialect's name. Loaded when first needed: most sidecars record no content."""
    from sidecar.core.observe.contents.anthropic_messages import AnthropicMessagesContent
    from sidecar.core.observe.contents.gemini import GeminiContent, GeminiEmbedContent
    from sidecar.core.observe.contents.ollama import OllamaChatContent, OllamaEmbedContent, OllamaGenerateContent
    from sidecar.core.observe.contents.openai_chat import OpenAIChatContent
    from sidecar.core.observe.contents.openai_completions import OpenAICompletionsContent
    from sidecar.core.observe.contents.openai_embeddings import OpenAIEmbeddingsContent
    from sidecar.core.observe.contents.openai_responses import OpenAIResponsesContent

    return {
        "openai_chat": OpenAIChatContent(),
        "openai_completions": OpenAICompletionsContent(),
        "openai_embeddings": OpenAIEmbeddingsContent(),
        "openai_responses": OpenAIResponsesContent(),
        "openai_responses_fetch": OpenAIResponsesContent(),  # a stored one: nothing is asked, the answer is the same
        "anthropic_messages": AnthropicMessagesContent(),
        "gemini_generate": GeminiContent(),
        "gemini_stream": GeminiContent(),
        "gemini_embed": GeminiEmbedContent(),
        "ollama_chat": OllamaChatContent(),
        "ollama_generate": OllamaGenerateContent(),
        "ollama_embed": OllamaEmbedContent(),
    }


def find_reader(dialect: str) -> ContentReader | None:
    """Return the reader of a dialect's content, None where nothing is known of it."""
    return make_readers().get(dialect)

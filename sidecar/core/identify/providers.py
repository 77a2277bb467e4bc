"""Names of providers by host (GenAI semantic conventions, `gen_ai.provider.name`)."""

from typing import Final

_BY_HOST: Final = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "openrouter.ai": "openrouter",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.cohere.com": "cohere",
    "api.moonshot.ai": "moonshot_ai",
}
_BY_SUFFIX: Final = (
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".openai.azure.us", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("-aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".amazonaws.com", "aws.bedrock"),
)
UNKNOWN: Final = "unknown"
# Services on hosts of their own: what is called there is billed.
HOSTED: Final = frozenset({*_BY_HOST.values(), *(name for _, name in _BY_SUFFIX)})

# Known to answer `stream_options.include_usage` with one extra chunk, and to send none without it.
ANSWERS_USAGE: Final = frozenset({"openai", "azure.ai.openai", "vllm", "groq", "deepseek", "x_ai"})


def name_provider(host: str, configured: str | None) -> str:
    """Return the configured name, else the one known for `host`, else `unknown`."""
    if configured:
        return configured
    lowered = host.lower()
    if lowered in _BY_HOST:
        return _BY_HOST[lowered]
    for suffix, name in _BY_SUFFIX:
        if lowered.endswith(suffix):
            return name
    return UNKNOWN

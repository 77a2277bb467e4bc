"""Names of providers by host."""

import pytest

from sidecar.core.identify.providers import ANSWERS_USAGE, UNKNOWN, name_provider


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("res.openai.azure.com", "azure.ai.openai"),
        ("res.openai.azure.us", "azure.ai.openai"),
        ("res.cognitiveservices.azure.com", "azure.ai.openai"),
        ("res.services.ai.azure.com", "azure.ai.inference"),
        ("europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("api.anthropic.com", "anthropic"),
        ("openrouter.ai", "openrouter"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("evil-api.openai.com.test", UNKNOWN),
        ("notopenrouter.ai", UNKNOWN),
        ("127.0.0.1", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_a_host_names_its_provider(host: str, name: str) -> None:
    """Whole names and whole suffixes count, in any case; a likeness does not."""
    assert name_provider(host, None) == name


def test_what_is_configured_goes_first() -> None:
    """An operator knows best what stands behind a host."""
    assert name_provider("api.openai.com", "vllm") == "vllm"
    assert name_provider("api.openai.com", "") == "openai"


def test_only_names_in_use_answer_usage() -> None:
    """Providers that send usage in any case, or refuse the option, are not asked."""
    assert {"openai", "azure.ai.openai"} <= ANSWERS_USAGE
    assert not {UNKNOWN, "openrouter", "mistral_ai", "ollama"} & ANSWERS_USAGE

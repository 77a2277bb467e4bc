"""The wire formats that the simulated provider speaks, and which of them a request is in."""

from typing import Final

from sidecar.simulator.anthropic import Anthropic
from sidecar.simulator.azure import Azure
from sidecar.simulator.contract import Dialect
from sidecar.simulator.gemini import Gemini, GeminiArray
from sidecar.simulator.gemini_request import asks_for_array
from sidecar.simulator.ollama import Ollama
from sidecar.simulator.openai import OpenAI
from sidecar.simulator.openrouter import OpenRouter
from sidecar.simulator.request import Form
from sidecar.simulator.responses import OpenAIResponses
from sidecar.simulator.vllm import Vllm

OPENAI: Final[Dialect] = OpenAI()
OPENAI_RESPONSES: Final[Dialect] = OpenAIResponses()
OLLAMA: Final[Dialect] = Ollama()
OPENROUTER: Final[Dialect] = OpenRouter()
VLLM: Final[Dialect] = Vllm()
AZURE: Final[Dialect] = Azure()
GEMINI: Final[Dialect] = Gemini()
GEMINI_ARRAY: Final[Dialect] = GeminiArray()
ANTHROPIC: Final[Dialect] = Anthropic()

# Those that are told by the beginning of a path before the one whose paths end alike.
DIALECTS: Final = (OPENROUTER, VLLM, AZURE, OPENAI, OPENAI_RESPONSES, OLLAMA, GEMINI, ANTHROPIC)


def find_dialect(method: str, target: str) -> tuple[Dialect, Form] | None:
    """Return the first format that takes the request, and which of its interfaces; None where none does.

    `target` is path and query.
    """
    for dialect in DIALECTS:
        form = dialect.form_of(method, target.partition("?")[0])
        if form is not None:
            return GEMINI_ARRAY if dialect is GEMINI and asks_for_array(target) else dialect, form
    return None

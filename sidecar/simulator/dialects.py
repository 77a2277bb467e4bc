"""The wire formats that the simulated provider speaks, and which of them a request is in."""

from typing import Final

from sidecar.simulator.azure import Azure
from sidecar.simulator.contract import Dialect
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

# Those that are told by the beginning of a path before the one whose paths end alike.
DIALECTS: Final = (OPENROUTER, VLLM, AZURE, OPENAI, OPENAI_RESPONSES, OLLAMA)


def find_dialect(method: str, path: str) -> tuple[Dialect, Form] | None:
    """Return the first format that takes the request, and which of its interfaces; None where none does."""
    for dialect in DIALECTS:
        form = dialect.form_of(method, path)
        if form is not None:
            return dialect, form
    return None

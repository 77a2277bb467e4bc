"""OpenAI completions, the older form, which local servers still offer."""

from typing import Any

from sidecar.core.observe.dialects.openai_form import OpenAIForm
from sidecar.core.observe.dialects.openai_shapes import TextChoice, TextOpening


class OpenAICompletions(OpenAIForm):
    """The dialect of /completions."""

    name = "openai_completions"
    operation = "text_completion"
    text_keys: tuple[bytes, ...] = (b'"text":"', b'"text": "')

    def __init__(self) -> None:
        super().__init__(TextOpening, TextChoice)

    def text_of(self, choice: Any) -> object:
        """Return the choice's text."""
        return choice.text

    def has_token(self, choice: Any) -> bool:
        """Whether the choice carries text."""
        return bool(choice.text)

"""OpenAI completions, the older form, which local servers still offer."""

from typing import Any

from sidecar.core.observe.dialects.openai_form import Answer, Choice, OpenAIForm


class _TextChoice(Choice, gc=False):
    text: Any = None


class _TextOpening(Answer, gc=False):
    choices: tuple[_TextChoice, ...] | None = None


class OpenAICompletions(OpenAIForm):
    """The dialect of /completions."""

    name = "openai_completions"
    operation = "text_completion"
    text_keys = (b'"text":"', b'"text": "')

    def __init__(self) -> None:
        super().__init__(_TextOpening, _TextChoice)

    def text_of(self, choice: Any) -> object:
        """Return the choice's text."""
        return choice.text

    def has_token(self, choice: Any) -> bool:
        """Whether the choice carries text."""
        return bool(choice.text)

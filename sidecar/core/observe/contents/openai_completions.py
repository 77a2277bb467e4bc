"""What is said in OpenAI completions, the older form."""

from sidecar.core.observe.contents.contract import Message, Part, Prompt
from sidecar.core.observe.contents.parts import as_dict, as_index, as_list, message, parse, text
from sidecar.core.observe.contents.transcript import Transcript


class OpenAICompletionsContent:
    """Reads the bodies of /completions."""

    def read_request(self, body: bytes) -> Prompt:
        """Return each prompt as a message of its own."""
        request = as_dict(parse(body))
        return Prompt([], [message("user", parts) for parts in read_inputs(request.get("prompt"))], [])

    def read_whole(self, body: bytes) -> list[Message]:
        """Return each choice's text."""
        choices = map(as_dict, as_list(as_dict(parse(body)).get("choices")))
        return [message("assistant", text(choice.get("text"))) for choice in choices]

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add each choice's text."""
        for choice in map(as_dict, as_list(as_dict(parse(event)).get("choices"))):
            transcript.add(choice.get("text"), "text", as_index(choice.get("index")))


def read_inputs(value: object) -> list[list[Part]]:
    """Return the parts of each input: of one text, a list of texts, one list of tokens, or a list of those."""
    if isinstance(value, str):
        return [text(value)]
    items = as_list(value)
    if items and all(type(item) is int for item in items):
        return [[_tokens(items)]]
    found = []
    for item in items:
        if isinstance(item, str):
            found.append(text(item))
        elif isinstance(item, list):
            found.append([_tokens(item)])
    return found


def _tokens(tokens: list[object]) -> Part:
    """Numbers of tokens are not text: only how many there are."""
    return {"type": "tokens", "count": len(tokens)}

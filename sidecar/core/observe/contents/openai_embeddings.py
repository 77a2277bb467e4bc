"""What is put into OpenAI embeddings. The answer holds vectors, which say nothing to a reader."""

from sidecar.core.observe.contents.contract import Message, Prompt
from sidecar.core.observe.contents.openai_completions import read_inputs
from sidecar.core.observe.contents.parts import as_dict, message, parse
from sidecar.core.observe.contents.transcript import Transcript


class OpenAIEmbeddingsContent:
    """Reads the bodies of /embeddings."""

    def read_request(self, body: bytes) -> Prompt:
        """Return each input as a message of its own."""
        request = as_dict(parse(body))
        return Prompt([], [message("user", parts) for parts in read_inputs(request.get("input"))], [])

    def read_whole(self, body: bytes) -> list[Message]:
        """Return nothing."""
        return []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Do nothing: there is no streamed form."""

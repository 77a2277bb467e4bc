"""OpenAI embeddings. The vectors, most of the answer, are skipped and not decoded."""

from collections.abc import Callable, Mapping

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.openai_form import OpenAIForm
from sidecar.core.observe.dialects.openai_shapes import Answer, Choice


class OpenAIEmbeddings(OpenAIForm):
    """The dialect of /embeddings, which has no streamed form."""

    name = "openai_embeddings"
    operation = "embeddings"
    splitters: Mapping[str, Callable[[int], Splitter]] = {}

    def __init__(self) -> None:
        super().__init__(Answer, Choice)

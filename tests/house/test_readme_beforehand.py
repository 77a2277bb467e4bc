"""What README.md says of embeddings that go together, and of prompts asked beforehand, is so."""

import re

from sidecar.config import BUILT_IN_ROUTES, Batches, Settings
from sidecar.core.identify.router import Router
from sidecar.core.reuse.embedding_forms import read_inputs
from sidecar.warming import read_prompt
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TOGETHER = re.sub(r"\s+", " ", README[README.index("\n### Embeddings together") : README.index("\n### Prompts asked beforehand")])
BEFOREHAND = README[README.index("\n### Prompts asked beforehand") : README.index("\n### Settings of cache")]


def test_embeddings_go_together_as_told() -> None:
    """The numbers are the defaults; the forms are those that are read."""
    batches = Batches()
    assert f"they have `batches.inputs` inputs ({batches.inputs}) together" in TOGETHER
    assert f"`batches.wait` ({batches.wait * 1000:.0f} ms)" in TOGETHER
    assert f"`batches.wait_max` ({batches.wait_max * 1000:.0f} ms)" in TOGETHER
    content = b'{"content":{"parts":[{"text":"a"}]}}'
    assert read_inputs("openai_embeddings", "/v1/embeddings", b'{"input":"a"}')
    assert read_inputs("ollama_embed", "/api/embed", b'{"input":"a"}')
    for method, body in (("embedContent", content), ("batchEmbedContents", b'{"requests":[' + content + b"]}")):
        assert f"`{method}`" in TOGETHER
        assert read_inputs("gemini_embed", f"/v1beta/models/m:{method}", body)


def test_the_prompt_of_the_example_is_one() -> None:
    """On a route that is built in, with every field that is told."""
    (line,) = re.findall(r"```jsonl\n(.*)\n```", BEFOREHAND)
    prompt = read_prompt(line.encode(), Router(BUILT_IN_ROUTES), "k", 1000)
    assert (prompt.method, prompt.tenant) == ("POST", "a")
    names = {name.decode() for name, _ in prompt.headers}
    assert {"anthropic-version", "Accept", "Accept-Encoding", "Content-Type"} < names
    for setting in re.findall(r"`warming\.(\w+)`", BEFOREHAND):
        assert hasattr(Settings().warming, setting)

"""Embeddings: usage is read, vectors are not."""

import tracemalloc

from sidecar.core.observe.dialects import OPENAI_EMBEDDINGS
from sidecar.exchange import Seen, Usage


def test_vectors_are_skipped() -> None:
    """Of an answer of several MiB only the few members that matter take memory."""
    vector = b'{"index":0,"embedding":[' + b"0.0123456789," * 1535 + b"0.5]}"
    body = b'{"object":"list","data":[' + b",".join([vector] * 200) + b'],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}'
    seen = Seen()
    tracemalloc.start()
    OPENAI_EMBEDDINGS.read_whole(body, seen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(body) > 3 << 20
    assert peak < 64 * 1024
    assert (seen.model, seen.usage) == ("m", Usage(9, 0, 0, 0, 0))

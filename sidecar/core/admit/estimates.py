"""How many tokens a call is likely to use, before it is made: those of its prompt, and those that it allows its answer.

What has no characters (images, audio, files) is left out, as core.observe.estimation leaves it out. The estimate is only what is
reserved: what was used is known in the end.
"""

from hashlib import blake2b
from typing import Final

from sidecar.core.observe.contents import find_reader
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.estimation import CHARS_PER_TOKEN, count_tokens, estimate
from sidecar.core.observe.inflate import decode_body
from sidecar.exchange import Asked

MEMO_MAX: Final = 1000
# A body up to here is read, which takes some 20 µs; of a longer one only so many blocks are looked at.
READ_BYTES_MAX: Final = 2 * 1024
_OBJECTS_MAX: Final = 20  # each costs 2 µs to read, however little is in it
_BLOCK_BYTES: Final = 512
_BLOCKS_MAX: Final = 32
_MEMO_KEY_BYTES: Final = 16
_SEPARATORS: Final = (b" ", b'"', b"\\")
_memo: dict[bytes, int] = {}


def estimate_tokens(dialect_name: str, body: bytes, coding: bytes) -> int:
    """Return how many tokens a request's prompt is likely to be, at least 1; 0 for a form that asks no model. Never raises."""
    if not body or find_reader(dialect_name) is None:
        return 0
    if coding:
        try:
            body = decode_body(body, coding, READ_BYTES_MAX)
        except ValueError:  # too long to be read here, or nobody can: text compresses to about a quarter, so a byte is a token
            return len(body)
    if len(body) > READ_BYTES_MAX:
        return max(1, _count_text_bytes(body) // CHARS_PER_TOKEN)
    if body.count(b"{") > _OBJECTS_MAX:
        return count_tokens(len(body))
    key = blake2b(body, digest_size=_MEMO_KEY_BYTES, key=dialect_name.encode("ascii")).digest()
    known = _memo.get(key)
    if known is None:
        usage = estimate(dialect_name, body, b"", Transcript(0))
        known = max(1, count_tokens(len(body)) if usage is None else usage.input)
        if len(_memo) >= MEMO_MAX:
            del _memo[next(iter(_memo))]
        _memo[key] = known
    return known


def count_allowed(asked: Asked) -> int | None:
    """Return how many tokens a call lets its answer have, all choices together; None where it does not say."""
    tokens = asked.params.get("gen_ai.request.max_tokens")
    if not isinstance(tokens, int):
        return None
    choices = asked.params.get("gen_ai.request.choice.count")
    return tokens * choices if isinstance(choices, int) else tokens


def _count_text_bytes(body: bytes) -> int:
    """Return about how much of a long body is text: blocks without a space, a quote or an escape are images or files in base64."""
    blocks = min(len(body) // _BLOCK_BYTES, _BLOCKS_MAX)
    stride = len(body) // blocks
    text = 0
    for number in range(blocks):
        block = body[number * stride : number * stride + _BLOCK_BYTES]
        text += not block.isascii() or any(mark in block for mark in _SEPARATORS)
    return len(body) * text // blocks

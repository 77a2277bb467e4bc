"""Which prompts the provider remembers: what of a new prompt it need not read again."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

_STEP_TOKENS: Final = 128  # OpenAI counts cached tokens in steps of this size


class PromptMemory:
    """Beginnings of prompts seen lately, by model: a bounded cache of hashes, no text."""

    def __init__(self, from_tokens: int, prefixes_max: int = 50_000) -> None:
        self._from_tokens = from_tokens
        self._prefixes_max = prefixes_max
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def recall(self, model: str, parts: Sequence[str], tokens: Sequence[int], step_tokens: int = _STEP_TOKENS) -> int:
        """How many tokens of this prompt's beginning were seen before; from now on all of them were.

        `tokens` are those of each part. Too short a beginning counts as nothing, like at OpenAI.
        """
        known = read = 0
        digest = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=16)
        for part, part_tokens in zip(parts, tokens, strict=True):
            digest.update(b"\0" + part.encode("utf-8", "surrogatepass"))
            read += part_tokens
            key = digest.digest()
            if key in self._seen:
                self._seen.move_to_end(key)
                known = read
            else:
                self._seen[key] = None
        while len(self._seen) > self._prefixes_max:
            self._seen.popitem(last=False)
        return known // step_tokens * step_tokens if known >= self._from_tokens else 0

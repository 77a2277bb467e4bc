"""Encryption of what is kept in a shared place: who can read there learns nothing, who can write there can forge nothing.

AES-256-GCM (NIST SP 800-38D). The name under which a value is kept is authenticated with it: moved to another name, it is damaged.

    4 bytes   mark
    8 bytes   which key: a digest of it
    12 bytes  nonce, random
    rest      ciphertext, and a tag of 16 bytes

Nonces are random, so one key is good for 2**32 values (section 8.3): at 100 a second for more than a year.
"""

import os
from hashlib import blake2b
from typing import Final

from sidecar.core.reuse.packing import Damaged
from sidecar.errors import ConfigError, ConfigProblem

KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 4 + 8 + 12 + 16
_MARK: Final = b"LSX1"
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 8


class Cipher:
    """Encrypts with one key. Raises ConfigError where the package for it is missing, or the key has another length."""

    def __init__(self, key: bytes) -> None:
        problem = "redis.encryption_key_file"
        if len(key) != KEY_BYTES:
            raise ConfigError("start", [ConfigProblem(problem, f"a key of {len(key)} bytes", f"{KEY_BYTES} bytes in base64")])
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            allowed = "an installation with it: llm-sidecar[redis]"
            raise ConfigError(
                "start", [ConfigProblem(problem, "a key, but the package `cryptography` is not installed", allowed)]
            ) from None
        self._cipher = AESGCM(key)
        self._invalid = InvalidTag
        self._head = _MARK + blake2b(key, digest_size=_ID_BYTES, person=b"sidecar key id").digest()

    def encrypt(self, name: str, data: bytes) -> bytes:
        """Return `data`, encrypted, to be kept under `name`."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._head + nonce + self._cipher.encrypt(nonce, data, self._head + name.encode())

    def decrypt(self, name: str, data: bytes) -> bytes:
        """Return what was encrypted. Raises Damaged: not encrypted, with another key, for another name, or changed."""
        start = len(self._head)
        if len(data) < OVERHEAD_BYTES or data[:start] != self._head:
            raise Damaged("not encrypted with this key")
        nonce = data[start : start + _NONCE_BYTES]
        try:
            return self._cipher.decrypt(nonce, data[start + _NONCE_BYTES :], self._head + name.encode())
        except self._invalid:
            raise Damaged("not what was encrypted") from None

"""Encryption of what is shared."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.packing import Damaged
from sidecar.edge.shared.cipher import OVERHEAD_BYTES, Cipher
from sidecar.errors import ConfigError

KEY, OTHER = bytes(range(32)), bytes(32)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_encrypted_comes_back(data: bytes, name: str) -> None:
    """It comes back as it was, is as much longer as is told, and is never the same twice."""
    cipher = Cipher(KEY)
    sealed = cipher.encrypt(name, data)
    assert Cipher(KEY).decrypt(name, sealed) == data and len(sealed) == len(data) + OVERHEAD_BYTES
    assert cipher.encrypt(name, data) != sealed


def test_nothing_of_it_can_be_read() -> None:
    """Neither what is encrypted nor the key stands in what is kept."""
    sealed = Cipher(KEY).encrypt("name", b"canary" * 10)
    assert b"canary" not in sealed and KEY[:8] not in sealed


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_change_is_damage(where: int, change: int) -> None:
    """One byte changed, anywhere, is found."""
    sealed = bytearray(Cipher(KEY).encrypt("name", b"data" * 20))
    sealed[where % len(sealed)] ^= change
    with pytest.raises(Damaged):
        Cipher(KEY).decrypt("name", bytes(sealed))


@given(st.binary(max_size=100))
def test_anything_else_is_damage(data: bytes) -> None:
    """Whatever the bytes are: damage, and no other exception."""
    for sealed in (data, Cipher(KEY).encrypt("name", b"")[: min(len(data), OVERHEAD_BYTES - 1)]):
        with pytest.raises(Damaged):
            Cipher(KEY).decrypt("name", sealed)


def test_another_name_or_key_is_damage() -> None:
    """Moved to another name, or read with another key, it is damaged."""
    sealed = Cipher(KEY).encrypt("name", b"data")
    for key, name in ((KEY, "other"), (KEY, ""), (OTHER, "name")):
        with pytest.raises(Damaged):
            Cipher(key).decrypt(name, sealed)


def test_keys_that_cannot_be() -> None:
    """A key of another length is a problem of the configuration, and is not told."""
    with pytest.raises(ConfigError, match="5 bytes") as caught:
        Cipher(b"canar")
    assert "canar" not in str(caught.value)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package it is a problem of the configuration, that tells how to get it."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"llm-sidecar\[redis\]"):
        Cipher(KEY)

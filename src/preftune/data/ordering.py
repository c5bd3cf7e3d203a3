"""A shuffled order that depends on a seed and a text only: the same on every machine and Python."""

from __future__ import annotations

from hashlib import blake2b


def shuffle_key(seed: int, text: str) -> bytes:
    """Sort by this to shuffle; 16 bytes."""
    return blake2b(f"{seed}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

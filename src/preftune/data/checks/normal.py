"""Texts made comparable, and short stable hashes of them."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from functools import cache
from hashlib import blake2b

_ASCII = str.maketrans("", "", string.punctuation)


def normal(text: str) -> str:
    """Lower case without punctuation, white space folded; compatibility forms (NFKC) are one character."""
    if text.isascii():
        return " ".join(text.lower().translate(_ASCII).split())
    folded = unicodedata.normalize("NFKC", text).lower()
    return " ".join(_punctuation().sub("", folded).split())


@cache
def _punctuation() -> re.Pattern[str]:
    """Every character of a punctuation category, and ASCII's symbols, which ``string.punctuation`` counts as such."""
    marks = (chr(code) for code in range(128, sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("P"))
    return re.compile(f"[{re.escape(string.punctuation)}{''.join(marks)}]+")


def key(text: str) -> int:
    """A hash of 64 bits, the same on every machine: two of a million texts collide with a chance of 3e-8."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_LEAD = 20  # characters shown before the place in question


def excerpt(text: str, start: int = 0, width: int = 160) -> str:
    """About ``width`` characters around ``start`` on one line, with dots where something is left out."""
    begin = max(0, min(start - _LEAD, len(text) - width))
    piece = " ".join(text[begin : begin + width].split())
    return ("…" if begin else "") + piece + ("…" if begin + width < len(text) else "")

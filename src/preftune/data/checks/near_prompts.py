"""P006: prompts that are almost an earlier one: candidates by MinHash, each then compared itself (extra: rensa)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from rapidfuzz import fuzz

from .findings import Example
from .normal import excerpt, key
from .parts import MOST_EXAMPLES, Case, Draft, Places, plural
from .seen import Seen

SIMILAR = 90
"""Least rapidfuzz ratio of two prompts made comparable (0 to 100)."""
JACCARD = 0.8
"""Or least share of common word 3-shingles."""
MOST_PROMPTS = 200_000
"""Different prompts that are compared with one another: about 2 KB of memory each."""

_CHARACTERS = 1000  # of each prompt are compared
_GRAM = 5
# 24 bands of 5 rows: two prompts with a Jaccard similarity of 0.6 in character 5-grams meet with a chance of 0.86,
# of 0.7 with 0.99, of 0.2 with 0.008.
_PERMUTATIONS, _BANDS = 120, 24
_CROWD = 50  # prompts around which so many are near already are not indexed: keeps the work linear


def has_rensa() -> bool:
    """Whether the extra is installed."""
    return find_spec("rensa") is not None


class NearPrompts:
    """An index of the different prompts so far."""

    def __init__(self) -> None:
        from rensa import RMinHash, RMinHashLSH

        self._minhash = RMinHash
        self._index = RMinHashLSH(threshold=JACCARD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
        self._known: dict[int, int | None] = {}
        """For the key of each prompt, the first record of the earlier prompt that it is near to."""
        self._texts: dict[int, str] = {}
        self._ordinals = array("I")
        self._cases: list[Case] = []
        self._left_out = 0

    def add(self, seen: Seen) -> None:
        """Compare a prompt that is new with those before it."""
        text = seen.normal_prompt[:_CHARACTERS]
        name = key(seen.normal_prompt)
        if name not in self._known:
            if len(self._known) >= MOST_PROMPTS:
                self._left_out += 1
                return
            self._known[name] = earlier = self._compared(seen.ordinal, text)
            if earlier is not None and len(self._cases) < MOST_EXAMPLES:
                self._cases.append((earlier, seen.ordinal))
        if self._known[name] is not None:
            self._ordinals.append(seen.ordinal)

    def _compared(self, ordinal: int, text: str) -> int | None:
        """The record of an earlier prompt that is near; where there is none, this one joins the index."""
        grams = [text[place : place + _GRAM] for place in range(max(1, len(text) - _GRAM + 1))]
        sketch = self._minhash(num_perm=_PERMUTATIONS, seed=1)
        sketch.update(grams)
        candidates = self._index.query(sketch)
        for candidate in candidates[:_CROWD]:
            if is_near(text, self._texts[candidate]):
                return int(candidate)
        if len(candidates) < _CROWD:
            self._index.insert(ordinal, sketch)
            self._texts[ordinal] = text
        return None

    def drafts(self, places: Places) -> Iterator[Draft]:
        """The records whose prompt is near an earlier one."""
        if not self._ordinals:
            return
        message = f"{plural(len(self._ordinals), 'record')} with a prompt that is almost an earlier one"
        if self._left_out:
            message += f" (the first {MOST_PROMPTS:,} different prompts were compared)"
        cases, details = self._cases, {"not_compared": self._left_out}
        yield Draft("near_duplicate_prompt", "info", message, self._ordinals, (), len(places), cases, _tell, details)

    def statistics(self) -> Mapping[str, Any]:
        """Nothing beside the finding."""
        return {}


def is_near(text: str, other: str) -> bool:
    """Whether two prompts (made comparable) are almost the same."""
    if fuzz.ratio(text, other, score_cutoff=SIMILAR):
        return True
    mine, theirs = _shingles(text), _shingles(other)
    return bool(mine and theirs) and len(mine & theirs) >= JACCARD * len(mine | theirs)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(words, words[1:], words[2:], strict=False))


def _tell(records: list[Seen] | tuple[Seen, ...] | Any) -> Example:
    earlier, later = records
    lines = f"now: {excerpt(later.prompt)}\nbefore: {excerpt(earlier.prompt)}"
    return Example((later.record.origin, earlier.record.origin), lines)

"""P024: prompts that the held-out data share with the checked ones, by opening turn, as the split by prompt has it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .findings import Example
from .normal import excerpt
from .parts import Draft, Places, percent, plural
from .seen import Seen
from .stream import Given


class HeldOut:
    """The openings of the held-out data, and which records of the checked data share one."""

    def __init__(self, given: Iterable[Given]) -> None:
        self._records = 0
        self._held: dict[int, list[tuple[str, int]]] = {}
        for row in given:
            for record in row.records:
                self._records += 1
                places = self._held.setdefault(Seen(0, record).opening_key, [])
                places.append((record.origin.file, record.origin.row))
        self._shared: set[int] = set()
        self._ordinals = array("I")

    def add(self, seen: Seen) -> None:
        """Note a record whose opening is held out too."""
        if seen.opening_key in self._held:
            self._shared.add(seen.opening_key)
            self._ordinals.append(seen.ordinal)

    def drafts(self, places: Places) -> Iterator[Draft]:
        """The leak, where there is one."""
        if not self._ordinals:
            return
        leaked = sorted({place for key in self._shared for place in self._held[key]})
        share = percent(sum(len(self._held[key]) for key in self._shared), self._records)
        yield Draft(
            "split_leakage",
            "error",
            f"{plural(len(self._ordinals), 'record')} with a prompt that is held out too ({share} of what is held out)",
            self._ordinals,
            total=len(places),
            cases=places.shown(self._ordinals),
            tell=lambda records: self._tell(records[0]),
            details={"held_out_rows": [{"file": file, "row": row} for file, row in leaked]},
        )

    def statistics(self) -> Mapping[str, Any]:
        """How many records are held out."""
        return {"held_out_records": self._records}

    def _tell(self, seen: Seen) -> Example:
        file, row = self._held[seen.opening_key][0]
        return Example((seen.record.origin,), f"held out at {file}:{row}: {excerpt(seen.record.opening)}")

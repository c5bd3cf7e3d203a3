"""P025: prompts of benchmarks in the data, by hashes of the prompts made comparable."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from .findings import Example
from .normal import excerpt, key, normal
from .parts import Draft, Places, plural
from .seen import Seen

_FOLDER = Path(__file__).with_name("benchmark_prompts")
_LEAST = 20  # characters made comparable; "hi" is in every list


class Benchmarks:
    """The prompts that must not be in the data, and the records that hold one in any user turn."""

    def __init__(self, own: Path | None) -> None:
        self._names: dict[int, str] = {}
        for file in sorted(_FOLDER.glob("*.txt")):
            hashes = (line for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
            self._names |= {int(line, 16): file.stem for line in hashes}
        if own is not None:
            self._names |= dict.fromkeys(own_prompts(own), own.name)
        self._ordinals = array("I")
        self._counts: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        """Look up the user's turns."""
        name = self._name(seen)
        if name:
            self._ordinals.append(seen.ordinal)
            self._counts[name] += 1

    def _name(self, seen: Seen) -> str | None:
        if len(seen.record.prompt) == 1:
            return self._names.get(key(seen.normal_prompt)) if len(seen.normal_prompt) >= _LEAST else None
        turns = (normal(turn.content) for turn in seen.record.prompt if turn.role == "user")
        return next((name for text in turns if len(text) >= _LEAST and (name := self._names.get(key(text)))), None)

    def drafts(self, places: Places) -> Iterator[Draft]:
        """The overlap, where there is one."""
        if not self._ordinals:
            return
        names = ", ".join(f"{name} {count:,}" for name, count in self._counts.most_common())
        yield Draft(
            "benchmark_overlap",
            "warning",
            f"{plural(len(self._ordinals), 'record')} with a prompt of a benchmark ({names})",
            self._ordinals,
            total=len(places),
            cases=places.shown(self._ordinals),
            tell=lambda records: self._tell(records[0]),
            details=dict(self._counts),
        )

    def statistics(self) -> Mapping[str, Any]:
        """Nothing beside the finding."""
        return {}

    def _tell(self, seen: Seen) -> Example:
        return Example((seen.record.origin,), f"{self._name(seen)}: {excerpt(seen.question)}")


def own_prompts(path: Path) -> set[int]:
    """Hashes of the prompts in a text file, one on each line. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list of benchmark prompts cannot be read: {error}") from None
    found = {key(text) for line in lines if len(text := normal(line)) >= _LEAST}
    if not found:
        raise DataError(f"{path}: holds no prompt of {_LEAST} characters or more: write one prompt on each line")
    return found

"""P001, P002, P003, P009, P010, P022, P023: rows that the reader refuses, by what is wrong, and what scores say."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..records import BadRow, PreferencePair
from .findings import Example, Severity
from .normal import excerpt
from .parts import Draft, Places, plural, tell_answers
from .seen import Seen

CHECK_OF_KIND: Mapping[str, str] = {
    "empty": "empty",
    "no preference": "identical",
    "roles": "roles",
    "unknown role": "roles",
    "no common prompt": "prompt_mismatch",
}
"""Which check a kind of bad row belongs to; any other kind is ``schema``."""

_SAYS = {
    "schema": "that cannot be read",
    "empty": "with an empty prompt, turn or answer",
    "identical": "with the same answer on both sides",
    "prompt_mismatch": "that hold two different conversations, and so answer different prompts",
}


class Refused:
    """Rows without a record, each with its reason, as the reader gives them."""

    def __init__(self) -> None:
        self.rows_read = 0
        self._bad: dict[str, list[BadRow]] = defaultdict(list)
        self._ties: list[BadRow] = []
        self._tied_comparisons = 0
        self._joined = array("I")
        self._equal, self._lower = array("I"), array("I")
        self._kinds: Counter[str] = Counter()

    def add_bad(self, row: BadRow) -> None:
        """A row that cannot be used."""
        self._bad[CHECK_OF_KIND.get(row.kind, "schema")].append(row)
        self._kinds[row.kind] += 1

    def add_tie(self, row: BadRow, comparisons: int) -> None:
        """A row with comparisons that have no winner."""
        self._ties.append(row)
        self._tied_comparisons += comparisons

    def add(self, seen: Seen) -> None:
        """Look at roles and scores of a record."""
        if seen.joined_roles:
            self._joined.append(seen.ordinal)
        if isinstance(seen.record, PreferencePair) and seen.record.margin is not None:
            if seen.record.margin == 0:
                self._equal.append(seen.ordinal)
            elif seen.record.margin < 0:
                self._lower.append(seen.ordinal)

    def drafts(self, places: Places) -> Iterator[Draft]:
        """One finding for each kind of fault."""
        for name, says in _SAYS.items():
            if bad := self._bad.get(name):
                yield self._of_rows(name, f"{plural(len(bad), 'row')} {says}{self._which(name)}", bad)
        yield from self._roles(places)
        yield from self._tied(places)
        if self._lower:
            message = f"{plural(len(self._lower), 'pair')} whose rejected answer has the higher score"
            yield _of_records("score_contradiction", "error", message, self._lower, places)

    def statistics(self) -> Mapping[str, Any]:
        """Rows that were refused, by kind."""
        return {"refused": dict(self._kinds.most_common())}

    def _which(self, name: str) -> str:
        if name != "schema":
            return ""
        kinds = Counter(row.kind for row in self._bad[name])
        return f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common(4))})"

    def _of_rows(self, name: str, message: str, bad: Sequence[BadRow], severity: Severity = "error") -> Draft:
        return Draft(name, severity, message, bad=bad, total=self.rows_read)

    def _roles(self, places: Places) -> Iterator[Draft]:
        bad, joined = self._bad.get("roles", []), self._joined
        if not bad and not joined:
            return
        says = [f"{plural(len(bad), 'row')} with roles that are unknown or out of order"] if bad else []
        says += (
            [f"{plural(len(joined), 'row')} with neighbouring turns of one role, which are joined"] if joined else []
        )
        yield Draft(
            "roles",
            "error" if bad else "warning",
            "; ".join(says),
            joined,
            bad,
            self.rows_read,
            places.shown(joined),
            _tell_roles,
            {"refused": len(bad), "joined": len(joined)},
        )

    def _tied(self, places: Places) -> Iterator[Draft]:
        if not self._ties and not self._equal:
            return
        says = []
        if self._ties:
            says.append(
                f"{plural(self._tied_comparisons, 'tie')} in {plural(len(self._ties), 'row')}, which give no pair"
            )
        says += [f"{plural(len(self._equal), 'pair')} with equal scores"] if self._equal else []
        yield Draft(
            "tie",
            "warning" if self._equal else "info",
            "; ".join(says),
            self._equal,
            self._ties,
            self.rows_read if self._ties else len(places),
            places.shown(self._equal),
            lambda seen: tell_answers(seen[0]),
            {"tied_comparisons": self._tied_comparisons, "equal_scores": len(self._equal)},
        )


def _of_records(name: str, severity: Severity, message: str, ordinals: Sequence[int], places: Places) -> Draft:
    cases, total = places.shown(ordinals), places.pairs
    return Draft(name, severity, message, ordinals, total=total, cases=cases, tell=lambda seen: tell_answers(seen[0]))


def _tell_roles(records: Sequence[Seen]) -> Example:
    record = records[0].record
    joined = next(
        (turn for turn in (*record.prompt, *record.completions[0]) if "\n\n" in turn.content), record.prompt[0]
    )
    return Example((record.origin,), f"{joined.role}, joined: {excerpt(joined.content)}")

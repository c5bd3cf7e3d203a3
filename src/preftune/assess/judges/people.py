"""People as the judge: pairs are written so that nobody sees whose answer is whose, and their votes are read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data.annotators import agreement, winners
from ...data.derive import SWAPPED
from ...data.formats import pairs_view
from ...data.formats.base import RowFault
from ...data.formats.votes import answer_columns, ballots_of
from ...data.gather import gathered
from ...data.ordering import shuffle_key
from ...data.records import BadRow, Ballot, Choice
from ...data.report import list_bad_rows
from ...data.rows import RawRow
from ...data.sources import resolve
from ...errors import JudgeError
from ...metrics.win_rate import Showing, Verdict
from ...runs.atomic import atomic_write, to_json
from ...runs.display import Reporter
from .base import Match, Ruling

BLIND_COLUMNS = ("id", "prompt", "response_a", "response_b")
VOTE_COLUMN = "annotator1"
"""An empty column of the CSV, to vote in; a second person adds ``annotator2``."""
MODEL_IS = "model_is"
"""The column of the key that says whose answer is whose: ``a`` or ``b``."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_VERDICTS: Mapping[Choice, Verdict] = {"first": "win", "tie": "tie", "second": "loss"}


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the blind pairs and their key are."""

    blind_jsonl: Path
    blind_csv: Path
    key: Path


def export(matches: Sequence[Match], target: Path, seed: int, names: Mapping[str, str]) -> Exported:
    """Write each match once, in an order by chance, with the model's answer as A or B by chance; and the key apart.

    The key is a file of answers: given back with the votes, it says whose answer each was. Its rows carry ``names``.
    Equal answers are in the key only: they are ties that nobody needs to be asked about.
    """
    stem = target.with_suffix("") if target.suffix.lower() in (".jsonl", ".csv") else target
    files = Exported(*(stem.with_name(stem.name + ending) for ending in (".jsonl", ".csv", ".key.jsonl")))
    unique = sorted({match.id: match for match in matches}.values(), key=lambda match: shuffle_key(seed, match.id))
    sides = [shuffle_key(seed, f"side {match.id}")[0] % 2 == 0 for match in unique]
    asked = [(m, first) for m, first in zip(unique, sides, strict=True) if m.answer != m.reference_answer]
    blind = [dict(zip(BLIND_COLUMNS, _blind(match, first), strict=True)) for match, first in asked]
    key = [m.as_row() | {MODEL_IS: "a" if first else "b", **names} for m, first in zip(unique, sides, strict=True)]
    for path, rows in ((files.blind_jsonl, blind), (files.key, key)):
        atomic_write(path, "".join(f"{to_json(row, indent=None)}\n" for row in rows))
    atomic_write(files.blind_csv, _as_csv(asked))
    return files


def _blind(match: Match, model_first: bool) -> tuple[str, str, str, str]:
    return (match.id, match.prompt, *match.shown(model_first=model_first))


def _as_csv(asked: Sequence[tuple[Match, bool]]) -> str:
    """For a spreadsheet, where a text that starts like a formula gets an apostrophe in front, so that it stays text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # the usual quoting leaves a lone \r bare
    writer.writerow([*BLIND_COLUMNS, VOTE_COLUMN])
    for match, first in asked:
        writer.writerow([*(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in _blind(match, first)), ""])
    return text.getvalue()


@dataclass
class PeopleJudge:
    """Votes that were given on exported pairs; several on one pair are put together by ``aggregate``."""

    votes: Sequence[Path]
    aggregate: str = "majority"
    _facts: dict[str, Any] = field(
        default_factory=lambda: {"annotators": 0, "votes": 0, "agreement": None, "alpha": None}
    )

    def rule(self, matches: Sequence[Match], reporter: Reporter) -> list[Ruling]:
        if any(match.model_first is None for match in matches):
            raise JudgeError(
                "--votes needs the key that --export wrote beside the pairs: name that .key.jsonl file with --answers"
            )
        ballots = self._ballots({match.id: match for match in matches}, reporter)
        decided = dict(zip(ballots, winners(ballots.values(), self.aggregate), strict=True))
        found = agreement(ballots.values())
        assert found is not None
        self._facts = {
            "annotators": len(found.quality),
            "votes": found.votes,
            "agreement": found.raw,
            "alpha": found.alpha_nominal.value if found.alpha_nominal else None,
        }
        return [_ruling(match, ballots.get(match.id), decided.get(match.id)) for match in matches]

    def _ballots(self, matches: Mapping[str, Match], reporter: Reporter) -> dict[str, list[Ballot]]:
        """The ballots on each match; the first choice is the model's answer."""
        found: dict[str, list[Ballot]] = {}
        bad: list[BadRow] = []
        for row in self._rows():
            try:
                if isinstance(row, BadRow):
                    bad.append(row)
                    continue
                match = _match_of(row, matches)
                own = [_of_model(ballot, match, row) for ballot in ballots_of(row.values)]
            except RowFault as fault:
                bad.append(BadRow(row.origin, fault.reason, fault.kind))
                continue
            if own:
                found.setdefault(match.id, []).extend(own)
        if bad:
            raise JudgeError(f"{len(bad)} rows of the votes cannot be used:\n{list_bad_rows(bad)}")
        if not found:
            names = ", ".join(map(str, self.votes))
            raise JudgeError(
                f"{names}: nobody has voted: write A, B or tie into {VOTE_COLUMN}, a column for each person"
            )
        missing = len(matches) - len(found)
        if missing:
            reporter.note(f"{missing} of {len(matches)} pairs have no vote yet")
        return found

    def _rows(self) -> Iterator[RawRow | BadRow]:
        files, _ = resolve(list(self.votes), pairs_view())
        for file in files:
            yield from gathered(file.read())

    def facts(self) -> dict[str, Any]:
        return {"kind": "people", "name": "people", "aggregate": self.aggregate, **self._facts}


def _match_of(row: RawRow, matches: Mapping[str, Match]) -> Match:
    name = str(row.values.get("id", ""))
    if name not in matches:
        what = f"its id {name!r} is not in the key" if name else "it has no 'id'"
        raise RowFault("missing column", f"{what}: keep the id column, and name the key of these pairs with --answers")
    return matches[name]


def _of_model(ballot: Ballot, match: Match, row: RawRow) -> Ballot:
    """A ballot on A and B as one on the model's and the reference's answer."""
    assert match.model_first is not None
    names = answer_columns(row.values)
    shown = match.shown(model_first=match.model_first)
    turned = names is not None and (row.values[names[1]], row.values[names[0]]) == shown and shown[0] != shown[1]
    model_is_a = match.model_first != turned
    return Ballot(ballot.annotator, ballot.choice if model_is_a else SWAPPED[ballot.choice])


def _ruling(match: Match, ballots: Sequence[Ballot] | None, decided: tuple[Choice, float] | None) -> Ruling:
    if not ballots or not decided:
        return Ruling(None, "no vote")
    verdict = _VERDICTS[decided[0]]
    assert match.model_first is not None
    votes = [{"annotator": ballot.annotator, "vote": _VERDICTS[ballot.choice]} for ballot in ballots]
    detail = {"votes": votes, "certainty": decided[1]}
    return Ruling(verdict, showings=(Showing(match.model_first, verdict),), detail=detail)

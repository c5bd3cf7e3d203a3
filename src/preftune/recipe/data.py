"""From the data section of a config to encoded pairs for training and holding out, every lost row accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..config.schema import DataSource
from ..data import DataReport, Share, SourceList, load_feedback, load_pairs, load_rankings, overlap, split_by_prompt
from ..data.checks import CheckReport
from ..data.embedded import named_data
from ..data.report import list_bad_rows
from ..errors import DataError
from ..objectives import BoundObjective
from ..runs.display import Reporter
from ..tokens.chat import ChatTemplate, build_template
from ..tokens.encode import Advance, EncodedGroup, EncodingReport, encode_feedback, encode_pairs, encode_rankings
from ..tokens.template import Template
from ..train.evaluation import UNNAMED
from .data_checks import check_data, flags_of
from .given import Given
from .kept_tokens import encoding_key, kept_tokens

T = TypeVar("T")
Side = str
"""``train``, ``eval``, or ``eval/<name>`` of a named held-out set."""


@dataclass(frozen=True)
class RunData:
    """Encoded pairs, and the reports of how they came about."""

    train: list[EncodedGroup]
    held_out_sets: dict[str, list[EncodedGroup]]
    """By name; the empty name is that of an only one."""
    template: Template
    reports: dict[Side, DataReport]
    encoding: dict[Side, EncodingReport]
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Codes of the data checks by pair id, where checks were made."""
    checks: CheckReport | None = None

    @property
    def held_out(self) -> list[EncodedGroup]:
        """All held-out pairs."""
        return [group for groups in self.held_out_sets.values() for group in groups]

    def fingerprint(self) -> dict[str, str]:
        """Hashes over each side's records in their order: a resumed run must see the same ones."""
        return {"training_data": _fingerprint(self.train), "held_out_data": _fingerprint(self.held_out)}

    @property
    def labels(self) -> tuple[bool, ...] | None:
        """Liked or not, for every training record of binary feedback; None for other records."""
        found = tuple(g.label for g in self.train if g.label is not None)
        return found if len(found) == len(self.train) else None

    def to_json(self) -> dict[str, object]:
        """What ``data_report.json`` holds."""
        return {
            "template": self.template.name,
            "read": {side: report.to_json() for side, report in self.reports.items()},
            "encoded": {side: report.to_json() for side, report in self.encoding.items()},
            "checks": self.checks.to_json() if self.checks else None,
        }

    def dropped_rows(self) -> str:
        """One JSON line per row that was read and is not used, with its reason."""
        bad = [row for report in self.reports.values() for row in (*report.bad_rows, *report.without_record)]
        bad += [row for report in self.encoding.values() for row in (*report.bad, *report.dropped)]
        lines = (json.dumps({"file": b.origin.file, "row": b.origin.row, "reason": b.reason}) for b in bad)
        return "".join(f"{line}\n" for line in lines)

    def counts(self) -> dict[str, int]:
        """Counts for the summary."""
        return {
            "rows_read": sum(r.rows_read for r in self.reports.values()),
            "train_pairs": len(self.train),
            "held_out_pairs": len(self.held_out),
            "dropped_rows": self.dropped_rows().count("\n"),
        }


def _fingerprint(groups: Sequence[EncodedGroup]) -> str:
    """Hash over tokens, labels, weights and margins."""
    digest = blake2b(digest_size=16)
    for group in groups:
        digest.update(b"".join(group.sequence_ids))
        digest.update(f"{group.label}|{group.weight}|{group.margin}".encode())
    return digest.hexdigest()


def read_data(
    config: Config,
    objective: BoundObjective,
    tokenizer: PreTrainedTokenizerBase,
    reporter: Reporter,
    given: Given = Given(),  # noqa: B008 - frozen
    *,
    keeps: bool = True,
) -> RunData:
    """Read the records that the objective judges, split and encode them, and account for every row that is lost.

    ``keeps``: whether this process writes the tokens of a large set into the user's cache.

    Raises:
        DataError, TemplateError: see the message; more rows lost than ``data.max_bad_rows`` is one of them.
    """
    template = build_template(tokenizer, config.data.template, config.data.template_variables)
    key: dict[str, object] = encoding_key(template, tokenizer)
    if isinstance(template, ChatTemplate):
        _keep_template(template, tokenizer, reporter)
    checks = check_data(config, objective, *_sources(config, given), reporter)
    reports, train, held_out = read_records(config, objective, reporter, given)
    groups, encoding = {}, {}
    train_records = list(train)
    del train
    count = len(train_records) + sum(map(len, held_out.values()))
    key["data"] = sorted(file.sha256 for report in reports.values() for file in report.files)
    with kept_tokens(config, template, key, count, reporter, writes=keeps) as (encoder, advance):
        encode = partial(encode_records, config, objective, encoder, advance=advance)
        encoded, encoding["train"] = encode(train_records, drain=True)
        for name, records in held_out.items():
            groups[name], encoding[_side(name)] = encode(records)
    flags = flags_of(checks, [*encoded, *(group for one in groups.values() for group in one)])
    data = RunData(encoded, groups, template, reports, encoding, flags, checks)
    _refuse_unencodable(config, data)
    _report(config, objective, data, reporter)
    return data


def _keep_template(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> None:
    """The saved tokenizer must bring the template that was trained with, and stop where its answers end."""
    if template.note:
        reporter.note(template.note)
    if template.source is not None:
        tokenizer.chat_template = template.source
    if template.end is not None and template.end != tokenizer.eos_token:
        reporter.note(f"the tokenizer's end token is set to {template.end}, with which this template ends an answer")
        tokenizer.eos_token = template.end


def _side(name: str) -> Side:
    return "eval" if name == UNNAMED else f"eval/{name}"


def encode_records(
    config: Config,
    objective: BoundObjective,
    template: Template,
    records: Sequence[Any],
    *,
    drain: bool = False,
    advance: Advance | None = None,
) -> tuple[list[EncodedGroup], EncodingReport]:
    """Records of the objective's kind as groups of tokens, cut as the config says.

    With ``drain`` a list of them is emptied on the way, so that texts and tokens are not in memory together.
    """
    options: dict[str, Any] = {
        "max_length": config.data.max_length,
        "truncation": config.data.truncation,
        "max_prompt_length": config.data.max_prompt_length,
        "advance": advance,
    }
    if objective.data == "feedback":
        mismatched = objective.needs_mismatched and bool(records)
        return encode_feedback(records, template, mismatched=mismatched, **options)
    encode = encode_rankings if objective.data == "rankings" else encode_pairs
    return encode(drained(records) if drain and isinstance(records, list) else records, template, **options)


def drained(records: list[T]) -> Iterator[T]:
    """The records in order; each is let go once it has been given."""
    records.reverse()
    while records:
        yield records.pop()


def read_records(
    config: Config, objective: BoundObjective, reporter: Reporter, given: Given
) -> tuple[dict[Side, DataReport], Sequence[Any], Mapping[str, Sequence[Any]]]:
    """Reports by side, training records, and held-out records by the name of their set. Raises DataError."""
    source, sources = _sources(config, given)
    section, seed = config.data, config.train.seed
    records, report = load_records(config, objective, source, max_samples=section.max_samples, seed=seed)
    if not sources:
        train, rest = split_by_prompt(records, eval_fraction=_held_out_share(config, len(records)), seed=seed)
        return {"train": report}, train, {UNNAMED: rest}
    reports, held_out = {"train": report}, {}
    for name, one in sources.items():
        held_out[name], reports[_side(name)] = load_records(config, objective, one, seed=seed)
        shared = overlap(records, held_out[name])
        if shared:
            reporter.warn(
                f"{len(shared)} of {len(held_out[name])} held-out records {f'of {name} ' if name else ''}have a prompt "
                f"that is also in the training data (first: {shared[0].origin}); held-out numbers will look too good"
            )
    return reports, records, held_out


def _sources(config: Config, given: Given) -> tuple[SourceList, Mapping[str, SourceList]]:
    """What to train on, and the held-out sets that were named."""
    held_out = {name: _shares(one) for name, one in config.data.held_out.items()}
    return given.train or _shares(config.data.sources), given.held_out or held_out


def _held_out_share(config: Config, records: int) -> float:
    wanted = config.data.eval_pairs
    if wanted is None:
        return config.data.eval_fraction
    if wanted > records / 2:
        raise DataError(f"data.eval_pairs: {wanted} is more than half of the {records} records; hold out fewer")
    return wanted / records


def _shares(sources: Sequence[DataSource]) -> SourceList:
    return [Share(named_data(one.path), one.max_samples, one.weight) for one in sources]


def load_records(
    config: Config, objective: BoundObjective, source: SourceList, **options: Any
) -> tuple[Sequence[Any], DataReport]:
    """Records of the kind that the objective judges."""
    section = config.data
    options |= {"format": section.format, "max_bad_rows": section.max_bad_rows}
    if objective.data == "feedback":
        feedback = load_feedback(source, **options)
        return feedback.records, feedback.report
    if objective.data == "rankings":
        rankings = load_rankings(source, **options)
        return rankings.records, rankings.report
    pairs = load_pairs(source, rankings=section.rankings, margin_threshold=section.margin_threshold, **options)
    return pairs.pairs, pairs.report


def _refuse_unencodable(config: Config, data: RunData) -> None:
    unreadable = sum(len(r.bad_rows) for r in data.reports.values())
    bad = [row for report in data.encoding.values() for row in report.bad]
    if bad and unreadable + len(bad) > config.data.max_bad_rows:
        raise DataError(
            f"{len(bad)} rows cannot be encoded:\n{list_bad_rows(bad)}\n"
            f"Mend them, or leave them out with data.max_bad_rows: {unreadable + len(bad)}"
        )
    if not data.train:
        dropped = [row for report in data.encoding.values() for row in (*report.bad, *report.dropped)]
        raise DataError(f"nothing is left to train on after truncation:\n{list_bad_rows(dropped)}")


def _report(config: Config, objective: BoundObjective, data: RunData, reporter: Reporter) -> None:
    sides = {"pairs": ("chosen", "rejected"), "feedback": ("answers",), "rankings": ("answers",)}[objective.data]
    for side, report in data.encoding.items():
        if report.pairs or report.dropped:
            name = "training" if side == "train" else side.replace("eval", "held out").replace("/", ", ")
            reporter.note(f"{name}: {report.sentence(config.data.max_length, sides)}")
    total = sum(r.pairs for r in data.encoding.values())
    cut = sum(max((r.cut[s] for s in sides), default=0) for r in data.encoding.values())
    if total and cut / total > 0.05:
        share = f"{cut / total:.0%}"
        reporter.warn(f"{share} of the records had an answer cut: raise data.max_length, or set data.truncation: drop")

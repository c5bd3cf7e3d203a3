"""From the data section of a config to encoded pairs for training and holding out, every lost row accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..data import DataReport, PreferencePair, load_pairs, overlap, split_by_prompt
from ..data.embedded import embedded_preferences
from ..data.report import list_bad_rows
from ..errors import DataError
from ..runs.display import Reporter
from ..tokens.chat import Template, build_template
from ..tokens.encode import EncodedGroup, EncodingReport, encode_pairs


@dataclass(frozen=True)
class RunData:
    """Encoded pairs, and the reports of how they came about."""

    train: list[EncodedGroup]
    held_out: list[EncodedGroup]
    template: Template
    reports: dict[str, DataReport]
    encoding: dict[str, EncodingReport]

    def fingerprint(self) -> dict[str, str]:
        """Hashes over each side's pairs in their order: a resumed run must see the same ones."""
        return {"training_data": _fingerprint(self.train), "held_out_data": _fingerprint(self.held_out)}

    def to_json(self) -> dict[str, object]:
        """What ``data_report.json`` holds."""
        return {
            "template": self.template.name,
            "read": {side: report.to_json() for side, report in self.reports.items()},
            "encoded": {side: report.to_json() for side, report in self.encoding.items()},
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


def _fingerprint(groups: Iterable[EncodedGroup]) -> str:
    """Hash over the tokens, weights and margins of the pairs."""
    digest = blake2b(digest_size=16)
    for group in groups:
        digest.update(b"".join(group.sequence_ids) + repr((group.weight, group.margin)).encode())
    return digest.hexdigest()


def read_data(config: Config, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> RunData:
    """Read, split and encode; more rows lost than ``data.max_bad_rows`` is one error that lists them.

    Raises:
        DataError, TemplateError: see the message.
    """
    template = build_template(tokenizer, config.data.template)
    reports, train, held_out = _read(config, reporter)
    encoded, encoding = {}, {}
    for side, pairs in (("train", train), ("eval", held_out)):
        groups, report = encode_pairs(
            pairs, template, max_length=config.data.max_length, truncation=config.data.truncation
        )
        encoded[side], encoding[side] = groups, report
    data = RunData(encoded["train"], encoded["eval"], template, reports, encoding)
    _refuse_unencodable(config, data)
    _report(config, data, reporter)
    return data


def _read(
    config: Config, reporter: Reporter
) -> tuple[dict[str, DataReport], Sequence[PreferencePair], Sequence[PreferencePair]]:
    section = config.data
    loaded = load_pairs(
        _paths(section.train),
        format=section.format,
        max_bad_rows=section.max_bad_rows,
        max_samples=section.max_samples,
        seed=config.train.seed,
        rankings=section.rankings,
        margin_threshold=section.margin_threshold,
    )
    if section.eval is None:
        train, held_out = split_by_prompt(loaded.pairs, eval_fraction=section.eval_fraction, seed=config.train.seed)
        return {"train": loaded.report}, train, held_out
    evaluated = load_pairs(
        _paths(section.eval),
        format=section.format,
        max_bad_rows=section.max_bad_rows,
        rankings=section.rankings,
        margin_threshold=section.margin_threshold,
    )
    shared = overlap(loaded.pairs, evaluated.pairs)
    if shared:
        reporter.warn(
            f"{len(shared)} of {len(evaluated.pairs)} held-out pairs have a prompt that is also in the training data "
            f"(first: {shared[0].origin}); held-out numbers will look too good"
        )
    return {"train": loaded.report, "eval": evaluated.report}, loaded.pairs, evaluated.pairs


def _paths(source: str | Sequence[str]) -> list[str | Path]:
    names = [source] if isinstance(source, str) else list(source)
    return [embedded_preferences() if name == "demo" and not Path(name).exists() else name for name in names]


def _refuse_unencodable(config: Config, data: RunData) -> None:
    unreadable = sum(len(r.bad_rows) for r in data.reports.values())
    bad = [row for report in data.encoding.values() for row in report.bad]
    if bad and unreadable + len(bad) > config.data.max_bad_rows:
        raise DataError(
            f"{len(bad)} rows cannot be encoded:\n{list_bad_rows(bad)}\n"
            f"Mend them, or leave them out with data.max_bad_rows: {unreadable + len(bad)}"
        )
    if not data.train:
        dropped = [row for report in data.encoding.values() for row in report.dropped]
        raise DataError(f"no pair is left to train on after truncation:\n{list_bad_rows(dropped)}")


def _report(config: Config, data: RunData, reporter: Reporter) -> None:
    for side, report in data.encoding.items():
        if report.pairs or report.dropped:
            name = "training" if side == "train" else "held out"
            reporter.note(f"{name}: {report.sentence(config.data.max_length)}")
    lost = _cut_share(data.encoding.values())
    if lost > 0.05:
        reporter.warn(f"{lost:.0%} of the pairs had an answer cut: raise data.max_length, or use data.truncation: drop")


def _cut_share(reports: Iterable[EncodingReport]) -> float:
    reports = list(reports)
    pairs = sum(r.pairs for r in reports)
    return sum(max(r.chosen_cut, r.rejected_cut) for r in reports) / pairs if pairs else 0.0

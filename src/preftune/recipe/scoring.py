"""Implicit rewards of any pairs: how far a model prefers each answer, compared with a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..data import load_pairs
from ..data.embedded import named_data
from ..data.report import list_bad_rows
from ..errors import ConfigError, DataError, ModelError
from ..logprobs.cache import LogprobTable
from ..logprobs.reference import Frozen, compute_table
from ..logprobs.scorer import CompletionScorer, causal_lm
from ..metrics.held_out import Case, held_out_report
from ..models.load import Precision, load_base, load_tokenizer, pick_device, pick_precision
from ..models.lora import load_adapter
from ..models.memory import auto_token_budget
from ..runs.directory import RunDirectory
from ..runs.display import Reporter
from ..runs.run_report import read_config
from ..tokens.chat import build_template
from ..tokens.encode import EncodedGroup, encode_pairs
from .policy import check_layout
from .start import Source


@dataclass(frozen=True)
class ScoreRequest:
    """What to score, and how; names as in a config."""

    model: str
    data: Sequence[str]
    reference: str | None = None
    """None: what the run compared with, where ``model`` is its output; the model below, where it is an adapter."""
    beta: float = 0.1
    """The implicit reward of an answer is beta x (its log-prob - the reference's)."""
    max_length: int = 2048
    template: str = "auto"
    max_bad_rows: int = 0
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class PairReward:
    """One pair under both models. Log-probabilities in nats, summed over tokens; rewards and margin in nats."""

    id: str
    file: str
    row: int
    category: str | None
    prompt_tokens: int
    chosen_tokens: int
    rejected_tokens: int
    chosen_logp: float
    rejected_logp: float
    chosen_logp_reference: float
    rejected_logp_reference: float
    chosen_reward: float
    rejected_reward: float
    margin: float

    def as_row(self) -> dict[str, Any]:
        """By column."""
        return asdict(self)


@dataclass(frozen=True)
class Scored:
    """The pairs in the order of the data, what they add up to (``held_out_report``), and what was not scored."""

    pairs: tuple[PairReward, ...]
    report: Mapping[str, Any]
    reference: str
    dropped: int
    """Rows that were read and could not be scored; each is told."""


def score(request: ScoreRequest, reporter: Reporter) -> Scored:
    """Score every pair of the data; one model is in memory at a time.

    Raises:
        ConfigError: no reference is named and none follows from the model.
        DataError: rows cannot be read or encoded.
        ModelError: a model cannot be loaded or does not fit.
    """
    if not (request.beta > 0 and math.isfinite(request.beta)):
        raise ConfigError(f"beta must be a finite number above 0, not {request.beta:g}")
    model, (reference, name) = Source.of(request.model), reference_of(request.model, request.reference)
    groups, dropped = _encoded(request, model, reporter)
    policy_logps, vocabulary = _answer_logps(request, model, groups, reporter, "model")
    reference_logps, other = _answer_logps(request, reference, groups, reporter, "reference")
    if vocabulary != other:
        raise ModelError(f"the reference has a vocabulary of {other} tokens, the model one of {vocabulary}")
    both = zip(groups, policy_logps, reference_logps, strict=True)
    pairs = tuple(_reward(group, request.beta, *logps) for group, *logps in both)
    return Scored(pairs, held_out_report([_case(pair) for pair in pairs]), name, dropped)


def reference_of(model: str, named: str | None) -> tuple[Source, str]:
    """The reference of a model and its name: as asked for, else what the model was tuned from.

    Raises:
        ConfigError: neither is known.
    """
    if named is not None:
        return Source.of(named), named
    config = read_config(RunDirectory(Path(model).expanduser()))
    if config:
        return _reference_of_run(config)
    source = Source.of(model)
    if len(source.adapters) == 1:
        return replace(source, adapters=()), f"{source.path}, the model below the adapter"
    raise ConfigError(
        f"a comparison needs a reference, and {model} does not say which model it was tuned "
        "from: name it with --reference"
    )


def _reference_of_run(config: Mapping[str, Any]) -> tuple[Source, str]:
    """What the run compared with: its reference, else its start model."""
    named = config.get("reference") or {}
    section = named if named.get("path") else config["model"]
    adapters = section.get("adapter") or ()
    named_adapters = (adapters,) if isinstance(adapters, str) else adapters
    source = Source.of(section["path"], named_adapters, section.get("revision"))
    what = "reference" if named.get("path") else "start model"
    return source, f"{' with '.join((section['path'], *source.adapters))}, the {what} of the run"


def _encoded(request: ScoreRequest, model: Source, reporter: Reporter) -> tuple[list[EncodedGroup], int]:
    tokenizer = load_tokenizer(
        model.tokenizer_path, revision=model.tokenizer_revision, trust_remote_code=request.trust_remote_code
    )
    template = build_template(tokenizer, request.template)
    loaded = load_pairs([named_data(name) for name in request.data], max_bad_rows=request.max_bad_rows)
    groups, report = encode_pairs(loaded.pairs, template, max_length=request.max_length)
    lost = [*loaded.report.bad_rows, *loaded.report.without_record, *report.bad, *report.dropped]
    if len(report.bad) + len(loaded.report.bad_rows) > request.max_bad_rows:
        advice = f"Mend them, or leave them out with --max-bad-rows {len(report.bad) + len(loaded.report.bad_rows)}"
        raise DataError(f"{len(report.bad)} rows cannot be encoded:\n{list_bad_rows(report.bad)}\n{advice}")
    if not groups:
        raise DataError(f"there is no pair to score:\n{list_bad_rows(lost)}")
    reporter.note(report.sentence(request.max_length))
    if lost:
        reporter.warn(f"{len(lost)} rows are not scored:\n{list_bad_rows(lost)}")
    return groups, len(lost)


def _answer_logps(
    request: ScoreRequest, source: Source, groups: Sequence[EncodedGroup], reporter: Reporter, what: str
) -> tuple[list[list[float]], int]:
    """Log-prob of each answer of each group (nats), and the size of the vocabulary."""
    device = pick_device(request.device)
    scorer = _scorer(source, pick_precision(request.dtype, device), request.trust_remote_code).to(device)
    lm = causal_lm(scorer.model)
    choice = check_layout(scorer, groups, "auto")
    with reporter.phase(f"log-probs of the {what}", len(groups), "pairs") as phase:
        table = LogprobTable()
        compute_table(
            Frozen(scorer),
            groups,
            table,
            layout=choice.layout,
            layout_name=choice.name,
            token_budget=auto_token_budget(lm.config, device),
            advance=phase.advance,
        )
    sums = [[float(row.double().sum()) for row in table.lookup(group.sequence_ids)] for group in groups]
    return sums, lm.config.get_text_config().vocab_size


def _scorer(source: Source, precision: Precision, trust_remote_code: bool) -> CompletionScorer:
    base, _ = load_base(source.path, precision.compute, revision=source.revision, trust_remote_code=trust_remote_code)
    model: nn.Module = base
    for folder in source.adapters:
        model = load_adapter(base, folder, keep_training=False)
    return CompletionScorer(model.eval(), autocast=precision.autocast)


def _reward(group: EncodedGroup, beta: float, policy: Sequence[float], reference: Sequence[float]) -> PairReward:
    chosen, rejected = (beta * (mine - theirs) for mine, theirs in zip(policy, reference, strict=True))
    return PairReward(
        id=group.pair_id,
        file=group.origin.file,
        row=group.origin.row,
        category=group.category,
        prompt_tokens=len(group.prompt),
        chosen_tokens=group.completions[0].num_scored,
        rejected_tokens=group.completions[1].num_scored,
        chosen_logp=policy[0],
        rejected_logp=policy[1],
        chosen_logp_reference=reference[0],
        rejected_logp_reference=reference[1],
        chosen_reward=chosen,
        rejected_reward=rejected,
        margin=chosen - rejected,
    )


def _case(pair: PairReward) -> Case:
    return Case(
        margin=pair.margin,
        chosen_tokens=pair.chosen_tokens,
        rejected_tokens=pair.rejected_tokens,
        category=pair.category,
        chosen_log_ratio=pair.chosen_logp - pair.chosen_logp_reference,
        rejected_log_ratio=pair.rejected_logp - pair.rejected_logp_reference,
    )

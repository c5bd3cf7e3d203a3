"""From the reference section of a config to a reference that cannot move, and what identifies it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from ..config import Config
from ..errors import ModelError
from ..logprobs.cache import LogprobTable
from ..logprobs.cache_folders import DAMAGED
from ..logprobs.reference import AdapterOff, Current, Frozen, Reference, compute_table, lacking, weights_hash
from ..logprobs.scorer import CompletionScorer, causal_lm
from ..logprobs.shards import cache_folder
from ..logprobs.verify import LayoutChoice
from ..models.adopt import adopt
from ..models.cache_dir import reference_cache
from ..models.load import load_base
from ..models.lora import load_adapter
from ..runs.display import Reporter
from ..tokens.encode import EncodedGroup
from ..tokens.template import tokenizer_hash
from ..train.parallel import ALONE, World
from ..train.sharding import is_sharded
from .policy import Policy, settle
from .start import Source, adapter_hash, load_start

LOGPROB_CODE = 2
"""Raised when a change of the log-prob code changes its results, so that older caches are not used."""


def fingerprint(config: Config, policy: Policy, template: str, identity: Mapping[str, object]) -> dict[str, object]:
    """What the reference's log-probs depend on: compared when a run is resumed."""
    return {
        **identity,
        "tokenizer": tokenizer_hash(policy.tokenizer),
        "template": template[:32],
        "max_length": config.data.max_length,
        "truncation": config.data.truncation,
        "dtype": policy.precision.name,
    }


@dataclass(frozen=True)
class Referee:
    """The reference of a run and what identifies it."""

    reference: Reference | None
    """None for an objective that needs no reference."""
    identity: Mapping[str, object]
    is_start_model: bool
    description: str
    later: Callable[[Sequence[EncodedGroup]], Reference | None]
    """The reference for further pairs once training has begun; ModelError where nothing can compute it any more."""


def build_reference(
    config: Config,
    policy: Policy,
    groups: Sequence[EncodedGroup],
    choice: LayoutChoice,
    budget: int,
    reporter: Reporter,
    given: PreTrainedModel | PeftModel | None = None,
    world: World = ALONE,
) -> Referee:
    """Resolve the reference before anything is trained or resumed. ``given`` is a model that the program holds.

    Raises:
        ModelError: the kind asked for cannot be had with this model.
    """
    section = config.reference
    with world.agreed():
        other = _other_model(config, policy, given)
    if other is not None:
        settle(other[0], policy.device, divided=is_sharded(policy.scorer))
    identity = policy.start if other is None else other[1]
    name = "the start model" if other is None else str(section.path or "the given model")
    if section.kind == "adapter_off":
        if not policy.fresh_adapter:  # model.path may be an adapter folder, which the config cannot know
            raise ModelError(
                "reference.kind: adapter_off would compare with the base model without its adapter, not with the "
                "start model; use cached or frozen"
            )
        how = f"{name}, the adapter switched off at each step"
        return _at_hand(AdapterOff(policy.scorer), identity, True, how)
    if section.kind == "frozen":
        scorer = other[0] if other else _copy(config, policy, world)
        return _at_hand(Frozen(scorer), identity, other is None, f"{name}, as a second model in memory")
    with world.agreed():
        table = _table(config, policy, identity, choice, writes=world.is_first_here)
    _tell_damage(table, reporter, world)
    source = Frozen(other[0]) if other else Current(policy.scorer)
    cached = _fill(source, groups, table, choice, budget, reporter, world)
    # Only a model that the program holds anyway is kept beyond this line.
    lasting = source if given is not None and other else _fresh_adapter_off(policy)

    def later(further: Sequence[EncodedGroup]) -> Reference:
        if not any(table.missing(group.sequence_ids) for group in further):
            return cached
        if lasting is None:
            raise ModelError(
                "the start model has been trained since, so the reference's log-probs of further pairs cannot be "
                "computed any more: name these pairs as held-out data from the start"
            )
        return _fill(lasting, further, table, choice, budget, reporter, world)

    return Referee(cached, identity, other is None, f"{name}, log-probs computed once and cached", later)


def _at_hand(reference: Reference, identity: Mapping[str, object], is_start: bool, how: str) -> Referee:
    """A reference that can be asked for any pair at any time."""
    return Referee(reference, identity, is_start, how, lambda _: reference)


def _fresh_adapter_off(policy: Policy) -> Reference | None:
    """The start model, where it is the base model under an adapter that was added to it."""
    return AdapterOff(policy.scorer) if policy.fresh_adapter else None


def no_reference(policy: Policy) -> Referee:
    """For an objective without a reference: none is computed, and the start weights still identify the run."""
    return Referee(None, policy.start, True, "none; the objective needs no reference", lambda _: None)


def _copy(config: Config, policy: Policy, world: World) -> CompletionScorer:
    """A second start model. One that is divided among processes cannot be copied, and is read again."""
    if not is_sharded(policy.scorer):
        return policy.scorer.twin(copy.deepcopy(policy.scorer.model))
    with world.agreed():
        model = load_start(config, policy.source, policy.precision, policy.device).model
    return settle(policy.scorer.twin(model), policy.device, divided=True)


def named_reference(config: Config) -> Source | None:
    """Where the reference that the config names comes from; None where it is the start model.

    Raises:
        ModelError: it is not there.
    """
    path, adapter = config.reference.path, config.reference.adapter
    return None if path is None else Source.of(path, () if adapter is None else (adapter,))


def _other_model(
    config: Config, policy: Policy, given: PreTrainedModel | PeftModel | None
) -> tuple[CompletionScorer, Mapping[str, object]] | None:
    """The reference where it is another model than the start model, with what identifies it."""
    if given is not None:
        return _given_model(policy, given)
    source = named_reference(config)
    if source is None:
        return None
    base, _ = load_base(
        source.path,
        policy.precision.compute,
        revision=source.revision,
        trust_remote_code=config.model.trust_remote_code,
        attention=config.model.attention,
    )
    identity = {"weights": weights_hash(base), "adapter": adapter_hash(source.adapters)}
    model: nn.Module = base
    for folder in source.adapters:
        model = load_adapter(base, folder, keep_training=False)
    return _scorer_like(policy, model, f"reference.path: {config.reference.path}"), identity


def _given_model(
    policy: Policy, given: PreTrainedModel | PeftModel
) -> tuple[CompletionScorer, Mapping[str, object]] | None:
    """The model that the program has given, in the dtype of the policy's base; None where it equals the start model."""
    lm = causal_lm(given)
    if lm is causal_lm(policy.scorer.model):
        raise ModelError("the reference model is the trained model itself: load it twice, or leave the reference out")
    adopt(lm, causal_lm(policy.scorer.model).dtype, "the reference model")
    identity = {"weights": weights_hash(given), "adapter": None}
    return None if identity == policy.start else (_scorer_like(policy, given, "the reference model"), identity)


def _scorer_like(policy: Policy, model: nn.Module, what: str) -> CompletionScorer:
    mine, theirs = (causal_lm(m).config.get_text_config().vocab_size for m in (policy.scorer.model, model))
    if mine != theirs:
        raise ModelError(f"{what} has a vocabulary of {theirs} tokens, the policy one of {mine}")
    return policy.scorer.twin(model)


def _table(
    config: Config, policy: Policy, identity: Mapping[str, object], choice: LayoutChoice, *, writes: bool
) -> LogprobTable:
    root = Path(config.reference.cache_dir).expanduser() if config.reference.cache_dir else reference_cache()
    key = {
        **identity,
        "dtype": policy.precision.name,
        "layout": choice.name,
        "attention": choice.kernel,
        "device": policy.scorer.device.type,
        "torch": torch.__version__,
        "code": LOGPROB_CODE,
    }
    return LogprobTable(cache_folder(root, key), key, about=_about(config, policy), writes=writes)


def _about(config: Config, policy: Policy) -> dict[str, object]:
    """Names for what the key holds as hashes: of the run that makes the folder; others may use it later."""
    own = config.reference.path is None
    return {
        "model": policy.source.path if own else config.reference.path,
        "adapters": list(policy.source.adapters) if own else [a for a in (config.reference.adapter,) if a],
        "data": [source.path for source in config.data.sources],
    }


def _tell_damage(table: LogprobTable, reporter: Reporter, world: World) -> None:
    """Name what every process found damaged in its machine's cache, each file once."""
    told = world.gather({str(file): fault for file, fault in table.damaged.items()})
    found = {file: fault for faults in reversed(told) for file, fault in faults.items()}
    for file, fault in found.items():
        reporter.warn(
            f"the reference cache file {file} is damaged ({fault}). It was put aside with the ending {DAMAGED}; what "
            "it held is computed again"
        )


def _fill(
    source: Reference,
    groups: Sequence[EncodedGroup],
    table: LogprobTable,
    choice: LayoutChoice,
    budget: int,
    reporter: Reporter,
    world: World,
) -> Reference:
    missing = len(lacking(groups, table, world))
    options = {"layout": choice.layout, "layout_name": choice.name, "token_budget": budget, "team": world}
    if not missing:
        return compute_table(source, groups, table, **options)  # type: ignore[arg-type]
    with reporter.phase("reference log-probs", missing, "pairs") as phase:
        return compute_table(source, groups, table, advance=phase.advance, **options)  # type: ignore[arg-type]

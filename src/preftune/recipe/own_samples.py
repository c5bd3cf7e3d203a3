"""``eval.samples``: answers to held-out prompts, drawn before and after training with the same seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from ..assess.sampling import Answer, describe_answers, sampled_answer
from ..errors import ModelError
from ..logprobs.attention import attention
from ..logprobs.cache import LogprobTable
from ..logprobs.reference import Current, Reference, compute_table, evaluating
from ..logprobs.scorer import causal_lm
from ..metrics.own_samples import kl_on_samples
from ..runs.atomic import atomic_write, to_json
from ..runs.directory import RunDirectory
from ..runs.display import Reporter
from ..tokens.encode import Completion, EncodedGroup
from .policy import Policy
from .prepare import Prepared
from .reference import Referee


def chosen_prompts(prepared: Prepared) -> list[EncodedGroup]:
    """The held-out prompts to answer: ``eval.samples`` different ones, always the same of the same data."""
    by_prompt: dict[bytes, EncodedGroup] = {}
    for group in sorted(prepared.data.held_out, key=lambda g: g.pair_id):  # ids are hashes: an order by chance
        by_prompt.setdefault(group.prompt.tobytes(), group)
    return list(by_prompt.values())[: prepared.config.eval.samples]


def answer_before(prepared: Prepared, directory: RunDirectory, reporter: Reporter) -> None:
    """Draw answers from the start model and keep them in the run folder, for the end, which may be another day."""
    if not prepared.config.eval.samples or not prepared.world.is_first:
        return
    answers = _answers(prepared, reporter, "answers before training")
    lines = [to_json({"ids": answer.ids, "ended": answer.ended}, indent=None) for answer in answers]
    atomic_write(directory.samples_before_jsonl, "".join(f"{line}\n" for line in lines))


def answer_after(
    prepared: Prepared, referee: Referee, budget: int, directory: RunDirectory, reporter: Reporter
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of ``samples.jsonl`` and their summary; empty where none were asked for. All processes take part."""
    if not prepared.config.eval.samples:
        return [], {}
    groups = chosen_prompts(prepared)

    def drawn() -> list[list[Any]]:
        return [[list(a.ids), a.ended] for a in _answers(prepared, reporter, "answers after training")]

    after = [Answer(tuple(ids), ended) for ids, ended in prepared.world.first(drawn)]
    kl, why_not = _kl(prepared, referee, budget, groups, after)
    if not prepared.world.is_first:
        return [], {}
    before = _read_before(directory)
    tokenizer = prepared.policy.tokenizer
    rows = [
        {
            "file": group.origin.file,
            "row": group.origin.row,
            "prompt": str(tokenizer.decode(group.prompt.tolist())).strip(),
            "before": _text(prepared.policy, before[place]) if before else None,
            "after": _text(prepared.policy, after[place]),
            "drawn": True,
        }
        for place, group in enumerate(groups)
    ]
    described = {name: describe_answers(some) for name, some in (("before", before), ("after", after)) if some}
    return rows, {"answers": len(rows), **described, **kl} | ({"kl_missing": why_not} if why_not else {})


def sample_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary for a person."""
    if not summary:
        return []
    parts = [
        f"{name} {values['tokens']:.0f} tokens, {values['ended']:.0%} came to an end, "
        f"{values['repetition']:.0%} repetition"
        for name, values in summary.items()
        if name in ("before", "after")
    ]
    lines = [f"{summary['answers']} answers to held-out prompts: {'; '.join(parts)}"]
    if "kl" in summary:
        error = summary["kl_standard_error"]
        lines.append(
            f"KL from the reference on these answers: {summary['kl']:.2f} +- {error:.2f} nats per answer, "
            f"{summary['kl_per_token']:.4f} per token"
        )
    return lines + ([f"no KL on these answers: {summary['kl_missing']}"] if "kl_missing" in summary else [])


def _answers(prepared: Prepared, reporter: Reporter, what: str) -> list[Answer]:
    policy, config = prepared.policy, prepared.config
    lm, groups = causal_lm(policy.scorer.model), chosen_prompts(prepared)
    answers = []
    with (
        reporter.phase(what, len(groups), "answers") as phase,
        evaluating(policy.scorer),
        attention(lm, policy.scorer.plain_attention),
    ):
        for group in groups:
            seed = int.from_bytes(blake2b(f"{config.train.seed}|{group.pair_id}".encode(), digest_size=7).digest())
            prompt, most = group.prompt.tolist(), config.eval.sample_tokens
            answers.append(sampled_answer(lm, policy.tokenizer, prompt, seed=seed, max_new_tokens=most))
            phase.advance(1)
    return answers


def _read_before(directory: RunDirectory) -> list[Answer]:
    """What was drawn at the start; nothing where somebody has removed it since."""
    if not directory.samples_before_jsonl.is_file():
        return []
    lines = directory.samples_before_jsonl.read_text(encoding="utf-8").splitlines()
    return [Answer(tuple(row["ids"]), row["ended"]) for row in map(json.loads, lines)]


def _text(policy: Policy, answer: Answer) -> str:
    return str(policy.tokenizer.decode(list(answer.ids), skip_special_tokens=True)).strip()


def _kl(
    prepared: Prepared, referee: Referee, budget: int, prompts: Sequence[EncodedGroup], answers: Sequence[Answer]
) -> tuple[dict[str, float], str]:
    """The estimate, or why there is none. The reference may have to be asked by all processes together."""
    groups = [_with_answer(group, answer) for group, answer in zip(prompts, answers, strict=True) if answer.ids]
    if not groups:
        return {}, "no answer holds a token"
    try:
        reference = referee.later(groups)
    except ModelError:
        return {}, (
            "the start model has been trained since, and only log-probs of the data were kept; "
            "reference.kind: frozen keeps the model"
        )
    if reference is None:
        return {}, "the objective uses no reference"
    own, other = (
        _token_logps(prepared, source, groups, budget) for source in (Current(prepared.policy.scorer), reference)
    )
    return kl_on_samples(own, other), ""


def _with_answer(group: EncodedGroup, answer: Answer) -> EncodedGroup:
    ids = np.asarray(answer.ids, np.int32)
    return EncodedGroup(group.prompt, (Completion(ids, np.ones(len(ids), bool)),), group.origin, group.pair_id)


def _token_logps(prepared: Prepared, source: Reference, groups: Sequence[EncodedGroup], budget: int) -> list[Any]:
    table, choice = LogprobTable(), prepared.choice
    compute_table(source, groups, table, layout=choice.layout, layout_name=choice.name, token_budget=budget)
    return [table.lookup(group.sequence_ids)[0] for group in groups]

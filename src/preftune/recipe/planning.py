"""The plan of a run: derived values, each with its source, shown before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..config.schema import Often
from ..logprobs.verify import LayoutChoice
from ..objectives import BoundObjective
from ..objectives.advice import Advice, beta_advice, learning_rate_advice
from ..tokens.sampler import Sampler
from ..train.optim import warmup_steps
from .cost import Cost
from .data import RunData
from .estimate import estimate
from .policy import Policy


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Updates between two log lines, checkpoints and measurements; None: never."""

    log: int | None
    save: int | None
    measure: int | None

    @classmethod
    def of(cls, config: Config, steps: int, steps_per_epoch: int) -> Rhythm:
        """Fractions of the run and epochs, counted in updates."""

        def updates(often: Often) -> int:
            if often == "epoch":
                return steps_per_epoch
            return often if isinstance(often, int) else max(1, round(often * steps))

        train, every = config.train, config.eval.every
        return cls(
            None if train.log_every is None else updates(train.log_every),
            None if train.save_every is None else updates(train.save_every),
            None if every is None else updates(every),
        )

    def lines(self, config: Config) -> Iterator[str]:
        """What was counted, where the config says it in other words than updates."""
        if all(isinstance(v, int | None) for v in (config.train.log_every, config.train.save_every, config.eval.every)):
            return
        yield f"updates between log lines: {self.log}, checkpoints: {self.save}, measurements: {self.measure}"


@dataclass(frozen=True)
class Plan:
    """Values that the config left to us, and the text that shows them."""

    steps: int
    warmup: int
    learning_rate: float
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    objective: BoundObjective
    rhythm: Rhythm
    card: dict[str, object]
    """The loss card: name, formula, parameters, source, loss at step 0."""
    cost: Cost
    choice: LayoutChoice

    def as_dict(self) -> dict[str, object]:
        """What was decided and estimated, for the run's files."""
        decided: dict[str, object] = {
            "steps": self.steps,
            "warmup_steps": self.warmup,
            "learning_rate": self.learning_rate,
        }
        return {**decided, "layout": asdict(self.choice), **self.cost.as_dict()}


def sampler(config: Config, data: RunData) -> Sampler:
    """The order of the training pairs."""
    train = config.train
    strata = data.labels if train.shuffle else None
    return Sampler(len(data.train), train.pairs_per_step, train.seed, train.shuffle, strata)


def make_plan(
    config: Config,
    data: RunData,
    policy: Policy,
    objective: BoundObjective,
    choice: LayoutChoice,
    processes: int = 1,
) -> Plan:
    """Resolve what is ``auto`` and say where each value comes from."""
    order = sampler(config, data)
    steps = order.total_steps(config.train.epochs, config.train.max_steps)
    warmup = warmup_steps(config.train.warmup, steps)
    rhythm = Rhythm.of(config, steps, order.steps_per_epoch)
    rate_advice = learning_rate_advice(policy.size, lora=policy.is_adapter)
    rate = rate_advice.value if config.train.learning_rate == "auto" else float(config.train.learning_rate)
    betas = {p.objective.name: beta_advice(p.objective.name, policy.size) for p in objective.parts}
    measurements = 2 + (steps - 1) // rhythm.measure if rhythm.measure else 2
    cost = estimate(config, data, policy, objective, choice, order, steps, measurements, processes)
    lines = (
        *_model_lines(policy, choice),
        *_loss_lines(objective, betas),
        f"learning rate: {rate:g}{' (auto)' if config.train.learning_rate == 'auto' else ''}, {config.train.schedule}, "
        f"{warmup} warm-up steps",
        f"  advised {_range(rate_advice)}: {rate_advice.source}",
        f"steps: {steps} of {config.train.pairs_per_step} pairs, {steps / order.steps_per_epoch:.2f} epochs over "
        f"{len(data.train)} pairs; held out: {len(data.held_out)}",
        *rhythm.lines(config),
        *_process_lines(config, processes),
        *_sample_lines(config),
        *cost.lines(),
    )
    return Plan(
        steps,
        warmup,
        rate,
        lines,
        (*_warnings(config, data, rate, rate_advice, objective, betas), *cost.warnings()),
        objective,
        rhythm,
        objective.card(),
        cost,
        choice,
    )


def _model_lines(policy: Policy, choice: LayoutChoice) -> tuple[str, ...]:
    trained = sum(p.numel() for p in policy.parameters.values())
    what = "LoRA" if policy.is_adapter else "all parameters"
    revision = f" (revision {policy.source.revision})" if policy.source.revision else ""
    return (
        f"model: {policy.source.path}{revision}",
        f"  {policy.size / 1e6:,.0f} M parameters, {trained / 1e6:,.2f} M trained ({what}); "
        f"compute {policy.precision.name} on {policy.scorer.device}",
        f"layout: {choice.name}, attention {choice.kernel} ({choice.reason}; {choice.noise:.0e} nats per token from "
        "the model's own logits)",
    )


def _process_lines(config: Config, processes: int) -> Iterator[str]:
    if processes > 1:
        divided = "model and optimiser divided among them (fsdp)"
        copies = "a copy of the model in each (ddp)"
        yield f"processes: {processes}, {divided if config.train.parallel == 'fsdp' else copies}"


def _sample_lines(config: Config) -> Iterator[str]:
    if config.eval.samples:
        yield (
            f"answers: to {config.eval.samples} held-out prompts, up to {config.eval.sample_tokens} tokens each, drawn "
            "before and after training; each token costs a forward pass"
        )


def _loss_lines(objective: BoundObjective, betas: Mapping[str, Advice | None]) -> Iterator[str]:
    start = "" if objective.step_zero is None else f"; starts at {objective.step_zero:.6g}"
    for part in objective.parts:
        factor = "" if len(objective.parts) == 1 else f"{part.weight:g} x "
        yield f"loss: {factor}{part.objective.name} = {part.objective.formula}"
        given = ", ".join(f"{k} {v}" for k, v in part.shown.items()) or "default parameters"
        yield f"  {given}{start if len(objective.parts) == 1 else ''}; {part.objective.source}"
        if advice := betas[part.objective.name]:
            yield f"  advised beta {_range(advice)}: {advice.source}"


def _range(advice: Advice) -> str:
    return f"{advice.low:g} to {advice.high:g}"


def _warnings(
    config: Config,
    data: RunData,
    rate: float,
    rates: Advice,
    objective: BoundObjective,
    betas: Mapping[str, Advice | None],
) -> Iterator[str]:
    if not rates.covers(rate):
        side = "above" if rate > rates.high else "below"
        risk = "the model may degrade" if rate > rates.high else "the model may hardly move"
        yield f"train.learning_rate {rate:g} is {side} the advised {_range(rates)}: {risk}"
    for part in objective.parts:
        beta, advice = part.parameters.get("beta"), betas[part.objective.name]
        if beta is not None and advice is not None and not advice.covers(beta):
            side, risk = ("above", "hardly move") if beta > advice.high else ("below", "drift far")
            yield f"beta {beta:g} of {part.objective.name} is {side} the advised {_range(advice)}: the model may {risk}"
    if not data.held_out:
        yield "no pair is held out, so nothing will tell learning from memorising: set data.eval or data.eval_fraction"
    if config.model.dtype == "bfloat16" and config.model.device != "cuda":
        yield "model.dtype bfloat16 is slower than float32 on most CPUs, and coarser"


def card_lines(data: RunData, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The first pair as the model sees it; what counts in the loss stands between [[ and ]]."""
    group = data.train[0]
    yield f"first pair ({group.origin}); scored tokens stand between [[ and ]]:"
    yield f"prompt ({len(group.prompt)} tokens): {tokenizer.decode(group.prompt.tolist())!r}"
    for name, completion in zip(("chosen", "rejected"), group.completions, strict=True):
        text, inside = "", False
        for token, scored in zip(completion.ids.tolist(), completion.scored.tolist(), strict=True):
            text += ("[[" if scored else "]]") if scored != inside else ""
            text, inside = text + str(tokenizer.decode([token])), scored
        yield f"{name} ({completion.num_scored} scored tokens): {text + (']]' if inside else '')!r}"

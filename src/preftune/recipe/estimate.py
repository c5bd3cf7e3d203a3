"""From a run's data and a short probe of its model to what the run will cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..config import Config
from ..logprobs import head
from ..logprobs.probe import Probe, probe
from ..logprobs.scorer import CompletionScorer, causal_lm
from ..logprobs.verify import LayoutChoice
from ..models.memory import Memory, holes_between, kept_per_token, resident_bytes, stored_bytes, total_memory
from ..objectives import BoundObjective
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import layout_cost
from ..tokens.sampler import Sampler, passes
from ..train.sharding import own_part
from .cost import Cost, Seconds, Tokens
from .data import RunData
from .policy import Policy, token_budget

_STEPS = 200
"""Steps whose micro-batches are looked at: enough to know the lengths of the data."""
_OPTIMIZER_BYTES = {"adamw": 8, "rmsprop": 4, "sgd": 0, "adamw_8bit": 2, "paged_adamw_8bit": 2}
"""State of each trained fp32 number."""


@dataclass(frozen=True)
class Workload:
    """What one of some processes will compute."""

    data: RunData
    order: Sampler
    steps: int
    measurements: int
    """Of the held-out pairs."""
    layout: str
    budget: int
    processes: int

    @cached_property
    def groups(self) -> list[list[EncodedGroup]]:
        """The pairs of the first steps."""
        few = min(self.steps, self.order.steps_per_epoch, _STEPS)
        return [[self.data.train[i] for i in self.order.step(step)] for step in range(few)]

    @cached_property
    def passes(self) -> list[list[Sequence[EncodedGroup]]]:
        """The micro-batches of the first steps."""
        cut = (passes(step, self.layout, self.budget, 0, self.processes) for step in self.groups)
        return [[one.groups for one in step] for step in cut]

    @cached_property
    def trained_on(self) -> list[EncodedGroup]:
        """The pairs of all steps, each once."""
        steps = range(min(self.steps, self.order.steps_per_epoch))
        return [self.data.train[i] for step in steps for i in self.order.step(step)]

    @cached_property
    def largest(self) -> Sequence[EncodedGroup]:
        """The micro-batch with the most tokens: of the first steps, or the longest pair, however late it comes."""
        longest = max(self.trained_on, key=lambda group: layout_cost(self.layout, [group]))
        first = (micro for step in self.passes for micro in step)
        return max([longest], *first, key=lambda groups: layout_cost(self.layout, groups))

    def tokens(self) -> Tokens:
        """What is computed, and what other layouts would compute."""
        pairs = sum(map(len, self.groups))
        every = [group for step in self.groups for group in step]
        return Tokens(
            per_pair=sum(layout_cost(self.layout, micro) for step in self.passes for micro in step)
            * self.processes
            / pairs,
            without_sharing=layout_cost("packed", every) / pairs,
            with_padding=sum(layout_cost("padded", step) for step in self.groups) / pairs,
            largest_micro_batch=layout_cost(self.layout, self.largest),
            longer_than_budget=sum(layout_cost(self.layout, [g]) > self.budget for g in self.trained_on),
            budget=self.budget,
        )

    def cost_of(self, groups: Sequence[EncodedGroup]) -> int:
        """Tokens of one pass over some pairs, each counted alone."""
        return sum(layout_cost(self.layout, [group]) for group in groups)


def estimate(
    config: Config,
    data: RunData,
    policy: Policy,
    objective: BoundObjective,
    choice: LayoutChoice,
    order: Sampler,
    steps: int,
    measurements: int,
    processes: int,
) -> Cost:
    """The cost of ``steps`` updates and so many ``measurements``. The model is asked for a few passes."""
    resident = resident_bytes() if policy.device.type == "cpu" else 0
    measured = probe(policy.scorer, choice.layout, data.train)
    work = Workload(data, order, steps, measurements, choice.name, token_budget(config, policy), processes)
    return Cost(
        work.tokens(),
        _memory(config, policy, work, measured, resident),
        _seconds(config, objective, work, measured),
        measured,
        total_memory(policy.device),
    )


def _seconds(config: Config, objective: BoundObjective, work: Workload, measured: Probe) -> Seconds:
    step, forward = measured.step_seconds / measured.tokens, measured.forward_seconds / measured.tokens
    online = objective.needs_reference and config.reference.kind in ("adapter_off", "frozen")
    again = int(online) + int(objective.couples_step)
    trained = work.cost_of(work.data.train) * work.order.epoch_after(work.steps)
    held_out = work.cost_of(work.data.held_out) * work.measurements
    filled = work.cost_of([*work.data.train, *work.data.held_out]) if objective.needs_reference and not online else 0
    return Seconds(
        training=trained * (step + again * forward) / work.processes,
        reference=filled * forward / work.processes,
        held_out=held_out * forward * (2 if online else 1) / work.processes,
    )


def _memory(config: Config, policy: Policy, work: Workload, measured: Probe, resident: int) -> Memory:
    scorer, largest = policy.scorer, work.largest
    parameters = {name: own_part(p) for name, p in scorer.model.named_parameters()}
    every = stored_bytes([*parameters.values(), *scorer.model.buffers()])
    adapter = stored_bytes([p for name, p in parameters.items() if policy.is_adapter and "lora_" in name])
    trained = [own_part(p) for p in policy.parameters.values()]
    state = _OPTIMIZER_BYTES[config.train.optimizer] * sum(p.numel() * p.element_size() // 4 for p in trained)
    kept = _activations(scorer, measured, layout_cost(work.layout, largest))
    return Memory(
        policy=every - adapter,
        adapter=adapter,
        reference=every - adapter if config.reference.kind == "frozen" else 0,
        gradients=stored_bytes(trained),
        optimizer=state,
        activations=kept,
        holes=holes_between(kept, state, policy.device.type),
        head=_head(scorer, sum(c.num_scored for g in largest for c in g.completions)),
        process=max(0, resident - every),
        several_micro_batches=any(len(step) > 1 for step in work.passes),
    )


def _activations(scorer: CompletionScorer, measured: Probe, tokens: int) -> int:
    """Of so many tokens. With gradient checkpointing the probe saw what lies between layers; one is whole at a time."""
    kept, lm = measured.kept_bytes * tokens // measured.tokens, causal_lm(scorer.model)
    if not lm.is_activation_checkpointing:
        return kept
    config = lm.config.get_text_config()
    return kept + tokens * kept_per_token(config, scorer.compute_dtype.itemsize) // int(config.num_hidden_layers)


def _head(scorer: CompletionScorer, targets: int) -> int:
    """Logits of a chunk; with a trained head also kept softmax values, and gradients of the vocabulary's matrices."""
    lm = causal_lm(scorer.model)
    weight = lm.get_output_embeddings().weight
    size = 8 if scorer.compute_dtype.itemsize == 8 else 4
    row = int(weight.shape[0]) * size
    chunk, matrix = min(targets, scorer.chunk) * row, int(weight.numel()) * size
    if not weight.requires_grad:
        return chunk
    return max(chunk, min(targets * row, head.KEPT_BYTES)) + matrix

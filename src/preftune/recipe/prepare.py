"""Everything that exists before a reference is computed and an optimiser is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..config import Config
from ..errors import ModelError
from ..logprobs.verify import LayoutChoice
from ..models.load import load_tokenizer
from ..objectives import BoundObjective
from ..runs.display import Reporter
from ..runs.trackers import require
from ..tokens.encode import EncodedGroup
from ..train.parallel import World, current_processes, refuse_device
from .data import RunData, read_data
from .given import Given
from .objective import build_objective, fit_to_data
from .planning import Plan, make_plan
from .policy import Policy, check_layout, load_policy, settle
from .reference import Referee, build_reference, named_reference, no_reference
from .start import Source


@dataclass(frozen=True)
class Prepared:
    """A checked config, with all that it names read, loaded and checked."""

    config: Config
    data: RunData
    policy: Policy
    objective: BoundObjective
    choice: LayoutChoice
    plan: Plan
    given: Given
    world: World

    def referee(self, groups: Sequence[EncodedGroup], budget: int, reporter: Reporter) -> Referee:
        """The reference for these pairs; to be asked before anything is trained or resumed."""
        if not self.objective.needs_reference:
            return no_reference(self.policy)
        model = self.given.reference
        return build_reference(self.config, self.policy, groups, self.choice, budget, reporter, model, self.world)


def prepare(config: Config, reporter: Reporter, given: Given = Given()) -> Prepared:  # noqa: B008 - frozen
    """Read and check everything, cheapest first: data before the model, the model before the plan.

    Of several processes each reads for itself, from its own machine's disk; all must have read the same.
    """
    world = current_processes()
    divided = world.size > 1 and config.train.parallel == "fsdp"
    with world.agreed():
        objective = build_objective(config)
        require(config.trackers)
        path, revision = config.model.path, config.model.revision
        source = Source(path, (), revision) if given.model else Source.of(path, config.adapters, revision)
        named_reference(config)  # a path that is wrong is told before anything is read or loaded
        tokenizer = given.tokenizer or load_tokenizer(
            source.tokenizer_path,
            revision=source.tokenizer_revision,
            trust_remote_code=config.model.trust_remote_code,
        )
        data = read_data(config, objective, tokenizer, reporter, given, keeps=world.is_first_here)
        objective = fit_to_data(objective, data)
        policy = load_policy(config, source, tokenizer, given)
        refuse_device(policy.device, world)
        if divided and given.model is not None and config.reference.kind == "frozen":
            raise ModelError("reference.kind: frozen would copy the given model, which fsdp divides; use cached")
    world.same({"config": sha256(config.to_yaml().encode()).hexdigest()[:12], **data.fingerprint(), **policy.start})
    policy.scorer.token_statistics = objective.needs_token_statistics
    settle(policy.scorer, policy.device, divided=divided)
    choice = check_layout(policy.scorer, [*data.train, *data.held_out], config.train.layout)
    plan = make_plan(config, data, policy, objective, choice, world.size)
    return Prepared(config, data, policy, objective, choice, plan, given, world)


def show_plan(plan: Plan, reporter: Reporter) -> None:
    """What was decided, and what the user should know of it."""
    for line in plan.lines:
        reporter.note(line)
    for warning in plan.warnings:
        reporter.warn(warning)

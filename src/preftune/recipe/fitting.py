"""From what is prepared to the training loop: method, optimiser, order of pairs, schedule."""

from __future__ import annotations

from torch.optim import Optimizer

from ..config import Config
from ..train.loop import Fit
from ..train.optim import OptimizerChoice, Schedule
from ..train.sharding import is_sharded, replicate
from ..train.step import Method
from .hooks import FollowerHooks
from .planning import sampler
from .prepare import Prepared
from .reference import Referee


def optimizer_choice(config: Config) -> OptimizerChoice:
    """The optimiser that the config names."""
    train = config.train
    betas = (train.adam_beta1, train.adam_beta2)
    return OptimizerChoice(train.optimizer, train.weight_decay, betas, train.adam_epsilon)


def method(prepared: Prepared, referee: Referee, budget: int) -> Method:
    """What every step and every measurement uses; ``budget``: token positions per micro-batch."""
    scorer, world = prepared.policy.scorer, prepared.world
    return Method(
        scorer,
        referee.reference,
        prepared.objective,
        prepared.choice.name,
        budget,
        prepared.config.train.max_grad_norm,
        world,
        replicate(scorer) if world.size > 1 and not is_sharded(scorer) else None,
    )


def fit_of(prepared: Prepared, referee: Referee, budget: int, optimizer: Optimizer, hooks: FollowerHooks) -> Fit:
    """The training loop of a run."""
    config, plan = prepared.config, prepared.plan
    measured = prepared.world.first(lambda: [int(row["step"]) for row in hooks.rows if "eval_loss" in row])
    return Fit(
        train=prepared.data.train,
        held_out={name: groups for name, groups in prepared.data.held_out_sets.items() if groups},
        method=method(prepared, referee, budget),
        optimizer=optimizer,
        sampler=sampler(config, prepared.data),
        schedule=Schedule(plan.learning_rate, plan.steps, plan.warmup, config.train.schedule),
        hooks=hooks,
        seed=config.train.seed,
        log_every=plan.rhythm.log,
        log_first=config.train.log_first,
        save_every=plan.rhythm.save,
        eval_every=plan.rhythm.measure,
        starts_at_reference=referee.is_start_model,
        evaluated=frozenset(measured),
    )

"""Rules on how far the policy has gone from the reference: too far, not at all, or in the wrong direction."""

from __future__ import annotations

from .evidence import Evidence
from .finding import Seen, rule

MISSION = "the project's own rule on kl_div"
KL_HIGH_NATS = 10.0
KL_LOW_NATS = 0.1
FLAT_MARGIN_NATS = 0.05
"""Heuristic: with a mean margin below this, the sigmoid loss is still within 0.025 of ln 2."""
FLAT_LOG_ODDS_NATS = 0.5
"""The same without beta (what beta 0.1 makes of it), so that a small beta does not make a moved model look still."""
DISPLACED_PER_TOKEN = -0.25
"""Heuristic: chosen answers have lost this many nats per token; a mild fall is common and not bad by itself."""
DISPLACED_NATS = -10.0
"""Where tokens are not counted: the mirror of KL_HIGH_NATS."""
LOOSE_PER_TOKEN = 0.5
"""Heuristic: log-ratios of this size say that answers have been rewritten (nats per token)."""
COLLAPSED_PER_TOKEN = -1.0
"""Heuristic: at this loss (nats per token) chosen answers have become unlikely word for word."""
SATISFIED, STUCK, UNTOUCHED = 0.3, 0.9, 0.99
"""Heuristics: shares of the loss at the start below which a loss is satisfied, and above which it has hardly fallen."""
MOVED_NATS = 3.0
"""Heuristic: the odds between two answers have changed twentyfold."""


@rule("kl_high", "warning", MISSION, live=True, sick=True)
def kl_high(run: Evidence) -> Seen | None:
    """kl_div over the last rows is above 10 nats."""
    kl = run.recent("kl_div")
    if kl is None or not kl > KL_HIGH_NATS:
        return None
    cause = "the learning rate is above the advised range" if run.rate_is == "above" else "beta holds too weakly"
    return Seen(
        f"kl_div is {kl:.3g}, above 10: beta is too small, the model has drifted too far",
        {"kl_div": kl, "limit": KL_HIGH_NATS},
        cause,
        "Raise objective.beta, lower train.learning_rate, or stop earlier.",
    )


@rule("kl_low", "warning", MISSION, live=True, sick=True, explains=("accuracy_low", "margin_not_growing"))
def kl_low(run: Evidence) -> Seen | None:
    """kl_div, whatever its sign, is below 0.1 nats and the margin is flat (below 0.05, log-odds below 0.5), after the
    warm-up and the first half of the updates."""
    kl, margin = run.recent("kl_div"), run.recent("rewards/margins")
    if not (run.past_warmup and run.past_first_half) or kl is None or margin is None:
        return None
    if abs(kl) >= KL_LOW_NATS or abs(margin) >= FLAT_MARGIN_NATS or abs(run.margin_nats or 0.0) >= FLAT_LOG_ODDS_NATS:
        return None
    causes = {
        "the learning rate is below the advised range": run.rate_is == "below",
        "beta is above the advised range": run.beta_is == "above",
    }
    found = [cause for cause, holds in causes.items() if holds]
    return Seen(
        f"kl_div is {kl:.2g}, below 0.1, and the margin is flat: beta is too large (or lr too small), "
        "the model has hardly moved",
        {"kl_div": kl, "limit": KL_LOW_NATS, "rewards/margins": margin},
        " and ".join(found) or "too few steps, or steps that are too small",
        "Raise train.learning_rate first (LoRA wants about ten times the rate of full tuning), then lower "
        "objective.beta, or train for more steps.",
    )


@rule("beta_large", "warning", f"{MISSION}; the limits are heuristics", live=True, sick=True)
def beta_large(run: Evidence) -> Seen | None:
    """The loss is satisfied (below 0.3 of its start) while the log-odds moved by less than 3 nats; beta is not in its
    range."""
    loss, start, margin = run.recent("loss"), run.facts.loss_at_start, run.margin_nats
    if not run.past_warmup or loss is None or not start or margin is None or run.beta_is in ("within", "below"):
        return None
    if loss >= SATISFIED * start or not 0 < margin < MOVED_NATS:
        return None
    beta = run.facts.beta or 0.0
    return Seen(
        f"the loss is down to {loss:.2g} although the answers' log-odds moved by only {margin:.2g} nats: beta is too "
        "large, the model has hardly moved",
        {"loss": loss, "loss_at_start": start, "margin_nats": margin, "beta": beta},
        f"with beta {beta:g} the loss is content with a margin of about {3 / beta if beta else 0:.2g} nats",
        "Lower objective.beta; 0.1 is usual, small models and noisy data go up to 0.5.",
    )


@rule("beta_small", "warning", f"{MISSION}; the limits are heuristics", live=True, sick=True)
def beta_small(run: Evidence) -> Seen | None:
    """The log-odds moved by more than 3 nats and the loss by less than 1 %, or log-ratios by more than 0.5 nats per
    token and the loss by less than 10 %; beta is not in its range."""
    loss, start, beta = run.recent("loss"), run.facts.loss_at_start, run.facts.beta
    sides = [run.recent(f"log_ratio_per_token/{side}") for side in ("chosen", "rejected")]
    moved = max((abs(side) for side in sides if side is not None), default=0.0)
    margin = run.margin_nats
    if not run.past_warmup or loss is None or not start or not beta or margin is None:
        return None
    if run.beta_is in ("within", "above") or margin <= 0 or loss > start:
        return None
    untouched = margin > MOVED_NATS and loss > UNTOUCHED * start
    if not untouched and not (moved > LOOSE_PER_TOKEN and loss > STUCK * start):
        return None
    return Seen(
        f"the log-odds of the answers moved by {margin:.2g} nats, yet the loss ({loss:.3g}) has hardly fallen: beta is "
        "too small, nothing holds the model near the reference",
        {"loss": loss, "loss_at_start": start, "margin_nats": margin, "log_ratio_per_token": moved, "beta": beta},
        f"with beta {beta:g} the loss asks for a margin of about {3 / beta:.3g} nats before it lets go",
        "Raise objective.beta (0.1 is usual), and check the answers for repetition.",
    )


@rule("likelihood_displacement", "warning", "arXiv:2402.13228, arXiv:2410.08847; the limit is a heuristic", live=True)
def likelihood_displacement(run: Evidence) -> Seen | None:
    """Chosen answers lost more than 0.25 nats per token against the reference (without one, against the start)."""
    kl, per_token = run.recent("kl_div"), run.chosen_per_token
    if not ((kl or 0.0) < DISPLACED_NATS if per_token is None else per_token < DISPLACED_PER_TOKEN):
        return None
    fell = (run.report.get("displacement") or {}).get("chosen_fell")
    share = "" if fell is None else f" on {fell:.0%} of the held-out pairs"
    by = [
        f"kl_div {kl:.3g}" if kl is not None else "",
        f"{per_token:.2g} nats a token" if per_token is not None else "",
    ]
    evidence = {"kl_div": kl, "chosen_per_token": per_token, "chosen_fell": fell}
    return Seen(
        f"the chosen answers have become less likely{share} ({', '.join(filter(None, by))}): likelihood displacement",
        {name: value for name, value in evidence.items() if value is not None},
        "both answers of a pair share much of their text, or the learning rate is too high"
        if run.rate_is != "above"
        else "the learning rate is above the advised range",
        "Read the model's own answers. Lower train.learning_rate or raise objective.beta; look for pairs whose two "
        "answers are nearly the same; dpop, rpo or an sft term hold the chosen answer up.",
    )


@rule("chosen_collapsed", "error", "heuristic", live=True, sick=True, explains=("likelihood_displacement",))
def chosen_collapsed(run: Evidence) -> Seen | None:
    """Chosen answers lost more than 1 nat per token against the reference (without one, against the start)."""
    per_token = run.chosen_per_token
    if per_token is None or per_token >= COLLAPSED_PER_TOKEN:
        return None
    return Seen(
        f"the chosen answers have lost {-per_token:.2g} nats a token: the model no longer says anything like them",
        {"chosen_per_token": per_token, "limit": COLLAPSED_PER_TOKEN},
        "the learning rate is above the advised range"
        if run.rate_is == "above"
        else "the model was trained far beyond what the pairs can tell it",
        "Lower train.learning_rate by ten times or more, or stop much earlier.",
    )


@rule("loss_rose", "warning", "heuristic", live=True, sick=True, explains=("margin_not_growing",))
def loss_rose(run: Evidence) -> Seen | None:
    """The training loss is more than a quarter above where it started, after the warm-up."""
    loss, start = run.recent("loss"), run.facts.loss_at_start
    if not run.past_warmup or loss is None or not start or loss <= 1.25 * start:
        return None
    return Seen(
        f"the training loss is {loss:.3g}, above its start of {start:.3g}: training makes the model worse",
        {"loss": loss, "loss_at_start": start},
        "the learning rate is above the advised range" if run.rate_is == "above" else "steps that are too large",
        "Lower train.learning_rate by ten times, and use a warm-up.",
    )


@rule("learning_rate_high", "warning", "ranges of published recipes; see the plan of the run", live=True, sick=True)
def learning_rate_high(run: Evidence) -> Seen | None:
    """The learning rate is more than twice the largest advised one, and the model shows it: it drifted, or the loss
    rose."""
    rate, limits = run.facts.learning_rate, run.facts.learning_rate_range
    if rate is None or limits is None or rate <= 2 * limits[1]:
        return None
    signs = [rule.code for rule in (kl_high, loss_rose, likelihood_displacement) if rule.finding(run) is not None]
    if not signs:
        return None
    return Seen(
        f"the learning rate {rate:g} is {rate / limits[1]:.0f} times the largest advised one, and the model shows it "
        f"({', '.join(signs)})",
        {"learning_rate": rate, "advised_low": limits[0], "advised_high": limits[1]},
        "steps that are too large for this method and model size",
        f"Take train.learning_rate: auto, or a value up to {limits[1]:g}.",
    )

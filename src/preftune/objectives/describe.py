"""Objectives in words: for the command line and for docs/objectives.md."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .advice import beta_advice
from .registry import OBJECTIVES, Objective, find_objective

_HEADER = """# Objectives

Generated from the registry by `preftune objectives --markdown`; do not edit. Log-probs are natural logarithms (nats),
summed over an answer's tokens unless divided by its length n. c and r (chosen, rejected) are log-ratios to the
reference, `margin` is c - r; s_c and s_r are scores of the log-ratios under an f-divergence (reverse_kl: the log-ratio
itself).
"""

_NEEDS = {"pairs": "pairs", "feedback": "answers that were liked or not", "rankings": "rankings of answers"}


def listed() -> str:
    """One line per objective: name and what it is."""
    names = [name for name in OBJECTIVES if ":" not in name]
    width = max(map(len, names))
    return "\n".join(f"{name:{width}}  {OBJECTIVES[name].summary}" for name in names)


def described(name: str) -> str:
    """Everything about one objective, as plain text."""
    objective = find_objective(name)
    lines = [f"{name}: {objective.summary}", "", f"loss per pair: {objective.formula}"]
    lines += [f"{title}: {text}" for title, text in _facts(objective)]
    lines += ["", "parameters:"] + [f"  {key}: {text}" for key, text in _parameters(objective)]
    return "\n".join(lines)


def markdown() -> str:
    """The page docs/objectives.md."""
    parts = [_HEADER]
    for name, objective in OBJECTIVES.items():
        if ":" in name:
            continue
        facts = "\n".join(f"- {title}: {text}" for title, text in _facts(objective))
        rows = "\n".join(f"| `{key}` | {_cell(text)} |" for key, text in _parameters(objective))
        table = f"\n| parameter | |\n|---|---|\n{rows}\n" if rows else ""
        parts.append(f"## {name}\n\n{objective.summary}\n\n`{objective.formula}`\n\n{facts}\n{table}")
    return "\n".join(parts)


def _facts(objective: Objective) -> Iterator[tuple[str, str]]:
    yield "source", objective.source
    yield "needs", "pairs with score differences" if objective.needs_margins else _NEEDS[objective.data]
    yield "reference", "yes" if objective.needs_reference else "no; rewards are the loss's own"
    constant = objective.bind_step_zero()
    yield "loss at step 0", "depends on the data" if constant is None else f"{constant:.6g} with the defaults"
    if objective.couples == "step":
        yield "couples", "all pairs of a step (exact under any micro-batch split; costs a second forward pass)"
    if objective.unlike_trl:
        yield "unlike TRL 1.16.0", objective.unlike_trl
    if advice := beta_advice(objective.name, 135_000_000):
        yield "advised beta", f"{advice.low:g} to {advice.high:g} for small models ({advice.source})"


def _parameters(objective: Objective) -> Iterator[tuple[str, str]]:
    for key, field in objective.schema.model_fields.items():
        bounds = ", ".join(_bound(m) for m in field.metadata if _bound(m))
        default = json.dumps(field.default)
        yield key, f"{field.description or 'no description'} (default {default}{'; ' + bounds if bounds else ''})"


def _bound(mark: object) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return next((f"{sign} {getattr(mark, name):g}" for name, sign in signs.items() if hasattr(mark, name)), "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

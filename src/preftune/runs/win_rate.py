"""What ``preftune eval`` found (``win_rate.json``), in words: for the terminal and for the page of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("wins", "ties", "losses", "win rate", "95 % interval")
_ONE_SIDED: Mapping[str, str] = {
    "reward": "it scores each answer by itself, so the order of the answers cannot sway it",
    "people": "each pair was shown in one order, drawn by chance",
}


def conclusion(report: Mapping[str, Any]) -> str:
    """What the figures say, in one or two sentences."""
    if not report["judged"]:
        return "The judge gave no verdict on any prompt, so there is no win rate."
    missing = report["prompts"] - report["judged"]
    rest = f" This leaves out {missing} of {report['prompts']} prompts, which have no verdict." if missing else ""
    low, high = report["interval_95"]
    if low > 0.5:
        return f"The judge prefers the model's answers: their win rate is above 50 % (95 % interval).{rest}"
    if high < 0.5:
        return f"The judge prefers the reference's answers: the win rate is below 50 % (95 % interval).{rest}"
    return f"These prompts do not tell which answers are preferred: the 95 % interval holds 50 %.{rest}"


def who_and_what(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Both models, the judge, and what became of the prompts: each a name and a text."""
    judge = report["judge"]
    yield "model", report["model"]
    yield "against", report["reference"]
    yield (
        "judge",
        judge["name"] + {"endpoint": f" at {judge.get('url')}", "reward": ", a reward model"}.get(judge["kind"], ""),
    )
    unjudged = report["prompts"] - report["judged"]
    parts = [f"{report['judged']} judged"]
    parts += [f"{unjudged} without a verdict, which count nowhere"] if unjudged else []
    if report["equal_answers"] and report["judged"]:
        parts.append(f"{report['equal_answers']} with equal answers, which are ties")
    yield "prompts", f"{report['prompts']}: {', '.join(parts)}"


def rates(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows under ``COLUMNS``, each with its name before them: all prompts, at equal length, each category."""
    yield ("all prompts", *_cells(report))
    controlled = report["length_controlled"]
    if "win_rate" in controlled:
        rate = {"win_rate": controlled["win_rate"], "interval_95": (controlled["low"], controlled["high"])}
        yield ("at equal length", "", "", "", *_cells({**report, **rate})[3:])
    for group in report["by_category"]:
        yield (group["category"], *_cells(group))


def leanings(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the judge itself leans to, and what it took: each a name and a text."""
    yield "length", _length(report)
    yield "order", _order(report)
    judge = report["judge"]
    if judge["kind"] == "endpoint":
        yield "cost", _cost(judge)
    if judge["kind"] == "people":
        agreed = "" if judge["agreement"] is None else f", who agree in {judge['agreement']:.0%} of their shared pairs"
        alpha = "" if judge["alpha"] is None else f" (Krippendorff's alpha {judge['alpha']:.2f})"
        yield "votes", f"{judge['votes']} by {judge['annotators']} people{agreed}{alpha}"


def _cells(rates: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = rates["interval_95"]
    counts = (f"{rates[key]:,}" for key in ("wins", "ties", "losses"))
    return (*counts, f"{rates['win_rate']:.1%}", f"{low:.1%} to {high:.1%}")


def _length(report: Mapping[str, Any]) -> str:
    length, controlled = report["length"], report["length_controlled"]
    text = f"{length['model']:.0f} characters on average against {length['reference']:.0f}"
    if length["longer_won"]:
        text += f"; the longer answer won {_share(length['longer_won'])}"
    if "why_not" in controlled:
        return f"{text}; no win rate at equal length: {controlled['why_not']}"
    effect, error = controlled["effect"], controlled["effect_error"]
    return f"{text}; one standard deviation longer is worth {effect:+.2f} +- {error:.2f} in log-odds"


def _order(report: Mapping[str, Any]) -> str:
    position, judge = report["position"], report["judge"]
    if position is None:
        return _ONE_SIDED.get(judge["kind"], "no prompt has verdicts in both orders")
    parts = [_ONE_SIDED["people"]] if judge["kind"] == "people" else []
    if position["both_orders"]:
        parts.append(
            f"both orders agree on {position['consistent']} of {position['both_orders']} prompts "
            f"(else a tie); on {position['flipped']} the winner changed with the order"
        )
    if position["first_won"]:
        parts.append(f"the answer shown first won {_share(position['first_won'])}")
    return "; ".join(parts)


def _share(share: Mapping[str, Any]) -> str:
    low, high = share["interval_95"]
    return f"{share['share']:.0%} of {share['of']} decided times ({low:.0%} to {high:.0%})"


def _cost(judge: Mapping[str, Any]) -> str:
    again = f" ({judge['retries']} of them repeated)" if judge["retries"] else ""
    text = f"{judge['requests']} requests{again}, {judge['from_cache']} replies from the cache"
    if judge["prompt_tokens"] is None:
        return f"{text}; the endpoint does not count tokens"
    text += f"; {judge['prompt_tokens']:,} prompt and {judge['completion_tokens']:,} reply tokens"
    return text if judge["cost"] is None else f"{text}: {judge['cost']:.4g}"

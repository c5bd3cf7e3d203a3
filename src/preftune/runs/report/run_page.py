"""The page of a run: the verdict first, then what shows it, then what went in."""

from __future__ import annotations

from markupsafe import Markup

from ..text import duration
from .markup import el
from .page import Section, document
from .parts import facts, fold, percent, verdict_banner
from .run_curves import curves_section
from .run_data import config_section, data_section, loss_section, machine_section
from .run_facts import Json, RunFacts
from .run_numbers import accuracy_interval, before_and_after, held_out_ends, held_out_section, in_words, number
from .run_pairs import pairs_section, samples_section
from .run_win_rate import win_rate_section, win_rate_tile

_SEVERITY = {"error": "error", "warning": "warning", "note": "info"}
_ABOUT = (
    "Preference tuning shows a model pairs of answers to the same prompt, of which people preferred one, and makes the "
    "preferred answer more likely than the other, without letting the model stray far from where it was. This page "
    "says whether that worked."
)


def run_page(run: RunFacts) -> str:
    """The HTML of a run (docs/report.md). Everything of the data, the config and the machine is escaped."""
    sections = [
        _findings(run.summary.get("verdict") or {}),
        before_and_after(run),
        curves_section(run),
        samples_section(run),
        win_rate_section(run),
        held_out_section(run),
        pairs_section(run),
        data_section(run),
        loss_section(run),
        config_section(run),
        machine_section(run),
    ]
    return document(_title(run), _head(run), [section for section in sections if section], _foot(run))


def _title(run: RunFacts) -> str:
    name = (run.summary.get("objective") or {}).get("name")
    return f"{run.name}: {name}" if name else run.name


def _foot(run: RunFacts) -> str:
    version = (run.summary.get("versions") or {}).get("preftune", "")
    return f"Made by preftune {version} from the files of the run; preftune report makes it again.".replace("  ", " ")


def _head(run: RunFacts) -> Markup:
    verdict = run.summary.get("verdict") or {}
    kind, words = _judged(run.summary)
    sentence = str(verdict.get("sentence", ""))
    said = sentence.partition(": ")[2] or sentence
    banner = verdict_banner(kind, words, f"{said[:1].upper()}{said[1:]}", in_words(run))
    return el("div", banner, facts(_tiles(run)), el("p", _ABOUT, class_="note"))


def _judged(summary: Json) -> tuple[str, str]:
    """How the banner looks, and its first words."""
    verdict, status = summary.get("verdict") or {}, summary.get("status")
    if status in ("failed", "interrupted"):
        return "error" if status == "failed" else "warning", f"The run was {status}".replace("was failed", "failed")
    if status != "finished":
        return "warning", "The run has not finished"
    if not verdict.get("healthy"):
        return "error", "Not healthy"
    doubts = any(finding.get("severity") != "note" for finding in verdict.get("findings", ()))
    return ("warning", "Healthy, with warnings") if doubts else ("fit", "Healthy")


def _tiles(run: RunFacts) -> dict[str, str | tuple[str, str]]:
    summary = run.summary
    tiles: dict[str, str | tuple[str, str]] = {}
    ends = held_out_ends(run)
    if ends is not None:
        first, last = ends
        share, interval = last.get("eval_rewards/accuracies"), accuracy_interval(last)
        if share is not None and interval is not None:
            tiles["held-out accuracy"] = percent(share), f"95 %: {percent(interval[0])} to {percent(interval[1])}"
        for name, metric in (("held-out margin", "rewards/margins"), ("held-out loss", "loss"), ("kl_div", "kl_div")):
            if (value := last.get(f"eval_{metric}")) is not None:
                start = first.get(f"eval_{metric}", 0.0)
                tiles[name] = number(value), f"before: {number(start)}"
    tiles |= win_rate_tile(run)
    steps, seconds = summary.get("steps"), summary.get("seconds")
    if steps is not None:
        tiles["steps"] = f"{steps:,}", f"{summary.get('epochs', 0):.2f} epochs"
    if seconds:
        memory = summary.get("peak_memory_bytes")
        tiles["time"] = duration(seconds), f"{memory / 2**30:.1f} GiB at most" if memory else ""
    return tiles


def _findings(verdict: Json) -> Section | None:
    findings = verdict.get("findings") or ()
    if not findings:
        return None
    body = [_finding(finding, f"finding-{number}") for number, finding in enumerate(findings, 1)]
    return Section("findings", "Findings", body, "What the numbers say, worst first. Unfold one for what to try.")


def _finding(finding: Json, anchor: str) -> Markup:
    measured = ", ".join(f"{name} {_value(value)}" for name, value in (finding.get("evidence") or {}).items())
    said = {
        "likely cause": finding.get("cause"),
        "measured": measured,
        "what to try": finding.get("advice"),
        "source": finding.get("source"),
    }
    inside = el("dl", [(el("dt", name), el("dd", str(text))) for name, text in said.items() if text])
    severity = _SEVERITY.get(str(finding.get("severity")), "info")
    return fold(severity, str(finding.get("code", "")).replace("_", " "), finding.get("message"), "", inside, anchor)


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)

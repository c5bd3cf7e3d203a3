"""TRL's unpaired rows: a prompt, one completion, and a label that says whether it is desirable."""

from __future__ import annotations

from ..records import BinaryFeedback, Origin
from .base import Format, Row
from .build import build_feedback, need
from .prompts import asked, last_of


def _convert(row: Row, origin: Origin) -> BinaryFeedback:
    if "prompt" not in row:
        return build_feedback(*last_of(row, "completion"), "label", row, origin)
    prompt, (completion,), kind = asked(row, "prompt", [need(row, "completion")], ["'completion'"])
    return build_feedback(prompt, completion, "label", row, origin, kind)


TRL_KTO = Format(
    name="trl_kto",
    description="TRL unpaired: prompt, completion, label; without a prompt, the last turn of completion is the answer",
    example={"prompt": "The sky is", "completion": " blue.", "label": True},
    keys="completion, label, and usually prompt",
    columns=frozenset({"prompt", "completion", "label", "system"}),
    matches=lambda row: {"completion", "label"} <= set(row),
    convert=_convert,
    gives=BinaryFeedback,
)

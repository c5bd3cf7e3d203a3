"""Encode preference pairs: prompt and answers as token ids, with the truncation counted and listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.records import BadRow, Message, Origin, PreferencePair
from ..errors import TemplateError
from .chat import Piece, Template

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]
Truncation = Literal["prompt_start", "drop"]


@dataclass(frozen=True, eq=False)
class Completion:
    """One answer. ``scored`` marks the tokens whose log-probability counts (assistant turns only)."""

    ids: IntArray
    scored: BoolArray

    @property
    def num_scored(self) -> int:
        """Tokens that count."""
        return int(self.scored.sum())

    def cut(self, length: int) -> Completion:
        """The first ``length`` tokens; nothing is appended to a cut answer."""
        return Completion(self.ids[:length], self.scored[:length])


@dataclass(frozen=True, eq=False)
class EncodedGroup:
    """One prompt and its k completions as token ids: the unit of every batch (k = 2 for pairs: chosen, rejected)."""

    prompt: IntArray
    completions: tuple[Completion, ...]
    origin: Origin
    pair_id: str
    category: str | None = None
    weight: float = 1.0
    margin: float | None = None

    @cached_property
    def sequence_ids(self) -> tuple[bytes, ...]:
        """One 16-byte hash per completion over prompt ids, completion ids and mask: the key of cached log-probs."""
        return tuple(_hash(self.prompt, c) for c in self.completions)

    @property
    def longest(self) -> int:
        """Tokens of the prompt and its longest completion."""
        return len(self.prompt) + max(len(c.ids) for c in self.completions)


def _hash(prompt: IntArray, completion: Completion) -> bytes:
    digest = blake2b(len(prompt).to_bytes(8, "little"), digest_size=16)
    digest.update(np.ascontiguousarray(prompt, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(completion.ids, dtype="<i4").tobytes())
    digest.update(np.packbits(completion.scored).tobytes())
    return digest.digest()


@dataclass
class EncodingReport:
    """What encoding and truncation did, in pairs. ``bad`` rows could not be encoded; ``dropped`` ones did not fit."""

    pairs: int = 0
    prompts_cut: int = 0
    chosen_cut: int = 0
    rejected_cut: int = 0
    longest: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    bad: list[BadRow] = field(default_factory=list)
    dropped: list[BadRow] = field(default_factory=list)

    def sentence(self, max_length: int) -> str:
        """One line for a person, with counts per side."""
        cut = f"prompts cut {self.prompts_cut}, chosen cut {self.chosen_cut}, rejected cut {self.rejected_cut}"
        return (
            f"{self.pairs} pairs, {self.prompt_tokens:,} prompt and {self.answer_tokens:,} answer tokens, "
            f"longest {self.longest} of {max_length}; {cut}, dropped {len(self.dropped)}"
        )

    def to_json(self) -> dict[str, object]:
        """Counts, and every bad or dropped row with its reason."""
        counts = {k: v for k, v in vars(self).items() if isinstance(v, int)}
        lists = {
            name: [{"file": b.origin.file, "row": b.origin.row, "reason": b.reason} for b in getattr(self, name)]
            for name in ("bad", "dropped")
        }
        return {**counts, **lists}


def encode_pairs(
    pairs: Iterable[PreferencePair], template: Template, *, max_length: int, truncation: Truncation = "prompt_start"
) -> tuple[list[EncodedGroup], EncodingReport]:
    """Encode every pair; what cannot be used is in the report with its file, row and reason.

    ``max_length`` (tokens) bounds prompt + completion of either side. ``prompt_start`` drops the oldest turns of
    a prompt that is too long, then cuts the start of the oldest turn that is left, and keeps the generation
    header; the prompt keeps at least half of the window, and what is left of the window bounds both answers.
    ``drop`` leaves out every pair that does not fit.
    """
    report, groups = EncodingReport(), []
    for pair in pairs:
        try:
            group = _encode(pair, template, max_length, truncation, report)
        except TemplateError as error:
            report.bad.append(BadRow(pair.origin, str(error)))
            continue
        if group is not None:
            groups.append(group)
            _count(group, report)
    return groups, report


def _count(group: EncodedGroup, report: EncodingReport) -> None:
    report.pairs += 1
    report.longest = max(report.longest, group.longest)
    report.prompt_tokens += len(group.prompt)
    report.answer_tokens += sum(c.num_scored for c in group.completions)


def _encode(
    pair: PreferencePair, template: Template, max_length: int, truncation: Truncation, report: EncodingReport
) -> EncodedGroup | None:
    whole = _render(pair, template)
    if whole.longest <= max_length:
        return _usable(whole, report)
    if truncation == "drop":
        report.dropped.append(BadRow(pair.origin, f"{whole.longest} tokens, data.max_length is {max_length}"))
        return None
    longest_answer = max(len(c.ids) for c in whole.completions)
    budget = max(max_length // 2, max_length - longest_answer)
    shorter = whole if len(whole.prompt) <= budget else _shorten_prompt(pair, template, budget)
    if shorter is None:
        report.dropped.append(BadRow(pair.origin, f"the prompt cannot be cut to {budget} tokens (data.max_length)"))
        return None
    report.prompts_cut += shorter is not whole
    cut = _cut_answers(shorter, max_length)
    report.chosen_cut += len(cut.completions[0].ids) < len(shorter.completions[0].ids)
    report.rejected_cut += len(cut.completions[1].ids) < len(shorter.completions[1].ids)
    return _usable(cut, report)


def _render(pair: PreferencePair, template: Template) -> EncodedGroup:
    prompt, chosen, rejected = template.encode_pair(pair)
    return EncodedGroup(
        prompt=np.asarray(prompt, np.int32),
        completions=(_completion(chosen), _completion(rejected)),
        origin=pair.origin,
        pair_id=pair.id,
        category=pair.category,
        weight=pair.weight,
        margin=pair.margin,
    )


def _completion(pieces: Sequence[Piece]) -> Completion:
    ids = np.concatenate([np.asarray(p.ids, np.int32) for p in pieces])
    scored = np.concatenate([np.full(len(p.ids), p.scored) for p in pieces])
    return Completion(ids, scored)


def _cut_answers(group: EncodedGroup, max_length: int) -> EncodedGroup:
    room = max_length - len(group.prompt)
    return replace(group, completions=tuple(c.cut(room) for c in group.completions))


def _usable(group: EncodedGroup, report: EncodingReport) -> EncodedGroup | None:
    """None, with the reason in the report, where nothing is left to compare."""
    first = 0 if len(group.prompt) else 1  # a first token without any context has no predictor
    chosen, rejected = group.completions
    if not chosen.scored[first:].any() or not rejected.scored[first:].any():
        report.dropped.append(BadRow(group.origin, "no answer token is left to score on one side"))
        return None
    if group.sequence_ids[0] == group.sequence_ids[1]:
        report.dropped.append(
            BadRow(group.origin, "both answers have the same tokens within data.max_length: nothing to prefer")
        )
        return None
    return group


def _shorten_prompt(pair: PreferencePair, template: Template, budget: int) -> EncodedGroup | None:
    """Drop the oldest turns, then the start of the oldest one left, until the prompt has at most ``budget`` tokens."""
    system = tuple(m for m in pair.prompt[:1] if m.role == "system")
    turns = pair.prompt[len(system) :]
    while len(turns) > 1:
        # A conversation starts with a user turn: templates with alternating roles refuse anything else.
        turns = turns[next((i for i, m in enumerate(turns) if i and m.role == "user"), len(turns) - 1) :]
        group = _render(replace_prompt(pair, system + turns), template)
        if len(group.prompt) <= budget:
            return group
    return _cut_turn(pair, system, turns, template, budget) if turns else None


def _cut_turn(
    pair: PreferencePair, system: tuple[Message, ...], turns: tuple[Message, ...], template: Template, budget: int
) -> EncodedGroup | None:
    """Keep the longest end of the only turn left that fits (bisection over characters; template text stays whole)."""
    text, best = turns[0].content, None
    low, high = 0, len(text)
    while low < high:
        start = (low + high) // 2
        candidate = (Message(turns[0].role, text[start:]), *turns[1:])
        group = _render(replace_prompt(pair, system + candidate), template)
        if len(group.prompt) <= budget:
            best, high = group, start
        else:
            low = start + 1
    return best


def replace_prompt(pair: PreferencePair, prompt: tuple[Message, ...]) -> PreferencePair:
    """The pair with another prompt (its content id changes with it)."""
    return replace(pair, prompt=prompt)

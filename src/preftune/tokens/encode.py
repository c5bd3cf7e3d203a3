"""Encode records: prompt and answers as token ids, with the truncation counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.records import BadRow, BinaryFeedback, Origin, PreferencePair, Ranking, Record, Turns
from ..errors import DataError, TemplateError
from .template import Piece, Template

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]
Truncation = Literal["prompt_start", "answer_end", "drop"]
Advance = Callable[[int], object]
"""Told now and then how many more records have been gone through."""
_TOLD_EVERY = 1_000


@dataclass(frozen=True, eq=False, slots=True)
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


@dataclass(frozen=True, eq=False, slots=True)
class EncodedGroup:
    """One prompt and its k completions as token ids: the unit of every batch (k = 2 for pairs: chosen, rejected).

    All groups of a run are in memory: with slots a million short pairs take about 1 GB.
    """

    prompt: IntArray
    completions: tuple[Completion, ...]
    origin: Origin
    pair_id: str
    category: str | None = None
    weight: float = 1.0
    margin: float | None = None
    label: bool | None = None
    """Of binary feedback: whether the first completion was liked."""
    sequence_ids: tuple[bytes, ...] = field(init=False)
    """One 16-byte hash per completion over prompt ids, completion ids and mask: the key of cached log-probs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequence_ids", tuple(_hash(self.prompt, c) for c in self.completions))

    @property
    def key(self) -> str:
        """Row and content: what two groups share they score alike."""
        return f"{self.origin}#{self.pair_id}"

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
    """What encoding and truncation did, in records. ``bad`` ones could not be encoded, ``dropped`` ones did not fit.

    ``cut`` counts shortened prompts and answers by name: prompts, chosen, rejected (pairs) or answers.
    """

    pairs: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    bad: list[BadRow] = field(default_factory=list)
    dropped: list[BadRow] = field(default_factory=list)

    def sentence(self, max_length: int, sides: Sequence[str] = ("chosen", "rejected")) -> str:
        """One line for a person, with counts per side."""
        cut = ", ".join(f"{name} cut {self.cut[name]}" for name in ("prompts", *sides))
        return (
            f"{self.pairs} records, {self.prompt_tokens:,} prompt and {self.answer_tokens:,} answer tokens, "
            f"longest {self.longest} of {max_length}; {cut}, dropped {len(self.dropped)}"
        )

    def to_json(self) -> dict[str, object]:
        """Counts, and every bad or dropped row with its reason."""
        counts = {k: v for k, v in vars(self).items() if isinstance(v, int)}
        lists = {
            name: [{"file": b.origin.file, "row": b.origin.row, "reason": b.reason} for b in getattr(self, name)]
            for name in ("bad", "dropped")
        }
        return {**counts, "cut": dict(self.cut), **lists}


@dataclass(frozen=True)
class _Item:
    """A record with the answers that are encoded for it, and what their cuts are counted as."""

    record: Record
    answers: tuple[Turns, ...]
    sides: tuple[str, ...]
    distinct: bool
    """Whether equal answers leave nothing to learn."""


@dataclass(frozen=True, slots=True)
class _Window:
    """How long prompt and answers may be, and what gives way."""

    max_length: int
    truncation: Truncation
    max_prompt_length: int | None

    def holds(self, group: EncodedGroup) -> bool:
        """Whether nothing has to be cut."""
        return group.longest <= self.max_length and len(group.prompt) <= (self.max_prompt_length or self.max_length)

    def prompt_budget(self, whole: EncodedGroup) -> int:
        """Tokens that the prompt may keep."""
        most = len(whole.prompt)
        if self.truncation == "prompt_start":
            longest_answer = max(len(c.ids) for c in whole.completions)
            most = max(self.max_length // 2, self.max_length - longest_answer)
        return most if self.max_prompt_length is None else min(most, self.max_prompt_length)


def encode_pairs(
    pairs: Iterable[PreferencePair],
    template: Template,
    *,
    max_length: int,
    truncation: Truncation = "prompt_start",
    max_prompt_length: int | None = None,
    advance: Advance | None = None,
) -> tuple[list[EncodedGroup], EncodingReport]:
    """Encode every pair; what cannot be used is in the report with its file, row and reason.

    ``max_length`` (tokens) bounds prompt + completion of either side. ``prompt_start`` drops the oldest turns of
    a prompt that is too long, then cuts the start of the oldest turn that is left, and keeps the generation
    header; the prompt keeps at least half of the window, and what is left of the window bounds both answers.
    ``answer_end`` keeps the prompt and cuts the ends of the answers; a prompt that alone fills the window is dropped.
    ``drop`` leaves out every pair that does not fit. ``max_prompt_length`` (tokens) bounds the prompt first, cut as by
    ``prompt_start``.
    """
    items = (_Item(p, p.completions, ("chosen", "rejected"), True) for p in pairs)
    return _encode_all(items, template, _Window(max_length, truncation, max_prompt_length), advance)


def encode_rankings(
    rankings: Iterable[Ranking],
    template: Template,
    *,
    max_length: int,
    truncation: Truncation = "prompt_start",
    max_prompt_length: int | None = None,
    advance: Advance | None = None,
) -> tuple[list[EncodedGroup], EncodingReport]:
    """Encode rankings without ties, best answer first; truncation as for pairs."""
    items, tied = [], []
    for r in rankings:
        if len(set(r.ranks)) < len(r.ranks):
            tied.append(BadRow(r.origin, "answers share a rank, and this objective needs a strict order"))
        else:
            items.append(_Item(r, r.completions, ("answers",) * len(r.completions), True))
    groups, report = _encode_all(items, template, _Window(max_length, truncation, max_prompt_length), advance)
    report.bad += tied
    return groups, report


def encode_feedback(
    records: Sequence[BinaryFeedback],
    template: Template,
    *,
    max_length: int,
    truncation: Truncation = "prompt_start",
    max_prompt_length: int | None = None,
    mismatched: bool = True,
    advance: Advance | None = None,
) -> tuple[list[EncodedGroup], EncodingReport]:
    """Encode liked and disliked answers; truncation as for pairs.

    With ``mismatched`` each prompt also gets the next record's answer that belongs to another prompt, as the
    estimate of KTO's KL term asks for: fixed here, so that it can be cached.

    Raises:
        DataError: all records have one prompt, so that nothing can be mismatched.
    """
    others = _mismatched(records) if mismatched else None
    items = (
        _Item(r, (r.completion,) if others is None else (r.completion, others[i]), ("answers", "mismatched"), False)
        for i, r in enumerate(records)
    )
    return _encode_all(items, template, _Window(max_length, truncation, max_prompt_length), advance)


def _mismatched(records: Sequence[BinaryFeedback]) -> list[Turns]:
    """For each record the completion of the next one (around the end) that answers another prompt."""
    count, found = len(records), []
    for i, record in enumerate(records):
        steps = (records[(i + k) % count] for k in range(1, count))
        other = next((r for r in steps if r.prompt != record.prompt), None)
        if other is None:
            raise DataError(f"{record.origin}: every record has the same prompt, so no answer can be mismatched")
        found.append(other.completion)
    return found


def _encode_all(
    items: Iterable[_Item], template: Template, window: _Window, advance: Advance | None
) -> tuple[list[EncodedGroup], EncodingReport]:
    report, groups = EncodingReport(), []
    for number, item in enumerate(items, 1):
        if advance is not None and number % _TOLD_EVERY == 0:
            advance(_TOLD_EVERY)
        try:
            group = _encode(item, template, window, report)
        except TemplateError as error:
            report.bad.append(BadRow(item.record.origin, str(error)))
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


def _encode(item: _Item, template: Template, window: _Window, report: EncodingReport) -> EncodedGroup | None:
    whole = _render(item, item.record.prompt, template)
    if window.holds(whole):
        return _usable(whole, item, report)
    fault = _too_long(whole, window)
    if fault:
        report.dropped.append(BadRow(item.record.origin, fault))
        return None
    budget = window.prompt_budget(whole)
    prompt = item.record.prompt if len(whole.prompt) <= budget else _shorten_prompt(item, template, budget)
    if prompt is None:
        key = "data.max_length" if budget != window.max_prompt_length else "data.max_prompt_length"
        report.dropped.append(BadRow(item.record.origin, f"the prompt cannot be cut to {budget} tokens ({key})"))
        return None
    shorter = whole if prompt is item.record.prompt else _render(item, prompt, template)
    report.cut["prompts"] += shorter is not whole
    cut = _cut_answers(shorter, window.max_length)
    for side, before, after in zip(item.sides, shorter.completions, cut.completions, strict=False):
        report.cut[side] += len(after.ids) < len(before.ids)
    return _usable(cut, item, report)


def _too_long(whole: EncodedGroup, window: _Window) -> str:
    """Why a group is left out instead of cut; empty where it is cut."""
    if window.truncation == "drop":
        limit = f"data.max_length is {window.max_length}"
        if window.max_prompt_length is not None:
            limit += f", data.max_prompt_length {window.max_prompt_length}"
        return f"{whole.longest} tokens, {len(whole.prompt)} of them the prompt's; {limit}"
    if window.truncation == "answer_end" and window.prompt_budget(whole) >= window.max_length:
        return f"the prompt alone has {len(whole.prompt)} tokens, data.max_length is {window.max_length}"
    return ""


def _render(item: _Item, prompt: Turns, template: Template) -> EncodedGroup:
    record = item.record
    prompt_ids, answers = template.encode(prompt, item.answers, record.kind, record.template_input)
    return EncodedGroup(
        prompt=np.asarray(prompt_ids, np.int32),
        completions=tuple(_completion(pieces) for pieces in answers),
        origin=record.origin,
        pair_id=record.id,
        category=record.category,
        weight=record.weight,
        margin=record.margin if isinstance(record, PreferencePair) else None,
        label=record.desirable if isinstance(record, BinaryFeedback) else None,
    )


def _completion(pieces: Sequence[Piece]) -> Completion:
    parts = [np.asarray(p.ids, np.int32) for p in pieces]
    ids = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if all(p.scored for p in pieces):
        return Completion(ids, _all_scored(len(ids)))
    return Completion(ids, np.concatenate([np.full(len(p.ids), p.scored) for p in pieces]))


@lru_cache(maxsize=4096)
def _all_scored(length: int) -> BoolArray:
    """The mask of an answer of one turn; answers of one length share it."""
    mask = np.ones(length, bool)
    mask.flags.writeable = False
    return mask


def _cut_answers(group: EncodedGroup, max_length: int) -> EncodedGroup:
    room = max_length - len(group.prompt)
    return replace(group, completions=tuple(c.cut(room) for c in group.completions))


def _usable(group: EncodedGroup, item: _Item, report: EncodingReport) -> EncodedGroup | None:
    """None, with the reason in the report, where nothing is left to compare."""
    first = 0 if len(group.prompt) else 1  # a first token without any context has no predictor
    if not all(c.scored[first:].any() for c in group.completions):
        report.dropped.append(BadRow(group.origin, "no answer token is left to score on one side"))
        return None
    if item.distinct and len(set(group.sequence_ids)) < len(group.sequence_ids):
        report.dropped.append(
            BadRow(group.origin, "two answers have the same tokens within data.max_length: nothing to prefer")
        )
        return None
    return group


def _shorten_prompt(item: _Item, template: Template, budget: int) -> Turns | None:
    """Drop the oldest turns, then the start of the oldest one left, until the prompt has at most ``budget`` tokens."""
    record = item.record

    def fits(turns: Turns) -> bool:
        return len(template.encode(turns, (), record.kind, record.template_input)[0]) <= budget

    system = tuple(m for m in record.prompt[:1] if m.role == "system")
    turns = record.prompt[len(system) :]
    while len(turns) > 1:
        # A conversation starts with a user turn: templates with alternating roles refuse anything else.
        turns = turns[next((i for i, m in enumerate(turns) if i and m.role == "user"), len(turns) - 1) :]
        if fits(system + turns):
            return system + turns
    if not turns:
        return None
    rest = turns[1:]
    text = _longest_end(turns[0].content, lambda end: fits((*system, replace(turns[0], content=end), *rest)))
    return None if text is None else (*system, replace(turns[0], content=text), *rest)


def _longest_end(text: str, fits: Callable[[str], bool]) -> str | None:
    """The longest proper end of a text that fits (bisection over characters); None where not even one does."""
    best, low, high = None, 0, len(text)
    while low < high:
        start = (low + high) // 2
        if fits(text[start:]):
            best, high = text[start:], start
        else:
            low = start + 1
    return best
